"""Turn an error of Spark into a StSparkError: one line with a fix instead of pages of stack traces."""

import os
import re

from st_spark import errors
from st_spark.errors import BusyError, PlatformError, StSparkError

_INSTALL = "install st-spark in it on every node, or set PYSPARK_PYTHON to one that has it; see `st-spark doctor`."
_OTHER_PYTHON = "set PYSPARK_PYTHON to a Python of the driver's version that has st-spark, on every node."
_MISSING = "The Python of the Spark workers, {python}, has no module {module!r}."
# What a worker without st-spark raises; see embedding.udf.
MISSING_MODULE = f"{_MISSING} Fix: {_INSTALL}"
_RAISED_MISSING = re.compile(r"RuntimeError: (The Python of the Spark workers.+?) Fix: (.+)")
# One of our own errors in the traceback of a worker.
_OURS = re.compile(r"(?:st_spark\.errors\.)(\w+): (.+?) Fix: (.+)")

# A pattern in Spark's error, the problem, and the fix. The first match counts.
_SIGNS = (
    (r"No module named '?(?P<module>[\w.]+)", _MISSING, _INSTALL),
    (r"\[PACKAGE_NOT_INSTALLED\] (?P<module>\w+)", _MISSING, _INSTALL),
    (
        r'Cannot run program "(?P<program>[^"]+)"',
        "Spark cannot start its Python workers: no program {program}.",
        _OTHER_PYTHON,
    ),
    (
        "PYTHON_VERSION_MISMATCH",
        "The Python of the Spark workers ({python}) has another version than the driver's.",
        _OTHER_PYTHON,
    ),
    (
        "Python worker exited unexpectedly|PYTHON_WORKER_EXITED",
        "A Python worker of Spark died. Most often it ran out of memory.",
        "give the job more memory or run fewer tasks at once; the system's log says whether memory ran out.",
    ),
    ("OutOfMemoryError", "Spark's JVM ran out of memory.", "raise spark.driver.memory or spark.executor.memory."),
    (
        "No space left on device",
        "The disk is full.",
        "free space where the output lies, or point spark.local.dir (Spark's temporary files) at a larger disk.",
    ),
    ("Read-only file system", "Spark cannot write: {reason}.", "name a place on a file system that is not read-only."),
    (
        "AccessControlException|AccessDeniedException|Permission denied",
        "Spark has no permission: {reason}.",
        "give it to the user that runs Spark, or name another place.",
    ),
    (
        "failed to connect to all addresses",
        "The Spark Connect server does not answer.",
        "start it, or correct SPARK_REMOTE.",
    ),
)
_CONFLICT = r"DELTA_CONCURRENT|Concurrent(Append|Delete|Write|Transaction|Modification)\w*Exception"


class JobError(StSparkError):
    """A job that failed for a reason that st-spark does not know."""


def explain(error: BaseException) -> StSparkError:
    """Return a StSparkError as it is, and any other error as a StSparkError of one line."""
    if isinstance(error, StSparkError):
        return error
    try:
        text = str(error)
    except Exception as lost:  # noqa: BLE001  (an error of Java asks the JVM for its text)
        error, text = lost, str(lost)
    if isinstance(error, ConnectionError) or type(error).__name__ == "Py4JNetworkError":
        return PlatformError(
            "Spark's JVM has ended. Most often it ran out of memory.",
            "raise spark.driver.memory; the log of Spark and of the system say more.",
        )
    if ours := list(_OURS.finditer(text)):
        last = ours[-1]  # the error that ended the task, if errors are chained
        kind = getattr(errors, last.group(1), StSparkError)
        return kind(last.group(2), last.group(3).strip())
    if found := _RAISED_MISSING.search(text):
        return PlatformError(found.group(1), found.group(2).strip())
    reason = _reason(text)
    if is_conflict(error):
        return BusyError(f"Another job changed the table at the same time: {reason}.", "run the job again.")
    return _platform(text, reason) or JobError(_with_kind(error, reason), "see the log.")


def is_conflict(error: BaseException) -> bool:
    """Return whether a commit of Delta failed because another writer changed the table meanwhile."""
    return re.search(_CONFLICT, str(error)) is not None


def _platform(text: str, reason: str) -> PlatformError | None:
    values = {"python": os.environ.get("PYSPARK_PYTHON", "python3"), "reason": reason.rstrip(".")}
    for pattern, problem, fix in _SIGNS:
        if found := re.search(pattern, text):
            return PlatformError(problem.format(**found.groupdict(), **values), fix)
    return None


def _with_kind(error: BaseException, reason: str) -> str:
    kind = type(error).__name__
    return reason if reason and kind == "Py4JJavaError" else f"{kind}: {reason}".removesuffix(": ")


def _reason(text: str) -> str:
    """Return the line with the reason: the last Python exception, the innermost Java cause, or Spark's error class."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    raised = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b.*: ", line) and "Py4J" not in line]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    classed = [line for line in lines if re.search(r"\[[A-Z_]+(\.[A-Z_]+)*\] ", line)]
    others = [line for line in lines if not line.startswith("An error occurred while calling")]
    return next(iter([*raised[-1:], *causes[-1:], *classed[:1], *others[:1]]), "").removeprefix(": ")[:500]
