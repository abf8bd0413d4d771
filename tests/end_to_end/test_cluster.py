"""A standalone cluster of two nodes writes the same table as local mode, even if workers and executors are killed."""

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from st_spark import encode
from st_spark.model.encoder import SentenceTransformer
from tests.end_to_end.cluster import Cluster, cluster

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow

ROWS = 800
PARTITIONS = 20
WORDS = "cat dog sun rain moon river table city people the of and with from".split()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def session(nodes: Cluster) -> "Iterator[SparkSession]":
    """A session on the cluster."""
    from pyspark.sql import SparkSession

    assert SparkSession.getActiveSession() is None, "these tests run first: a process has one session"
    os.environ["PYSPARK_PYTHON"] = sys.executable
    settings: dict[str, bool | float | int | str | None] = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.executor.memory": "512m",
        "spark.sql.shuffle.partitions": "2",
    }
    spark = SparkSession.builder.master(nodes.master).config(map=settings).getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    yield spark
    spark.stop()


def text(number: int) -> str:
    """Return the text of a row: some dozens of words, so that a job takes a while."""
    return " ".join(WORDS[(number * 7 + place * (number % 11 + 1)) % len(WORDS)] for place in range(number % 60))


@pytest.fixture(scope="module")
def docs(session: "SparkSession") -> "DataFrame":
    return session.createDataFrame([(i, text(i)) for i in range(ROWS)], "id int, text string").repartition(PARTITIONS)


@pytest.fixture(scope="module")
def expected(minilm: Path) -> np.ndarray:
    """The vectors without Spark."""
    model = SentenceTransformer(minilm, dtype="float32", device="cpu")
    return model.encode([text(number) for number in range(ROWS)])


def assert_same_table(frame: "DataFrame", minilm: Path, expected: np.ndarray) -> None:
    """Assert that each row is there once, with the same vector as without Spark."""
    rows = frame.withColumn("e", encode("text", model=minilm, dtype="float32")).select("id", "e").collect()
    rows.sort(key=lambda row: row.id)
    assert [row.id for row in rows] == list(range(ROWS))
    np.testing.assert_allclose(np.array([row.e for row in rows], np.float32), expected, atol=1e-6, rtol=0)


def loads_by_process(spark: "SparkSession") -> dict[int, int]:
    """Return how often each Python worker has loaded a model, by process id."""

    def report(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from st_spark.embedding.model_cache import loads

        list(batches)
        time.sleep(0.2)  # so that no worker takes all the tasks
        yield pa.RecordBatch.from_pydict({"pid": [os.getpid()], "loads": [loads()]})

    rows = spark.range(PARTITIONS, numPartitions=PARTITIONS).mapInArrow(report, "pid bigint, loads bigint").collect()
    return {row.pid: row.loads for row in rows}


def test_a_cluster_writes_the_same_table_as_local_mode(docs: "DataFrame", minilm: Path, expected: np.ndarray) -> None:
    assert_same_table(docs, minilm, expected)


def test_each_worker_loads_the_model_once_for_all_partitions_and_queries(
    session: "SparkSession", docs: "DataFrame", minilm: Path
) -> None:
    for _ in range(2):
        docs.select(encode("text", model=minilm, dtype="float32").alias("e")).where("e[0] > 2").collect()
    loads = loads_by_process(session)
    assert len(loads) == 2
    assert set(loads.values()) == {1}


@pytest.mark.parametrize("victim", ["python_workers", "executors"])
def test_killing_one_process_during_a_job_does_not_change_the_table(
    nodes: Cluster, docs: "DataFrame", minilm: Path, expected: np.ndarray, victim: str
) -> None:
    killed: list[psutil.Process] = []
    context = docs.sparkSession.sparkContext
    killer = threading.Thread(target=kill_in_the_middle, args=(context, getattr(nodes, victim), killed))
    killer.start()
    assert_same_table(docs, minilm, expected)
    killer.join()
    assert len(killed) == 1


def test_model_files_are_stored_once_on_each_node_even_for_new_executors(nodes: Cluster, minilm: Path) -> None:
    from st_spark.model.checkpoint.checkpoint import fingerprint

    arrived = [path.parent for path in nodes.scratch[0].parent.rglob("st-spark-models/*/modules.json")]
    homes = Counter(next(node for node in nodes.scratch if path.is_relative_to(node)) for path in arrived)
    assert homes == dict.fromkeys(nodes.scratch, 1)
    assert {path.name for path in arrived} == {fingerprint(minilm)}


@pytest.mark.parametrize("victim", ["executors", "workers"])  # a worker does not come back: it is the last
def test_a_job_with_slices_goes_on_after_a_loss(
    nodes: Cluster, docs: "DataFrame", minilm: Path, expected: np.ndarray, tmp_path: Path, victim: str
) -> None:
    from st_spark.jobs import runner
    from st_spark.specs.row_jobs import EmbedJob

    docs.write.parquet(str(tmp_path / "in"))
    fields = {"input": str(tmp_path / "in"), "output": str(tmp_path / "out"), "id_column": "id", "text_column": "text"}
    killed: list[psutil.Process] = []
    killer = threading.Thread(target=kill_after_a_slice, args=(tmp_path, getattr(nodes, victim), killed))
    killer.start()
    options = {"model": str(minilm), "dtype": "float32", "slice_seconds": 1}
    result = runner.run(EmbedJob.from_fields(fields | options), docs.sparkSession)
    killer.join()
    assert len(killed) == 1
    assert (result["rows"]["out"], result["rows"]["resumed"]) == (ROWS, 0)
    table = pq.read_table(tmp_path / "out").sort_by("id")
    assert table["id"].to_pylist() == list(range(ROWS))
    np.testing.assert_allclose(np.array(table["embedding"].to_pylist(), np.float32), expected, atol=1e-6, rtol=0)
    assert [path.name for path in tmp_path.glob(".*")] == []


def kill_after_a_slice(folder: Path, victims: Callable[[], list[psutil.Process]], killed: list[Any]) -> None:
    """Kill one process when the first slice is finished."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        if any(folder.glob(".out.st-spark-resume-*/*/part-*")):
            process = victims()[0]
            process.kill()
            killed.append(process)
            return
        time.sleep(0.02)


def kill_in_the_middle(context: Any, victims: Callable[[], list[psutil.Process]], killed: list[Any]) -> None:
    """Kill one process after a few tasks of the encoding stage, before the others are done."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        stages = [context.statusTracker().getStageInfo(i) for i in context.statusTracker().getActiveStageIds()]
        running = [stage for stage in stages if stage and 2 <= stage.numCompletedTasks < PARTITIONS - 4]
        if any(stage.numTasks == PARTITIONS for stage in running):
            process = victims()[0]
            process.kill()
            killed.append(process)
            return
        time.sleep(0.02)
