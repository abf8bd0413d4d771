"""The lists of an index: trained for all rows of a table, or kept while new rows are added to them."""

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.sql import functions as sf

from st_spark.errors import InputError
from st_spark.join import ivf
from st_spark.join.input_stats import InputStats, why_set_aside
from st_spark.join.inputs import TablePair, id_values
from st_spark.join.list_column import file_of_lists, sorted_by_list
from st_spark.join.options import Request
from st_spark.join.shuffle import ID, VECTOR
from st_spark.tables.columns import quoted_column
from st_spark.tables.metadata import column_metadata
from st_spark.tables.vector_types import vector_values
from st_spark.topk.coarse_quantizer import CoarseQuantizer
from st_spark.topk.recall import Recall

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from st_spark.join.vector_index import VectorIndex

DEFAULT_RECALL = 0.95
# The recall is measured of so many neighbours of a row.
_K = 10
# With more than this share of the lists a search reads so much that new lists are better.
_REBUILD_SHARE = 0.25
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class IndexSource:
    """The table that an index is made of."""

    where: str
    df: "DataFrame"
    id_column: str
    vector: str
    score: str
    tables: TablePair  # Its ids and vectors
    stats: InputStats

    @property
    def dimension(self) -> int:
        """Number of values of a vector."""
        return self.stats.dimension


@dataclass(frozen=True)
class IndexLists:
    """The lists of an index, and the rows to write to them."""

    quantizer: CoarseQuantizer
    nprobe: int  # How many lists a query probes
    recall: Recall  # As a sample of the rows measures it
    asked: float  # The recall that is wanted
    mark: Mapping[str, Any]  # See vector_index.index_mark()
    rows: "DataFrame | None"  # The new rows, sorted by list; None if there are none
    count: int  # How many
    files: int = 1  # How many partitions they have
    rebuild: bool = False  # Whether new lists would be better

    def facts(self) -> dict[str, Any]:
        """Return what the result and the index say of the lists."""
        recall = {"recall": self.recall.value, "recall_low": self.recall.low, "recall_high": self.recall.high}
        rounded = {name: round(value, 4) for name, value in recall.items()}
        return {"lists": len(self.quantizer), "nprobe": self.nprobe, **rounded, "recall_asked": self.asked, "k": _K}


def train(source: IndexSource, recall: float, lists: int | None, place: Mapping[str, str]) -> IndexLists:
    """Make lists of all rows, and find how many of them a query probes.

    Args:
        source: The table.
        recall: The share of the true neighbours to find.
        lists: The number of lists; None for as many as suit the rows.
        place: path and format of the index.
    """
    request = Request(_K, score=source.score, method="ivf", recall=recall)
    tuned = ivf.tune(source.tables, source.stats, request, _K, lists)
    assert tuned is not None  # there are rows
    # As they are stored: a row must have the same list when it is appended.
    quantizer = replace(tuned.quantizer, centroids=tuned.quantizer.centroids.astype(np.float32))
    mark = {"index": uuid.uuid4().hex[:12], **place}
    planned = IndexLists(quantizer, tuned.nprobe, tuned.recall, recall, mark, None, source.stats.left.kept)
    return _with_rows(planned, source, source.df, tuned.right_rows)


def extend(source: IndexSource, old: "VectorIndex", mark: Mapping[str, Any], new: int, recall: float) -> IndexLists:
    """Keep the lists of an index, and measure their recall with the rows that the table has now.

    If it has fallen below the wanted one, a query probes more lists.

    Args:
        source: The table.
        old: The index.
        mark: Its mark.
        new: Rows of the table that it does not have; see count_new().
        recall: The share of the true neighbours to find.
    """
    facts, probed = old.facts, int(old.facts["nprobe"])
    measured = Recall(facts["recall"], facts["recall_low"], facts["recall_high"])
    planned = IndexLists(old.quantizer, probed, measured, recall, mark, None, new)
    if not new and recall == facts["recall_asked"]:
        return planned
    nprobe, measured = ivf.measure(source.tables, source.stats, old.quantizer, _K, recall, probed)
    rebuild = nprobe > probed and nprobe > _REBUILD_SHARE * len(old.quantizer)
    if nprobe > probed:
        _log.warning(
            "To find the wanted share of the neighbours, a query of %s now probes %d of %d lists, not %d.%s",
            *(old.where, nprobe, len(old.quantizer), probed),
            " Fix: build the index anew: --mode overwrite." if rebuild else "",
        )
    return replace(planned, nprobe=nprobe, recall=measured, rebuild=rebuild)


def add_rows(planned: IndexLists, source: IndexSource, table: "DataFrame", old: "VectorIndex") -> IndexLists:
    """Return the lists with the rows of the source that the table of the index does not have."""
    if not planned.count:
        return planned
    ids = table.select(id_values(table, source.id_column).alias(ID))
    new = source.df.join(ids, id_values(source.df, source.id_column) == sf.col(ID), "left_anti")
    return _with_rows(planned, source, new, old.rows * (planned.count / max(old.rows.sum(), 1)))


def count_new(source: IndexSource, table: "DataFrame", where: str) -> int:
    """Return how many rows an index does not have; InputError if other rows have changed, or have left the source.

    Args:
        source: The table that the index is made of.
        table: The rows of the index.
        where: Path or name of the index.
    """
    left = source.tables.left
    left = left.where(why_set_aside(left, source.dimension, source.score).isNull())
    ours = left.select(ID, sf.xxhash64(VECTOR).alias("new"))
    theirs = table.select(
        id_values(table, source.id_column).alias(ID),
        sf.xxhash64(vector_values(table.schema, source.vector)).alias("old"),
    )
    new, old = sf.col("new"), sf.col("old")
    counts = [sf.count_if(old.isNull()), sf.count_if(new.isNull()), sf.count_if(new != old)]
    added, gone, changed = ours.join(theirs, ID, "full_outer").agg(*counts).collect()[0]
    if gone or changed:
        raise InputError(
            f"{changed:,} rows of the index {where} have another vector in {source.where} now, and {gone:,} are not "
            "there any more. An append only adds rows.",
            "build the index anew: --mode overwrite.",
        )
    return int(added)


def _with_rows(planned: IndexLists, source: IndexSource, df: "DataFrame", sizes: "np.ndarray") -> IndexLists:
    """Return the lists with rows to write; `sizes` says about how many rows each list gets."""
    rows = df.where(quoted_column(source.id_column).isNotNull())
    file = file_of_lists(sizes, source.dimension)
    rows = sorted_by_list(rows, source.vector, planned.quantizer, file, column_metadata(planned.mark))
    return replace(planned, rows=rows, files=int(file.max()) + 1)
