"""A rerun of a failed job takes the finished vectors from the slices, and its table is the one of an undisturbed run."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from st_spark.jobs import runner
from st_spark.specs.jobs import EmbedJob
from st_spark.tables import io
from st_spark.tables.writers import FolderWriter
from tests.support.word_checkpoints import write_static

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS = 3_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_static(tmp_path_factory.mktemp("static") / "model"))


@pytest.fixture
def source(spark: "SparkSession", tmp_path: Path) -> str:
    """Rows with nulls, repeated texts and a price."""
    text = "CASE WHEN id % 50 = 7 THEN null WHEN id % 50 = 9 THEN 'a cat' ELSE concat('the dog ', id) END AS text"
    spark.range(ROWS).selectExpr("id", text, "id * 2 AS price").write.parquet(str(tmp_path / "in"))
    return str(tmp_path / "in")


@pytest.fixture
def embed(spark: "SparkSession", model: str, source: str, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def run(**options: Any) -> dict[str, Any]:
        fields = {"input": source, "output": str(tmp_path / "out"), "model": model, "text_column": "text"}
        return runner.run(EmbedJob.from_fields(fields | {"slice_seconds": 1, "id_column": "id"} | options), spark)

    return run


def stored(spark: "SparkSession", where: Path) -> list[tuple[Any, ...]]:
    return sorted(map(tuple, io.read(spark, str(where)).select("id", "text", "price", "embedding").collect()))


@pytest.fixture
def fail_to_publish(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the next write of a table fail, after all rows are encoded."""

    def arm() -> None:
        def write(*_: object) -> None:
            monkeypatch.undo()
            raise OSError("no space left")

        monkeypatch.setattr(FolderWriter, "write", write)

    return arm


@pytest.mark.parametrize("mode", ["error", "overwrite", "append", "merge"])
def test_a_rerun_embeds_only_what_is_left(
    spark: "SparkSession", embed: Any, fail_to_publish: Any, tmp_path: Path, mode: str
) -> None:
    if mode != "error":  # an old table
        old = io.read(spark, str(tmp_path / "in")).where("id < 100")
        old.write.parquet(str(tmp_path / "few"))
        embed(input=str(tmp_path / "few"))
        embed(input=str(tmp_path / "few"), output=str(tmp_path / "calm"))
        before = stored(spark, tmp_path / "out")
    wanted = embed(output=str(tmp_path / "calm"), mode=mode)
    assert wanted["rows"]["resumed"] == 0
    fail_to_publish()
    with pytest.raises(OSError, match="no space"):
        embed(mode=mode)
    assert mode == "error" or stored(spark, tmp_path / "out") == before
    (home,) = tmp_path.glob(".out.st-spark-resume-*")
    # a slice whose end is missing, and one that is gone
    (run,) = (path for path in home.iterdir() if path.is_dir())
    damaged, gone, *_ = sorted(run.glob("part-*"))
    for path in (damaged, gone):
        path.with_name(f".{path.name}.crc").unlink()
    damaged.write_bytes(damaged.read_bytes()[:-20])
    gone.unlink()
    rerun = embed(mode=mode)
    assert 0 < rerun["rows"]["resumed"] < ROWS
    assert 0 < rerun["tokens"] < wanted["tokens"]
    same = {"in", "out", "null", "truncated", "new", "zero"} & wanted["rows"].keys()
    assert {name: rerun["rows"][name] for name in same} == {name: wanted["rows"][name] for name in same}
    assert stored(spark, tmp_path / "out") == stored(spark, tmp_path / "calm")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "change", [{"normalize_embeddings": True}, {"prompt": "q: "}, {"truncate_dim": 4}, {"precision": "binary"}]
)
def test_other_options_do_not_use_the_slices(embed: Any, fail_to_publish: Any, change: dict[str, Any]) -> None:
    fail_to_publish()
    with pytest.raises(OSError, match="no space"):
        embed()
    assert embed(**change)["rows"]["resumed"] == 0
    assert embed(mode="overwrite")["rows"]["resumed"] == ROWS - ROWS // 50
