"""The order of the tests, and a session as users run it."""

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# A process has one Spark session at a time, so the cluster comes first.
# Those after it take minutes: begun last, they would keep one of two processes waiting for the other.
LONG = ("airflow", "two_environments", "delta", "docs", "kill_points", "embed_cli", "stored_vectors")
FIRST = ["test_cluster.py", *(f"test_{name}.py" for name in LONG)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the cluster tests first, then the long ones."""
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))


@pytest.fixture(scope="session")
def spark() -> "Iterator[SparkSession]":
    """A local session with two cores, which compiles queries and starts Python workers as Spark does for users."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[2]").appName("st-spark end-to-end tests")
    # The default of 200 partitions is for clusters.
    builder = builder.config("spark.ui.enabled", "false").config("spark.driver.memory", "2g")
    session = builder.config("spark.sql.shuffle.partitions", "4").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
