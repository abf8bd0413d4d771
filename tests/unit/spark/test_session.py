"""What is said when Spark does not start."""

import re
from pathlib import Path

import pytest

from st_spark.spark import session


def test_delta_is_added_to_the_packages_of_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = tmp_path / "spark-defaults.conf"
    defaults.write_text("# spark.jars.packages x:y:1\nspark.jars.packages  org.apache.hadoop:hadoop-aws:3.5.0 \n")
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    monkeypatch.setattr(session, "delta_package", lambda: "io.delta:delta:1")
    assert session._settings(True)["spark.jars.packages"] == "org.apache.hadoop:hadoop-aws:3.5.0,io.delta:delta:1"
    assert "spark.jars.packages" not in session._settings(False)
    defaults.write_text("spark.jars.packages=a:b:1")
    assert session._settings(True)["spark.jars.packages"] == "a:b:1,io.delta:delta:1"
    defaults.unlink()
    assert session._settings(True)["spark.jars.packages"] == "io.delta:delta:1"


_TRACE = """26/11/27 00:05:02 ERROR SparkContext: Error initializing SparkContext.
{cause}
\tat java.base/sun.nio.fs.UnixException.rethrowAsIOException(UnixException.java:106)
\tat org.apache.spark.util.Utils$.tryLogNonFatalError(Utils.scala:1314)
"""


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (
            "java.nio.file.FileSystemException: /a.jar -> /full/a.jar: No space left on device",
            r"start: java.nio.file.FileSystemException: /a.jar -> /full/a.jar: No space left on device. "
            r"Fix: free space there, or set SPARK_LOCAL_DIRS to a folder with space. Log: \S+\.log",
        ),
        (
            "java.net.BindException: Cannot assign requested address: Service failed after 16 retries.",
            r"start: java.net.BindException: Cannot assign requested address: Service failed after 16 retries. Fix: ",
        ),
    ],
)
def test_error_names_the_cause_and_not_a_line_of_the_stack(
    cause: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "spark.log"
    log.write_text(_TRACE.format(cause=cause))
    monkeypatch.setattr(session, "_log", log)
    error = session._not_started(RuntimeError("no JVM"), log, delta=True)
    assert re.search(expected, str(error)), str(error)


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        (
            "io.delta#delta-spark_2.13;4.0.0",
            r"Delta.s jars .* cannot be fetched: Host repo not found.*format parquet",
        ),
        ("org.apache#iceberg;1.9", r"org.apache:iceberg:1.9 of spark.jars.packages cannot be fetched.*jars folder\.$"),
    ],
)
def test_error_names_the_packages_that_cannot_be_fetched(package: str, expected: str, tmp_path: Path) -> None:
    log = tmp_path / "spark.log"
    log.write_text(f"\t\t::  UNRESOLVED DEPENDENCIES  ::\n\tHost repo not found\n\t\t:: {package}: not found\n")
    assert re.search(expected, str(session._not_started(RuntimeError("no JVM"), log, delta=True)))
