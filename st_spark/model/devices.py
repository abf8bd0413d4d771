"""Find the torch device that an argument names."""

from typing import Any

import torch

from st_spark.errors import InputError


def find(name: str | torch.device | None) -> torch.device:
    """Return a device, by default the first CUDA device or else the CPU.

    Raises:
        InputError: torch does not know it, or this machine does not have it.
    """
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name is None else name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = str(error).split("\n", 1)[0]
        raise InputError(f"device={name!r} cannot be used: {reason}.", 'give "cpu", "cuda" or "cuda:0".') from error
    return device


def check_same(option: str, given: Any, device: torch.device) -> None:  # noqa: ANN401
    """Check that an option names no other device than the model's; InputError if it does.

    Args:
        option: Its name.
        given: A device, a list of devices, or None.
        device: The device of the model.
    """
    for each in given if isinstance(given, list | tuple) else [given]:
        if each is not None and torch.empty(0, device=find(each)).device != torch.empty(0, device=device).device:
            problem = f"{option} is {given!r}, but the model is on {str(device)!r}."
            fix = "give the constructor that device; st_spark.encode() on a DataFrame uses many GPUs at once."
            raise InputError(problem, fix)
