"""Store vectors with one byte or one bit per value, with the bytes of sentence-transformers 6.2, and read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from st_spark.choices import BITS, PRECISIONS, RANGED
from st_spark.errors import InputError, check_choice
from st_spark.model.similarity import as_floats, as_tensor

Floats = npt.NDArray[np.floating[Any]]
Ranges = npt.NDArray[np.float32]
_GIVE_RANGES = "give ranges=, a 2 x d array of lowest and highest values"


def quantise(vectors: Floats, precision: str, ranges: npt.ArrayLike | None = None) -> npt.NDArray[Any]:
    """Return vectors in another precision, with the same bytes as sentence-transformers' quantize_embeddings.

    int8 and uint8 divide the range of each dimension into 255 steps. Values outside the range are clipped. binary and
    ubinary keep one bit per value, 1 if it is positive. Eight bits make a byte, the first one is the highest; the last
    byte is padded with 0.

    Args:
        vectors: [n, d] floats.
        precision: "float32", "int8", "uint8", "binary" or "ubinary".
        ranges: [2, d] lowest and highest value of each dimension, only for int8 and uint8. By default the ranges of
            these vectors; the result can then not be compared with other vectors.

    Returns:
        [n, d] float32, int8 or uint8; [n, (d + 7) // 8] int8 for binary (the byte - 128) and uint8 for ubinary.

    Raises:
        InputError: An unknown precision, ranges of another shape or for a precision without ranges, a single vector
            without ranges, or NaN, which a byte cannot hold.
    """
    low_high = checked_ranges(precision, ranges)
    if precision == "float32":
        return vectors.astype(np.float32, copy=False)
    if np.isnan(vectors).any():
        raise InputError(f"A vector has a NaN, which {precision} cannot hold.", "leave such vectors out.")
    if precision not in RANGED:
        bits = np.packbits(vectors > 0, axis=-1)
        return bits if precision == "ubinary" else _signed(bits)
    if low_high is None:
        if not len(vectors):
            return np.empty(vectors.shape, np.dtype(precision))
        low_high = ranges_of(vectors, precision)
    if low_high.shape[1] != vectors.shape[1]:
        problem = f"The ranges are for {low_high.shape[1]} dimensions, the vectors have {vectors.shape[1]}."
        raise InputError(problem, "use ranges that were made with this model and truncate_dim.")
    low, steps = low_high[0], _steps(low_high)
    places = np.clip(np.floor((vectors - low) / np.where(steps == 0, 1, steps)), 0, 255).astype(np.uint8)
    return places if precision == "uint8" else _signed(places)


def quantize_embeddings(
    embeddings: Any,  # noqa: ANN401  (an array, a tensor, or a list of them)
    precision: str,
    ranges: npt.ArrayLike | None = None,
    calibration_embeddings: Any = None,  # noqa: ANN401
) -> npt.NDArray[Any]:
    """Return vectors in another precision: `quantise` by its name and arguments in sentence-transformers.

    Args:
        embeddings: [n, d] or [d] floats: an array, a tensor, or a list of them.
        precision: See `quantise`.
        ranges: See `quantise`.
        calibration_embeddings: [m, d] vectors whose ranges are used if none are given.
    """
    vectors = as_tensor(embeddings) if len(embeddings) else torch.empty(0, *np.shape(embeddings)[1:] or (0,))
    if not vectors.is_floating_point():
        raise InputError(f"The embeddings are {vectors.dtype}, not floats.", "give the result of encode() as it is.")
    if ranges is None and calibration_embeddings is not None:
        ranges = ranges_of(as_floats(calibration_embeddings).cpu().numpy(), precision) if precision in RANGED else None
    rows = quantise(as_floats(torch.atleast_2d(vectors)).cpu().numpy(), precision, ranges)
    return rows if vectors.ndim == 2 else rows[0]


def dequantise(
    codes: npt.NDArray[Any], precision: str, dim: int, ranges: npt.ArrayLike | None = None
) -> npt.NDArray[np.float32]:
    """Return the floats that `quantise` was given, approximately.

    Args:
        codes: [n, width] result of `quantise`, in any number type. NaN stands for a missing value.
        precision: Its precision.
        dim: Dimensions of the vectors, d.
        ranges: [2, d] ranges used for int8 and uint8.

    Returns:
        [n, d]. For int8 and uint8 the middle of each step: the error is at most half a step within the ranges. For
        binary and ubinary the signs, 1 and -1. A row with a missing value is NaN.
    """
    if precision == "float32":
        return codes.astype(np.float32, copy=False)
    missing = np.isnan(codes).any(axis=1) if codes.dtype.kind == "f" else np.zeros(len(codes), np.bool_)
    known = np.where(missing[:, None], 0, codes) if missing.any() else codes
    places = (known.astype(np.int16) + (128 if precision in ("int8", "binary") else 0)).astype(np.uint8)
    if precision in RANGED:
        low_high = checked_ranges(precision, ranges)
        if low_high is None:
            raise InputError(f"{precision} vectors cannot be read without their ranges.", f"{_GIVE_RANGES}.")
        middle = low_high[0] + (places + 0.5) * _steps(low_high).astype(np.float64)
        floats = np.minimum(middle, low_high[1]).astype(np.float32)  # the last step is the highest value itself
    else:
        floats = np.unpackbits(places, axis=1, count=dim).astype(np.float32) * 2 - 1
    floats[missing] = np.nan
    return floats


@dataclass(frozen=True)
class Form:
    """How a table stores its vectors.

    Args:
        precision: The precision of the values.
        dim: Dimensions of the vectors.
        ranges: [2, d] ranges used for int8 and uint8.
    """

    precision: str
    dim: int
    ranges: Sequence[Sequence[float]] | None = None

    @property
    def width(self) -> int:
        """Return the number of values of a stored vector."""
        return (self.dim + 7) // 8 if self.precision in BITS else self.dim

    def floats(self, codes: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return the vectors as floats; see `dequantise`."""
        return dequantise(codes, self.precision, self.dim, self.ranges)

    def zero(self) -> list[int] | None:
        """Return the stored values that are read as a vector of zeros; None if there are none."""
        if self.precision not in RANGED:
            return None
        codes = quantise(np.zeros((1, self.dim), np.float32), self.precision, self.ranges)
        return None if self.floats(codes).any() else [int(code) for code in codes[0]]


def ranges_of(vectors: Floats, precision: str = "int8") -> Ranges:
    """Return the lowest and highest value of each dimension of [n, d] vectors, [2, d]; InputError unless n > 1."""
    if len(vectors) < 2:
        raise InputError(
            f"{precision} needs ranges, which a single text cannot give.",
            f"{_GIVE_RANGES}, for instance from calibrate(df, column, model=...), or encode more texts at once.",
        )
    return np.vstack((vectors.min(axis=0), vectors.max(axis=0))).astype(np.float32)


def checked_ranges(precision: str, ranges: npt.ArrayLike | None) -> Ranges | None:
    """Return the ranges as an array [2, d], None if none are given.

    Raises:
        InputError: An unknown precision, ranges for a precision that does not use them, or invalid ranges.
    """
    check_choice("precision", precision, PRECISIONS)
    if ranges is None:
        return None
    if precision not in RANGED:
        raise InputError(f"precision={precision!r} does not use ranges.", "leave ranges= out.")
    try:
        array = np.asarray(ranges, np.float32)
    except (ValueError, TypeError) as error:
        raise InputError(f"The ranges are not an array of numbers ({error}).", f"{_GIVE_RANGES}.") from error
    if array.ndim != 2 or array.shape[0] != 2:
        raise InputError(f"The ranges have the shape {array.shape}, not (2, d).", f"{_GIVE_RANGES}.")
    if not (np.isfinite(array).all() and (array[0] <= array[1]).all()):
        raise InputError("The ranges have a lowest value above the highest, or NaN or infinity.", f"{_GIVE_RANGES}.")
    return array


def _signed(places: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
    return (places.astype(np.int16) - 128).astype(np.int8)


def _steps(ranges: Ranges) -> Ranges:
    return (ranges[1] - ranges[0]) / np.float32(255)
