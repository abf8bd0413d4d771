"""The catalog of documented models: complete, equal to the documents, and helpful for mistyped names."""

import json
import re
from pathlib import Path

import pytest

from st_spark.cli import main
from st_spark.model import catalog
from tests.support.paths import ROOT, SHARED

# The documents that the catalog was made from; they are not part of the repository.
SEEDS = SHARED / "seeds"
ROW = re.compile(r"^\| \[(?P<name>[\w.-]+)\]\(\S+\) \|(?P<cells>.*)\|\s*$", re.MULTILINE)


@pytest.fixture(scope="module")
def document() -> str:
    file = SEEDS / "pretrained-models-docs.md"
    if not file.is_file():
        pytest.skip("the seed documents are not beside the repository")
    return file.read_text(encoding="utf-8")


def test_names_are_unique_and_tasks_and_measures_are_explained() -> None:
    names = [model.hub_name.lower() for model in catalog.MODELS]
    assert len(set(names)) == len(names) >= 100
    assert {model.task for model in catalog.MODELS} == set(catalog.TASKS)
    assert {name for model in catalog.MODELS for name, _ in model.measures} == set(catalog.MEASURES)


def test_every_cell_is_filled_and_plausible() -> None:
    for model in catalog.MODELS:
        assert 32 <= model.dim <= 4096, model.name
        assert model.max_length is None or model.max_length >= 64, model.name
        assert 1 < model.parameters < 5000, model.name
        assert model.licence in {"apache-2.0", "mit", "cc-by-nc-4.0", "gemma", "none", "?"}, model.name
        number = model.languages.rstrip("+")
        codes = model.language_names
        if model.languages == catalog.MANY:
            assert codes == ()
        elif number.isdigit():  # of 15 the documentation names 13; 100 counts some languages in two scripts
            assert len(codes) == {"15": 13, "50": 53, "100": 93}.get(number, int(number)), model.name
        assert all(re.fullmatch(r"[a-z]{2,3}(-[a-z]{2})?", code) for code in codes), model.name
    assert sum(model.licence == "?" for model in catalog.MODELS) <= 4


def test_sizes_agree_with_the_checkpoints(minilm: Path) -> None:
    model = catalog.find("all-MiniLM-L6-v2")
    assert model is not None
    assert model.size_mb == pytest.approx((minilm / "model.safetensors").stat().st_size / 1e6, rel=0.01)


def test_every_number_of_the_documented_tables_is_in_the_catalog(document: str) -> None:
    rows = list(ROW.finditer(document))
    assert len(rows) == 15
    for row in rows:
        model = catalog.find(row["name"])
        assert model is not None, row["name"]
        speeds = re.search(r"([\d,]+) / ([\d,]+)", row["cells"])
        scores = [float(score) for score in re.findall(r"\d+\.\d+", row["cells"])]
        assert set(scores) <= {score for _, score in model.measures}, row["name"]
        if speeds:
            assert model.queries_per_second == tuple(int(speed.replace(",", "")) for speed in speeds.groups())


def test_every_documented_model_is_in_the_catalog(document: str) -> None:
    named = set(re.findall(r"\*\*([A-Za-z][\w.-]+)\s?\*\*", document)) - {"Note", "DPR-Models", "all-"}
    named |= set(re.findall(r"SentenceTransformer\('([\w-]+)'\)", document)) - {"model_name"}
    site = (SEEDS / "pretrained-models-site.txt").read_text(encoding="utf-8")
    named |= set(re.findall(r'SentenceTransformer\("([\w/-]+)"\)', site))
    assert len(named) >= 19
    assert {name for name in named if catalog.find(name) is None} == set()


def test_models_documented_for_dot_have_score_dot(document: str) -> None:
    for part in re.split(r"(?=Models? tuned to be used|These models )", document)[1:]:
        names = [row["name"] for row in ROW.finditer(part.split("\n#")[0])]
        dot, unit = "tuned to be used with dot" in part[:120], part.startswith("These models produce normalized")
        for model in map(catalog.find, names if dot or unit else []):
            assert model is not None
            assert (model.score, model.unit_length) == (("dot", False) if dot else ("cosine", True))


def test_catalog_agrees_with_a_real_checkpoint(minilm: Path) -> None:
    model = catalog.find("sentence-transformers/all-MiniLM-L6-v2")
    assert model is not None
    assert model.dim == json.loads((minilm / "config.json").read_text())["hidden_size"]
    assert model.max_length == json.loads((minilm / "sentence_bert_config.json").read_text())["max_seq_length"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("all-MiniLM-L6", "all-MiniLM-L6-v2"),
        ("sentence-transformers/all-mpnet-base-v3", "all-mpnet-base-v2"),
        ("labse2", "LaBSE"),
        ("instructor-lrge", "hkunlp/instructor-large"),
        ("clip-vit-b32", "clip-ViT-B-32"),
    ],
)
def test_mistyped_name_has_close_matches(typed: str, meant: str) -> None:
    assert catalog.find(typed) is None
    assert catalog.close_matches(typed)[0] == meant


def test_unrelated_name_has_no_close_match() -> None:
    assert catalog.close_matches("acme/our-own-thing") == []


def test_find_ignores_case_and_organisation() -> None:
    assert catalog.find("ALL-minilm-l6-v2") is catalog.find("sentence-transformers/all-MiniLM-L6-v2") is not None
    assert catalog.find("e5-base-v2") is catalog.find("intfloat/E5-base-v2") is not None
    assert catalog.find("someone/e5-base-v2") is None


def test_models_command_lists_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["models"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[1:]] == [model.name for model in catalog.MODELS]


@pytest.mark.parametrize(
    ("filters", "some", "others"),
    [
        (["--task", "bitext"], {"LaBSE"}, {"all-MiniLM-L6-v2"}),
        (["--language", "de"], {"LaBSE", "BAAI/bge-m3", "intfloat/multilingual-e5-base"}, {"all-mpnet-base-v2"}),
        (["--language", "zh"], {"paraphrase-multilingual-mpnet-base-v2"}, {"BAAI/bge-base-en-v1.5"}),
        (["--language", "EN"], {"all-mpnet-base-v2", "LaBSE"}, set()),
        (["--max-size", "91"], {"all-MiniLM-L6-v2", "minishlab/potion-base-8M"}, {"all-MiniLM-L12-v2"}),
        (["--task=search", "--language=de", "--max-size=500"], {"intfloat/multilingual-e5-small"}, {"LaBSE"}),
    ],
)
def test_models_command_filters(
    capsys: pytest.CaptureFixture[str], filters: list[str], some: set[str], others: set[str]
) -> None:
    assert main.main(["models", *filters]) == 0
    names = {line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]}
    assert some <= names
    assert not others & names


def test_a_model_without_a_limit_reads_any_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["models", "average_word_embeddings_komninos"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "longest text" in line)
    assert line.split()[-1] == "any"


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (["--language", "German"], "The language 'German' is unknown. Fix: give a code: af, am, ar"),
        (["--max-size", "1"], "No known model passes these filters"),
        (["--max-size", "small"], "invalid float value"),
        (["--task", "searching"], "invalid choice"),
    ],
)
def test_filters_that_no_model_passes_are_an_error(
    capsys: pytest.CaptureFixture[str], filters: list[str], message: str
) -> None:
    assert main.main(["models", *filters]) == 2
    assert message in capsys.readouterr().err


def test_models_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["models", "--json"]) == 0
    listed = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert len(listed) == len(catalog.MODELS)
    tas_b = listed["msmarco-distilbert-base-tas-b"]
    assert (tas_b["dim"], tas_b["max_length"], tas_b["score"]) == (768, 512, "dot")
    assert tas_b["measures"] == {"search": 49.25, "msmarco": 34.43}
    assert tas_b["queries_per_second"] == [7000, 350]


def test_models_command_describes_one_model_and_rejects_an_unknown_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["models", "clip-ViT-B-32"]) == 0
    assert "63.3% (zero-shot top-1 accuracy on ImageNet)" in capsys.readouterr().out
    assert main.main(["models", "clip-ViT-B32"]) == 2
    assert "did you mean 'clip-ViT-B-32'" in capsys.readouterr().err


def test_unavailable_model_is_answered_with_close_matches() -> None:
    from huggingface_hub.errors import OfflineModeIsEnabled

    from st_spark.model.checkpoint import hub

    offline = OfflineModeIsEnabled("offline")
    assert "did you mean 'all-MiniLM-L6-v2'" in str(hub.explain(offline, "all-MiniLM-L6-v9", "x/y", None))
    assert "did you mean" not in str(hub.explain(offline, "LaBSE", "x/LaBSE", None))


def test_models_page_names_each_model_with_an_existing_test() -> None:
    text = (ROOT / "docs" / "models" / "tested.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w./-]+) \| .* \| `(\w+\.py)::(\w+)(?:\[.*\])?` \|$", text, re.MULTILINE)
    assert [name for name, _, _ in rows] == [model.name for model in catalog.MODELS if model.documented]
    tests = {file.name: file.read_text(encoding="utf-8") for file in Path(__file__).parent.rglob("test_*.py")}
    assert [row for row in rows if f"def {row[2]}(" not in tests[row[1]]] == []
