"""The order of the tests: a process has one Spark session, so the cluster's comes and goes before the local one."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests on the cluster first."""
    items.sort(key=lambda item: item.path.name != "test_cluster.py" or item.path.parent.name != "end_to_end")
