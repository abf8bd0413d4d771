"""What a task returns for its two blocks: the best pairs of each row, or all above a threshold, as Arrow batches."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from st_spark.join.tasks.blocks import Block, TaskInput, run_starts, self_index
from st_spark.join.tasks.list_assignment import LIST, PROBES
from st_spark.join.tasks.vector_column import read_vectors, score_column
from st_spark.model.quantization import Form
from st_spark.topk.coarse_quantizer import CoarseQuantizer
from st_spark.topk.inverted_lists import Probes
from st_spark.topk.pairs import Pairs, ranks
from st_spark.topk.scores import Places
from st_spark.topk.search import above_by_parts, top_k

# Makes batches from all pairs of a task. It gets the ids of both blocks (the same array twice in a self-pair task) and
# the pairs, some at a time, as row numbers.
PairReducer = Callable[[pa.Array, pa.Array, Iterator[Pairs]], Iterator[pa.RecordBatch]]

# The hash of the columns that must be equal, of a row of GroundTruth.
KEY_HASH = "_key_hash"
# Neighbours that one search holds. Each search reads the whole right block, so it has some left rows at least.
_PAIRS, _MIN_ROWS = 1 << 22, 512
_BATCH_ROWS = 1 << 20
_LIST_PAIRS = 100  # the most pairs of a list


@dataclass(frozen=True)
class TopK:
    """Finds the k best right rows of each left row, with scores of at least the threshold.

    In a self join a row is no neighbour of itself. Pairs are ranked if no other task has pairs of these left rows.
    """

    k: int
    score: str
    threshold: float | None = None
    self_join: bool = False
    ranked: bool = False

    def __call__(self, task: TaskInput) -> Iterator[pa.RecordBatch]:
        """Yield batches of left_id, right_id, score and rank; if they are not ranked, see list_batch()."""
        left, right = task.left, task.right
        step = max(_MIN_ROWS, _PAIRS // self.k)
        for start in range(0, len(left) if len(right) else 0, step):
            part = left.take(np.arange(start, min(start + step, len(left)))) if len(left) > step else left
            pairs = top_k(
                part.matrix,
                right.matrix,
                min(self.k, len(right)),
                self.score,
                threshold=self.threshold,
                self_index=self_index(part.ids, right.ids) if self.self_join else None,
                probes=self.probes(part, right),
            )
            found = part.ids, right.ids, pairs
            yield from pair_batches(*found, ranked=True) if self.ranked else [list_batch(*found)]

    def probes(self, _left: Block, _right: Block) -> Probes | None:
        """Return the inverted lists that left rows search; None for all right rows."""
        return None


@dataclass(frozen=True)
class IvfSearch(TopK):
    """Finds the k best right rows of each left row, in the lists that it probes in this task.

    In a self join all rows are in the left block, and the rows with a list are also right rows.
    """

    def __call__(self, task: TaskInput) -> Iterator[pa.RecordBatch]:
        """Yield batches as TopK does."""
        right = task.left if self.self_join else task.right
        if right.extra[LIST].null_count:
            right = right.take(np.flatnonzero(right.extra[LIST].is_valid().to_numpy(zero_copy_only=False)))
        yield from super().__call__(TaskInput(task.left, right))

    def probes(self, left: Block, right: Block) -> Probes:
        """Return the lists that the left rows probe, the best one of each row first."""
        lists, counts = left.extra[PROBES], left.extra[PROBES].value_lengths().to_numpy(zero_copy_only=False)
        row = np.repeat(np.arange(len(counts)), counts)
        of_right, probed = (each.to_numpy(zero_copy_only=False) for each in (right.extra[LIST], lists.flatten()))
        return Probes(of_right.astype(np.int64), row, probed.astype(np.int64), ranks(row))


@dataclass(frozen=True)
class GroundTruth:
    """Searches right rows for the k neighbours of the queries, with a score of at least the threshold.

    The queries are a sample of left rows, with KEY_HASH: a hash of the columns that must be equal.
    """

    queries: Block
    quantizer: CoarseQuantizer
    k: int
    threshold: float | None
    self_join: bool
    form: Form | None = None  # How the right vectors are stored; None for floats

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield left_id (row number of the query), right_id, score, list: the k best pairs of each query, and more.

        The columns of the batches are ids, vectors and KEY_HASH.
        """
        for batch in batches:
            ids, column, keys = batch.columns
            vectors = read_vectors(column, self.queries.matrix.shape[1], self.quantizer.score, self.form)
            kept = pa.array(vectors.kept)
            right = Block(ids.filter(kept), vectors.matrix, {KEY_HASH: keys.filter(kept)})
            right = right.take(pc.sort_indices(right.ids).to_numpy())  # of equal scores the smaller id is better
            left_keys, right_keys = (rows.extra[KEY_HASH].to_numpy() for rows in (self.queries, right))
            for key in np.intersect1d(left_keys, right_keys):
                query = np.flatnonzero(left_keys == key)
                yield self._pairs(query, right.take(np.flatnonzero(right_keys == key)))

    def _pairs(self, query: Places, right: Block) -> pa.RecordBatch:
        left = self.queries.take(query)
        pairs = top_k(
            left.matrix,
            right.matrix,
            self.k,
            self.quantizer.score,
            threshold=self.threshold,
            self_index=self_index(left.ids, right.ids) if self.self_join else None,
        )
        found, which = np.unique(pairs.right, return_inverse=True)
        lists = self.quantizer.assign(right.matrix[found])[which]
        columns = {
            "left_id": pa.array(query[pairs.left].astype(np.int32)),
            "right_id": right.ids.take(pa.array(pairs.right)),
            "score": pa.array(pairs.score),
            "list": pa.array(lists.astype(np.int32)),
        }
        return pa.RecordBatch.from_pydict(columns)


@dataclass(frozen=True)
class Above:
    """Finds all pairs with a score of at least the threshold.

    In a self-pair task each pair comes once. A reducer makes other batches from the pairs.
    """

    threshold: float
    score: str
    reducer: PairReducer | None = None

    def __call__(self, task: TaskInput) -> Iterator[pa.RecordBatch]:
        """Yield batches of left_id, right_id, score; or what the reducer yields."""
        sides = task.left.matrix, task.right.matrix
        found = above_by_parts(*sides, self.threshold, self.score, self_join=task.self_pairs)
        parts = (pairs for pairs in found if len(pairs.left))
        if self.reducer is not None:
            yield from self.reducer(task.left.ids, task.right.ids, parts)
            return
        for pairs in parts:
            yield from pair_batches(task.left.ids, task.right.ids, pairs)


def pair_batches(
    left_ids: pa.Array, right_ids: pa.Array, pairs: Pairs, *, ranked: bool = False
) -> Iterator[pa.RecordBatch]:
    """Yield sorted pairs as rows: left_id, right_id, score, and if asked for rank (int, from 1 for each left row)."""
    columns = {
        "left_id": left_ids.take(pa.array(pairs.left)),
        "right_id": right_ids.take(pa.array(pairs.right)),
        "score": score_column(pairs.score),
    }
    if ranked:
        columns["rank"] = pa.array((ranks(pairs.left) + 1).astype(np.int32))
    whole = pa.RecordBatch.from_pydict(columns)
    for start in range(0, len(whole), _BATCH_ROWS):
        yield whole.slice(start, _BATCH_ROWS)


def list_batch(left_ids: pa.Array, right_ids: pa.Array, pairs: Pairs) -> pa.RecordBatch:
    """Return sorted pairs as lists of the pairs of a left row: left_id, right_id (list, best first), score (list).

    Lists are shuffled many times faster than pairs. Long ones are cut: Spark returns 10,000 lists in one batch.
    """
    starts = np.flatnonzero(ranks(pairs.left) % _LIST_PAIRS == 0)
    ends = pa.array(np.append(starts, len(pairs.left)).astype(np.int32))
    right, score = right_ids.take(pa.array(pairs.right)), score_column(pairs.score)
    lists = {"right_id": pa.ListArray.from_arrays(ends, right), "score": pa.ListArray.from_arrays(ends, score)}
    return pa.RecordBatch.from_pydict({"left_id": left_ids.take(pa.array(pairs.left[starts])), **lists})


def merge_lists(batches: Iterator[pa.RecordBatch], k: int) -> Iterator[pa.RecordBatch]:
    """Yield the k best pairs of each left row: left_id, right_id, score, rank.

    The batches are from list_batch(), with all lists of a left row next to each other.
    """
    pending: pa.RecordBatch | None = None
    for batch in batches:
        if len(batch):
            rows = batch if pending is None else pa.concat_batches([pending, batch])
            complete = int(run_starts([rows.column("left_id")])[-1])  # the last left row may go on in the next batch
            if complete:
                yield _merge(rows.slice(0, complete), k)
            pending = rows.slice(complete)
    if pending is not None:
        yield _merge(pending, k)


def _merge(rows: pa.RecordBatch, k: int) -> pa.RecordBatch:
    starts = run_starts([rows.column("left_id")])
    lists = np.diff(starts, append=len(rows))  # of each left row
    sizes = pc.list_value_length(rows.column("right_id")).to_numpy(zero_copy_only=False).astype(np.int64)
    left = np.repeat(np.repeat(np.arange(len(starts)), lists), sizes)
    right, score = (rows.column(name).flatten() for name in ("right_id", "score"))
    best, rank = k_best(pa.record_batch({"left": left, "score": score, "right": right}), k)
    ids = rows.column("left_id").take(pa.array(starts[best["left"].to_numpy()]))
    columns = {"left_id": ids, "right_id": best["right"], "score": best["score"], "rank": (rank + 1).astype(np.int32)}
    return pa.record_batch(columns)


def k_best(pairs: pa.RecordBatch, k: int) -> tuple[pa.RecordBatch, Places]:
    """Return the k best pairs of each left row, the best first, and the rank of each, from 0.

    The columns are left, score and right. Of equal scores the smaller value of right is better.
    """
    keys = [("left", "ascending"), ("score", "descending"), ("right", "ascending")]
    order = pc.sort_indices(pairs, sort_keys=keys).to_numpy()
    rank = ranks(pairs["left"].to_numpy()[order])
    return pairs.take(pa.array(order[rank < k])), rank[rank < k]
