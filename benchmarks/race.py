"""Contenders in turn, each in a process of its own: seconds per round and the peak memory of its process tree.

Machines are shared and their speed drifts, so contenders take turns A B C A B C ..., and what counts is the median
of the ratios round by round, not a ratio of best times.
"""

import atexit
import contextlib
import multiprocessing
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

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


def scratch() -> Path:
    """A folder that goes with the process."""
    folder = Path(tempfile.mkdtemp(prefix="st-spark-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def race(makers: Mapping[str, Maker], rounds: int = 5, *, again: bool = True) -> dict[str, Result]:
    """Runs every contender once per round.

    Args:
        makers: By name, a function that prepares (loads a model, starts Spark) and returns what is to be timed.
        rounds: How many.
        again: After one run that does not count (but for the memory), unless that would take too long.
    """
    context = multiprocessing.get_context("spawn")
    lanes: dict[str, tuple[Connection, SpawnProcess]] = {}
    results = {name: Result() for name in makers}
    try:
        for name, maker in makers.items():
            ours, theirs = context.Pipe()
            process = context.Process(target=_lane, args=(theirs, maker, again))
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


def _lane(pipe: Connection, maker: Maker, again: bool) -> None:
    """The life of one contender's process."""
    run = maker()
    watch = _Memory()
    if again:
        with watch:
            run()
    pipe.send("ready")
    while pipe.recv() == "go":
        # To look at memory costs the cores that are measured: where there was another run, it was done there.
        with contextlib.nullcontext() if again else watch:
            start = time.perf_counter()
            own = run()
            seconds = time.perf_counter() - start
        pipe.send(own if isinstance(own, float) else seconds)
    pipe.send(watch.peak / 1e6)


class _Memory:
    """Samples the memory of this process and its children while a contender runs, and at the end.

    Every two seconds or less often: the kernel walks all their pages for it, at the cost of the very cores that are
    measured, so it may take a hundredth of the time.
    """

    def __init__(self) -> None:
        self.peak = 0

    def __enter__(self) -> None:
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        pause = 2.0
        while not self._done.wait(pause):
            start = time.perf_counter()
            self._sample()
            pause = max(2.0, 100 * (time.perf_counter() - start))

    def _sample(self) -> None:
        me = psutil.Process()
        total = 0
        for process in (me, *me.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += process.memory_full_info().pss
        self.peak = max(self.peak, total)
