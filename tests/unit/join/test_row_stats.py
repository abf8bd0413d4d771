"""One pass over a table: rows by the size of their vector, reasons, and what may stand twice."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pytest

from st_spark.join.tasks import row_stats
from st_spark.join.tasks.row_stats import IDS, REASON, ROWS, SIDE, SIZE, TEXTS, VECTORS, WHAT, Look, twice

Counts = Counter[tuple[int, str]]


def batch(vectors: list[list[float] | None], *, sound: bool = False, **columns: list[object]) -> pa.RecordBatch:
    """What Spark sends; with `sound` it has seen itself which vectors can be joined, and keeps those."""
    count = len(vectors)
    known = [sound and each is not None and any(each) and bool(np.isfinite(each).all()) for each in vectors]
    kinds = {"missing": pa.string(), "size": pa.int32(), "sound": pa.bool_(), "vector": pa.list_(pa.float32())}
    kinds |= {"id_hash": pa.int64(), "vector_hash": pa.int64(), "text_hash": pa.int64()}
    values: dict[str, list[object]] = {
        "id_hash": [*range(count)],
        "size": [-1 if each is None else len(each) for each in vectors],
        "sound": [*known],
        "vector": [[] if hidden else each for hidden, each in zip(known, vectors, strict=True)],
    }
    keys = columns.pop("key", [0] * count)
    values["vector_hash"] = [hash((key, tuple(each or ()))) for key, each in zip(keys, vectors, strict=True)]
    arrays = [pa.array((values | columns).get(name, [None] * count), kind) for name, kind in kinds.items()]
    return pa.RecordBatch.from_arrays(arrays, names=list(kinds))


def looked(
    tasks: Iterable[Iterable[pa.RecordBatch]], *, copies: bool = True
) -> tuple[Counter[tuple[int, str]], set[str]]:
    """What Spark makes of it: each task looks, and all hashes of a bucket come together."""
    rows = [made for task in tasks for made in Look(1, "cosine", copies)(iter(task))]
    counts: Counts = Counter()
    found = set()
    for row in pa.Table.from_batches(list(twice(iter(rows)))).to_pylist():
        assert row[SIDE] == 1
        if row[WHAT] is None:
            counts[row[SIZE], row[REASON]] += row[ROWS]
        else:
            found.add(row[WHAT])
    return counts, found


@pytest.mark.parametrize("sound", [False, True])
def test_rows_are_counted_by_size_and_reason(sound: bool) -> None:
    vectors = [[1.0, 2.0], None, [], [0.0, 0.0], [1.0, float("nan")], [1.0, 2.0, 3.0], [3.0, 4.0]]
    counts, found = looked([[batch(vectors, sound=sound, missing=[*[None] * 6, "null id"])]])
    expected = {(2, ""): 1, (3, ""): 1, (2, "zero"): 1, (2, "not finite"): 1, (-1, "null"): 1, (0, "dimension"): 1}
    assert counts == expected | {(-1, "null id"): 1}
    assert not found


@pytest.mark.parametrize("split", [False, True])
def test_ids_vectors_and_texts_that_stand_twice_are_found_wherever_they_are(split: bool) -> None:
    one = batch([[1.0, 2.0], [3.0, 4.0]], id_hash=[7, 8], text_hash=[5, 6])
    for other, what in (
        (batch([[9.0, 9.0]], id_hash=[7], text_hash=[1]), IDS),
        (batch([[3.0, 4.0]], id_hash=[9], text_hash=[1]), VECTORS),
        (batch([[9.0, 9.0]], id_hash=[9], text_hash=[6]), TEXTS),
    ):
        assert looked([[one], [other]] if split else [[one, other]])[1] == {what}


@pytest.mark.parametrize("sound", [False, True])
def test_equal_vectors_of_other_keys_are_no_copies_and_unfit_rows_have_none(sound: bool) -> None:
    one = batch([[1.0, 2.0], [3.0, 4.0]], id_hash=[1, 2], key=[1, 1], sound=sound)
    assert not looked([[one, batch([[1.0, 2.0]], id_hash=[3], key=[2])]])[1]
    assert not looked([[one, batch([[1.0, 2.0]], id_hash=[None], key=[1], missing=["too short"], sound=sound)]])[1]
    again = batch([[1.0, 2.0]], id_hash=[3], key=[1], sound=sound)
    assert looked([[one, again]])[1] == {VECTORS}
    assert not looked([[one, again]], copies=False)[1]


def test_vectors_that_cannot_be_joined_are_no_copies() -> None:
    assert not looked([[batch([[0.0, 0.0], [0.0, 0.0]])], [batch([None, None], id_hash=[8, 9])]])[1]


def test_hashes_are_given_away_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_stats, "_HELD", 100)
    rng = np.random.default_rng(0)
    tasks = [batch(rng.standard_normal((80, 4)).tolist(), id_hash=list(range(i, i + 80))) for i in (0, 80, 160, 200)]
    assert looked([tasks])[1] == {IDS}
    assert not looked([tasks[:3]])[1]
