"""Use the CPU threads and the GPU that Spark gives the running task."""

import os

from st_spark.errors import PlatformError


def use_granted() -> None:
    """Let torch use the threads and the GPU of this task; PlatformError if torch does not see the GPU."""
    device = task_device()
    check_device(device)
    set_threads(task_threads())
    if device is not None:
        import torch

        torch.cuda.set_device(device)


def task_threads() -> int | None:
    """Return the CPU threads of this task (spark.task.cpus); None outside a task."""
    from pyspark import TaskContext

    context = TaskContext.get()
    return None if context is None else max(1, int(context.cpus()))


def task_device() -> str | None:
    """Return the GPU of this task as a torch device; None if Spark gave it none (then the model chooses its device)."""
    from pyspark import TaskContext

    context = TaskContext.get()
    gpu = context.resources().get("gpu") if context is not None else None
    return None if gpu is None else device_of(gpu.addresses[0], os.environ.get("CUDA_VISIBLE_DEVICES"))


def device_of(address: str, visible: str | None) -> str:
    """Return torch's name for the GPU at one of Spark's addresses.

    Args:
        address: The address that the discovery script printed: nvidia-smi's index, or a UUID.
        visible: CUDA_VISIBLE_DEVICES. torch counts only the devices in it; nvidia-smi counts all.
    """
    listed = [name.strip() for name in (visible or "").split(",")]
    if address in listed:
        return f"cuda:{listed.index(address)}"
    if address.isdigit():
        return f"cuda:{address}"
    raise PlatformError(
        f"Spark gave this task the GPU {address!r}, which is neither an index nor in CUDA_VISIBLE_DEVICES={visible!r}.",
        "let the discovery script print indices, as Spark's getGpusResources.sh does, or list this GPU in "
        "CUDA_VISIBLE_DEVICES",
    )


def check_device(device: str | None) -> None:
    """Check that torch sees a device; PlatformError if it sees fewer CUDA devices."""
    if device is None:
        return
    import torch

    count = torch.cuda.device_count()
    if int(device.removeprefix("cuda:")) >= count:
        raise PlatformError(
            f"Spark gave this task the device {device!r}, but torch {torch.__version__} sees {count} CUDA devices.",
            "install a CUDA build of torch and the driver on the workers, unset CUDA_VISIBLE_DEVICES if it hides GPUs, "
            "or do not set spark.task.resource.gpu.amount",
        )


def set_threads(threads: int | None) -> None:
    """Set torch's number of threads: each Spark stage can have another spark.task.cpus."""
    import torch

    if threads is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
