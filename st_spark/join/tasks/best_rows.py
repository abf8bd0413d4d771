"""The best rows of each query so far. Later rows have to reach the score of the k-th best one."""

import numpy as np
import pyarrow as pa

from st_spark.join.tasks.results import k_best, list_batch
from st_spark.topk.pairs import Pairs, ranks
from st_spark.topk.scores import Scores


class BestRows:
    """Collects the k best rows of each query; of equal scores the row with the smaller id is better."""

    def __init__(self, k: int, lowest: Scores) -> None:
        self._k, self._lowest = k, lowest
        self._pairs: pa.RecordBatch | None = None

    def add(self, ids: pa.Array, pairs: Pairs) -> None:
        """Add rows with these ids, and raise the lowest scores. `pairs` has the queries left, and at most k of each."""
        found = pa.record_batch({"left": pairs.left, "score": pairs.score, "right": ids.take(pa.array(pairs.right))})
        if self._pairs is None:
            self._pairs, rank = found, ranks(pairs.left)
        elif len(found):
            self._pairs, rank = k_best(pa.concat_batches([self._pairs, found]), self._k)
        else:
            return
        left, score = (self._pairs[name].to_numpy() for name in ("left", "score"))
        full = rank == self._k - 1
        self._lowest[left[full]] = np.maximum(self._lowest[left[full]], score[full])

    def lists(self, numbers: pa.Array) -> pa.RecordBatch | None:
        """Return the rows as list_batch() does, with the numbers of the queries; None if no rows were added."""
        if self._pairs is None:
            return None
        left, score, ids = self._pairs.columns
        return list_batch(numbers, ids, Pairs(left.to_numpy(), np.arange(len(ids)), score.to_numpy()))
