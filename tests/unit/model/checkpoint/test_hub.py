"""Finding models by name and path, with a hub on loopback and processes with separate settings and caches."""

import ast
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from st_spark.errors import ModelError
from st_spark.model.checkpoint import hub
from tests.support.hub_server import HubServer
from tests.support.resolving import Found, Resolving

REPO = "sentence-transformers/tiny"
NEEDED = {
    "modules.json": b'[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]',
    "config.json": b"{}",
    "model.safetensors": b"weights" * 1000,
    "1_Pooling/config.json": b'{"pooling_mode": "mean"}',
    "name [with pattern].txt": b"a name with a glob pattern",
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


@pytest.fixture
def server() -> Iterator[HubServer]:
    """A hub with one tiny model."""
    with HubServer() as running:
        running.publish(REPO, {**NEEDED, **USELESS})
        yield running


Start = Callable[..., Resolving]
Resolve = Callable[..., Found]


@pytest.fixture
def start(server: HubServer, tmp_path: Path) -> Start:
    """Start a process that resolves a model with this test's hub and cache."""

    def begin(model: str, revision: str | None = None, **settings: str) -> Resolving:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))}
        kept = {k: v for k, v in kept.items() if not k.lower().endswith("_proxy")}
        own = {"HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path / "hf")}
        return Resolving(model, revision, {**kept, **own, **settings})

    return begin


@pytest.fixture
def resolve(start: Start) -> Resolve:
    """Resolve a model in a process and wait for the result."""
    return lambda *args, **settings: start(*args, **settings).wait()


def below(folder: Path) -> set[str]:
    """Return the relative names of all files of a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_bare_name_downloads_only_the_needed_files_of_sentence_transformers(
    server: HubServer, resolve: Resolve
) -> None:
    found = resolve("tiny")
    assert (found.name, found.revision) == (REPO, server.branches[REPO]["main"]), found.problem
    assert below(found.folder) == set(NEEDED)
    assert (found.folder / "model.safetensors").read_bytes() == NEEDED["model.safetensors"]


def test_pickled_weights_are_downloaded_if_there_are_no_others(server: HubServer, resolve: Resolve) -> None:
    server.publish("old/model", {"config.json": b"{}", "pytorch_model.bin": b"pickled"})
    assert below(resolve("old/model").folder) == {"config.json", "pytorch_model.bin"}


def test_four_processes_at_once_download_each_file_once(server: HubServer, start: Start) -> None:
    together = [start("tiny") for _ in range(4)]
    found = [process.wait() for process in together]
    assert {f.folder for f in found} == {found[0].folder}
    assert below(found[0].folder) == set(NEEDED)
    files = {request: times for request, times in server.served.items() if request != "api"}
    assert files == {f"{method} {name}": 1 for name in NEEDED for method in ("HEAD", "GET")}


def test_cached_commit_sends_no_request(server: HubServer, resolve: Resolve) -> None:
    commit = server.branches[REPO]["main"]
    first = resolve(REPO, commit)
    server.served.clear()
    assert resolve(REPO, commit) == first
    assert not server.served


def test_commit_keeps_its_content_when_the_branch_moves(server: HubServer, resolve: Resolve) -> None:
    old = server.branches[REPO]["main"]
    server.publish(REPO, NEEDED, branch="v1")
    tagged = server.branches[REPO]["v1"]
    new = server.publish(REPO, {**NEEDED, "config.json": b'{"new": 1}'})
    assert resolve(REPO).revision == new
    assert resolve(REPO, "v1").revision == tagged
    pinned = resolve(REPO, old)
    assert pinned.revision == old
    assert (pinned.folder / "config.json").read_bytes() == b"{}"


def test_cache_serves_branch_and_commit_offline(server: HubServer, resolve: Resolve) -> None:
    first = resolve("tiny")
    server.served.clear()
    assert resolve("tiny", HF_HUB_OFFLINE="1") == first
    assert resolve("tiny", first.revision, HF_HUB_OFFLINE="1") == first
    assert not server.served


def test_cache_serves_without_a_network(server: HubServer, resolve: Resolve) -> None:
    first = resolve("tiny")
    assert resolve("tiny", HF_ENDPOINT="http://127.0.0.1:9") == first
    server.broken = True
    assert resolve("tiny") == first


def test_missing_cache_offline_says_how_to_fill_it(resolve: Resolve) -> None:
    offline = resolve("tiny", HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set" in offline.problem and f"hf download {REPO}" in offline.fix
    unreachable = resolve("tiny", HF_ENDPOINT="http://127.0.0.1:9")
    assert "cannot be reached" in unreachable.problem and "127.0.0.1:9" in unreachable.problem


def test_incomplete_download_is_not_used_and_is_completed_later(server: HubServer, resolve: Resolve) -> None:
    whole = resolve("tiny")
    (whole.folder / "model.safetensors").unlink()
    assert "not complete in the cache" in resolve("tiny", HF_HUB_OFFLINE="1").problem
    assert resolve("tiny", whole.revision) == whole
    assert below(whole.folder) == set(NEEDED)


def test_cache_filled_by_another_program_serves_offline(server: HubServer, tmp_path: Path, resolve: Resolve) -> None:
    commit = "0123456789" * 4
    store = tmp_path / "hf" / "hub" / "models--some--model"
    (store / "snapshots" / commit).mkdir(parents=True)
    (store / "snapshots" / commit / "config.json").write_text("{}")
    (store / "refs").mkdir()
    (store / "refs" / "main").write_text(commit)
    found = resolve("some/model", HF_HUB_OFFLINE="1")
    assert (found.folder, found.revision) == (store / "snapshots" / commit, commit)


def test_models_go_to_the_folder_of_sentence_transformers_if_it_is_set(tmp_path: Path, resolve: Resolve) -> None:
    home = str(tmp_path / "st")
    found = resolve("tiny", SENTENCE_TRANSFORMERS_HOME=home)
    assert found.folder.is_relative_to(home)
    assert resolve("tiny", SENTENCE_TRANSFORMERS_HOME=home, HF_HUB_OFFLINE="1") == found
    assert not (tmp_path / "hf" / "hub").exists()


def test_cache_folder_and_local_files_only_are_kept_to(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the arguments of the constructor, in one process."""
    from huggingface_hub import constants

    folder = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(
        ModelError, match=f"local_files_only is given, and '{REPO}' at 'main' is not complete .*{folder}"
    ):
        hub.resolve("tiny", access=hub.Access(folder, offline=True))
    assert not server.served
    assert "secret" not in repr(hub.Access(folder, "secret"))


@pytest.mark.parametrize("status", [401, 403])
def test_refused_user_is_told_about_the_token(status: int) -> None:
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    answer = httpx.Response(status, request=httpx.Request("GET", "http://127.0.0.1/api/models/some/model"))
    error = hub.explain(HfHubHTTPError("no", response=answer), "some/model", "some/model", None)
    assert f"(status {status})" in error.problem and "HF_TOKEN" in error.fix


def test_unknown_name_is_explained_as_folder_and_as_hub_name(resolve: Resolve) -> None:
    found = resolve("models/minilm")
    assert "no folder 'models/minilm'" in found.problem and "no model 'models/minilm' on the hub" in found.problem
    assert "spelling" in found.fix
    assert "no model 'bad name!'" in resolve("org/bad name!").problem.replace("org/", "")


def test_gated_models_and_unknown_revisions_say_what_to_do(server: HubServer, resolve: Resolve) -> None:
    server.publish("some/gated", NEEDED)
    server.gated.add("some/gated")
    gated = resolve("some/gated")
    assert "gated" in gated.problem and "HF_TOKEN" in gated.fix
    revision = resolve(REPO, "v9")
    assert "no revision 'v9'" in revision.problem and f"{REPO}/commits" in revision.fix


def test_repository_without_model_is_rejected_before_the_download(server: HubServer, resolve: Resolve) -> None:
    server.publish("some/data", {"huge.parquet": b"x" * 1000})
    assert "no modules.json and no config.json" in resolve("some/data").problem
    assert server.served["GET huge.parquet"] == 0


def test_cache_that_cannot_be_written_is_named(tmp_path: Path, resolve: Resolve) -> None:
    (tmp_path / "hf").write_text("a file where the cache should be")
    found = resolve("tiny")
    assert "cannot be stored" in found.problem and "HF_HOME" in found.fix


def test_plain_names_equal_the_list_of_sentence_transformers() -> None:
    spec = importlib.util.find_spec("sentence_transformers")
    assert spec is not None and spec.origin is not None
    source = ast.parse((Path(spec.origin).parent / "util" / "misc.py").read_text(encoding="utf-8"))
    (names,) = (
        ast.literal_eval(node.value)
        for node in source.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ORIGINAL_TRANSFORMER_MODELS"
    )
    assert set(names) == hub._PLAIN


def test_plain_names_get_no_organisation(server: HubServer, resolve: Resolve) -> None:
    assert "no model 'gpt2' on the hub" in resolve("gpt2").problem
    assert "no model 'sentence-transformers/gpt3' on the hub" in resolve("gpt3").problem


def test_folder_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    assert hub.resolve(folder) == hub.Snapshot(folder, str(folder), None)
    monkeypatch.chdir(tmp_path)
    assert hub.resolve("my-model") == hub.Snapshot(folder, "my-model", None)


def test_revision_of_a_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="without revisions, but revision 'v1'"):
        hub.resolve(tmp_path, "v1")


@pytest.mark.parametrize("name", ["./missing", "/no/such/model", "a/b/c", "~/no-such-model", "..\\x", "", "model/"])
def test_missing_path_is_never_requested_from_the_hub(name: str) -> None:
    with pytest.raises(ModelError, match="There is no folder"):
        hub.resolve(name)


def test_file_is_not_a_model_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelError, match="is a file"):
        hub.resolve(tmp_path / "model.safetensors")


@pytest.mark.parametrize("revision", ["../../secret", "/etc", "a\0b"])
def test_revision_cannot_point_outside_the_cache(revision: str) -> None:
    with pytest.raises(ModelError, match="is not a revision"):
        hub.resolve("tiny", revision)


def test_importing_the_module_imports_no_hub_client() -> None:
    check = "import sys, st_spark.model.checkpoint.hub; sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], timeout=60, check=False).returncode == 0
