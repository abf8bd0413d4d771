"""The order of the tests: a process has one Spark session at a time, so the cluster tests come first."""

import pytest

# Those after the first take minutes: begun last, they would keep one of two processes waiting for the other.
FIRST = ("test_cluster.py", "test_airflow.py", "test_two_environments.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the cluster tests first, then the long ones."""
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))
