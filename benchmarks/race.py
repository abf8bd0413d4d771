"""Time contenders in turn, each in its own process: seconds per round, and the peak memory of its process tree.

Machines are shared and their speed drifts. So contenders take turns, A B C A B C ..., and a ratio is the median of the
ratios of the rounds, not the ratio of the best times.
"""

import argparse
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

# Prepares a contender in its process and returns the function to time. That may time itself and return its seconds.
Maker = Callable[[], Callable[[], object]]


@dataclass
class Result:
    """The times and the memory of one contender.

    Attributes:
        seconds: One value per round.
        peak_mb: Peak memory of its processes together, shared pages counted once (PSS), in MB.
    """

    seconds: list[float] = field(default_factory=list)
    peak_mb: float = 0.0

    def rate(self, units: float) -> float:
        """Return units per second, by the median round."""
        return units / statistics.median(self.seconds)

    def times_faster_than(self, other: "Result") -> float:
        """Return the median of the ratios of the rounds."""
        return statistics.median(b / a for a, b in zip(self.seconds, other.seconds, strict=True))


def parser(doc: str | None, rounds: int | None = None) -> argparse.ArgumentParser:
    """Return a parser with the module's docstring as help, and with --rounds if it has a default."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if rounds is not None:
        made.add_argument("--rounds", type=int, default=rounds)
    return made


def scratch() -> Path:
    """Return a new folder, which is removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="st-spark-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def race(makers: Mapping[str, Maker], rounds: int = 5, *, again: bool = True) -> dict[str, Result]:
    """Run every contender once per round.

    Args:
        makers: Contenders by name.
        rounds: Number of rounds.
        again: Run each once before the timed rounds, to warm up and to measure its memory. False if that takes too
            long.
    """
    context = multiprocessing.get_context("spawn")
    contenders: dict[str, tuple[Connection, SpawnProcess]] = {}
    results = {name: Result() for name in makers}
    try:
        for name, maker in makers.items():
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, maker, again))
            process.start()
            theirs.close()  # so that a process that dies ends our recv()
            contenders[name] = ours, process
            ours.recv()
        for _ in range(rounds):
            for name, (pipe, _process) in contenders.items():
                pipe.send("go")
                results[name].seconds.append(pipe.recv())
        for name, (pipe, _process) in contenders.items():
            pipe.send("end")
            results[name].peak_mb = pipe.recv()
    finally:
        for _pipe, process in contenders.values():
            process.join(timeout=30)
            process.kill()
    return results


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in lines)


def _serve(pipe: Connection, maker: Maker, again: bool) -> None:
    """Prepare and run one contender, in its process."""
    run = maker()
    watch = _Memory()
    if again:
        with watch:
            run()
    pipe.send("ready")
    while pipe.recv() == "go":
        # Reading the memory slows the contender down: do it here only if there was no run before.
        with contextlib.nullcontext() if again else watch:
            start = time.perf_counter()
            own = run()
            seconds = time.perf_counter() - start
        pipe.send(own if isinstance(own, float) else seconds)
    pipe.send(watch.peak / 1e6)


class _Memory:
    """Samples the memory of this process and its children while a contender runs, and at the end.

    The kernel walks all their pages for a sample, on the cores that are measured. So samples are two seconds apart or
    more, and take at most 1% of the time.
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
