"""The exact neighbours of a sample of left rows, and the inverted lists that hold them: recall is measured by these."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from st_spark.join.tasks.blocks import self_index
from st_spark.join.tasks.vector_column import read_vectors
from st_spark.topk.coarse_quantizer import Cells
from st_spark.topk.scores import Matrix, Places, Scores
from st_spark.topk.search import top_k

# Right rows that are searched at a time.
_ROWS = 32_768


@dataclass(frozen=True)
class Sample:
    """A sample of rows.

    Attributes:
        ids: [n].
        keys: [n] a hash of the columns that must be equal in a pair.
        matrix: [n, d].
    """

    ids: pa.Array
    keys: npt.NDArray[np.int64]
    matrix: Matrix

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Places | slice) -> "Sample":
        """Return some of the rows."""
        places = np.arange(len(self))[rows]
        return Sample(self.ids.take(pa.array(places)), self.keys[rows], self.matrix[rows])


@dataclass(frozen=True)
class GroundTruth:
    """Searches right rows for the neighbours of the queries.

    Attributes:
        queries: A sample of left rows.
        quantizer: Assigns rows to inverted lists.
        k: How many neighbours.
        threshold: Only pairs with this score or a higher one.
        self_join: Whether one table is joined with itself: a row is no neighbour of itself.
        columns: The columns of id, vector and hash of the keys.
    """

    queries: Sample
    quantizer: Cells
    k: int
    threshold: float | None
    self_join: bool
    columns: tuple[str, str, str]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield left_id (the row number of the query), right_id, score, list: the k best and others."""
        thresholds = np.full(len(self.queries), -np.inf)
        held: list[pa.RecordBatch] = []
        for batch in batches:
            held.append(batch)
            if sum(map(len, held)) >= _ROWS:
                yield from self._search(held, thresholds)
                held = []
        if held:
            yield from self._search(held, thresholds)

    def _search(self, batches: list[pa.RecordBatch], thresholds: Scores) -> Iterator[pa.RecordBatch]:
        """Yield the best pairs of some right rows, and raise the thresholds of the queries."""
        rows = pa.concat_batches(batches)
        ids, column, keys = (rows.column(name) for name in self.columns)
        vectors = read_vectors(column, self.queries.matrix.shape[1], self.quantizer.score)
        kept = pa.array(vectors.kept)
        right = Sample(ids.filter(kept), keys.filter(kept).to_numpy(), vectors.matrix)
        right = right.take(pc.sort_indices(right.ids).to_numpy())  # of equal scores the smaller id is better
        for key in np.unique(right.keys):
            query = np.flatnonzero(self.queries.keys == key)
            if len(query):
                yield self._pairs(query, right.take(np.flatnonzero(right.keys == key)), thresholds)

    def _pairs(self, query: Places, right: Sample, thresholds: Scores) -> pa.RecordBatch:
        left = self.queries.take(query)
        pairs = top_k(
            left.matrix,
            right.matrix,
            self.k,
            self.quantizer.score,
            threshold=self.threshold,
            twins=self_index(left.ids, right.ids) if self.self_join else None,
            floor=thresholds[query],
        )
        counts = np.bincount(pairs.left, minlength=len(query))
        full = np.flatnonzero(counts == self.k)
        kth_best = pairs.score[np.cumsum(counts)[full] - 1]
        thresholds[query[full]] = np.maximum(thresholds[query[full]], kth_best)
        found, which = np.unique(pairs.right, return_inverse=True)
        lists = self.quantizer.home(right.matrix[found])[which]
        columns = [
            pa.array(query[pairs.left].astype(np.int32)),
            right.ids.take(pa.array(pairs.right)),
            pa.array(pairs.score),
            pa.array(lists.astype(np.int32)),
        ]
        return pa.RecordBatch.from_arrays(columns, names=["left_id", "right_id", "score", "list"])
