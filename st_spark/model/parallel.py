"""Run micro-batches in parallel: each core runs a whole one, instead of all cores sharing each matrix product.

The products of one micro-batch are too small to share well: after each one, all cores wait for the slowest. With one
core per micro-batch nothing waits, and one busy core does not delay the others.

A GPU gets two at a time, so that it need not wait for the CPU.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch

# A GPU computes one micro-batch while the CPU prepares the next one.
_GPU_TASKS = 2
Task = TypeVar("Task")
Done = TypeVar("Done")


def run(work: Callable[[Task], Done], tasks: Sequence[Task], device: torch.device) -> Iterator[Done]:
    """Yield the result of `work` for each task, in order.

    On a CPU with several threads (torch.get_num_threads()) and at least as many tasks, each task gets one thread; a GPU
    gets two tasks at a time. Otherwise tasks run one after another, each with all threads.
    """
    before = torch.get_num_threads()
    threads = {"cpu": before, "cuda": _GPU_TASKS}.get(device.type, 1)
    if threads == 1 or len(tasks) < threads:
        yield from map(_inferring(work), tasks)
        return
    try:
        yield from _pool(threads, os.getpid()).map(_inferring(work), tasks)
    finally:
        torch.set_num_threads(before)  # what a pool thread sets is also the default of threads that start later


@lru_cache(maxsize=1)
def _pool(threads: int, _process: int) -> ThreadPoolExecutor:
    """Return a cached pool: starting threads takes milliseconds. A forked process needs a pool of its own."""
    return ThreadPoolExecutor(threads, "st-spark-parallel", initializer=torch.set_num_threads, initargs=(1,))


def _inferring(work: Callable[[Task], Done]) -> Callable[[Task], Done]:
    """Return `work` without autograd, which torch switches off per thread."""

    def inferring(task: Task) -> Done:
        with torch.inference_mode():
            return work(task)

    return inferring
