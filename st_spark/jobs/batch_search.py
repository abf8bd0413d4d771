"""The search job with a table of queries: write a table with the best rows of each query."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from pyspark import StorageLevel
from pyspark.sql import Observation
from pyspark.sql import functions as sf

from st_spark.choices import REASONS
from st_spark.jobs.search_table import PlannedSearch, SearchOptions, plan_search
from st_spark.join import query_scan
from st_spark.join.tasks.query_search import NULL_ID, OUTCOMES
from st_spark.join.vector_index import find_index
from st_spark.spark.progress import follow
from st_spark.steps import bad_rows, bad_vectors, output_table
from st_spark.tables import io
from st_spark.tables.bad_rows import name_some, rejected
from st_spark.tables.columns import CORRUPT, readable
from st_spark.tables.decoding import count_bad_texts
from st_spark.tables.metadata import add_metadata, vector_metadata
from st_spark.tables.row_counts import count_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from st_spark.specs.row_jobs import SearchJob
    from st_spark.steps.timings import Timings


def run(spark: "SparkSession", job: "SearchJob", timings: "Timings") -> dict[str, Any]:
    """Run a search for a table of queries.

    Returns:
        queries: path, rows, set_aside (queries without a usable vector, by reason), answered, and without_hits: queries
            with a vector that no row of the table was found for; undecodable if there are such texts;
        rows: of the table that meet the condition (of an index only those in the lists that are read): in, searched,
            and the others by the reason they were left out for;
        pairs: rows of the output; k, score, where;
        index: of an index what was read; see vector_index.Probing.facts();
        model: name, dim, similarity, and precision of the table's vectors;
        table, column, output: path and format, and the version of a Delta table.
    """
    assert job.queries is not None
    with output_table.opened(spark, job) as output:
        with timings("read", f"Reading {job.queries} and {job.table}"):
            queries, unread, more = _read_queries(spark, job)
            table = io.read(spark, job.table)
        with timings("encode", f"Encoding the queries of {job.queries}"):
            index = find_index(table, job.table)
            planned = plan_search(queries, table, _options(job), (job.queries, job.table), index)
        found = planned.scan().persist(StorageLevel.DISK_ONLY)
        try:
            answer = _answer(planned, found)
            output.writer.check(answer.schema, "score")
            size = count_rows(planned.rows)
            text = f"Searching {size.rows:,} rows for {len(planned.queries.matrix):,} queries"
            tasks = min(len(size.partitions), planned.probing.tasks if planned.probing else len(size.partitions))
            with timings("search", text), follow(spark, size.rows, tasks):
                outcomes = query_scan.count_outcomes(found)
            rows = _check(job, planned, outcomes, unread)
            written = Observation("output")
            firsts = sf.count_if(sf.col("rank") == 1)  # each query with a hit has one
            answer = answer.observe(written, sf.count(sf.lit(1)).alias("pairs"), firsts.alias("answered"))
            most = len(planned.queries.matrix) * job.k
            text = f"Writing at most {most:,} rows to {job.output}"
            counts = output.write(answer, written, "pairs", timings, "write", text, most, 1)
        finally:
            found.unpersist()
    return {
        "queries": {
            "path": job.queries,
            "rows": planned.queries.total + sum(unread.values()),
            "set_aside": {**planned.queries.set_aside, **unread},
            "answered": counts["answered"],
            "without_hits": len(planned.queries.matrix) - counts["answered"],
            **more,
        },
        "table": job.table,
        "column": planned.vectors.column,
        "rows": rows,
        "pairs": counts["pairs"],
        "k": job.k,
        "score": planned.queries.score,
        "where": job.where,
        **({"index": planned.probing.facts()} if planned.probing else {}),
        "model": _model(planned),
        "output": output.describe(),
    }


def _options(job: "SearchJob") -> SearchOptions:
    given = {each.name: getattr(job, each.name) for each in fields(SearchOptions)}
    return SearchOptions(**{**given, **{name: job.names(name) for name in ("columns", "query_columns")}})


def _read_queries(spark: "SparkSession", job: "SearchJob") -> "tuple[DataFrame, dict[str, int], dict[str, int]]":
    """Return the queries that Spark can read, how many it cannot read, and how many have undecodable characters."""
    where = str(job.queries)
    df = io.read(spark, where, job.queries_format, job.input_encoding, job.schema)
    texts = [name for name in (job.text_column or "text",) if name in df.columns]
    counts = count_bad_texts(df, io.reader_path(spark, where), texts, job.input_encoding)
    unread, undecodable = ({name: counts[name]} if counts[name] else {} for name in ("corrupt", "undecodable"))
    return df.where(readable(df)).drop(CORRUPT), unread, undecodable


def _answer(planned: PlannedSearch, found: "DataFrame") -> "DataFrame":
    """Return the answer. Its metadata says which model made the vectors."""
    return add_metadata(planned.answer(found), "score", {"vectors": vector_metadata(planned.vectors.metadata)})


def _check(job: "SearchJob", planned: PlannedSearch, found: dict[str, int], unread: dict[str, int]) -> dict[str, int]:
    """Return the counts of the table's rows. Stop if the queries or the table have more bad rows than allowed."""
    total = sum(found.values())
    if not len(planned.queries.matrix):
        found = dict.fromkeys(OUTCOMES, 0)  # nothing says which vectors of the table could be compared
    bad = {name: found[name] for name in (NULL_ID, *REASONS) if found[name]}
    queries = planned.queries
    lost = {**queries.set_aside, **unread}
    bad_rows.check(job, str(job.queries), queries.total + sum(unread.values()), lost, lambda: ", ".join(lost))
    column = planned.vectors.column
    dimension = queries.matrix.shape[1]
    marked = bad_vectors.mark(planned.rows, planned.id_column, column, column, dimension, queries.score)
    first = rejected(marked, (planned.id_column,))
    bad_rows.check(job, job.table, total, bad, lambda: name_some(first, planned.id_column))
    return {"in": total, "searched": found["searched"], **bad}


def _model(planned: PlannedSearch) -> dict[str, Any]:
    """Return what is known of the model of the vectors."""
    queries, vectors = planned.queries, planned.vectors
    name = queries.model.name if queries.model else vectors.metadata.get("model")
    about = {"name": name, "dim": queries.matrix.shape[1], "similarity": queries.score, "precision": vectors.precision}
    return {key: value for key, value in about.items() if value is not None}
