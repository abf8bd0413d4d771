"""Reading one module of a checkpoint: class paths, folders, configs, routers."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from st_spark.model.checkpoint import checkpoint
from st_spark.model.checkpoint.module_spec import submodules
from tests.support.model_folders import BASE, NEW, OLD, kinds, module, put, refusal


@pytest.mark.parametrize(
    "transformer",
    [f"{OLD}.Transformer", f"{OLD}.Transformer.Transformer", f"{BASE}.transformer.Transformer", f"{BASE}.Transformer"],
)
@pytest.mark.parametrize("pooling", [f"{OLD}.Pooling", f"{NEW}.pooling.Pooling", f"{NEW}.Pooling"])
def test_old_and_new_class_paths_are_equivalent(folder: Path, transformer: str, pooling: str) -> None:
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
def test_transformer_config_has_seven_names(folder: Path, name: str) -> None:
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
def test_each_kind_needs_and_reads_its_config_file(folder: Path, path: str, file: str) -> None:
    put(folder / "modules.json", [module("0_It", path)])
    (folder / "0_It").mkdir()
    assert f"has no {file}, which a {path.rsplit('.', 1)[1]} needs" in refusal(folder)
    put(folder / "0_It" / file, {"size": 3})
    assert checkpoint.read(folder).modules[0].config == {"size": 3}


@pytest.mark.parametrize("kind", ["StaticEmbedding", "Dropout"])
def test_kinds_without_config_file_get_an_empty_config(folder: Path, kind: str) -> None:
    (folder / "0_It").mkdir()
    put(folder / "modules.json", [module("0_It", f"{OLD}.{kind}")])
    assert checkpoint.read(folder).modules[0].config == {}


def test_clip_model_is_read_from_its_folder(folder: Path) -> None:
    put(folder / "0_CLIPModel" / "config.json", {"model_type": "clip"})
    put(folder / "0_CLIPModel" / "model.safetensors", "")
    put(folder / "modules.json", [module("0_CLIPModel", f"{OLD}.CLIPModel")])
    (spec,) = checkpoint.read(folder).modules
    assert (spec.kind, spec.path, spec.config) == ("CLIPModel", folder / "0_CLIPModel", {})


def test_module_keeps_its_name_and_argument_names(folder: Path) -> None:
    put(folder / "modules.json", [module("", f"{OLD}.Transformer", name="text", kwargs=["task"])])
    (spec,) = checkpoint.read(folder).modules
    assert (spec.name, spec.kwargs) == ("text", ("task",))


def test_trust_remote_code_in_a_config_is_ignored(folder: Path) -> None:
    put(folder / "sentence_bert_config.json", {"model_args": {"trust_remote_code": True, "x": 1}, "config_args": {}})
    assert checkpoint.read(folder).modules[0].config == {"model_args": {"x": 1}, "config_args": {}}


def test_adapter_without_base_model_says_what_to_do(folder: Path) -> None:
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
        ("sentence_transformers.sparse_encoder.models.SpladePooling", "this is a sparse encoder"),
        ("sentence_transformers.models.Never", "Use a model of the known classes: Transformer,"),
    ],
)
def test_unknown_class_is_rejected_by_name(folder: Path, path: str, problem: str) -> None:
    put(folder / "modules.json", [module("1_Pooling", path)])
    assert problem in refusal(folder)


PATHS_OUT = ["..", "../x", "1_Pooling/../../x", "/etc", "\\\\host\\share", "C:\\x", "C:x", "..\\x", "a\0b", "x" * 300]


@pytest.mark.parametrize("path", [*PATHS_OUT, "\ud800"])
@pytest.mark.parametrize("kind", ["Pooling", "Normalize"])
def test_module_path_outside_the_model_is_rejected(folder: Path, path: str, kind: str) -> None:
    put(folder / "modules.json", [module(path, f"{OLD}.{kind}")])
    assert "not a plain path inside the model folder" in refusal(folder)


def test_missing_module_folder_is_named(folder: Path) -> None:
    shutil.rmtree(folder / "1_Pooling")
    assert "the folder '1_Pooling' of module 1 (Pooling) does not exist" in refusal(folder)


def test_config_that_is_not_an_object_names_its_file(folder: Path) -> None:
    put(folder / "1_Pooling" / "config.json", [1])
    assert "1_Pooling/config.json: the whole file is [1]" in refusal(folder)


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
    put(folder / "query_0_Transformer" / "model.safetensors", "")
    return folder


def test_router_returns_its_modules_by_id(router: Path) -> None:
    (spec,) = checkpoint.read(router).modules
    assert spec.config == ROUTER
    inner = submodules(spec)
    assert {name: (s.kind, s.path.name) for name, s in inner.items()} == {
        "query_0_Transformer": ("Transformer", "query_0_Transformer"),
        "document_0_Normalize": ("Normalize", "document_0_Normalize"),
    }


def test_asym_reads_its_routes_from_config_json(router: Path) -> None:
    put(router / "modules.json", [module("", f"{OLD}.Asym")])
    (router / "router_config.json").rename(router / "config.json")
    (spec,) = checkpoint.read(router).modules
    assert spec.kind == "Asym" and set(submodules(spec)) == set(ROUTER["types"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"types": {"query_0_Transformer": "evil.Code"}}, "foreign class 'evil.Code'"),
        ({"types": {"../x": f"{OLD}.Normalize"}, "structure": {}}, "not a plain path inside"),
        ({"types": {".": f"{OLD}.Router"}, "structure": {}}, "folders inside the router's own"),
        ({"types": {}}, "'types' is {}"),
        ({"structure": {"query": ["nobody"]}}, "route 'query' is ['nobody']"),
        ({"structure": {"query": []}}, "route 'query' is []"),
        ({"structure": []}, "'structure' is []"),
        ({"parameters": 3}, "'parameters' is 3"),
    ],
)
def test_modules_inside_a_router_are_checked(router: Path, change: dict[str, object], named: str) -> None:
    changed: dict[str, object] = {**ROUTER, **change}
    if "structure" not in change and "query_0_Transformer" in str(change):
        changed["structure"] = {"query": ["query_0_Transformer"]}
    put(router / "router_config.json", changed)
    assert named in refusal(router)
