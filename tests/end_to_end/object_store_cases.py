"""Jobs whose tables lie in S3. test_object_store.py runs this file in a process whose Spark knows a local S3 server."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from st_spark import describe
from st_spark.errors import BusyError, TableError
from st_spark.jobs import runner
from st_spark.jobs.clean import clean
from st_spark.spark import session
from st_spark.spark.filesystem import ArrowFiles, HadoopFiles, files_of
from st_spark.specs.pair_jobs import JoinJob
from st_spark.specs.row_jobs import EmbedJob, SearchJob
from st_spark.steps.result_file import prepare, write
from st_spark.tables import io
from st_spark.tables.atomic_write import Folder
from st_spark.tables.folder_contents import look
from st_spark.tables.output import open_output
from tests.end_to_end.s3_server import BUCKET
from tests.support.word_checkpoints import write_static

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HOME = f"s3a://{BUCKET}"
ROWS = 2_000


@pytest.fixture(scope="module")
def spark() -> "Iterator[SparkSession]":
    """A local session with Delta and S3A."""
    started = session.start(delta=True)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_static(tmp_path_factory.mktemp("static") / "model"))


@pytest.fixture
def place(request: pytest.FixtureRequest) -> str:
    """A folder for one test."""
    return f"{HOME}/{request.node.name.replace('[', '-').rstrip(']')}"


@pytest.fixture
def embed(spark: "SparkSession", model: str, place: str) -> Callable[..., dict[str, Any]]:
    def run(rows: int = 40, changed: str = "", **options: Any) -> dict[str, Any]:
        source = spark.range(rows).selectExpr("id", f"concat('the dog ', id{changed}) AS text", "id % 2 AS k")
        source.write.mode("overwrite").parquet(f"{place}/in")
        fields = {"input": f"{place}/in", "output": f"{place}/out", "id_column": "id", "text_column": "text"}
        return runner.run(EmbedJob.from_fields({**fields, "model": model, **options}), spark)

    return run


def ids(spark: "SparkSession", where: str) -> list[int]:
    return sorted(row["id"] for row in io.read(spark, where).select("id").collect())


def names(spark: "SparkSession", where: str) -> list[str]:
    return list(files_of(spark).entries(where))


def test_a_parquet_table_is_made_appended_to_and_read(spark: "SparkSession", embed: Any, place: str) -> None:
    made = embed()
    assert (made["rows"]["out"], names(spark, place)) == (40, ["in", "out"])
    assert "_SUCCESS" in names(spark, f"{place}/out")
    with pytest.raises(TableError, match="exists"):
        embed()
    added = embed(rows=3, mode="append")
    assert ids(spark, f"{place}/out") == sorted([*range(40), 0, 1, 2])
    found = describe(spark, f"{place}/out")
    assert (found["rows"], found["files"] > 1, found["columns"]["embedding"]["dimension"] > 0) == (43, True, True)
    assert (found["bytes"] > 0, found["last_run"]["job_id"]) == (True, added["output"]["job_id"])
    search = SearchJob(query="the dog 7", table=f"{place}/out", k=1)
    assert runner.run(search, spark)["hits"][0]["row"]["id"] == 7
    embed(output=f"{place}/other")
    join = JoinJob(left=f"{place}/other", right=f"{place}/other", output=f"{place}/pairs", id_column="id", k=2)
    runner.run(join, spark)
    assert spark.read.parquet(f"{place}/pairs").count() > 0
    assert clean(spark, f"{place}/out") == 0
    prepare(f"{place}/result.json")
    for job in ("first", "second"):
        write(f"{place}/result.json", {"job": job})
    assert '"second"' in files_of(spark).read(f"{place}/result.json")


@pytest.mark.parametrize(
    "options", [{}, {"partition_by": "k"}, {"mode": "merge"}], ids=["whole", "partitions", "merge"]
)
def test_a_parquet_table_is_not_replaced_file_by_file(
    spark: "SparkSession", embed: Any, place: str, options: dict[str, str]
) -> None:
    embed(**options | {"mode": "overwrite"})
    before = names(spark, f"{place}/out")
    with pytest.raises(TableError, match=r"Cannot (overwrite|merge) .* as a whole: .* s3a .*--output-format delta"):
        embed(**{"mode": "overwrite", **options})
    assert (names(spark, f"{place}/out"), names(spark, place)) == (before, ["in", "out"])
    assert ids(spark, f"{place}/out") == list(range(40))


def test_a_delta_table_has_every_mode(spark: "SparkSession", embed: Any, place: str) -> None:
    embed(output_format="delta")
    embed(rows=2, mode="append")
    assert len(ids(spark, f"{place}/out")) == 42
    assert embed(mode="overwrite")["output"]["version"] == 2
    merged = embed(rows=41, changed=" DIV 39", mode="merge")["rows"]
    assert (merged["unchanged"], merged["changed"], merged["new"]) == (1, 39, 1)
    assert ids(spark, f"{place}/out") == list(range(41))
    assert names(spark, place) == ["in", "out"]
    assert describe(spark, f"{place}/out")["last_run"]["mode"] == "merge"
    # Delta's own commits do not keep two drivers apart on S3.
    with (
        open_output(spark, f"{place}/out", None, "append"),
        pytest.raises(BusyError),
        open_output(spark, f"{place}/out", None, "append"),
    ):
        pytest.fail("two jobs write one table")


@pytest.mark.parametrize("table_format", ["parquet", "delta"])
def test_rejected_rows_lie_beside_the_table(
    spark: "SparkSession", model: str, place: str, table_format: str, tmp_path: Path
) -> None:
    files_of(spark).write(f"{place}/in.jsonl", '{"id": 1, "text": "a cat"}\n{"id": \n')
    fields = {"input": f"{place}/in.jsonl", "output": f"{place}/out", "text_column": "text", "model": model}
    job = EmbedJob.from_fields({**fields, "on_error": "quarantine", "output_format": table_format})
    assert runner.run(job, spark)["rejected"]["rows"] == 1
    assert io.read(spark, f"{place}/out__rejected").count() == 1
    assert names(spark, place) == ["in.jsonl", "out", "out__rejected"]


def main(place: str, model: str) -> None:
    """Embed, and be killed when the list of files and one of these are in their place."""
    begun, ended = itertools.count(1), itertools.count(1)
    move = HadoopFiles.move

    def killed(self: HadoopFiles, source: str, target: str) -> None:
        if next(begun) > 2:
            time.sleep(600)
        move(self, source, target)
        if next(ended) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    HadoopFiles.move = killed  # type: ignore[method-assign]
    fields = {"input": f"{place}/in", "output": f"{place}/out", "id_column": "id", "text_column": "text"}
    job = EmbedJob.from_fields({**fields, "model": model, "slice_seconds": 1, "partition_by": "k"})
    runner.run(job, session.start())


def test_a_killed_job_goes_on(spark: "SparkSession", embed: Any, model: str, place: str) -> None:
    embed(rows=ROWS, output=f"{place}/calm", partition_by="k")  # so the table has two files or more
    code = "import sys; from tests.end_to_end.object_store_cases import main; main(*sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", code, place, model], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]
    assert 0 < spark.read.parquet(f"{place}/out").count() < ROWS
    assert any(name.startswith(".out.st-spark-resume-") for name in names(spark, place))
    rerun = embed(rows=ROWS, partition_by="k")
    assert (rerun["rows"]["out"], rerun["rows"]["resumed"]) == (ROWS, ROWS)
    stored, calm = (
        {row["id"]: row["embedding"] for row in spark.read.parquet(f"{place}/{name}").collect()}
        for name in ("out", "calm")
    )
    assert stored == calm
    assert names(spark, place) == ["calm", "in", "out"]


def test_what_a_killed_job_has_left_can_be_cleaned(spark: "SparkSession", place: str) -> None:
    files = files_of(spark)
    home = f"{place}/.out.st-spark-resume-key"
    spark.range(3).write.parquet(f"{home}/run")
    spark.range(3).write.parquet(f"{place}/.out.st-spark-new-run")
    files.write(f"{place}/out/part-1.parquet", "of an append that is not complete")
    files.write(f"{place}/.out.st-spark-append", "part-1.parquet")
    assert clean(spark, f"{place}/out") == 1
    assert not [name for name in names(spark, place) if name != "out"]
    assert not look(files, f"{place}/out").exists


@pytest.mark.parametrize("conditional", [True, False])
def test_one_of_many_creates_a_file(spark: "SparkSession", place: str, conditional: bool) -> None:
    """By S3's conditional writes; without them, an older Hadoop at least sees a file that is there."""
    files = HadoopFiles(spark)
    if not conditional:
        files._conf.set("fs.s3a.create.conditional.enabled", "false")
        files._conf.set("fs.s3a.impl.disable.cache", "true")
    for number in range(10 if conditional else 1):
        with ThreadPoolExecutor(8 if conditional else 1) as pool:
            won = list(pool.map(lambda one, at=number: files.create(f"{place}/{at}", str(one)), range(8)))
        assert sum(won) == 1
        assert files.read(f"{place}/{number}") == str(won.index(True))


def test_arrow_opens_the_same_files(spark: "SparkSession", place: str) -> None:
    """Clients of Spark Connect use Arrow."""
    hadoop, arrow = HadoopFiles(spark), ArrowFiles()
    hadoop.write(f"{place}/folder/x", "é")
    assert arrow.read(f"{place}/folder/x") == "é"
    assert arrow.entries(place) == hadoop.entries(place) == {"folder": True}
    assert (arrow.create(f"{place}/y", "1"), arrow.create(f"{place}/y", "2")) == (True, False)
    assert 0 <= hadoop.age(f"{place}/y") < 60
    arrow.move(f"{place}/y", f"{place}/folder/y")
    arrow.delete(f"{place}/folder/x")
    assert hadoop.entries(f"{place}/folder") == {"y": False}
    folder = Folder(arrow, f"{place}/table", "run")
    for name in ("k=1/a.parquet", "k=2/b.parquet"):
        arrow.write(f"{folder.new}/{name}", "data")
    folder.add_first()
    assert look(hadoop, f"{place}/table").files == ("k=1/a.parquet", "k=2/b.parquet")
    assert hadoop.entries(place).keys() == {"folder", "table"}


@pytest.mark.parametrize("provider", ["parquet", "delta"])
def test_a_catalog_table_in_a_bucket(spark: "SparkSession", embed: Any, place: str, provider: str) -> None:
    database = f"lake_{provider}"
    spark.sql(f"CREATE DATABASE {database} LOCATION '{place}/{database}.db'")
    spark.conf.set("spark.sql.sources.default", provider)
    name = f"{database}.docs"
    try:
        embed(output=name, output_format="table")
        embed(rows=2, output=name, mode="append")
        assert len(ids(spark, name)) == 42
        if provider == "parquet":
            with pytest.raises(TableError, match=r"Cannot overwrite lake_parquet\.docs as a whole"):
                embed(output=name, mode="overwrite")
        else:
            embed(output=name, mode="overwrite")
        assert describe(spark, name)["rows"] == (42 if provider == "parquet" else 40)
        assert clean(spark, name) == 0
        assert names(spark, f"{place}/{database}.db") == ["docs"]
    finally:
        spark.conf.unset("spark.sql.sources.default")
        spark.sql(f"DROP DATABASE {database} CASCADE")
