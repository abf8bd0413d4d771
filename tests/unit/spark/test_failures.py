"""Errors of Spark become one line with a fix."""

import pytest

from st_spark.errors import BusyError, PlatformError
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
        ("[PYTHON_VERSION_MISMATCH] Python in worker", "workers (/opt/python3) has another version than the driver"),
        ("[PACKAGE_NOT_INSTALLED] PyArrow >= 18.0.0 must be installed", "/opt/python3, has no module 'PyArrow'"),
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


JAVA = """An error occurred while calling o232.parquet.
: org.apache.spark.SparkException: [TASK_WRITE_FAILED] Task failed while writing rows to file:/out.
\tat org.apache.spark.sql.Dataset.write(Dataset.scala:1)
{}"""


@pytest.mark.parametrize(
    ("causes", "kind", "message"),
    [
        ("", JobError, "org.apache.spark.SparkException: [TASK_WRITE_FAILED] Task failed while writing rows to"),
        (
            "Caused by: java.io.IOException: one\nCaused by: java.io.IOException: two\n\t... 3 more",
            JobError,
            "java.io.IOException: two Fix: see the log.",
        ),
        (
            "Caused by: java.io.FileNotFoundException: /out/part-0 (Read-only file system)",
            PlatformError,
            "Spark cannot write: java.io.FileNotFoundException: /out/part-0 (Read-only file system). Fix: name a place",
        ),
        (
            "Caused by: org.apache.hadoop.security.AccessControlException: Permission denied: user=me, path=/out",
            PlatformError,
            "Spark has no permission: org.apache.hadoop.security.AccessControlException: Permission denied: user=me",
        ),
        (
            "Caused by: io.delta.exceptions.ConcurrentAppendException: [DELTA_CONCURRENT_APPEND] Files were added",
            BusyError,
            "Another job changed the table at the same time: io.delta.exceptions.ConcurrentAppendException",
        ),
        ("Caused by: java.io.IOException: s3a://KEY:SECRET@b/x", JobError, "java.io.IOException: s3a://***@b/x Fix"),
    ],
)
def test_an_error_of_java_becomes_its_innermost_cause(causes: str, kind: type[Exception], message: str) -> None:
    error = explain(RuntimeError(JAVA.format(causes)))
    assert type(error) is kind
    assert message in str(error)
    assert "An error occurred while calling" not in str(error)


class DeadJvmError(Exception):
    """An error of Java whose text nobody can give any more."""

    def __str__(self) -> str:
        raise ConnectionRefusedError(111, "Connection refused")


@pytest.mark.parametrize("error", [ConnectionRefusedError(111, "Connection refused"), DeadJvmError()])
def test_a_dead_jvm_is_named(error: Exception) -> None:
    assert str(explain(error)).startswith("Spark's JVM has ended. Most often it ran out of memory. Fix: raise")
