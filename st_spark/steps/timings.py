"""Measure how long each phase of a job takes, and log what it does."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

_log = logging.getLogger(__name__)


class Timings:
    """Seconds by phase. Time in an inner phase counts only for the inner one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = 0.0

    @contextmanager
    def __call__(self, phase: str, text: str) -> Iterator[None]:
        """Log the text and measure what runs inside, also if it fails."""
        _log.info(text)
        start, before, self._inner = time.perf_counter(), self._inner, 0.0
        try:
            yield
        finally:
            took = time.perf_counter() - start
            self.seconds[phase] = round(self.seconds.get(phase, 0.0) + took - self._inner, 3)
            self._inner = before + took

    def rate(self, count: int, phase: str) -> float:
        """Return the count per second of a phase."""
        seconds = self.seconds[phase]
        return round(count / seconds, 1) if seconds else 0.0
