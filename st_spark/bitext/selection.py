"""Neighbours to pairs in one task: Arrow batches in, Arrow batches out. No Spark."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from st_spark.bitext.columns import (
    BACKWARD_RANK,
    COSINE,
    DIRECTION,
    FORWARD,
    FORWARD_RANK,
    REFUSED,
    SCORE,
    SOURCE,
    TARGET,
)
from st_spark.bitext.retrieval import DIRECTIONS, Flags, Rule, Scored, mined, nearest
from st_spark.topk.scores import Places

# The columns that are made.
NAMES = (SOURCE, TARGET, SCORE, COSINE, DIRECTION, FORWARD_RANK, BACKWARD_RANK)
_ROWS_OF_A_BATCH = 1 << 16


@dataclass(frozen=True)
class Selection:
    """Chooses pairs.

    Attributes:
        rule: How.
    """

    rule: Rule

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pairs with NAMES, the best first.

        Args:
            batches: All neighbours, with FORWARD, SOURCE, TARGET and COSINE, in any order; or pairs that are merged,
                with FORWARD_RANK, BACKWARD_RANK and REFUSED in the place of FORWARD.
        """
        held = list(batches)
        if not held:
            return
        rows = pa.Table.from_batches(held)
        del held
        sources, source = _numbered(rows.column(SOURCE))
        targets, target = _numbered(rows.column(TARGET))
        cosine = rows.column(COSINE).to_numpy()
        forward, backward = _ways(rows)
        refused = _refused(rows)
        k = self.rule.k
        near = nearest(source[forward], target[forward], cosine[forward], refused[forward], k)
        back = nearest(target[backward], source[backward], cosine[backward], refused[backward], k)
        yield from _batches(mined(near, back, self.rule), sources, targets)


def _ways(rows: pa.Table) -> tuple[Flags, Flags]:
    if FORWARD in rows.column_names:
        forward = rows.column(FORWARD).to_numpy()
        return forward, ~forward
    ranks = (rows.column(name).is_valid().to_numpy() for name in (FORWARD_RANK, BACKWARD_RANK))
    forward, backward = ranks
    return forward, backward


def _refused(rows: pa.Table) -> Flags:
    if REFUSED not in rows.column_names:
        return np.zeros(len(rows), bool)
    return np.asarray(rows.column(REFUSED).is_valid().to_numpy())


def _numbered(column: pa.ChunkedArray) -> tuple[pa.Array, Places]:
    """The ids in their order (strings in that of their UTF-8 bytes), and the place of each row's id among them."""
    if pa.types.is_integer(column.type):
        ids, places = np.unique(column.to_numpy(), return_inverse=True)
        return pa.array(ids, column.type), places
    ids = pc.unique(column)
    ids = ids.take(pc.sort_indices(ids))
    return ids, np.asarray(pc.index_in(column, value_set=ids).to_numpy().astype(np.int64))


def _batches(pairs: Scored, sources: pa.Array, targets: pa.Array) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(pairs.source), _ROWS_OF_A_BATCH):
        some = pairs.taken(np.arange(start, min(start + _ROWS_OF_A_BATCH, len(pairs.source))))
        ways = zip(some.forward.tolist(), some.backward.tolist(), strict=True)
        columns = [
            sources.take(pa.array(some.source)),
            targets.take(pa.array(some.target)),
            pa.array(some.score),
            pa.array(some.cosine),
            pa.array([DIRECTIONS[way] for way in ways]),
            *(pa.array(rank, mask=rank == 0) for rank in (some.forward_rank, some.backward_rank)),
        ]
        yield pa.RecordBatch.from_arrays(columns, names=list(NAMES))
