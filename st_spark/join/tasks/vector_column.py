"""A column of vectors to a matrix: what cannot be joined is set aside and counted."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from st_spark.choices import REASONS
from st_spark.topk.scores import Matrix


@dataclass(frozen=True)
class Checked:
    """The rows of a column that can be joined.

    Attributes:
        matrix: [kept, dimension] float32 or float64 as the column has it, C-contiguous, all finite.
        kept: [rows] whether the row is in the matrix.
        set_aside: How many rows are not, for each of REASONS that there is.
    """

    matrix: Matrix
    kept: npt.NDArray[np.bool_]
    set_aside: dict[str, int]


def checked(column: pa.Array, dimension: int, score: str) -> Checked:
    """Reads a column of vectors.

    Args:
        column: Lists (of fixed size or not) of float or double.
        dimension: Values of a vector; one of another size is set aside.
        score: One of SCORES. Vectors of length zero have no cosine; the other scores take them.
    """
    sizes = pc.list_value_length(column)
    null = sizes.is_null().to_numpy(zero_copy_only=False)
    fits = sizes.fill_null(-1).to_numpy(zero_copy_only=False) == dimension
    fitting = column if fits.all() else column.filter(pa.array(fits))
    matrix = fitting.flatten().to_numpy(zero_copy_only=False).reshape(-1, dimension)
    squares = np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64)  # NaN and infinities stay, and nothing overflows
    finite = np.isfinite(squares)
    nonzero = (squares > 0) | (score != "cosine")
    good = finite & nonzero
    counts = (null.sum(), (~null & ~fits).sum(), (~finite).sum(), (finite & ~nonzero).sum())
    kept = fits.copy()
    kept[fits] = good
    named = zip(REASONS, map(int, counts), strict=True)
    chosen = np.ascontiguousarray(matrix if good.all() else matrix[good])
    return Checked(chosen, kept, {reason: count for reason, count in named if count})


def packed(matrix: Matrix) -> pa.Array:
    """[n] a matrix as a column of bytes, which Spark moves as a whole, and not value by value."""
    rows = np.ascontiguousarray(matrix)
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * (rows.shape[1] * rows.itemsize)
    return pa.Array.from_buffers(pa.binary(), len(rows), [None, pa.py_buffer(offsets), pa.py_buffer(rows)])


def unpacked(column: pa.Array, dimension: int) -> Matrix:
    """[n, dimension] the matrix that packed() made a column of."""
    if not len(column):
        return np.empty((0, dimension), np.float32)
    _, offsets, data = column.buffers()
    first, last = np.frombuffer(offsets, np.int32)[[column.offset, column.offset + len(column)]]
    values = np.frombuffer(data, np.uint8)[first:last]
    single = len(values) == 4 * dimension * len(column)
    return np.asarray(values.view(np.float32 if single else np.float64).reshape(-1, dimension))
