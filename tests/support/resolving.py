"""Resolve models in processes with separate settings, forked from a process that has imported huggingface_hub."""

import importlib
import multiprocessing
import os
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from st_spark.errors import ModelError
from st_spark.model.checkpoint import hub

# Importing the hub client takes most of a second, resolving a model a few milliseconds.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["huggingface_hub.hf_api", "huggingface_hub._snapshot_download", "filelock"])


@dataclass
class Found:
    """The result of a process."""

    folder: Path = Path()
    name: str = ""
    revision: str | None = None
    problem: str = ""
    fix: str = ""


class Resolving:
    """A process that resolves a model.

    Args:
        model: See hub.resolve.
        revision: See hub.resolve.
        environment: All environment variables of the process.
    """

    def __init__(self, model: str, revision: str | None, environment: Mapping[str, str]) -> None:
        self._receiving, sending = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(target=_resolve, args=(sending, model, revision, dict(environment)))
        self._process.start()
        sending.close()

    def wait(self) -> Found:
        """Return what the process found."""
        assert self._receiving.poll(60), "no answer in 60 seconds"
        found: Found = self._receiving.recv()
        self._process.join()
        return found


def _resolve(sending: Connection, model: str, revision: str | None, environment: dict[str, str]) -> None:
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import disable_progress_bars

    os.environ.clear()
    os.environ.update(environment)
    importlib.reload(constants)  # they are read from the environment
    disable_progress_bars()
    try:
        found = hub.resolve(model, revision)
        sending.send(Found(found.folder, found.name, found.revision))
    except ModelError as error:
        sending.send(Found(problem=error.problem, fix=error.fix))
