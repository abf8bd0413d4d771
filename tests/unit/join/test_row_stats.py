"""Rows that cannot be joined have a reason."""

import pyarrow as pa
import pytest

from st_spark.join.tasks.row_stats import IDS, READ, REASON, SCHEMA, SIZE, VALID, RowStats
from st_spark.model.quantization import Form

NAN, INFINITY = float("nan"), float("inf")
REASONS: list[tuple[list[float | None] | None, str | None]] = [
    ([1.0, 2.0], None),
    (None, "null"),
    ([], "dimension"),
    ([0.0, -0.0], "zero"),
    ([1.0, NAN], "not finite"),
    ([INFINITY, -INFINITY], "not finite"),
    ([None, 1.0], "not finite"),
    ([3e38, 3e38], None),
    ([1e-38, 0.0], None),
    ([], "dimension"),
    ([3.0], None),
    (None, "null"),
]


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
def test_vectors_that_cannot_be_joined_have_a_reason(kind: pa.DataType) -> None:
    vectors = pa.array([vector for vector, _ in REASONS], pa.list_(kind))
    expected = [reason for _, reason in REASONS]
    assert RowStats("cosine").reasons(vectors).to_pylist() == expected
    assert RowStats("cosine").reasons(vectors[3:7]).to_pylist() == expected[3:7]
    assert RowStats("cosine").reasons(vectors[:0]).to_pylist() == []
    assert RowStats("dot").reasons(vectors).to_pylist() == [None if each == "zero" else each for each in expected]


def test_stored_vectors_that_cannot_be_joined_have_a_reason() -> None:
    rows = [[1, 2], None, [1], [], [1, None], [-128, -128]]
    form = Form("int8", 2, [[0.0, 0.0], [0.0, 0.0]])
    found = RowStats("cosine", form).reasons(pa.array(rows, pa.list_(pa.int8()))).to_pylist()
    assert found == ["zero", "null", "dimension", "dimension", "not finite", "zero"]
    found = RowStats("cosine", Form("binary", 9)).reasons(pa.array(rows, pa.list_(pa.int8()))).to_pylist()
    assert found == [None, "null", "dimension", "dimension", "not finite", None]


def test_rows_keep_their_first_reason() -> None:
    rows = {
        SIZE: pa.array([2, 2, 2, 2], pa.int32()),
        REASON: pa.array([None, None, None, "null id"]),
        VALID: pa.array([True, False, False, False]),
        READ: pa.array([[], [1.0, 2.0], [0.0, 0.0], [0.0, 0.0]], pa.list_(pa.float32())),
        IDS: pa.array([1, 2, 3, 4]),
    }
    (batch,) = RowStats("cosine")(iter([pa.RecordBatch.from_pydict(rows)]))
    assert batch.schema == SCHEMA
    assert batch.to_pydict() == {
        SIZE: [2, 2, 2, -1],
        REASON: [None, None, "zero", "null id"],
        IDS: [1, 2, 3, 4],
    }
