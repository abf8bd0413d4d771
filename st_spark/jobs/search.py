"""The search job: find the rows of an embedded table, or of an index, that are nearest to a query, in one pass."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import types as st

from st_spark.choices import BITS
from st_spark.errors import InputError
from st_spark.jobs import batch_search
from st_spark.jobs.search_table import check_dimension, find_vectors
from st_spark.join.stored_vectors import check_score
from st_spark.join.tasks.row_lists import LIST
from st_spark.join.tasks.vector_column import to_floats
from st_spark.join.vector_index import ALL, check_nprobe, find_index
from st_spark.model.quantization import Form
from st_spark.steps import bad_rows, bad_vectors
from st_spark.steps.query_vectors import encode_here, find_model
from st_spark.tables import io
from st_spark.tables.bad_rows import name_some, rejected
from st_spark.tables.columns import check_columns, quoted_column
from st_spark.tables.conditions import filter_rows
from st_spark.tables.vector_types import vector_values

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from st_spark.specs.row_jobs import SearchJob
    from st_spark.steps.timings import Timings

Floats = npt.NDArray[np.float64]
# A task reads the shown columns, named by their places, and the vector. It returns a score in place of the vector.
_SCORE, _VECTOR, _ROWS, _NULL, _NAN, _SIZE = "score", "vector", "rows", "null", "nan", "dimension"
# Columns of these types are not shown.
_NESTED = (st.ArrayType, st.MapType, st.StructType, st.BinaryType)
# Values of other types than these, such as intervals and variants, are shown as text: Arrow cannot sort them.
_SORTED = (st.StringType, st.NumericType, st.BooleanType, st.DateType, st.TimestampType, st.TimestampNTZType)


def run(spark: "SparkSession", job: "SearchJob", timings: "Timings") -> dict[str, Any]:
    """Run a search for one query, or for a table of queries: see batch_search.run() for the result of these.

    The query is always float32. int8 and uint8 vectors are compared as the middle of each step, by --score, else by the
    model's similarity. binary and ubinary vectors are compared as vectors of 1 and -1, by cosine.

    Returns:
        hits: best first, each with rank (from 1), score, and the other columns as row;
        rows: in, and rows without a score: null (no vector), nan (a vector with a NaN or an infinity) and dimension (a
            vector of another size than the query's);
        model: name, dim, similarity, and precision of the table's vectors;
        index: of an index what was read; see vector_index.Probing.facts();
        query, table, column, columns (None for all), text_columns, id_column.
    """
    if job.queries is not None:
        return batch_search.run(spark, job, timings)
    with timings("read", f"Reading {job.table}"):
        whole = io.read(spark, job.table)
        table = find_vectors(whole.schema, job.table, job.column)
        index = find_index(whole, job.table)
        nprobe = check_nprobe(job.nprobe, index, job.table)
        shown = _shown_columns(whole.schema, job)
        df = filter_rows(whole, job.where, "where", job.table)
    check_score(table.precision, job.score or "cosine", job.table)
    model = find_model(table, job.model, "the query")
    with timings("load", f"Loading {model.name}"):
        query = encode_here(job.query, table, model).astype(np.float64)
        form = table.form(len(query))
    similarity = "cosine" if table.precision in BITS else job.score or model.description.similarity
    probing = None
    if index is not None and nprobe != ALL:
        probing = index.probe(spark, query[None].astype(np.float32), similarity, nprobe)
        df = df.where(probing.condition)
    else:
        check_dimension(whole, table, len(query))
    key = job.id_column or table.metadata.get("id_column")
    with timings("search", f"Searching {job.table}"):
        everything = [name for name in df.columns if index is None or name != LIST]
        needed = everything if shown is None else dict.fromkeys([*shown, *([key] if key in df.columns else [])])
        names = [*(name for name in needed if name != table.column), table.column]
        searched = df.select(*map(quoted_column, names))
        hits, rows = top_k(searched, table.column, query, job.k, similarity, key, form)
        bad = {reason: rows[reason] for reason in (_NULL, _NAN, _SIZE)}
        named = key if key in df.columns else df.columns[0]
        marked = bad_vectors.mark(df, named, table.column, table.column, len(query), "dot")
        bad_rows.check(job, job.table, rows["in"], bad, lambda: name_some(rejected(marked, (named,)), named))
    found = [(score, row if shown is None else {name: row[name] for name in shown}) for score, row in hits]
    return {
        "query": job.query,
        "table": job.table,
        "column": table.column,
        "columns": None if shown is None else list(shown),
        "model": {"name": model.name, "dim": len(query), "similarity": similarity, "precision": table.precision},
        "rows": rows,
        **({"index": probing.facts()} if probing else {}),
        "hits": [{"rank": rank, "score": score, "row": row} for rank, (score, row) in enumerate(found, 1)],
        "text_columns": table.metadata.get("text_columns"),
        "id_column": table.metadata.get("id_column"),
    }


def _shown_columns(schema: st.StructType, job: "SearchJob") -> tuple[str, ...] | None:
    """Return the columns to show, None for all; InputError if one is missing or holds other values in itself."""
    names = job.names("columns")
    check_columns(schema, job.table, (), (*(names or ()), *([job.id_column] if job.id_column else [])))
    for name in names or ():
        if isinstance(schema[name].dataType, _NESTED):
            raise InputError(
                f"The column {name!r} of {job.table} holds {schema[name].dataType.simpleString()}, which is not shown.",
                "leave it out, or write a table: --queries and --output.",
            )
    return names


def top_k(
    df: "DataFrame",
    column: str,
    query: Floats,
    k: int,
    similarity: str = "cosine",
    id_column: str | None = None,
    form: Form | None = None,
) -> tuple[list[tuple[float, dict[str, Any]]], dict[str, int]]:
    """Find the k rows with the vectors nearest to the query, exactly. Each partition returns its own best k.

    Args:
        df: A table with a column of arrays of numbers.
        column: Name of that column.
        query: The vector to compare with.
        k: Number of rows, 1 or more. The result is shorter if there are fewer vectors.
        similarity: "cosine", "dot", "euclidean" or "manhattan" (the last two as negative distances).
        id_column: Column that orders rows with equal scores; by default all columns. So partitions do not matter.
        form: How the vectors are stored; None for floats.

    Returns:
        (score, values of the columns that are not nested) for each row, best first, and the counts in, null, nan and
        dimension.
    """
    fields = [field for field in df.schema.fields if not isinstance(field.dataType, _NESTED)]
    names = [field.name for field in fields]
    shown = [_shown(field).alias(str(place)) for place, field in enumerate(fields)]
    vectors = vector_values(df.schema, column)
    picked = df.select(*shown, (vectors.cast("array<float>") if form is None else vectors).alias(_VECTOR))
    kinds = {field.name: field.dataType for field in picked.schema.fields[:-1]}
    kinds |= {_SCORE: st.DoubleType(), **dict.fromkeys((_ROWS, _NULL, _NAN, _SIZE), st.LongType())}
    schema = st.StructType([st.StructField(name, kind) for name, kind in kinds.items()])
    order = [names.index(id_column)] if id_column in names else list(range(len(names)))
    scorer = _scorer(query, k, similarity, order, form)
    rows = picked.mapInArrow(scorer, schema).collect()
    counts = {"in": _ROWS, "null": _NULL, "nan": _NAN, "dimension": _SIZE}
    totals = {name: sum(row[key] or 0 for row in rows) for name, key in counts.items()}
    hits = [row for row in rows if row[_SCORE] is not None]
    hits.sort(key=lambda row: (-row[_SCORE], *((row[place] is None, row[place]) for place in order)))
    return [(row[_SCORE], dict(zip(names, row, strict=False))) for row in hits[:k]], totals


def _shown(field: st.StructField) -> "Column":
    column = quoted_column(field.name)
    return column if isinstance(field.dataType, _SORTED) else column.cast("string")


def _scorer(
    query: Floats, k: int, similarity: str, order: list[int], form: Form | None
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return the function that finds the best k rows of a partition. Its last row has no score, only the counts."""
    keys = [(_SCORE, "descending"), *((str(place), "ascending") for place in order)]

    def best(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        kept: pa.Table | None = None
        counts = dict.fromkeys((_ROWS, _NULL, _NAN, _SIZE), 0)
        for batch in batches:
            scored = score_batch(batch, query, similarity, counts, form)
            kept = scored if kept is None else pa.concat_tables([kept, scored])
            kept = kept.take(pc.select_k_unstable(kept, k, keys))
        if kept is None:
            return
        for name in counts:
            kept = kept.append_column(name, pa.nulls(len(kept), pa.int64()))
        totals = pa.Table.from_pylist([counts], schema=kept.schema)
        yield from pa.concat_tables([kept, totals]).combine_chunks().to_batches()

    return best


def score_batch(
    batch: pa.RecordBatch, query: Floats, similarity: str, counts: dict[str, int], form: Form | None = None
) -> pa.Table:
    """Replace the vectors of a batch, its last column, with scores. Rows without a score are left out and counted."""
    vectors = batch.column(batch.num_columns - 1)
    matrix, fits = to_floats(vectors, len(query), form)
    scores = score(matrix.astype(np.float64), query, similarity)
    finite = np.isfinite(scores)
    counts[_ROWS] += len(batch)
    counts[_NULL] += vectors.null_count
    counts[_SIZE] += int((~fits).sum()) - vectors.null_count
    counts[_NAN] += int((~finite).sum())
    table = pa.Table.from_batches([batch]).take(pa.array(np.flatnonzero(fits)[finite]))
    return table.drop_columns([_VECTOR]).append_column(_SCORE, pa.array(scores[finite]))


def score(vectors: Floats, query: Floats, similarity: str) -> Floats:
    """Return the score of each row of [n, d] with [d], float64. Equal rows get exactly equal scores."""
    if similarity == "euclidean":
        return -np.sqrt(((vectors - query) ** 2).sum(axis=1))
    if similarity == "manhattan":
        return -np.abs(vectors - query).sum(axis=1)
    products = (vectors * query).sum(axis=1)
    if similarity == "dot":
        return products
    norms = np.sqrt((vectors**2).sum(axis=1) * (query**2).sum())
    return np.divide(products, norms, out=np.where(np.isnan(products), np.nan, 0.0), where=norms > 0)
