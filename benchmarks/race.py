"""Contenders in turn, each in a process of its own: seconds per round and the peak memory of its process tree.

Machines are shared and their speed drifts, so contenders take turns A B C A B C ..., and what counts is the median
of the ratios round by round, not a ratio of best times.
"""

import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

import psutil

# What a contender's process prepares: a function to time as a whole, or one that times itself and returns seconds.
Maker = Callable[[], Callable[[], object]]


@dataclass
class Result:
    """What one contender did.

    Attributes:
        seconds: One figure per round.
        peak_mb: Most memory that its processes held together, shared pages counted once (PSS), in MB.
    """

    seconds: list[float] = field(default_factory=list)
    peak_mb: float = 0.0

    def rate(self, units: float) -> float:
        """Units per second, by the median round."""
        return units / statistics.median(self.seconds)

    def times_faster_than(self, other: "Result") -> float:
        """The median of the ratios round by round."""
        return statistics.median(b / a for a, b in zip(self.seconds, other.seconds, strict=True))


def race(makers: Mapping[str, Maker], rounds: int = 5) -> dict[str, Result]:
    """Runs every contender once per round, after one run that does not count.

    Args:
        makers: By name, a function that prepares (loads a model, starts Spark) and returns what is to be timed.
        rounds: How many.
    """
    context = multiprocessing.get_context("spawn")
    lanes: dict[str, tuple[Connection, SpawnProcess]] = {}
    results = {name: Result() for name in makers}
    try:
        for name, maker in makers.items():
            ours, theirs = context.Pipe()
            process = context.Process(target=_lane, args=(theirs, maker))
            process.start()
            theirs.close()  # so that a process that dies ends our recv()
            lanes[name] = ours, process
            ours.recv()
        for _ in range(rounds):
            for name, (pipe, _process) in lanes.items():
                pipe.send("go")
                results[name].seconds.append(pipe.recv())
        for name, (pipe, _process) in lanes.items():
            pipe.send("end")
            results[name].peak_mb = pipe.recv()
    finally:
        for _pipe, process in lanes.values():
            process.join(timeout=30)
            process.kill()
    return results


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in lines)


def _lane(pipe: Connection, maker: Maker) -> None:
    """The life of one contender's process."""
    run = maker()
    watch = _Memory()
    run()
    pipe.send("ready")
    while pipe.recv() == "go":
        start = time.perf_counter()
        own = run()
        pipe.send(own if isinstance(own, float) else time.perf_counter() - start)
    pipe.send(watch.peak_mb())


class _Memory:
    """Samples the memory of this process and its children twice a second."""

    def __init__(self) -> None:
        self._peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def peak_mb(self) -> float:
        self._done.set()
        self._thread.join()
        return self._peak / 1e6

    def _watch(self) -> None:
        me = psutil.Process()
        while True:
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self._peak = max(self._peak, total)
            if self._done.wait(0.5):
                return
