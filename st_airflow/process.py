"""Ties spark-submit to the life of the task that started it."""

import ctypes
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def dying_with_parent() -> Callable[[], None] | None:
    """What a child process runs first, so that Linux kills it when its parent is gone; None on other systems.

    A worker that is killed cannot end its spark-submit. That would go on beside the next try, and two jobs would write
    one table.
    """
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None, use_errno=True)  # before the fork: between fork and exec nothing may be loaded

    def run() -> None:
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return run
