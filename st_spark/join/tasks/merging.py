"""The best pairs of a left row from several meetings, as lists: a row of lists moves many times faster than its pairs.

No Spark.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from st_spark.topk.pairs import Pairs

LEFT_ID, RIGHT_ID, SCORE = "left_id", "right_id", "score"


def lists(left_ids: pa.Array, right_ids: pa.Array, pairs: Pairs) -> pa.RecordBatch:
    """A row for each left row that has pairs: left_id, right_id (a list, the best first), score (a list).

    Args:
        left_ids: Ids of the left places.
        right_ids: Ids of the right places.
        pairs: Sorted pairs.
    """
    starts = np.flatnonzero(np.diff(pairs.left, prepend=-1))
    ends = pa.array(np.append(starts, len(pairs.left)).astype(np.int32))
    found = right_ids.take(pa.array(pairs.right)), pa.array(pairs.score + 0.0)  # no -0.0: Spark tells it from 0.0
    arrays = [left_ids.take(pa.array(pairs.left[starts])), *(pa.ListArray.from_arrays(ends, each) for each in found)]
    return pa.RecordBatch.from_arrays(arrays, names=[LEFT_ID, RIGHT_ID, SCORE])


def merged(batches: Iterator[pa.RecordBatch], k: int) -> Iterator[pa.RecordBatch]:
    """The k best of all lists of each left row: left_id, right_id, score, rank.

    Args:
        batches: As lists() gives them; those of one left row next to each other.
        k: How many.
    """
    held: pa.RecordBatch | None = None
    for batch in batches:
        if not len(batch):
            continue
        rows = batch if held is None else pa.concat_batches([held, batch])
        ids = rows.column(LEFT_ID)
        changes = np.flatnonzero(pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False))
        whole = int(changes[-1]) + 1 if len(changes) else 0  # what follows may go on in the next batch
        if whole:
            yield _merged(rows.slice(0, whole), k)
        held = rows.slice(whole)
    if held is not None:
        yield _merged(held, k)


def _merged(rows: pa.RecordBatch, k: int) -> pa.RecordBatch:
    ids = rows.column(LEFT_ID)
    new = np.concatenate(([True], pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)))
    group = np.cumsum(new) - 1
    counts = pc.list_value_length(rows.column(RIGHT_ID)).to_numpy(zero_copy_only=False).astype(np.int64)
    owner = np.repeat(group, counts)
    right, score = (rows.column(name).flatten() for name in (RIGHT_ID, SCORE))
    several = np.bincount(group)[owner] > 1
    order = np.arange(len(owner))
    if several.any():  # the others are in order
        order[several] = _sorted(np.flatnonzero(several), owner, right, score)
    starts = np.flatnonzero(np.diff(owner[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order))) + 1
    best = rank <= k
    chosen = pa.array(order[best])
    left = ids.take(pa.array(np.flatnonzero(new)[owner[order[best]]]))
    arrays = [left, right.take(chosen), score.take(chosen), pa.array(rank[best].astype(np.int32))]
    return pa.RecordBatch.from_arrays(arrays, names=[LEFT_ID, RIGHT_ID, SCORE, "rank"])


def _sorted(places: np.ndarray, owner: np.ndarray, right: pa.Array, score: pa.Array) -> np.ndarray:
    """Some places by owner, score (the best first) and right id."""
    ids = right.take(pa.array(places))
    by_id = pc.sort_indices(ids).to_numpy()
    places = places[by_id]
    return places[np.lexsort((-score.to_numpy()[places], owner[places]))]
