"""An index: a table that is sorted by inverted list, and beside it a small table with the centroids of the lists.

The metadata of the column LIST marks the table. The metadata of the column CENTROID has the facts: they can change with
each append, and the files of a Parquet table keep the metadata that they were written with.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import types as st

from st_spark.errors import InputError, TableError
from st_spark.join.list_column import in_ranges
from st_spark.join.tasks.row_lists import LIST
from st_spark.tables import io
from st_spark.tables.local_rows import from_arrow, to_arrow
from st_spark.tables.metadata import column_metadata, field_metadata
from st_spark.tables.names import table_beside
from st_spark.tables.source_version import source_version
from st_spark.topk.coarse_quantizer import CoarseQuantizer
from st_spark.topk.list_ranges import list_ranges

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import StructType

    from st_spark.topk.scores import Matrix, Places

CENTROID, ROWS = "centroid", "rows"
# The value of nprobe that reads all lists.
ALL = "all"
# About how many rows a task reads, and bytes of the files that it looks into. To call Python takes a task 0.1 to 0.3 s.
_TASK_ROWS, _TASK_BYTES = 20_000, 1 << 31
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VectorIndex:
    """An index, without its rows."""

    where: str  # Path or name of the table
    quantizer: CoarseQuantizer  # Finds the lists that are nearest to a query
    rows: "Places"  # [lists] rows of each list
    # index (an id that both tables have), score, column, nprobe, recall (and recall_low, recall_high, recall_asked, and
    # k, of which it was measured), source, source_format, source_version, source_rows
    facts: Mapping[str, Any]

    def check(self, dimension: int, score: str) -> None:
        """Check that queries fit the index; InputError if not."""
        ours = self.quantizer.centroids.shape[1]
        if dimension != ours:
            raise InputError(
                f"The vectors in {self.where} have {ours} values, and those to compare with them have {dimension}.",
                "use the model that made the table; a search can leave out --model if the table names its model.",
            )
        if score != self.quantizer.score:
            raise InputError(
                f"The lists of {self.where} were made for {self.quantizer.score}, and the score asked for is {score}.",
                f"to append, give --score {self.quantizer.score}; to search, read all lists: --nprobe all, "
                f"nprobe='all'; or build an index with --score {score}.",
            )

    def probe(self, spark: "SparkSession", queries: "Matrix", score: str, nprobe: int | None) -> "Probing":
        """Return which lists the queries probe; by default as many as the recall of the index needs.

        Log a warning if the source has changed. InputError if the queries do not fit the index.
        """
        if len(queries):
            self.check(queries.shape[1], score)
        self.warn_if_stale(spark)
        count = min(nprobe or int(self.facts["nprobe"]), len(self.quantizer))
        return Probing(self, self.quantizer.probe(queries, count).astype(np.int32))

    def version_now(self, spark: "SparkSession") -> str | None:
        """Return the version of the source now; None if it cannot be found any more."""
        try:
            return source_version(spark, self.facts["source"], self.facts["source_format"])
        except Exception:  # noqa: BLE001  (a search does not need the source)
            return None

    def warn_if_stale(self, spark: "SparkSession") -> None:
        """Log one warning if the source has changed since the index has read it."""
        now, source = self.version_now(spark), self.facts["source"]
        if now not in (None, self.facts["source_version"]):
            _log.warning(
                "%s has changed since the index %s was made of it (%s then, %s now): the search does not see the "
                "changes. Fix: st-spark index --table %s --output %s --mode append (or overwrite).",
                *(source, self.where, self.facts["source_version"], now, source, self.where),
            )


@dataclass(frozen=True)
class Probing:
    """Which lists of an index some queries probe."""

    index: VectorIndex
    lists: npt.NDArray[np.int32]  # [queries, nprobe] the best list of each query first

    @cached_property
    def ranges(self) -> list[tuple[int, int]]:
        """The lists that are read: first and last of each range."""
        return list_ranges(np.unique(self.lists).astype(np.int64))

    @property
    def condition(self) -> "Column":
        """The condition for the rows that are read."""
        return in_ranges(self.ranges)

    @property
    def tasks(self) -> int:
        """The most tasks that read the rows. Spark makes one for each part of the files, and most parts have none."""
        size = int(self.index.rows.sum()) * self.index.quantizer.centroids.shape[1] * 4
        return max(ceil(self.facts()["rows_read"] / _TASK_ROWS), ceil(size / _TASK_BYTES), 1)

    def facts(self) -> dict[str, Any]:
        """Return what the result says.

        Returns:
            lists (all), lists_read, rows_read (in these lists), nprobe, and recall: the one that was measured when the
            index was built, None for another nprobe.
        """
        nprobe, facts = self.lists.shape[1], self.index.facts
        places = [slice(first, last + 1) for first, last in self.ranges]
        read = {"lists_read": sum(each.stop - each.start for each in places)}
        read |= {"rows_read": sum(int(self.index.rows[each].sum()) for each in places)}
        recall = facts["recall"] if nprobe == facts["nprobe"] else None
        return {"lists": len(self.index.quantizer), **read, "nprobe": nprobe, "recall": recall}


# The last index that was found, by its place, its format and its facts, which change when rows are added. A notebook
# asks for the same one again and again.
_last: dict[tuple[str, str | None, str], VectorIndex] = {}


def find_index(table: "DataFrame", where: str | None = None, table_format: str | None = None) -> VectorIndex | None:
    """Return the index that a table is; None if it is none.

    Args:
        table: The rows.
        where: Path or name of the table; by default the place where it was written.
        table_format: The format, by default found from the path.

    Raises:
        TableError: Its centroids are missing, or belong to another index.
    """
    mark = index_mark(table.schema)
    if mark is None:
        return None
    where, table_format = (where, table_format) if where is not None else (mark["path"], mark["format"])
    centroids = table_beside(where, "centroids")
    fix = f"build it again: st-spark index --output {where} --mode overwrite."
    try:
        df = io.read(table.sparkSession, centroids, table_format)
    except TableError as error:
        raise TableError(f"The index {where} has no centroids: {error.problem}", fix) from error
    facts = field_metadata(df.schema, CENTROID) if CENTROID in df.columns else {}
    if facts.get("index") != mark["index"]:
        raise TableError(
            f"{centroids} does not belong to {where}: the run that wrote them has stopped between the two.", fix
        )
    key = (where, table_format, json.dumps(facts, sort_keys=True))
    index = _last.get(key)
    if index is None:
        _last.clear()
        index = _last[key] = _collect(df, where, facts)
    return index


def _collect(df: "DataFrame", where: str, facts: Mapping[str, Any]) -> VectorIndex:
    """Return an index from its table of centroids."""
    read = to_arrow(df.select(LIST, CENTROID, ROWS)).sort_by(LIST)
    vectors = read.column(CENTROID).combine_chunks()
    matrix = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(read), -1)
    quantizer = CoarseQuantizer(np.ascontiguousarray(matrix), str(facts["score"]))
    return VectorIndex(where, quantizer, read.column(ROWS).to_numpy(), facts)


def lists_of(table: "DataFrame", vector: str, score: str, where: str | None = None) -> CoarseQuantizer | None:
    """Return the lists of a table that a join can use; None if it is no index of these vectors and this score."""
    try:
        index = find_index(table, where)
    except TableError as error:
        _log.warning("The join makes its own lists. %s", error)
        return None
    if index is None or (index.facts["column"], index.quantizer.score) != (vector, score):
        return None
    _log.info("Using the lists of the index %s", index.where)
    return index.quantizer


def index_mark(schema: "StructType") -> dict[str, Any] | None:
    """Return what marks a table as an index: index (its id), path and format; None if it is none."""
    found = field_metadata(schema, LIST) if LIST in schema.names else {}
    return found if "index" in found else None


def check_nprobe(nprobe: int | str | None, index: VectorIndex | None, where: str) -> Any:  # noqa: ANN401
    """Return how many lists to probe: a number, ALL, or None for as many as the index says; InputError if it is none.

    A job gives a number as text.
    """
    if nprobe is None or nprobe == ALL:
        return nprobe if index is not None else ALL
    count = int(nprobe) if isinstance(nprobe, str) and nprobe.isdecimal() else nprobe
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InputError(f"nprobe is {nprobe!r}.", "give a number of lists, 1 or more, or 'all'.")
    if index is None:
        fix = "build one: st-spark index, build_index(); or leave it out."
        raise InputError(f"nprobe is {nprobe}, and {where} is no index.", fix)
    return count


def centroid_rows(
    spark: "SparkSession", quantizer: CoarseQuantizer, sizes: "Places", facts: Mapping[str, Any]
) -> "DataFrame":
    """Return the table of centroids: LIST, CENTROID and ROWS, with the facts of VectorIndex."""
    matrix = quantizer.centroids
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), matrix.shape[1])
    columns = {LIST: pa.array(range(len(matrix)), pa.int32()), CENTROID: vectors, ROWS: pa.array(sizes)}
    kinds = (st.IntegerType(), st.ArrayType(st.FloatType()), st.LongType())
    schema = st.StructType([st.StructField(name, kind) for name, kind in zip(columns, kinds, strict=True)])
    df = from_arrow(spark, pa.table(columns), schema).repartition(1).sortWithinPartitions(LIST)
    return df.withMetadata(CENTROID, column_metadata(facts))
