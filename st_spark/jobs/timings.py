"""The seconds that each part of a job takes, told while it runs and kept for its result."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

_log = logging.getLogger(__name__)


class Phases:
    """Seconds by phase; those of a phase inside of another count for the inner one alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = 0.0

    @contextmanager
    def __call__(self, name: str, text: str) -> Iterator[None]:
        """Logs the text and measures what runs inside, also if it fails."""
        _log.info(text)
        start, before, self._inner = time.perf_counter(), self._inner, 0.0
        try:
            yield
        finally:
            took = time.perf_counter() - start
            self.seconds[name] = round(self.seconds.get(name, 0.0) + took - self._inner, 3)
            self._inner = before + took
