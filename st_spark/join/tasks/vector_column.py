"""Turn Arrow columns of vectors into matrices of floats, without the vectors that cannot be joined.

Here alone bytes and bits become floats: all jobs move the values that are stored.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from st_spark.model.quantization import Form
from st_spark.topk.scores import Matrix, Scores


@dataclass(frozen=True)
class Vectors:
    """The vectors of a column that can be joined."""

    matrix: Matrix  # [kept, dimension] float64 of a column of doubles, else float32; C-contiguous, all finite
    kept: npt.NDArray[np.bool_]  # [rows] whether the row is in the matrix


def read_vectors(column: pa.Array, dimension: int, score: str, form: Form | None = None) -> Vectors:
    """Read a column of lists (of fixed size or not) of floats or doubles, or of stored values in a form.

    Vectors of another size than `dimension` are set aside. Vectors of length zero have no cosine; the other scores take
    them.
    """
    matrix, kept = to_floats(column, dimension, form)
    squares = row_squares(matrix)
    good = np.isfinite(squares) & ((squares > 0) | (score != "cosine"))
    kept = kept.copy()
    kept[kept] = good
    return Vectors(np.ascontiguousarray(matrix if good.all() else matrix[good]), kept)


def to_floats(column: pa.Array, dimension: int, form: Form | None = None) -> tuple[Matrix, npt.NDArray[np.bool_]]:
    """Return the vectors with `dimension` values, [n, dimension], and which rows of the column they are.

    A null within a vector of floats is NaN; a stored vector with a null is NaN as a whole.
    """
    sizes = pc.list_value_length(column).fill_null(-1).to_numpy(zero_copy_only=False)
    width = dimension if form is None else form.width
    fits = sizes == width
    fitting = column if fits.all() else column.filter(pa.array(fits))
    values = fitting.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    if form is not None:
        return form.floats(values), fits
    assert not pa.types.is_integer(column.type.value_type), "stored values are read in their form"
    return values, fits


def row_squares(matrix: Matrix) -> Scores:
    """Return the squared length of each row. NaN and infinities stay. Doubles above 1e154 overflow to infinity."""
    return np.asarray(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))


def pack(matrix: Matrix) -> pa.Array:
    """Return the rows of a matrix as a column of bytes: Spark moves each as a whole, not value by value."""
    rows = np.ascontiguousarray(matrix)
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * (rows.shape[1] * rows.itemsize)
    return pa.Array.from_buffers(pa.binary(), len(rows), [None, pa.py_buffer(offsets), pa.py_buffer(rows)])


def unpack(column: pa.Array, dimension: int) -> Matrix:
    """Return the matrix, [n, dimension], of a column that pack() made."""
    if not len(column):
        return np.empty((0, dimension), np.float32)
    _, offsets, data = column.buffers()
    first, last = np.frombuffer(offsets, np.int32)[[column.offset, column.offset + len(column)]]
    values = np.frombuffer(data, np.uint8)[first:last]
    single = len(values) == 4 * dimension * len(column)
    return np.asarray(values.view(np.float32 if single else np.float64).reshape(-1, dimension))


def score_column(scores: Scores) -> pa.Array:
    """Return scores as a column without -0.0, which Spark would not count as equal to 0.0."""
    return pa.array(scores + 0.0)
