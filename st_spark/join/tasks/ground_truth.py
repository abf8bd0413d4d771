"""The exact neighbours of a sample of left rows, and the inverted lists that hold them: these measure the recall."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from st_spark.join.tasks.blocks import Block, self_index
from st_spark.join.tasks.vector_column import read_vectors
from st_spark.topk.coarse_quantizer import CoarseQuantizer
from st_spark.topk.scores import Places
from st_spark.topk.search import top_k

KEY_HASH = "_key_hash"


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

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield left_id (row number of the query), right_id, score, list: the k best pairs of each query, and more.

        The columns of the batches are ids, vectors and KEY_HASH.
        """
        for batch in batches:
            ids, column, keys = batch.columns
            vectors = read_vectors(column, self.queries.matrix.shape[1], self.quantizer.score)
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
