"""Search a table for a set of queries: each task has all queries, and reads its rows of the table once."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from st_spark.choices import REASONS
from st_spark.join.tasks.best_rows import BestRows
from st_spark.join.tasks.blocks import Block
from st_spark.join.tasks.row_lists import LIST
from st_spark.join.tasks.row_stats import RowStats
from st_spark.join.tasks.vector_column import read_vectors
from st_spark.model.quantization import Form
from st_spark.topk.inverted_lists import Probes
from st_spark.topk.pairs import Pairs, ranks
from st_spark.topk.prefilter import can_win
from st_spark.topk.scores import Matrix, Scores
from st_spark.topk.search import top_k

# The columns of the result, after left_id, right_id and score of list_batch(). A row without left_id has counts:
# ROWS rows of the table were searched (REASON "searched"), or left out for a reason.
REASON, ROWS = "reason", "rows"
SEARCHED, NULL_ID = "searched", "null id"
OUTCOMES = (SEARCHED, NULL_ID, *REASONS)
# Bytes of the vectors that are searched at a time. Each search quantises the queries anew, so blocks should be large.
_BLOCK_BYTES = 1 << 26


@dataclass(frozen=True)
class QuerySearch:
    """Finds, for each query, the k best of the rows that a task reads.

    The batches have the columns ids and vectors, and with probes the list of each row. Of equal scores the smaller id
    is better.
    """

    queries: Matrix  # [queries, dimension] finite vectors, none of zeros for cosine
    k: int
    score: str
    first: int = 0  # The number of the first query
    form: Form | None = None  # How the vectors are stored; None for floats
    # [queries, nprobe] the only lists that each query is compared with, the best first; None for all rows
    probes: npt.NDArray[np.int32] | None = None
    block_bytes: int = _BLOCK_BYTES
    name: str = field(default_factory=lambda: uuid4().hex)  # Tells this search from others

    def __call__(self, batches: Iterator[pa.RecordBatch], lowest: Scores | None = None) -> Iterator[pa.RecordBatch]:
        """Yield batches of left_id (the number of the query), right_id, score, REASON and ROWS.

        `lowest` is the lowest score that is wanted for each query, [queries]; it is raised here. None for any.
        """
        lowest = np.full(len(self.queries), -np.inf) if lowest is None else lowest
        best, counts = BestRows(self.k, lowest), Counter[str]()
        for rows in self._blocks(batches):
            block, found = self._read(*rows.columns)
            best.add(block.ids, self._best(block, lowest))
            counts.update(found)
        lists = best.lists(pa.array(np.arange(self.first, self.first + len(self.queries), dtype=np.int32)))
        if lists is None:
            return
        columns = dict(zip(lists.schema.names, lists.columns, strict=True))
        yield pa.RecordBatch.from_pydict(
            {**columns, REASON: pa.nulls(len(lists), pa.string()), ROWS: pa.nulls(len(lists), pa.int64())}
        )
        if self.first:  # a later pass over the same rows
            return
        nothing = {name: pa.nulls(len(counts), column.type) for name, column in columns.items()}
        reasons, numbers = pa.array(list(counts), pa.string()), pa.array(list(counts.values()), pa.int64())
        yield pa.RecordBatch.from_pydict({**nothing, REASON: reasons, ROWS: numbers})

    def _best(self, block: Block, lowest: Scores) -> Pairs:
        """Return the best rows of each query that reach its lowest score."""
        if self.probes is None:
            return top_k(self.queries, block.matrix, self.k, self.score, threshold=lowest)
        lists = block.extra[LIST].to_numpy(zero_copy_only=False).astype(np.int64)
        here = np.isin(self.probes, lists)
        row, column = np.nonzero(here)
        asked, place = np.unique(row, return_inverse=True)  # the other queries probe no list of this block
        probes = Probes(lists, place, self.probes[row, column].astype(np.int64), ranks(place))
        queries = self.queries[asked]
        pairs = top_k(queries, block.matrix, self.k, self.score, threshold=lowest[asked], probes=probes)
        return Pairs(asked[pairs.left], pairs.right, pairs.score)

    def _blocks(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Put batches together until they have enough vectors."""
        most = max(self.block_bytes // (4 * self.queries.shape[1]), 1)
        parts: list[pa.RecordBatch] = []
        for batch in filter(len, batches):
            parts.append(batch)
            if sum(map(len, parts)) >= most:
                yield pa.concat_batches(parts)
                parts = []
        if parts:
            yield pa.concat_batches(parts)

    def _read(self, ids: pa.Array, column: pa.Array, *lists: pa.Array) -> tuple[Block, dict[str, int]]:
        """Return the rows that can win, sorted by id, and how many rows have which of OUTCOMES."""
        extra = dict(zip((LIST,), lists, strict=False))
        dimension = self.queries.shape[1]
        sizes = pc.list_value_length(column).fill_null(-1).to_numpy(zero_copy_only=False)
        null_id = ids.is_null().to_numpy(zero_copy_only=False)
        early = {NULL_ID: null_id, "null": ~null_id & (sizes < 0)}
        early["dimension"] = ~null_id & (sizes >= 0) & (sizes != (self.form.width if self.form else dimension))
        counts = {reason: int(rows.sum()) for reason, rows in early.items()}
        if any(counts.values()):
            fitting = pa.array(~np.any(list(early.values()), axis=0))
            ids, column = ids.filter(fitting), column.filter(fitting)
            extra = {name: values.filter(fitting) for name, values in extra.items()}
        vectors = read_vectors(column, dimension, self.score, self.form)
        if not vectors.kept.all():
            lost = column.filter(pa.array(~vectors.kept))
            counts |= Counter(RowStats(self.score, self.form).reasons(lost).to_pylist())
            ids = ids.filter(pa.array(vectors.kept))
            extra = {name: values.filter(pa.array(vectors.kept)) for name, values in extra.items()}
        counts[SEARCHED] = len(ids)
        winning = None if extra else can_win(self.queries, vectors.matrix, self.k, self.score)
        block = Block(ids, vectors.matrix, extra)
        block = block if winning is None else block.take(np.flatnonzero(winning))
        return block.take(pc.sort_indices(block.ids).to_numpy()), {name: n for name, n in counts.items() if n}
