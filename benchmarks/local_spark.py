"""Spark on two cores of this machine, for benchmarks that read and write Parquet."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_FILES = 4


def start(memory: str = "4g", **settings: str) -> "SparkSession":
    """Start Spark as local[2].

    Args:
        memory: Of the driver.
        settings: Further settings, with _ for the dots of their names.
    """
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    quiet = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.driver.memory": memory}
    builder = SparkSession.builder.master("local[2]")
    for name, value in (quiet | settings).items():
        builder = builder.config(name.replace("_", "."), value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def wake_workers(spark: "SparkSession") -> None:
    """Start a Python worker for each core. Spark ends workers that had nothing to do for a minute."""

    def wake(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import st_spark.topk.search  # noqa: F401

        time.sleep(1)  # until the other core has its worker, too
        yield from batches

    spark.range(0, 2, numPartitions=2).mapInArrow(wake, "id bigint").collect()


def timed_write(make: Callable[[], "DataFrame"], folder: Path) -> float:
    """Make a DataFrame and write it to a folder, which it replaces; return the seconds that this took.

    What an earlier run has cached is forgotten: Spark would read it in place of computing the same again.
    """
    from pyspark.sql import SparkSession

    shutil.rmtree(folder, ignore_errors=True)
    if (spark := SparkSession.getActiveSession()) is not None:
        spark.catalog.clearCache()
    start = time.perf_counter()
    make().write.parquet(str(folder))
    return time.perf_counter() - start


def write_vectors(folder: Path, rows: npt.NDArray[np.float32]) -> None:
    """Write a table of id (bigint) and embedding (array<float>), in four files."""
    folder.mkdir(parents=True)
    for number, places in enumerate(np.array_split(np.arange(len(rows)), _FILES)):
        offsets = pa.array(np.arange(len(places) + 1) * rows.shape[1], pa.int32())
        lists = pa.ListArray.from_arrays(offsets, pa.array(rows[places].ravel()))
        pq.write_table(pa.table({"id": places, "embedding": lists}), folder / f"{number}.parquet")
