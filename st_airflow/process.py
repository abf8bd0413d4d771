"""End spark-submit together with the task that started it."""

import ctypes
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def kill_with_parent() -> Callable[[], None] | None:
    """Return a function that a child process calls first, so that Linux kills it with its parent; None elsewhere.

    A killed worker cannot end its spark-submit. It would run beside the retry, and two jobs would write one table.
    """
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None, use_errno=True)  # before the fork: nothing may be loaded between fork and exec

    def run() -> None:
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return run
