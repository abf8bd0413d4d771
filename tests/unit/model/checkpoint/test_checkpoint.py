"""Reading a model folder: settings, plain transformers folders, broken files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from st_spark.errors import ModelError
from st_spark.model.checkpoint import checkpoint
from tests.support.model_folders import OLD, kinds, module, put, refusal


def test_real_model_is_described_in_module_order(minilm: Path) -> None:
    read = checkpoint.read(minilm)
    assert kinds(read) == ["Transformer", "Pooling", "Normalize"]
    transformer, pooling, normalize = read.modules
    assert transformer.path == minilm.resolve() and transformer.config["max_seq_length"] == 256
    assert pooling.config["pooling_mode_mean_tokens"] is True
    assert normalize.config == {} and not normalize.path.exists()
    assert (read.similarity, read.prompts, read.default_prompt_name, read.truncate_dim) == ("cosine", {}, None, None)


@pytest.mark.slow
def test_checkpoint_saved_by_sentence_transformers_is_read(tmp_path: Path, tiny_model: Path) -> None:
    from sentence_transformers import SentenceTransformer

    oracle = SentenceTransformer(str(tiny_model), device="cpu", truncate_dim=16, similarity_fn_name="dot")
    oracle.prompts["query"] = "find: "
    oracle.save(str(tmp_path / "saved"))
    read = checkpoint.read(tmp_path / "saved")
    assert kinds(read) == kinds(checkpoint.read(tiny_model)) == ["Transformer", "Pooling", "Normalize"]
    assert (read.truncate_dim, read.similarity, read.prompts["query"]) == (16, "dot", "find: ")
    assert read.modules[1].config["pooling_mode"] == "mean"


def test_stored_settings_are_read(folder: Path) -> None:
    stored = {"prompts": {"query": "q: "}, "default_prompt_name": "query", "similarity_fn_name": "dot"}
    put(
        folder / "config_sentence_transformers.json", {**stored, "truncate_dim": 4, "model_type": "SentenceTransformer"}
    )
    read = checkpoint.read(folder)
    assert (read.prompts, read.default_prompt_name) == ({"query": "q: "}, "query")
    assert (read.similarity, read.truncate_dim) == ("dot", 4)


@pytest.mark.parametrize(
    ("stored", "named"),
    [
        ({"prompts": ["a"]}, "'prompts' is ['a']"),
        ({"prompts": {"a": 1}}, "'prompts' is {'a': 1}"),
        ({"prompts": {"a": "x"}, "default_prompt_name": "b"}, "'default_prompt_name' is 'b'"),
        ({"default_prompt_name": ["b"]}, "'default_prompt_name' is ['b']"),
        ({"truncate_dim": 0}, "'truncate_dim' is 0"),
        ({"truncate_dim": True}, "'truncate_dim' is True"),
        ({"truncate_dim": "64"}, "'truncate_dim' is '64'"),
        ({"model_type": "CrossEncoder"}, "'model_type' is 'CrossEncoder'"),
        ([], "the whole file is []"),
    ],
)
def test_wrong_setting_is_named_with_its_file(folder: Path, stored: object, named: str) -> None:
    put(folder / "config_sentence_transformers.json", stored)
    error = refusal(folder)
    assert named in error and "config_sentence_transformers.json" in error


@pytest.mark.parametrize("similarity", ["maxsim", 3, ["dot"]])
def test_unknown_similarity_is_cosine_with_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture, similarity: object
) -> None:
    """As in sentence-transformers."""
    put(folder / "config_sentence_transformers.json", {"similarity_fn_name": similarity})
    assert checkpoint.read(folder).similarity == "cosine"
    assert "'similarity_fn_name' is" in caplog.text


def test_prompt_that_is_null_is_empty(folder: Path) -> None:
    put(folder / "config_sentence_transformers.json", {"prompts": {"query": "q: ", "passage": None}})
    assert checkpoint.read(folder).prompts == {"query": "q: ", "passage": ""}


def test_plain_transformers_folder_gets_mean_or_last_token_pooling(folder: Path) -> None:
    (folder / "modules.json").unlink()
    read = checkpoint.read(folder)
    assert kinds(read) == ["Transformer", "Pooling"]
    assert read.modules[1].config == {"pooling_mode": "mean"}
    put(folder / "config.json", {"architectures": ["Qwen2ForCausalLM"]})
    assert checkpoint.read(folder).modules[1].config == {"pooling_mode": "lasttoken"}
    put(folder / "config.json", {"model_type": "clip"})
    assert kinds(checkpoint.read(folder)) == ["CLIPModel"]


def test_folder_without_model_names_the_missing_files(tmp_path: Path) -> None:
    assert "is not a model: it has no modules.json and no config.json" in refusal(tmp_path)
    assert "cannot be read: No such file" in refusal(tmp_path / "missing")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "JSONDecodeError"),
        ("[" * 100_000, "RecursionError"),
        ("[1" + "0" * 5000 + "]", "cannot be read as JSON"),
        ({}, "the whole file is {}"),
        ([], "the whole file is []"),
        (["x"], "module 0 is 'x'"),
        ([{"path": "", "type": 3}], "'type' of module 0 is 3"),
        ([{"type": f"{OLD}.Normalize"}], "'path' of module 0 is None"),
        ([module("", f"{OLD}.Transformer", name=3)], "'name' of module 0 is 3"),
        ([module("", f"{OLD}.Transformer", kwargs="task")], "'kwargs' of module 0 is 'task'"),
        ([module("", f"{OLD}.Transformer")] * 2, "a different name for each module"),
    ],
)
def test_broken_modules_json_names_the_file_and_the_value(folder: Path, content: object, named: str) -> None:
    put(folder / "modules.json", content)
    error = refusal(folder)
    assert named in error and "modules.json" in error and len(error) < 1000


def test_modules_json_that_is_not_utf8_is_rejected(folder: Path) -> None:
    (folder / "modules.json").write_bytes(b"\xff\xfe[]")
    assert "UnicodeDecodeError" in refusal(folder)


words = st.sampled_from(
    ["", ".", "..", "1_Pooling", "modules.json", "/", "a/b", f"{OLD}.Transformer", f"{OLD}.Pooling"]
)
more = st.sampled_from(
    [f"{OLD}.Normalize", f"{OLD}.Router", f"{OLD}.Nothing", "os.system", "idx", "name", "path", "type"]
)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | words | more
junk = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | more, inner, max_size=5)
)
entries = st.fixed_dictionaries({}, optional=dict.fromkeys(("idx", "name", "path", "type", "kwargs"), leaves))


@pytest.mark.slow
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=junk | st.lists(entries | junk, max_size=4))
@example(content=[module("1_Pooling", f"{OLD}.Pooling")])
def test_junk_in_modules_json_gives_a_checkpoint_or_a_model_error(folder: Path, content: object) -> None:
    put(folder / "modules.json", json.dumps(content))
    try:
        read = checkpoint.read(folder)
    except ModelError as error:
        message, read = str(error), None
    if read is None:
        assert message.encode()  # it can be printed, whatever the junk
    else:
        assert all(spec.path.is_relative_to(folder) for spec in read.modules)


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(types=junk, structure=junk, parameters=junk, settings_file=junk)
def test_junk_in_a_router_gives_a_model_error(
    folder: Path, types: object, structure: object, parameters: object, settings_file: object
) -> None:
    put(folder / "modules.json", [module("", f"{OLD}.Router")])
    put(folder / "router_config.json", {"types": types, "structure": structure, "parameters": parameters})
    put(folder / "config_sentence_transformers.json", json.dumps(settings_file))
    with pytest.raises(ModelError):  # a router of junk is never whole
        checkpoint.read(folder)


def test_reading_a_checkpoint_needs_only_the_standard_library() -> None:
    check = (
        "import sys; before = set(sys.modules); import st_spark.model.checkpoint.checkpoint; "
        "new = {m.split('.')[0] for m in set(sys.modules) - before} - sys.stdlib_module_names - {'st_spark'}; "
        "sys.exit(str(new) if new else 0)"
    )
    done = subprocess.run([sys.executable, "-c", check], timeout=60, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
