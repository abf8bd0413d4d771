"""One pass over a table: rows by size of their vector, reasons, and what is repeated."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pytest

from st_spark.join.tasks.row_stats import IDS, REASON, ROWS, SIDE, SIZE, TEXTS, VECTORS, WHAT, RowStats, find_repeated

Counts = Counter[tuple[int, str]]


def batch(vectors: list[list[float] | None], *, checked: bool = False, **columns: list[object]) -> pa.RecordBatch:
    """Return a batch as Spark sends it. With `checked`, Spark has found the valid vectors and sends them empty."""
    count = len(vectors)
    known = [checked and each is not None and any(each) and bool(np.isfinite(each).all()) for each in vectors]
    kinds = {"missing": pa.string(), "size": pa.int32(), "valid": pa.bool_(), "vector": pa.list_(pa.float32())}
    kinds |= {"id_hash": pa.int64(), "vector_hash": pa.int64(), "text_hash": pa.int64()}
    values: dict[str, list[object]] = {
        "id_hash": [*range(count)],
        "size": [-1 if each is None else len(each) for each in vectors],
        "valid": [*known],
        "vector": [[] if hidden else each for hidden, each in zip(known, vectors, strict=True)],
    }
    keys = columns.pop("key", [0] * count)
    values["vector_hash"] = [hash((key, tuple(each or ()))) for key, each in zip(keys, vectors, strict=True)]
    arrays = [pa.array((values | columns).get(name, [None] * count), kind) for name, kind in kinds.items()]
    return pa.RecordBatch.from_arrays(arrays, names=list(kinds))


def collected(
    tasks: Iterable[Iterable[pa.RecordBatch]], *, copies: bool = True, max_hashes: int = 1 << 20
) -> tuple[Counter[tuple[int, str]], set[str]]:
    """Return counts and what is repeated, as on Spark: several tasks, then one task with all hashes."""
    rows = [made for task in tasks for made in RowStats(1, "cosine", copies, max_hashes)(iter(task))]
    counts: Counts = Counter()
    found = set()
    for row in pa.Table.from_batches(list(find_repeated(iter(rows)))).to_pylist():
        assert row[SIDE] == 1
        if row[WHAT] is None:
            counts[row[SIZE], row[REASON]] += row[ROWS]
        else:
            found.add(row[WHAT])
    return counts, found


@pytest.mark.parametrize("checked", [False, True])
def test_rows_are_counted_by_size_and_reason(checked: bool) -> None:
    vectors = [[1.0, 2.0], None, [], [0.0, 0.0], [1.0, float("nan")], [1.0, 2.0, 3.0], [3.0, 4.0]]
    counts, found = collected([[batch(vectors, checked=checked, missing=[*[None] * 6, "null id"])]])
    expected = {(2, ""): 1, (3, ""): 1, (2, "zero"): 1, (2, "not finite"): 1, (-1, "null"): 1, (0, "dimension"): 1}
    assert counts == expected | {(-1, "null id"): 1}
    assert not found


@pytest.mark.parametrize("split", [False, True])
def test_repeated_ids_vectors_and_texts_are_found_in_any_task(split: bool) -> None:
    one = batch([[1.0, 2.0], [3.0, 4.0]], id_hash=[7, 8], text_hash=[5, 6])
    for other, what in (
        (batch([[9.0, 9.0]], id_hash=[7], text_hash=[1]), IDS),
        (batch([[3.0, 4.0]], id_hash=[9], text_hash=[1]), VECTORS),
        (batch([[9.0, 9.0]], id_hash=[9], text_hash=[6]), TEXTS),
    ):
        assert collected([[one], [other]] if split else [[one, other]])[1] == {what}


@pytest.mark.parametrize("checked", [False, True])
def test_equal_vectors_of_other_keys_and_of_rejected_rows_are_not_copies(checked: bool) -> None:
    one = batch([[1.0, 2.0], [3.0, 4.0]], id_hash=[1, 2], key=[1, 1], checked=checked)
    assert not collected([[one, batch([[1.0, 2.0]], id_hash=[3], key=[2])]])[1]
    assert not collected([[one, batch([[1.0, 2.0]], id_hash=[None], key=[1], missing=["too short"], checked=checked)]])[
        1
    ]
    again = batch([[1.0, 2.0]], id_hash=[3], key=[1], checked=checked)
    assert collected([[one, again]])[1] == {VECTORS}
    assert not collected([[one, again]], copies=False)[1]


def test_vectors_that_cannot_be_joined_are_not_copies() -> None:
    assert not collected([[batch([[0.0, 0.0], [0.0, 0.0]])], [batch([None, None], id_hash=[8, 9])]])[1]


def test_repeated_ids_are_found_if_hashes_are_passed_on_in_parts() -> None:
    rng = np.random.default_rng(0)
    tasks = [batch(rng.standard_normal((80, 4)).tolist(), id_hash=list(range(i, i + 80))) for i in (0, 80, 160, 200)]
    assert collected([tasks], max_hashes=100)[1] == {IDS}
    assert not collected([tasks[:3]], max_hashes=100)[1]
