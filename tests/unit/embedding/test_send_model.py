"""Send a model to a node: sent once, unpacked once, completely or not at all."""

import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_spark.embedding.receive_model import receive, scratch, unpack, write_files
from st_spark.embedding.send_model import ModelBundle, read_chunks, send
from st_spark.errors import InputError, ModelError
from st_spark.model.checkpoint import checkpoint, hub
from tests.support.checkpoints import write_json

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class Piece:
    """A piece of a broadcast as a worker sees it: the bytes are its value."""

    def __init__(self, value: bytes) -> None:
        self.value = value


def bundle_of(folder: Path, size: int = 1000) -> ModelBundle:
    """Return a broadcast of a model folder, without Spark."""
    pieces = tuple((name, Piece(chunk)) for name, chunk in read_chunks(folder, size))
    return ModelBundle("broadcast", checkpoint.fingerprint(folder), "m", pieces=pieces)


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder by relative name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@given(
    files=st.dictionaries(st.sampled_from(["a", "b/c", "b/d", "e"]), st.binary(max_size=40)), size=st.integers(1, 50)
)
def test_files_arrive_as_they_were_sent_in_chunks_of_any_size(files: dict[str, bytes], size: int) -> None:
    with TemporaryDirectory() as source, TemporaryDirectory() as target, pytest.MonkeyPatch.context() as patch:
        for name, content in files.items():
            (Path(source) / name).parent.mkdir(exist_ok=True)
            (Path(source) / name).write_bytes(content)
        patch.setattr(checkpoint, "model_files", lambda _: [Path(name) for name in files])
        chunks = list(read_chunks(Path(source), size))
        assert all(len(chunk) <= size for _, chunk in chunks)
        assert len(chunks) == sum(max(1, -(-len(content) // size)) for content in files.values())
        write_files(Path(target), ModelBundle("broadcast", "0", "m", pieces=tuple((n, Piece(c)) for n, c in chunks)))
        assert contents(Path(target)) == files


def test_a_model_arrives_with_all_files_that_a_load_reads(tiny_model: Path, tmp_path: Path) -> None:
    folder = unpack(bundle_of(tiny_model), tmp_path / "home")
    assert sorted(contents(folder)) == [name.as_posix() for name in checkpoint.model_files(tiny_model)]
    assert checkpoint.fingerprint(folder) == checkpoint.fingerprint(tiny_model) == folder.name


def test_prose_and_other_formats_are_not_sent(tiny_model: Path, tmp_path: Path) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "model")
    (model / "README.md").write_text("prose")
    (model / "onnx").mkdir()
    (model / "onnx" / "model.onnx").write_bytes(b"0" * 1000)
    assert [name for name, _ in bundle_of(model).pieces] == [name for name, _ in bundle_of(tiny_model).pieces]


def _unpack(bundle: ModelBundle, home: Path) -> int:
    return unpack(bundle, home).stat().st_ino


def test_one_of_many_workers_unpacks_the_model(tiny_model: Path, tmp_path: Path) -> None:
    bundle = bundle_of(tiny_model)
    with ProcessPoolExecutor(4, mp_context=get_context("fork")) as workers:
        folders = list(workers.map(_unpack, [bundle] * 8, [tmp_path] * 8))
    assert len(set(folders)) == 1
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [bundle.fingerprint]


def test_a_model_on_the_node_is_not_unpacked_again(tiny_model: Path, tmp_path: Path) -> None:
    bundle = bundle_of(tiny_model)
    first = unpack(bundle, tmp_path)
    assert unpack(replace(bundle, pieces=()), tmp_path) == first


def test_a_missing_piece_leaves_no_model_and_is_an_error(tiny_model: Path, tmp_path: Path) -> None:
    bundle = bundle_of(tiny_model)
    with pytest.raises(ModelError, match=r"have the hash .* on this node, but"):
        unpack(replace(bundle, pieces=bundle.pieces[:-1]), tmp_path)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
    assert unpack(bundle, tmp_path).is_dir()


def test_a_missing_folder_on_a_node_is_an_error_with_a_fix(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model folder '/nowhere'.*shipping='auto'"):
        receive(ModelBundle("path", "0", "m", folder="/nowhere"))


def test_executors_of_one_node_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    folders = set()
    for name in ("blockmgr-1", "blockmgr-2"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path / name))
        folders.add(scratch())
    assert folders == {tmp_path}


def test_models_are_not_unpacked_where_others_can_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blockmgr-1").mkdir()
    tmp_path.chmod(0o1777)
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path / "blockmgr-1"))
    assert scratch() == tmp_path / "blockmgr-1"


@pytest.mark.slow
def test_a_local_master_reads_the_model_folder_itself(spark: "SparkSession", tiny_model: Path) -> None:
    bundle = send(spark, hub.resolve(tiny_model))
    assert (bundle.transport, bundle.name, bundle.pieces) == ("path", str(tiny_model), ())
    assert receive(bundle) == tiny_model


@pytest.mark.slow
def test_a_model_is_broadcast_once_for_a_session_and_again_when_it_changes(
    spark: "SparkSession", tiny_model: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "model")
    first, again = (send(spark, hub.resolve(model), "broadcast") for _ in range(2))
    assert first.pieces[0] is again.pieces[0]
    assert send(spark.newSession(), hub.resolve(model), "broadcast").pieces[0] is first.pieces[0]
    write_json(model / "config_sentence_transformers.json", {"prompts": {"query": "q: "}})
    changed = send(spark, hub.resolve(model), "broadcast")
    assert changed.fingerprint != first.fingerprint
    assert changed.pieces[0] is not first.pieces[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("transport", "fix"), [("artifact", "'broadcast'"), ("hub", "a model of the hub"), ("post", "auto")]
)
def test_a_transport_that_cannot_work_is_an_error_on_the_driver(
    spark: "SparkSession", tiny_model: Path, transport: str, fix: str
) -> None:
    with pytest.raises(InputError, match=fix):
        send(spark, hub.resolve(tiny_model), transport)


def test_the_folder_of_models_is_closed_to_others(tiny_model: Path, tmp_path: Path) -> None:
    unpack(bundle_of(tiny_model), tmp_path / "home")
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0
