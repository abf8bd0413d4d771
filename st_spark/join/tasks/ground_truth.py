"""The exact neighbours of a few left rows, and the cells that these lie in: what a recall is measured by. No Spark."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from st_spark.join.tasks.blocks import places_of
from st_spark.join.tasks.vector_column import checked
from st_spark.topk.coarse_quantizer import CoarseQuantizer
from st_spark.topk.scores import Matrix, Places
from st_spark.topk.search import top_k

# Right rows that are looked through at once.
_ROWS = 32_768


@dataclass(frozen=True)
class Drawn:
    """Some rows, drawn by the hashes of their ids.

    Attributes:
        ids: [n].
        keys: [n] a hash of what must be equal in a pair.
        matrix: [n, d].
    """

    ids: pa.Array
    keys: npt.NDArray[np.int64]
    matrix: Matrix

    def part(self, first: int, stop: int | None = None) -> "Drawn":
        """Some of them."""
        return Drawn(self.ids[first:stop], self.keys[first:stop], self.matrix[first:stop])


@dataclass(frozen=True)
class Truth:
    """Looks through right rows.

    Attributes:
        queries: The left rows.
        cells: The cells.
        k: How many neighbours.
        threshold: Only pairs with this score or a higher one.
        itself: Whether one table is joined with itself: a row is no neighbour of itself.
        columns: The columns of id, vector and hash of the keys.
    """

    queries: Drawn
    cells: CoarseQuantizer
    k: int
    threshold: float | None
    itself: bool
    columns: tuple[str, str, str]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Batches of left_id (the query's place), right_id, score, cell: among them the k best of each query."""
        floor = np.full(len(self.queries.ids), -np.inf)
        held: list[pa.RecordBatch] = []
        for batch in batches:
            held.append(batch)
            if sum(map(len, held)) >= _ROWS:
                yield from self._best(held, floor)
                held = []
        if held:
            yield from self._best(held, floor)

    def _best(self, batches: list[pa.RecordBatch], floor: npt.NDArray[np.float64]) -> Iterator[pa.RecordBatch]:
        """The best of some right rows; raises the floor of the queries."""
        rows = pa.concat_batches(batches)
        id_column, vector, key = self.columns
        found = checked(rows.column(vector), self.queries.matrix.shape[1], self.cells.score)
        kept = pa.array(found.kept)
        # Of equal scores the smaller id is better, so they stand in that order.
        ids = rows.column(id_column).filter(kept)
        order = pc.sort_indices(ids).to_numpy()
        ids, matrix = ids.take(pa.array(order)), found.matrix[order]
        keys = rows.column(key).filter(kept).to_numpy()[order]
        for value in np.unique(keys):
            query = np.flatnonzero(self.queries.keys == value)
            right = np.flatnonzero(keys == value)
            if len(query):
                yield self._pairs(query, ids.take(pa.array(right)), matrix[right], floor)

    def _pairs(self, query: Places, ids: pa.Array, matrix: Matrix, floor: npt.NDArray[np.float64]) -> pa.RecordBatch:
        twins = places_of(self.queries.ids.take(pa.array(query)), ids) if self.itself else None
        pairs = top_k(
            self.queries.matrix[query],
            matrix,
            self.k,
            self.cells.score,
            threshold=self.threshold,
            self_index=twins,
            row_thresholds=floor[query],
        )
        counts = np.bincount(pairs.left, minlength=len(query))
        enough = np.flatnonzero(counts == self.k)
        last = np.cumsum(counts)[enough] - 1
        floor[query[enough]] = np.maximum(floor[query[enough]], pairs.score[last])
        places, where = np.unique(pairs.right, return_inverse=True)
        cell = self.cells.assign(matrix[places])[where]
        arrays = [
            pa.array(query[pairs.left].astype(np.int32)),
            ids.take(pa.array(pairs.right)),
            pa.array(pairs.score),
            pa.array(cell.astype(np.int32)),
        ]
        return pa.RecordBatch.from_arrays(arrays, names=["left_id", "right_id", "score", "cell"])
