"""The index job: sort an embedded table into inverted lists, measure the recall, or add new rows to the lists."""

from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.sql import Observation
from pyspark.sql import functions as sf
from pyspark.sql import types as st

from st_spark.errors import InputError, TableError
from st_spark.jobs.search_table import find_id_column, find_vectors
from st_spark.join import index_lists
from st_spark.join.index_lists import DEFAULT_RECALL, IndexLists, IndexSource
from st_spark.join.input_stats import collect_stats
from st_spark.join.inputs import table_pair
from st_spark.join.list_column import FINE_FILES
from st_spark.join.tasks.row_lists import LIST
from st_spark.join.vector_index import VectorIndex, centroid_rows, find_index, index_mark
from st_spark.spark.hold import freed
from st_spark.spark.settings import changed
from st_spark.steps import bad_rows, bad_vectors, output_table
from st_spark.tables import io
from st_spark.tables.bad_rows import name_some, rejected
from st_spark.tables.columns import check_new_column
from st_spark.tables.metadata import field_metadata
from st_spark.tables.names import table_beside
from st_spark.tables.output import open_output
from st_spark.tables.source_version import absolute_name, source_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    from pyspark.sql import DataFrame, SparkSession

    from st_spark.specs.row_jobs import IndexJob
    from st_spark.steps.query_vectors import TableVectors
    from st_spark.steps.timings import Timings
    from st_spark.tables.writers import Writer


@dataclass(frozen=True)
class _OldIndex:
    """The index that rows are appended to."""

    table: "DataFrame"
    mark: "Mapping[str, Any]"
    index: VectorIndex


def run(spark: "SparkSession", job: "IndexJob", timings: "Timings") -> dict[str, Any]:
    """Run an index job.

    Returns:
        rows: in (of the table), out (written by this run) and indexed (of the whole index);
        set_aside: rows of the table that are not in the index, by reason;
        lists, nprobe (how many of them a query probes), recall with its 95% interval (recall_low, recall_high),
            recall_asked, and k: of how many neighbours the recall was measured;
        rebuild: whether the lists do not suit the rows any more, so that the index should be built anew;
        table, column, score, source, source_format, source_version; model: name and dim, if they are known;
        output: path and format, and the version of a Delta table; centroids: the same of the table of centroids.
    """
    with ExitStack() as stack:
        output = stack.enter_context(output_table.opened(spark, job))
        second = stack.enter_context(_open_centroids(spark, job, output.writer))
        stack.enter_context(freed())
        old = _old_index(output.writer) if output.writer.appends else None
        source, version = _read(spark, job, old, timings)
        output.writer.check(_with_list(source.df.schema), source.vector)
        planned = _plan(job, source, old, output.writer, timings)
        _write(output, planned, timings)
        sizes = _rows_of_lists(output.writer, len(planned.quantizer))
        facts = {**planned.facts(), "score": source.score, **version}
        kept = {"index": planned.mark["index"], "column": source.vector, "source_rows": source.stats.left.rows, **facts}
        table = centroid_rows(spark, planned.quantizer, sizes, kept)
        with timings("centroids", f"Writing {second.where}"):
            centroids = output.write_other(second, table, lambda: len(planned.quantizer), "centroids")
    model = field_metadata(source.df.schema, source.vector).get("model")
    return {
        "table": job.table,
        "column": source.vector,
        "rows": {"in": source.stats.left.rows, "out": planned.count, "indexed": int(sizes.sum())},
        "set_aside": source.stats.left.set_aside,
        **facts,
        "rebuild": planned.rebuild,
        **({"model": {"name": model, "dim": source.dimension}} if model else {}),
        "output": output.describe(),
        "centroids": centroids,
    }


def _with_list(schema: st.StructType) -> st.StructType:
    return st.StructType([*schema.fields, st.StructField(LIST, st.IntegerType())])


def _open_centroids(spark: "SparkSession", job: "IndexJob", writer: "Writer") -> "AbstractContextManager[Writer]":
    mode = "error" if job.mode == "error" else "overwrite"  # an append changes the facts of the index
    where = table_beside(job.output, "centroids")
    return open_output(spark, where, writer.format, mode, job.tables(), provider=writer.provider)


def _old_index(writer: "Writer") -> _OldIndex:
    table = writer.read()
    index, mark = find_index(table, writer.where, writer.format), index_mark(table.schema)
    if index is None or mark is None:
        raise TableError(f"{writer.where} is no index.", "name another --output, or overwrite it.")
    return _OldIndex(table, mark, index)


def _read(
    spark: "SparkSession", job: "IndexJob", old: _OldIndex | None, timings: "Timings"
) -> tuple[IndexSource, dict[str, str]]:
    """Read the table, check its columns and count its rows. Also return where it is and its version."""
    where = job.table
    with timings("read", f"Reading {where}"):
        table_format = job.table_format or io.find_format(spark, where)
        version = source_version(spark, where, table_format)  # before the rows, so that no change is missed
        df = io.read(spark, where, table_format)
        check_new_column(df, where, LIST, "rename it: an index adds this column.")
        vectors = find_vectors(df.schema, where, job.column)
        _check_floats(vectors)
        id_column = find_id_column(df.schema, vectors, job.id_column)
        score = vectors.score(job.score or (str(old.index.facts["score"]) if old else None))
        tables = table_pair(df, None, {"left": (id_column, vectors.column)}, (), (where, where))
    with timings("count", f"Counting the rows of {where}"):
        stats = collect_stats(tables, score, (where, where))
    marked = bad_vectors.mark(df, id_column, vectors.column, vectors.column, stats.dimension, score)
    first, bad = rejected(marked, (id_column,)), stats.left.set_aside
    bad_rows.check(job, where, stats.left.rows, bad, lambda: name_some(first, id_column))
    if not stats.left.kept:
        raise InputError(f"{where} has no row with an ID and a valid vector.", "embed some texts into it first.")
    about = {"source": absolute_name(spark, where, table_format), "source_format": table_format}
    source = IndexSource(where, df, id_column, vectors.column, score, tables.joinable(), stats)
    return source, {**about, "source_version": version}


def _check_floats(vectors: "TableVectors") -> None:
    if vectors.precision != "float32":
        raise InputError(
            f"The column {vectors.column!r} of {vectors.where} holds {vectors.precision}, and an index needs floats.",
            "index a table with --precision float32, or search this one without an index.",
        )


def _plan(
    job: "IndexJob", source: IndexSource, old: _OldIndex | None, writer: "Writer", timings: "Timings"
) -> IndexLists:
    """Find the lists and the rows to write."""
    if old is None:
        place = {"path": absolute_name(writer.spark, job.output, writer.format), "format": writer.format}
        with timings("train", f"Training the lists of {job.output}, and measuring the recall"):
            return index_lists.train(source, DEFAULT_RECALL if job.recall is None else job.recall, job.lists, place)
    old.index.check(source.dimension, source.score)
    with timings("compare", f"Comparing {job.table} with {job.output}"):
        new = index_lists.count_new(source, old.table, job.output)
    recall = float(old.index.facts["recall_asked"]) if job.recall is None else job.recall
    with timings("measure", f"Measuring the recall with {new:,} new rows"):
        planned = index_lists.extend(source, old.index, old.mark, new, recall)
    return index_lists.add_rows(planned, source, old.table, old.index)


def _write(output: output_table.OutputTable, planned: IndexLists, timings: "Timings") -> None:
    if planned.rows is None:
        return
    counts = Observation("index")
    rows = planned.rows.observe(counts, sf.count(sf.lit(1)).alias("rows"))
    text = f"Writing {planned.count:,} rows to {output.writer.where}"
    with changed(output.writer.spark, FINE_FILES):
        output.write(rows, counts, "rows", timings, "write", text, planned.count, planned.files)


def _rows_of_lists(writer: "Writer", lists: int) -> "npt.NDArray[np.int64]":
    """Return the rows of each list, [lists]. Spark reads one column."""
    found = writer.read().groupBy(LIST).count().collect()
    sizes = np.zeros(lists, np.int64)
    sizes[[row[0] for row in found]] = [row[1] for row in found]
    return sizes
