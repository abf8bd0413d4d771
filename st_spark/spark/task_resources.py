"""The threads and the GPU that Spark grants the running task."""

import os

from st_spark.errors import PlatformError


def use_granted() -> None:
    """Makes torch use the threads and the GPU that Spark grants this task; PlatformError if torch lacks that GPU."""
    device = task_device()
    check_device(device)
    set_threads(task_threads())
    if device is not None:
        import torch

        torch.cuda.set_device(device)


def task_threads() -> int | None:
    """Threads that Spark grants this task (spark.task.cpus), None outside of a task."""
    from pyspark import TaskContext

    context = TaskContext.get()
    return None if context is None else max(1, int(context.cpus()))


def task_device() -> str | None:
    """The device that Spark gave this task, None where it gave none: then the first GPU, if any, or the CPU."""
    from pyspark import TaskContext

    context = TaskContext.get()
    gpu = context.resources().get("gpu") if context is not None else None
    return None if gpu is None else device_of(gpu.addresses[0], os.environ.get("CUDA_VISIBLE_DEVICES"))


def device_of(address: str, visible: str | None) -> str:
    """Names for torch the GPU at an address of Spark's.

    Args:
        address: What the discovery script printed: nvidia-smi's index, or a UUID.
        visible: CUDA_VISIBLE_DEVICES. torch counts within it, nvidia-smi does not.

    Raises:
        PlatformError: A UUID that CUDA_VISIBLE_DEVICES does not list.
    """
    listed = [name.strip() for name in (visible or "").split(",")]
    if address in listed:
        return f"cuda:{listed.index(address)}"
    if address.isdigit():
        return f"cuda:{address}"
    raise PlatformError(
        f"Spark gave this task the GPU {address!r}, which is no index and not in CUDA_VISIBLE_DEVICES={visible!r}.",
        "let the discovery script print indices, as Spark's own getGpusResources.sh does",
    )


def check_device(device: str | None) -> None:
    """Refuses a GPU that torch does not have, before any work.

    Raises:
        PlatformError: torch sees fewer devices.
    """
    if device is None:
        return
    import torch

    count = torch.cuda.device_count()
    if int(device.removeprefix("cuda:")) >= count:
        raise PlatformError(
            f"Spark gave this task the device {device!r}, but torch {torch.__version__} sees {count} CUDA devices.",
            "install a CUDA build of torch and the driver on the workers, or do not ask for spark.task.resource.gpu",
        )


def set_threads(threads: int | None) -> None:
    """Another stage may grant another number."""
    import torch

    if threads is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
