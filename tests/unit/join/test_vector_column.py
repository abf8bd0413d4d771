"""Columns of vectors become matrices."""

import math

import numpy as np
import pyarrow as pa
import pytest

from st_spark.join.tasks.vector_column import pack, read_vectors, score_column, unpack
from st_spark.model.quantization import Form, quantise
from st_spark.topk.scores import Matrix

ROWS = [[1.0, 2.0], None, [1.0], [math.nan, 1.0], [math.inf, 1.0], [0.0, 0.0], [3.0, None], [], [-0.0, 4.0]]


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
@pytest.mark.parametrize("lists", [pa.list_, pa.large_list])
def test_vectors_that_cannot_be_joined_are_left_out(lists: object, kind: pa.DataType) -> None:
    """A null within a vector counts as NaN."""
    found = read_vectors(pa.array(ROWS, lists(kind)), 2, "cosine")  # type: ignore[operator]
    assert found.matrix.tolist() == [[1.0, 2.0], [0.0, 4.0]]
    assert found.matrix.dtype == kind.to_pandas_dtype()
    assert found.kept.tolist() == [True, *[False] * 7, True]


@pytest.mark.parametrize("score", ["dot", "euclidean"])
def test_only_cosine_sets_vectors_of_length_zero_aside(score: str) -> None:
    assert [0.0, 0.0] in read_vectors(pa.array(ROWS, pa.list_(pa.float32())), 2, score).matrix.tolist()


def test_lists_of_fixed_size_and_slices_are_read() -> None:
    column = pa.array([[1, 2], [3, 4], None, [5, 6]], pa.list_(pa.float32(), 2))
    assert read_vectors(column, 2, "dot").matrix.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert read_vectors(column[1:], 2, "dot").matrix.tolist() == [[3, 4], [5, 6]]


@pytest.mark.parametrize(("precision", "kind"), [("int8", pa.int8()), ("int8", pa.float32()), ("ubinary", pa.int16())])
def test_stored_vectors_become_floats(precision: str, kind: pa.DataType) -> None:
    """Another number of stored values is another size, also if it is the number of dimensions."""
    vectors = np.array([[1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 7.0, -8.0, 9.0], [-1.0] * 9], np.float32)
    ranges = [[-128.0] * 9, [127.0] * 9] if precision == "int8" else None
    form = Form(precision, 9, ranges)
    rows = quantise(vectors, precision, ranges).tolist()
    bad = [None, [1] * (9 if precision == "ubinary" else 2), [None] * form.width]
    found = read_vectors(pa.array([*rows, *bad], pa.list_(kind)), 9, "cosine", form)
    assert found.kept.tolist() == [True, True, False, False, False]
    assert found.matrix.dtype == np.float32
    assert found.matrix.tolist() == (vectors + 0.5 if ranges else np.sign(vectors)).tolist()


def test_stored_vectors_are_not_read_as_floats_by_mistake() -> None:
    with pytest.raises(AssertionError, match="stored values are read in their form"):
        read_vectors(pa.array([[1, 2]], pa.list_(pa.int8())), 2, "cosine")


def test_an_empty_column_gives_an_empty_matrix() -> None:
    found = read_vectors(pa.array([], pa.list_(pa.float32())), 3, "cosine")
    assert found.matrix.shape == (0, 3)


def test_the_largest_and_smallest_floats_are_vectors() -> None:
    extremes = np.finfo(np.float32)
    column = pa.array([[extremes.max, 1.0], [extremes.tiny, 0.0]], pa.list_(pa.float32()))
    assert read_vectors(column, 2, "cosine").kept.all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_packed_vectors_are_read_back_from_any_part_of_a_column(dtype: type) -> None:
    rows: Matrix = np.arange(12, dtype=dtype).reshape(4, 3)
    column = pack(rows)
    for part in (column, column[1:3], column.filter(pa.array([True, False, True, True])), column[:0]):
        found = unpack(part, 3)
        assert found.shape == (len(part), 3)
        assert [row.tobytes() for row in found] == part.to_pylist()


def test_scores_have_no_negative_zero() -> None:
    assert [str(score) for score in score_column(np.array([-0.0, 0.0, -1.5])).to_pylist()] == ["0.0", "0.0", "-1.5"]
