"""Model folders as plain descriptions: every spelling that is in use, and what is refused."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from st_spark.errors import ModelError
from st_spark.model.checkpoint import checkpoint
from st_spark.model.checkpoint.checkpoint import Checkpoint

OLD, BASE = "sentence_transformers.models", "sentence_transformers.base.modules"
NEW = "sentence_transformers.sentence_transformer.modules"


def put(file: Path, content: Any) -> None:
    """Writes a JSON file with its folders."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def module(path: str, kind: str, position: int = 0, **more: object) -> dict[str, object]:
    """One entry of modules.json."""
    return {"idx": position, "name": str(position), "path": path, "type": kind, **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the description of a BERT with mean pooling; nothing of it has weights."""
    model = tmp_path / "model"
    put(model / "config.json", {"model_type": "bert"})
    put(model / "sentence_bert_config.json", {"max_seq_length": 128})
    put(model / "1_Pooling" / "config.json", {"embedding_dimension": 8, "pooling_mode": "mean"})
    put(model / "modules.json", [module("", f"{OLD}.Transformer"), module("1_Pooling", f"{OLD}.Pooling", 1)])
    return model


def kinds(read: Checkpoint) -> list[str]:
    """The kinds of the modules."""
    return [spec.kind for spec in read.modules]


def refusal(folder: Path) -> str:
    """What is said of a folder that cannot be read."""
    with pytest.raises(ModelError) as caught:
        checkpoint.read(folder)
    assert caught.value.fix
    return str(caught.value)


def test_a_real_model_is_described_in_the_order_of_its_modules(minilm: Path) -> None:
    read = checkpoint.read(minilm)
    assert kinds(read) == ["Transformer", "Pooling", "Normalize"]
    transformer, pooling, normalize = read.modules
    assert transformer.path == minilm.resolve() and transformer.config["max_seq_length"] == 256
    assert pooling.config["pooling_mode_mean_tokens"] is True
    assert normalize.config == {} and not normalize.path.exists()
    assert (read.similarity, read.prompts, read.default_prompt_name, read.truncate_dim) == ("cosine", {}, None, None)


@pytest.mark.parametrize(
    "transformer",
    [f"{OLD}.Transformer", f"{OLD}.Transformer.Transformer", f"{BASE}.transformer.Transformer", f"{BASE}.Transformer"],
)
@pytest.mark.parametrize("pooling", [f"{OLD}.Pooling", f"{NEW}.pooling.Pooling", f"{NEW}.Pooling"])
def test_old_and_new_class_paths_mean_the_same(folder: Path, transformer: str, pooling: str) -> None:
    put(folder / "modules.json", [module("", transformer), module("1_Pooling", pooling, 1)])
    assert kinds(checkpoint.read(folder)) == ["Transformer", "Pooling"]


@pytest.mark.parametrize("path", [f"{NEW}.normalize.Normalize", f"{BASE}.normalize.Normalize", f"{OLD}.Normalize"])
def test_normalize_needs_no_folder_but_reads_its_config(folder: Path, path: str) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    put(folder / "modules.json", [*modules, module("2_Normalize", path, 2)])
    assert checkpoint.read(folder).modules[2].config == {}
    put(folder / "2_Normalize" / "config.json", {"module_input_name": "sentence_embedding"})
    assert checkpoint.read(folder).modules[2].config == {"module_input_name": "sentence_embedding"}


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"])
def test_the_transformers_own_config_has_seven_names(folder: Path, name: str) -> None:
    (folder / "sentence_bert_config.json").unlink()
    put(folder / f"sentence_{name}_config.json", {"max_seq_length": 77})
    assert checkpoint.read(folder).modules[0].config == {"max_seq_length": 77}


@pytest.mark.parametrize(
    ("path", "file"),
    [
        (f"{BASE}.dense.Dense", "config.json"),
        (f"{NEW}.layer_norm.LayerNorm", "config.json"),
        (f"{NEW}.weighted_layer_pooling.WeightedLayerPooling", "config.json"),
        (f"{NEW}.word_embeddings.WordEmbeddings", "wordembedding_config.json"),
        (f"{OLD}.BoW", "config.json"),
        (f"{OLD}.WordWeights", "config.json"),
        (f"{OLD}.CNN", "cnn_config.json"),
        (f"{OLD}.LSTM", "lstm_config.json"),
    ],
)
def test_each_module_reads_its_own_config_and_says_when_it_is_missing(folder: Path, path: str, file: str) -> None:
    put(folder / "modules.json", [module("0_It", path)])
    (folder / "0_It").mkdir()
    assert f"has no {file}, without which a {path.rsplit('.', 1)[1]} cannot be built" in refusal(folder)
    put(folder / "0_It" / file, {"size": 3})
    assert checkpoint.read(folder).modules[0].config == {"size": 3}


@pytest.mark.parametrize("kind", ["StaticEmbedding", "Dropout"])
def test_modules_without_a_config_have_an_empty_one(folder: Path, kind: str) -> None:
    (folder / "0_It").mkdir()
    put(folder / "modules.json", [module("0_It", f"{OLD}.{kind}")])
    assert checkpoint.read(folder).modules[0].config == {}


def test_a_clip_model_lies_in_its_own_folder(folder: Path) -> None:
    put(folder / "0_CLIPModel" / "config.json", {"model_type": "clip"})
    put(folder / "modules.json", [module("0_CLIPModel", f"{OLD}.CLIPModel")])
    (spec,) = checkpoint.read(folder).modules
    assert (spec.kind, spec.path, spec.config) == ("CLIPModel", folder / "0_CLIPModel", {})


@pytest.mark.slow
def test_what_sentence_transformers_saves_is_read(tmp_path: Path, tiny_model: Path) -> None:
    from sentence_transformers import SentenceTransformer

    oracle = SentenceTransformer(str(tiny_model), device="cpu", truncate_dim=16, similarity_fn_name="dot")
    oracle.prompts["query"] = "find: "
    oracle.save(str(tmp_path / "saved"))
    read = checkpoint.read(tmp_path / "saved")
    assert kinds(read) == kinds(checkpoint.read(tiny_model)) == ["Transformer", "Pooling", "Normalize"]
    assert (read.truncate_dim, read.similarity, read.prompts["query"]) == (16, "dot", "find: ")
    assert read.modules[1].config["pooling_mode"] == "mean"


def test_a_module_keeps_its_name_and_the_names_of_its_arguments(folder: Path) -> None:
    put(folder / "modules.json", [module("", f"{OLD}.Transformer", name="text", kwargs=["task"])])
    (spec,) = checkpoint.read(folder).modules
    assert (spec.name, spec.kwargs) == ("text", ("task",))


def test_a_checkpoint_cannot_ask_for_its_own_code(folder: Path) -> None:
    put(folder / "sentence_bert_config.json", {"model_args": {"trust_remote_code": True, "x": 1}, "config_args": {}})
    assert checkpoint.read(folder).modules[0].config == {"model_args": {"x": 1}, "config_args": {}}


def test_stored_settings_are_read(folder: Path) -> None:
    stored = {"prompts": {"query": "q: "}, "default_prompt_name": "query", "similarity_fn_name": "dot"}
    put(
        folder / "config_sentence_transformers.json", {**stored, "truncate_dim": 4, "model_type": "SentenceTransformer"}
    )
    read = checkpoint.read(folder)
    assert (read.prompts, read.default_prompt_name) == ({"query": "q: "}, "query")
    assert (read.similarity, read.truncate_dim, read.model_type) == ("dot", 4, "SentenceTransformer")


@pytest.mark.parametrize(
    ("stored", "named"),
    [
        ({"prompts": ["a"]}, "'prompts' is ['a']"),
        ({"prompts": {"a": 1}}, "'prompts' is {'a': 1}"),
        ({"prompts": {"a": "x"}, "default_prompt_name": "b"}, "'default_prompt_name' is 'b'"),
        ({"default_prompt_name": ["b"]}, "'default_prompt_name' is ['b']"),
        ({"similarity_fn_name": "maxsim"}, "'similarity_fn_name' is 'maxsim'"),
        ({"truncate_dim": 0}, "'truncate_dim' is 0"),
        ({"truncate_dim": True}, "'truncate_dim' is True"),
        ({"truncate_dim": "64"}, "'truncate_dim' is '64'"),
        ({"model_type": "CrossEncoder"}, "'model_type' is 'CrossEncoder'"),
        ([], "the whole file is []"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(folder: Path, stored: object, named: str) -> None:
    put(folder / "config_sentence_transformers.json", stored)
    said = refusal(folder)
    assert named in said and "config_sentence_transformers.json" in said


def test_a_plain_transformers_folder_gets_mean_pooling(folder: Path) -> None:
    (folder / "modules.json").unlink()
    read = checkpoint.read(folder)
    assert kinds(read) == ["Transformer", "Pooling"]
    assert read.modules[1].config == {"pooling_mode": "mean"}
    put(folder / "config.json", {"architectures": ["Qwen2ForCausalLM"]})
    assert checkpoint.read(folder).modules[1].config == {"pooling_mode": "lasttoken"}
    put(folder / "config.json", {"model_type": "clip"})
    assert kinds(checkpoint.read(folder)) == ["CLIPModel"]


def test_a_folder_that_is_no_model_names_what_is_missing(tmp_path: Path) -> None:
    assert "is no model: it has neither modules.json nor config.json" in refusal(tmp_path)
    assert "cannot be read: No such file" in refusal(tmp_path / "missing")


def test_an_adapter_alone_says_what_to_do(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "so no transformer" in refusal(folder)
    put(folder / "adapter_config.json", {})
    assert "Merge the adapter" in refusal(folder)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("custom_st.Transformer", "foreign class 'custom_st.Transformer'"),
        ("os.system", "foreign class 'os.system'"),
        ("transformers.models.bert.BertModel", "Without modules.json"),
        ("sentence_transformersx.models.Pooling", "foreign class"),
        ("sentence_transformers", "foreign class"),
        ("sentence_transformers.models..Pooling", "foreign class"),
        ("sentence_transformers.models.Pooling\n", "foreign class"),
        ("sentence_transformers.sparse_encoder.models.SpladePooling", "Use a model of the known classes: Transformer,"),
    ],
)
def test_a_class_that_is_not_known_is_refused_by_name(folder: Path, path: str, problem: str) -> None:
    put(folder / "modules.json", [module("1_Pooling", path)])
    assert problem in refusal(folder)


PATHS_OUT = ["..", "../x", "1_Pooling/../../x", "/etc", "\\\\host\\share", "C:\\x", "C:x", "..\\x", "a\0b", "x" * 300]


@pytest.mark.parametrize("path", [*PATHS_OUT, "\ud800"])
@pytest.mark.parametrize("kind", ["Pooling", "Normalize"])
def test_a_path_that_leads_out_is_refused(folder: Path, path: str, kind: str) -> None:
    put(folder / "modules.json", [module(path, f"{OLD}.{kind}")])
    assert "no plain path inside the model folder" in refusal(folder)


def test_a_module_without_its_folder_is_named(folder: Path) -> None:
    shutil.rmtree(folder / "1_Pooling")
    assert "the folder '1_Pooling' of module 1 (Pooling) does not exist" in refusal(folder)


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
def test_a_broken_modules_json_names_the_file_and_the_value(folder: Path, content: object, named: str) -> None:
    put(folder / "modules.json", content)
    said = refusal(folder)
    assert named in said and "modules.json" in said and len(said) < 1000


def test_bytes_that_are_no_text_are_refused(folder: Path) -> None:
    (folder / "modules.json").write_bytes(b"\xff\xfe[]")
    assert "UnicodeDecodeError" in refusal(folder)


def test_a_config_that_is_no_object_names_its_file(folder: Path) -> None:
    put(folder / "1_Pooling" / "config.json", [1])
    assert "1_Pooling/config.json: the whole file is [1]" in refusal(folder)


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


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=junk | st.lists(entries | junk, max_size=4))
@example(content=[module("1_Pooling", f"{OLD}.Pooling")])
def test_junk_in_modules_json_gives_a_checkpoint_or_a_model_error(folder: Path, content: object) -> None:
    put(folder / "modules.json", json.dumps(content))
    try:
        read = checkpoint.read(folder)
    except ModelError as refused:
        said = str(refused)
        read = None
    if read is None:
        assert said.encode()  # it can be printed, whatever the junk
    else:
        assert all(spec.path.is_relative_to(folder) for spec in read.modules)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(types=junk, structure=junk, parameters=junk, settings_file=junk)
def test_junk_in_other_files_gives_a_checkpoint_or_a_model_error(
    folder: Path, types: object, structure: object, parameters: object, settings_file: object
) -> None:
    put(folder / "modules.json", [module("", f"{OLD}.Router")])
    put(folder / "router_config.json", {"types": types, "structure": structure, "parameters": parameters})
    put(folder / "config_sentence_transformers.json", json.dumps(settings_file))
    with pytest.raises(ModelError):  # a router of junk is never whole
        checkpoint.read(folder)


ROUTER: dict[str, dict[str, Any]] = {
    "types": {"query_0_Transformer": f"{OLD}.Transformer", "document_0_Normalize": f"{BASE}.normalize.Normalize"},
    "structure": {"query": ["query_0_Transformer"], "document": ["document_0_Normalize"]},
    "parameters": {"default_route": "query"},
}


@pytest.fixture
def router(folder: Path) -> Path:
    """A model that is one Router with two routes, and its folder."""
    put(folder / "modules.json", [module("", f"{BASE}.router.Router")])
    put(folder / "router_config.json", ROUTER)
    put(folder / "query_0_Transformer" / "config.json", {})
    return folder


def test_a_router_gives_its_modules_by_their_ids(router: Path) -> None:
    (spec,) = checkpoint.read(router).modules
    assert spec.config == ROUTER
    inner = checkpoint.submodules(spec)
    assert {name: (s.kind, s.path.name) for name, s in inner.items()} == {
        "query_0_Transformer": ("Transformer", "query_0_Transformer"),
        "document_0_Normalize": ("Normalize", "document_0_Normalize"),
    }


def test_an_old_asym_keeps_its_routes_in_config_json(router: Path) -> None:
    put(router / "modules.json", [module("", f"{OLD}.Asym")])
    (router / "router_config.json").rename(router / "config.json")
    (spec,) = checkpoint.read(router).modules
    assert spec.kind == "Asym" and set(checkpoint.submodules(spec)) == set(ROUTER["types"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"types": {"query_0_Transformer": "evil.Code"}}, "foreign class 'evil.Code'"),
        ({"types": {"../x": f"{OLD}.Normalize"}, "structure": {}}, "no plain path inside"),
        ({"types": {".": f"{OLD}.Router"}, "structure": {}}, "folders inside the router's own"),
        ({"types": {}}, "'types' is {}"),
        ({"structure": {"query": ["nobody"]}}, "route 'query' is ['nobody']"),
        ({"structure": {"query": []}}, "route 'query' is []"),
        ({"structure": []}, "'structure' is []"),
        ({"parameters": 3}, "'parameters' is 3"),
    ],
)
def test_what_a_router_hides_is_checked_too(router: Path, change: dict[str, object], named: str) -> None:
    changed: dict[str, object] = {**ROUTER, **change}
    if "structure" not in change and "query_0_Transformer" in str(change):
        changed["structure"] = {"query": ["query_0_Transformer"]}
    put(router / "router_config.json", changed)
    assert named in refusal(router)


def snapshot(tmp_path: Path, folder: Path) -> Path:
    """A copy of a folder in the layout of the hub's cache: links to blobs beside the snapshots."""
    store = tmp_path / "hub" / "models--org--name"
    top = store / "snapshots" / "c0ffee"
    (store / "blobs").mkdir(parents=True)
    for number, file in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
        shutil.copy(file, store / "blobs" / str(number))
        link = top / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(store / "blobs" / str(number), link.parent))
    return top


def test_the_links_of_the_hubs_cache_are_followed(tmp_path: Path, folder: Path) -> None:
    cached = snapshot(tmp_path, folder)
    assert kinds(checkpoint.read(cached)) == ["Transformer", "Pooling"]
    assert checkpoint.fingerprint(cached) == checkpoint.fingerprint(folder)


def test_a_model_behind_a_link_is_read(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "current").symlink_to(folder)
    (folder / "vocab.txt").write_text("a")
    (folder / "words.txt").symlink_to("vocab.txt")
    assert checkpoint.read(tmp_path / "current").folder == folder
    assert Path("words.txt") in checkpoint.model_files(tmp_path / "current")


@pytest.mark.parametrize("layout", ["folder", "cache"])
@pytest.mark.parametrize("name", ["vocab.txt", "1_Pooling/config.json", "2_Normalize"])
def test_a_link_that_leaves_the_model_is_refused(tmp_path: Path, folder: Path, layout: str, name: str) -> None:
    outside = tmp_path / "hub" / "secret"
    put(outside / "file", "secret")
    model = folder if layout == "folder" else snapshot(tmp_path, folder)
    (model / name).unlink(missing_ok=True)
    (model / name).symlink_to(outside if name == "2_Normalize" else outside / "file")
    assert "link" in refusal(model) and "cp -rL" in refusal(model)
    with pytest.raises(ModelError, match="link"):
        checkpoint.fingerprint(model)


def test_a_link_to_nothing_is_refused(folder: Path) -> None:
    (folder / "vocab.txt").symlink_to("missing.txt")
    assert "vocab.txt' is no file" in refusal(folder)


def test_files_that_no_load_reads_are_left_out(folder: Path) -> None:
    for name in [
        "onnx/model.onnx",
        "openvino/x.bin",
        "tf_model.h5",
        "flax_model.msgpack",
        "rust_model.ot",
        "README.md",
    ]:
        put(folder / name, "x")
    for name in [
        ".git/config",
        ".gitattributes",
        "custom.py",
        "2_Dense/pytorch_model.bin",
        "pytorch_model.bin",
        "v.txt",
    ]:
        put(folder / name, "x")
    kept = {path.as_posix() for path in checkpoint.model_files(folder)}
    own = {"config.json", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json", "v.txt"}
    assert kept == own | {"2_Dense/pytorch_model.bin", "pytorch_model.bin"}
    put(folder / "model.safetensors", "x")
    kept = {path.as_posix() for path in checkpoint.model_files(folder)}
    assert kept == own | {"2_Dense/pytorch_model.bin", "model.safetensors"}


def test_the_fingerprint_is_of_content_not_of_place_or_time(tmp_path: Path, folder: Path) -> None:
    put(folder / "model.safetensors", "weights")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    os.utime(copy / "model.safetensors", (1, 1))
    put(copy / "README.md", "words")
    key = checkpoint.fingerprint(folder)
    assert checkpoint.fingerprint(copy) == key and len(key) == 32 and int(key, 16) >= 0


@pytest.mark.parametrize("change", ["content", "name", "more", "moved bytes"])
def test_the_fingerprint_changes_with_any_file_that_a_load_reads(folder: Path, change: str) -> None:
    put(folder / "model.safetensors", "weights")
    before = checkpoint.fingerprint(folder)
    if change == "content":
        put(folder / "model.safetensors", "WEIGHTS")
        os.utime(folder / "model.safetensors", (1, 1))
    elif change == "name":
        (folder / "model.safetensors").rename(folder / "other.safetensors")
    elif change == "more":
        put(folder / "vocab.txt", "")
    else:
        put(folder / "model.safetensors", "weigh")
        put(folder / "vocab.txt", "ts")
    assert checkpoint.fingerprint(folder) != before


def test_a_second_fingerprint_reads_no_file_again(folder: Path) -> None:
    put(folder / "model.safetensors", "weights")
    key = checkpoint.fingerprint(folder)
    times = (folder / "model.safetensors").stat()
    put(folder / "model.safetensors", "WEIGHTS")
    os.utime(folder / "model.safetensors", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert checkpoint.fingerprint(folder) == key  # same size, same time: taken for the same file


def test_reading_a_checkpoint_imports_only_the_standard_library() -> None:
    check = (
        "import sys; before = set(sys.modules); import st_spark.model.checkpoint.checkpoint; "
        "new = {m.split('.')[0] for m in set(sys.modules) - before} - sys.stdlib_module_names - {'st_spark'}; "
        "sys.exit(str(new) if new else 0)"
    )
    done = subprocess.run([sys.executable, "-c", check], timeout=60, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
