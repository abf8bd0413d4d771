"""What Spark says when a job fails, as one of our errors: the line that matters instead of pages of traces."""

import os
import re
import sys

from st_spark import errors
from st_spark.errors import PlatformError, StSparkError

# An error of ours at the end of a worker's traceback, with or without its class.
_OURS = re.compile(r"(?:st_spark\.errors\.)(\w+): (.+?) Fix: (.+)")
_UNNAMED = re.compile(r"RuntimeError: (The Python of the Spark workers.+?) Fix: (.+)")
_INSTALL = (
    "install st-spark there on every node, or point PYSPARK_PYTHON at a Python that has it; see `st-spark doctor`."
)

# What Spark's text holds, what it means, and the fix; the first that fits.
_SIGNS = (
    (r"No module named '?([\w.]+)", "The Python of the Spark workers ({python}) has no module '{0}'.", _INSTALL),
    (r'Cannot run program "([^"]+)"', "Spark cannot start its Python workers: there is no program {0}.", _INSTALL),
    ("PYTHON_VERSION_MISMATCH", "The Spark workers ({python}) run another version of Python than this one.", _INSTALL),
    (
        "Python worker exited unexpectedly|PYTHON_WORKER_EXITED",
        "A Python worker of Spark died, most often for lack of memory.",
        "give the job more memory or fewer cores at once; the system's log says whether memory ran out.",
    ),
    ("OutOfMemoryError", "Spark's JVM ran out of memory.", "raise spark.driver.memory or spark.executor.memory."),
    ("No space left on device", "The disk is full.", "free space, or point spark.local.dir at a larger disk."),
)


class JobError(StSparkError):
    """A job that failed for a reason that we have no better name for."""


def explain(error: BaseException) -> StSparkError:
    """The error itself if it is ours, else what it means, in one line."""
    if isinstance(error, StSparkError):
        return error
    said = str(error)
    if ours := list(_OURS.finditer(said)):
        last = ours[-1]  # of a chain it is the one that was raised
        kind = getattr(errors, last.group(1), StSparkError)
        return kind(last.group(2), last.group(3).strip())
    if found := _UNNAMED.search(said):
        return PlatformError(found.group(1), found.group(2).strip())
    return _platform(said) or JobError(_first_line(error, said), "see the log.")


def _platform(said: str) -> PlatformError | None:
    python = os.environ.get("PYSPARK_PYTHON", sys.executable)
    for pattern, problem, fix in _SIGNS:
        if found := re.search(pattern, said):
            return PlatformError(problem.format(*found.groups(), python=python), fix)
    return None


def _first_line(error: BaseException, said: str) -> str:
    """The line that names the reason: Spark's error class, else the last exception of a Python traceback."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    raised = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b.*: ", line) and "Py4J" not in line]
    classed = [line for line in lines if re.search(r"\[[A-Z_]+(\.[A-Z_]+)*\] ", line)]
    line = next(iter([*raised[-1:], *classed[:1], *lines[:1]]), "")
    return f"{type(error).__name__}: {line[:500]}" if line else type(error).__name__
