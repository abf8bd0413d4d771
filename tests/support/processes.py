"""End processes that a test has started."""

import os
import signal
import subprocess
from contextlib import suppress

import psutil


def end(process: subprocess.Popen[bytes]) -> None:
    """End the leader of a process group, its group and its children, such as executors and their Python workers."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    for child in children:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            child.kill()
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
