"""Why a job failed, in one line: told by its result, or found in what spark-submit said."""

import re
from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from st_airflow.connection import ConnectionMissingError
from st_airflow.quality_gate import GateError
from st_spark import errors
from st_spark.errors import InputError, PlatformError, SpecError, StSparkError, TableError

# What another try meets again, until somebody puts it right.
_LASTING = (SpecError, InputError, TableError, GateError, ConnectionMissingError)
_OURS = re.compile(r"st-spark: error: (.+?) Fix: (.+)")
_SIGNS = (
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
        "point PYSPARK_PYTHON (env_vars of the operator, or the worker's environment) at a Python that has the "
        "packages of st-spark.",
    ),
    (
        r"Error code is: -9\b",
        "spark-submit was killed.",
        "if nobody has cancelled this task, the worker ran out of memory: give it more, or the driver less.",
    ),
)


class SubmitError(StSparkError):
    """A job that ended for a reason that we have no better name for."""


def explain(error: Exception, result: Mapping[str, Any] | None) -> StSparkError:
    """What a failed submission means.

    Args:
        error: What the Spark provider raised; it carries the last lines of spark-submit.
        result: What the driver has written, if it came so far.
    """
    if result and "error" in result:
        return told(result)
    said = str(error)
    if ours := _OURS.findall(said):
        return SubmitError(*ours[-1])
    for pattern, problem, fix in _SIGNS:
        if found := re.search(pattern, said):
            return PlatformError(problem.format(*found.groups()), fix)
    return SubmitError(f"spark-submit failed: {_reason(said)}.", "read its lines above, from the first that is odd.")


def told(result: Mapping[str, Any]) -> StSparkError:
    """The error that a driver has written as its result."""
    said = result["error"]
    kind: type[StSparkError] = getattr(errors, said["kind"], SubmitError)
    return kind(said["problem"], said["fix"])


def final(error: StSparkError) -> AirflowException:
    """The error that ends a task, as one line; without further tries where they would meet the same."""
    line = " ".join(str(error).split())
    return AirflowFailException(line) if isinstance(error, _LASTING) else AirflowException(line)


def _reason(said: str) -> str:
    """The line that looks most like a reason."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    named = [line for line in lines if re.search(r"(Error|Exception)\b.*:|^Error", line)]
    code = re.search(r"Error code is: (-?\d+)", said)
    exited = [f"exit code {code.group(1)}"] if code else []
    plain = [line for line in named if not line.startswith("Cannot execute")]
    return [*plain, *exited, *lines, "no reason given"][0][:300]
