"""Turn an error of Spark into a StSparkError: one line with a fix instead of pages of stack traces."""

import os
import re

from st_spark import errors
from st_spark.errors import PlatformError, StSparkError

_INSTALL = "install st-spark in it on every node, or set PYSPARK_PYTHON to one that has it; see `st-spark doctor`."
_MISSING = "The Python of the Spark workers, {python}, has no module {module!r}."
# What a worker without st-spark raises; see embedding.udf.
MISSING_MODULE = f"{_MISSING} Fix: {_INSTALL}"
_RAISED_MISSING = re.compile(r"RuntimeError: (The Python of the Spark workers.+?) Fix: (.+)")
# One of our own errors in the traceback of a worker.
_OURS = re.compile(r"(?:st_spark\.errors\.)(\w+): (.+?) Fix: (.+)")

# A pattern in Spark's error, the problem, and the fix. The first match counts.
_SIGNS = (
    (r"No module named '?(?P<module>[\w.]+)", _MISSING, _INSTALL),
    (
        r'Cannot run program "(?P<program>[^"]+)"',
        "Spark cannot start its Python workers: no program {program}.",
        _INSTALL,
    ),
    (
        "PYTHON_VERSION_MISMATCH",
        "The Spark workers run another version of Python ({python}) than the driver.",
        _INSTALL,
    ),
    (
        "Python worker exited unexpectedly|PYTHON_WORKER_EXITED",
        "A Python worker of Spark died. Most often it ran out of memory.",
        "give the job more memory or run fewer tasks at once; the system's log says whether memory ran out.",
    ),
    ("OutOfMemoryError", "Spark's JVM ran out of memory.", "raise spark.driver.memory or spark.executor.memory."),
    ("No space left on device", "The disk is full.", "free space, or point spark.local.dir at a larger disk."),
)


class JobError(StSparkError):
    """A job that failed for a reason that st-spark does not know."""


def explain(error: BaseException) -> StSparkError:
    """Return a StSparkError as it is, and any other error as a StSparkError of one line."""
    if isinstance(error, StSparkError):
        return error
    text = str(error)
    if ours := list(_OURS.finditer(text)):
        last = ours[-1]  # the error that ended the task, if errors are chained
        kind = getattr(errors, last.group(1), StSparkError)
        return kind(last.group(2), last.group(3).strip())
    if found := _RAISED_MISSING.search(text):
        return PlatformError(found.group(1), found.group(2).strip())
    return _platform(text) or JobError(_first_line(error, text), "see the log.")


def _platform(text: str) -> PlatformError | None:
    python = os.environ.get("PYSPARK_PYTHON", "python3")
    for pattern, problem, fix in _SIGNS:
        if found := re.search(pattern, text):
            return PlatformError(problem.format(**found.groupdict(), python=python), fix)
    return None


def _first_line(error: BaseException, text: str) -> str:
    """Return the line with the reason: the last exception of a Python traceback, else Spark's error class."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    raised = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b.*: ", line) and "Py4J" not in line]
    classed = [line for line in lines if re.search(r"\[[A-Z_]+(\.[A-Z_]+)*\] ", line)]
    line = next(iter([*raised[-1:], *classed[:1], *lines[:1]]), "")
    return f"{type(error).__name__}: {line[:500]}" if line else type(error).__name__
