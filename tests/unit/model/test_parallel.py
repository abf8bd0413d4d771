"""Running micro-batches in parallel."""

import threading

import pytest
import torch

from st_spark.model import parallel

CPU = torch.device("cpu")


@pytest.fixture
def three_threads() -> "object":
    """Set torch to three threads during a test."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def seen(task: int) -> tuple[int, str, int, bool]:
    """Return a task with facts about its thread."""
    return task, threading.current_thread().name, torch.get_num_threads(), torch.is_inference_mode_enabled()


@pytest.mark.usefixtures("three_threads")
def test_many_tasks_get_one_thread_each_and_keep_their_order() -> None:
    """In other threads than the caller's, without autograd."""
    done = list(parallel.run(seen, range(20), CPU))
    assert [task for task, *_ in done] == list(range(20))
    assert {(threads, inferring) for _, _, threads, inferring in done} == {(1, True)}
    assert threading.current_thread().name not in {name for _, name, *_ in done}


@pytest.mark.usefixtures("three_threads")
def test_few_tasks_get_all_threads_one_after_another() -> None:
    """A single query uses every core."""
    assert [threads for _, _, threads, _ in parallel.run(seen, [1, 2], CPU)] == [3, 3]


@pytest.mark.usefixtures("three_threads")
def test_thread_settings_of_the_caller_are_restored() -> None:
    """Also after an error in a task, and for threads that start later."""

    def fail(task: int) -> int:
        raise ValueError(task)

    with pytest.raises(ValueError, match="0"):
        list(parallel.run(fail, range(9), CPU))
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert [torch.get_num_threads(), *later] == [3, 3]
