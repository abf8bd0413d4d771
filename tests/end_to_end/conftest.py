"""The order of the tests, and a session as users run it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# A process has one Spark session at a time, so the cluster comes first.
# Those after it take minutes: begun last, they would keep one of two processes waiting for the other.
FIRST = ("test_cluster.py", "test_airflow.py", "test_two_environments.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the cluster tests first, then the long ones."""
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))


@pytest.fixture(scope="session")
def spark() -> "Iterator[SparkSession]":
    """The local session that the command line starts: Spark compiles queries and starts its own Python workers."""
    from st_spark.spark import session

    started = session.start()
    yield started
    started.stop()
