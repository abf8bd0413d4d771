"""The reason of a failed job in one line, from its result or from the output of spark-submit."""

import re
from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from st_airflow.connection import ConnectionMissingError
from st_airflow.quality_gate import GateError
from st_spark import errors
from st_spark.errors import InputError, PlatformError, SpecError, StSparkError, TableError

# Errors that a retry would meet again.
_LASTING = (SpecError, InputError, TableError, GateError, ConnectionMissingError)
_OURS = re.compile(r"st-spark: error: (.+?) Fix: (.+)")
# A pattern of spark-submit's output, the problem, the fix.
_KNOWN = (
    (
        r"All masters are unresponsive",
        "The Spark master does not answer.",
        "start it, or correct the Spark connection under Admin > Connections.",
    ),
    (
        r"JAVA_HOME is not set|java: (?:command )?not found|Unable to locate a Java Runtime",
        "spark-submit finds no Java.",
        "install Java 17 or 21 on the worker, or set JAVA_HOME.",
    ),
    (
        r"No module named '?([\w.]+)",
        "The Python of the Spark driver has no module {0}.",
        "set PYSPARK_PYTHON (in env_vars of the operator, or on the worker) to a Python with the packages of st-spark.",
    ),
    (
        r"Error code is: -9\b",
        "spark-submit was killed.",
        "if nobody cancelled this task, the worker ran out of memory: give it more, or the driver less.",
    ),
)


class SubmitError(StSparkError):
    """A failure of spark-submit without a known reason."""


def explain(error: Exception, result: Mapping[str, Any] | None) -> StSparkError:
    """Return the error of a failed spark-submit.

    Args:
        error: The Spark provider's error, which has the last lines of spark-submit's output.
        result: The result that the driver wrote, if it wrote one.
    """
    if result and "error" in result:
        return from_result(result)
    output = str(error)
    if ours := _OURS.findall(output):
        return SubmitError(*ours[-1])
    for pattern, problem, fix in _KNOWN:
        if found := re.search(pattern, output):
            return PlatformError(problem.format(*found.groups()), fix)
    return SubmitError(f"spark-submit failed: {_reason(output)}.", "read its output in the log above.")


def refused(error: ValueError) -> StSparkError:
    """Return the error of the Spark provider for a connection, or an argument, that cannot work."""
    return InputError(str(error), "correct the Spark connection, or the arguments of the operator.")


def from_result(result: Mapping[str, Any]) -> StSparkError:
    """Return the error in the result of a failed job."""
    error = result["error"]
    kind: type[StSparkError] = getattr(errors, error["kind"], SubmitError)
    return kind(error["problem"], error["fix"])


def final(error: StSparkError) -> AirflowException:
    """Return the one-line Airflow error that ends a task. It allows no retry if that would fail the same way."""
    line = " ".join(str(error).split())
    return AirflowFailException(line) if isinstance(error, _LASTING) else AirflowException(line)


def _reason(output: str) -> str:
    """Return the line that looks most like a reason."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    named = [line for line in lines if re.search(r"(Error|Exception)\b.*:|^Error", line)]
    code = re.search(r"Error code is: (-?\d+)", output)
    exited = [f"exit code {code.group(1)}"] if code else []
    plain = [line for line in named if not line.startswith("Cannot execute")]
    return [*plain, *exited, *lines, "no reason given"][0][:300]
