"""Settings of a search. They change its speed and memory, and never its result."""

from dataclasses import dataclass

import torch

from st_spark.hardware import fastest


@dataclass(frozen=True)
class Settings:
    """Sizes and limits of a search."""

    # Format of the quantised values: int8, bfloat16 or float32. None for the fastest of the device.
    dtype: torch.dtype | None = None
    # Rows and columns of a GEMM tile. None for (1024, 2048) on a CPU, where a tile stays in the last cache, and (2048,
    # 131072) on a GPU: a wide tile finds good thresholds at once (an H200 takes 2.4 s; with (8192, 16384) 3.8 s).
    tile: tuple[int, int] | None = None
    list_tile: tuple[int, int] = (1024, 2048)  # The same for a tile of an inverted list or a cluster
    # Leading directions of a full scan in float32 on a CPU, 0 for none. None for what a sample shows to be fastest.
    directions: int | None = None
    max_held: int = 1 << 22  # Candidates that are held before those that cannot win are dropped
    cluster_rows: int = 1 << 16  # Left rows that are searched by cluster at a time
    # With fewer pairs no clusters and no leading directions are looked for: that takes longer than it saves. None for
    # 2^28 pairs for clusters (2^30 in int8), and 2^27 for directions.
    min_pairs: int | None = None
    max_share: float = 0.1  # Largest share of the pairs left by clusters, in a sample, for clusters to be used

    def format(self) -> torch.dtype:
        """Return the format of the quantised values."""
        return self.dtype or fastest(device())

    def tile_shape(self) -> tuple[int, int]:
        """Return the rows and columns of a tile of the full scan."""
        return self.tile or ((2048, 131072) if torch.cuda.is_available() else (1024, 2048))


def device() -> torch.device:
    """Return where products are computed."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def float32_rounding(width: int) -> float:
    """Return what a product of two float32 rows is off by at most, as a share of their lengths."""
    # A program may let torch multiply float32 in fewer bits.
    reduced = 0.0 if torch.get_float32_matmul_precision() == "highest" else 2.0**-7
    return (width + 16) * 2.0**-23 + reduced


DEFAULTS = Settings()
