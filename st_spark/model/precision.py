"""Choose the number format in which a model computes.

On a CPU the choice follows the measured rates of the host; see hardware.py. Measured rates of bfloat16 relative to
float32: 2.1x on AMD Zen 4, 4.3x on Zen 5, 0.25x on Intel Cascade Lake, and on Emerald Rapids 0.5x where a virtual
machine hides AMX, 4x and more where it does not.
"""

import os
from typing import TYPE_CHECKING

from st_spark.choices import DTYPES
from st_spark.errors import InputError, check_choice
from st_spark.hardware import faster, gemm_rates

if TYPE_CHECKING:
    import torch

# Replaces "auto" where it is set.
VARIABLE = "ST_SPARK_DTYPE"


def choose(dtype: str, device: "torch.device") -> "torch.dtype":
    """Return the torch dtype in which a model on this device computes.

    Args:
        dtype: "auto" (on a GPU bfloat16 or float16, on a CPU bfloat16 if it multiplies that clearly faster, else
            float32), "float32", "bfloat16", "float16" or "int8". The environment variable ST_SPARK_DTYPE replaces
            "auto".
        device: Where the model runs.

    Raises:
        InputError: An unknown name; float16 on a CPU, which has no fast GEMM for it; or int8 on a GPU, or on a CPU
            without VNNI and AMX.
    """
    import torch

    check_choice("dtype", dtype, DTYPES)
    if dtype == "auto" and (chosen := os.environ.get(VARIABLE)):
        check_choice(VARIABLE, chosen, DTYPES)
        dtype = chosen
    if dtype == "float16" and device.type == "cpu":
        raise InputError("dtype='float16' has no fast arithmetic on a CPU.", "use 'auto', 'bfloat16' or 'float32'.")
    if dtype == "int8":
        _check_int8(device)
    if dtype != "auto":
        return getattr(torch, dtype)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    native = device.type == "cpu" and faster(gemm_rates(), "bfloat16")
    return torch.bfloat16 if native else torch.float32


def _check_int8(device: "torch.device") -> None:
    from st_spark.model.backbones import int8

    if device.type != "cpu" or not int8.is_available():
        where = "a CPU without VNNI and AMX" if device.type == "cpu" else f"the device {device}"
        raise InputError(f"dtype='int8' has no fast arithmetic on {where}.", "use 'auto'.")
