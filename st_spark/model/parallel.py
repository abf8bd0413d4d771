"""Micro-batches side by side: each core runs a whole one, instead of all cores sharing each product.

The products of one micro-batch are too small to share well: every layer ends in a barrier where the fastest core
waits. One core per micro-batch has none, and one busy core does not hold up the others.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch

Task = TypeVar("Task")
Done = TypeVar("Done")


def run(work: Callable[[Task], Done], tasks: Sequence[Task], device: torch.device) -> Iterator[Done]:
    """Does the work for each task, in their order.

    On a CPU with several threads (torch.get_num_threads()) and at least as many tasks, each task has one of them;
    else tasks follow each other, with all threads for each.
    """
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    if threads == 1 or len(tasks) < threads:
        yield from map(_inferring(work), tasks)
        return
    try:
        yield from _pool(threads, os.getpid()).map(_inferring(work), tasks)
    finally:
        torch.set_num_threads(threads)  # a lane's own setting is also the default of threads that start later


@lru_cache(maxsize=1)
def _pool(threads: int, _process: int) -> ThreadPoolExecutor:
    """Kept, since to start threads costs milliseconds; a process that is forked off has none of its parent's."""
    return ThreadPoolExecutor(threads, "st-spark-lane", initializer=torch.set_num_threads, initargs=(1,))


def _inferring(work: Callable[[Task], Done]) -> Callable[[Task], Done]:
    """The work without autograd, which torch switches per thread."""

    def inferring(task: Task) -> Done:
        with torch.inference_mode():
            return work(task)

    return inferring
