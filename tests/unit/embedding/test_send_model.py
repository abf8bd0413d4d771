"""How a model reaches a node: sent once, unpacked once, whole or not at all."""

import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_spark.embedding.receive_model import arrive, scratch, unpack, write_files
from st_spark.embedding.send_model import Shipment, read_chunks, ship
from st_spark.errors import InputError, ModelError
from st_spark.model.checkpoint import checkpoint, hub
from tests.support.checkpoints import write_json

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class Piece:
    """A piece of a broadcast as a worker sees it: the bytes are its value."""

    def __init__(self, value: bytes) -> None:
        self.value = value


def shipment_of(folder: Path, size: int = 1000) -> Shipment:
    """A broadcast of a model folder, without Spark."""
    names = checkpoint.model_files(folder)
    files = tuple((name.as_posix(), (folder / name).stat().st_size) for name in names)
    pieces = tuple(Piece(bytes(chunk)) for chunk in read_chunks([folder / name for name in names], size))
    return Shipment("broadcast", checkpoint.fingerprint(folder), "m", files=files, pieces=pieces)


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder by relative name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@given(
    files=st.dictionaries(st.sampled_from(["a", "b/c", "b/d", "e"]), st.binary(max_size=40)), size=st.integers(1, 50)
)
def test_files_arrive_as_they_were_sent_for_any_size_of_chunks(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], size: int
) -> None:
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    for name, content in files.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(content)
    chunks = list(read_chunks([source / name for name in files], size))
    assert all(len(chunk) == size for chunk in chunks[:-1])
    write_files(target, tuple((name, len(content)) for name, content in files.items()), iter(chunks))
    assert contents(target) == files


def test_a_model_arrives_with_all_files_that_a_load_reads(tiny_model: Path, tmp_path: Path) -> None:
    folder = unpack(shipment_of(tiny_model), tmp_path / "home")
    assert sorted(contents(folder)) == [name.as_posix() for name in checkpoint.model_files(tiny_model)]
    assert checkpoint.fingerprint(folder) == checkpoint.fingerprint(tiny_model) == folder.name


def test_a_model_with_prose_and_other_formats_ships_without_them(tiny_model: Path, tmp_path: Path) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "model")
    (model / "README.md").write_text("prose")
    (model / "onnx").mkdir()
    (model / "onnx" / "model.onnx").write_bytes(b"0" * 1000)
    assert shipment_of(model).files == shipment_of(tiny_model).files


def _unpack(shipment: Shipment, home: Path) -> int:
    return unpack(shipment, home).stat().st_ino


def test_of_many_workers_that_want_it_at_once_one_unpacks_the_model(tiny_model: Path, tmp_path: Path) -> None:
    shipment = shipment_of(tiny_model)
    with ProcessPoolExecutor(4, mp_context=get_context("fork")) as workers:
        folders = list(workers.map(_unpack, [shipment] * 8, [tmp_path] * 8))
    assert len(set(folders)) == 1
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [shipment.fingerprint]


def test_a_model_that_is_there_is_not_read_again(tiny_model: Path, tmp_path: Path) -> None:
    shipment = shipment_of(tiny_model)
    first = unpack(shipment, tmp_path)
    assert unpack(replace(shipment, pieces=()), tmp_path) == first


def test_a_stream_that_ends_early_leaves_no_model_and_says_so(tiny_model: Path, tmp_path: Path) -> None:
    shipment = shipment_of(tiny_model)
    with pytest.raises(ModelError, match="arrived on this node with the content key"):
        unpack(replace(shipment, pieces=shipment.pieces[:-1]), tmp_path)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
    assert unpack(shipment, tmp_path).is_dir()


def test_a_path_that_the_node_does_not_see_is_an_error_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model folder '/nowhere'.*shipping='auto'"):
        arrive(Shipment("path", "0", "/nowhere"))


def test_executors_of_one_node_share_the_folder_around_their_block_managers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    folders = set()
    for name in ("blockmgr-1", "blockmgr-2"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path / name))
        folders.add(scratch())
    assert folders == {tmp_path}


def test_a_folder_that_others_can_write_holds_no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blockmgr-1").mkdir()
    tmp_path.chmod(0o1777)
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path / "blockmgr-1"))
    assert scratch() == tmp_path / "blockmgr-1"


@pytest.mark.slow
def test_a_local_master_reads_the_folder_where_it_lies(spark: "SparkSession", tiny_model: Path) -> None:
    shipment = ship(spark, hub.resolve(tiny_model))
    assert (shipment.way, shipment.name, shipment.pieces) == ("path", str(tiny_model), ())
    assert arrive(shipment) == tiny_model


@pytest.mark.slow
def test_a_model_is_broadcast_once_for_a_session_and_again_when_it_changes(
    spark: "SparkSession", tiny_model: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "model")
    first, again = (ship(spark, hub.resolve(model), "broadcast") for _ in range(2))
    assert first.pieces[0] is again.pieces[0]
    assert ship(spark.newSession(), hub.resolve(model), "broadcast").pieces[0] is first.pieces[0]
    write_json(model / "config_sentence_transformers.json", {"prompts": {"query": "q: "}})
    changed = ship(spark, hub.resolve(model), "broadcast")
    assert changed.fingerprint != first.fingerprint
    assert changed.pieces[0] is not first.pieces[0]


@pytest.mark.slow
@pytest.mark.parametrize(("way", "fix"), [("artifact", "'broadcast'"), ("hub", "a model of the hub"), ("post", "auto")])
def test_a_way_that_cannot_work_is_refused_on_the_driver(
    spark: "SparkSession", tiny_model: Path, way: str, fix: str
) -> None:
    with pytest.raises(InputError, match=fix):
        ship(spark, hub.resolve(tiny_model), way)


def test_the_home_of_models_is_closed_to_others(tiny_model: Path, tmp_path: Path) -> None:
    unpack(shipment_of(tiny_model), tmp_path / "home")
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0
