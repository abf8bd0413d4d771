"""Errors of Spark become one line with a fix."""

import pytest

from st_spark.errors import PlatformError
from st_spark.spark.failures import JobError, explain

TRACEBACK = """An exception was thrown from the Python worker. Please see the stack trace below.
Traceback (most recent call last):
  File "pyspark/worker.py", line 9, in <module>
{}
"""


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "ModuleNotFoundError: No module named 'pyarrow'",
            "The Python of the Spark workers, /opt/python3, has no module 'pyarrow'. Fix: install st-spark in it on "
            "every node, or set PYSPARK_PYTHON to one that has it; see `st-spark doctor`.",
        ),
        ('Cannot run program "python9": error=2', "Spark cannot start its Python workers: no program python9. Fix: "),
        ("[PYTHON_VERSION_MISMATCH] Python in worker", "run another version of Python (/opt/python3) than the driver"),
        ("org.apache.spark.SparkException: Python worker exited unexpectedly", "A Python worker of Spark died."),
    ],
)
def test_a_missing_part_of_the_system_is_named(line: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSPARK_PYTHON", "/opt/python3")
    error = explain(RuntimeError(TRACEBACK.format(line)))
    assert isinstance(error, PlatformError)
    assert message in str(error)
    assert "\n" not in str(error)


def test_any_other_error_becomes_the_last_line_of_its_traceback() -> None:
    error = explain(RuntimeError(TRACEBACK.format("KeyError: one\nValueError: an unknown value")))
    assert isinstance(error, JobError)
    assert str(error) == "RuntimeError: ValueError: an unknown value Fix: see the log."
