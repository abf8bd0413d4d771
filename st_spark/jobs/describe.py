"""Describe a table that a job has written: rows, vectors and how they were made, lists, the last run, files."""

from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as sf
from pyspark.sql import types as st

from st_spark.errors import TableError
from st_spark.join.tasks.row_lists import LIST
from st_spark.join.vector_index import find_index, index_mark
from st_spark.tables import io, provenance
from st_spark.tables.columns import quoted_column
from st_spark.tables.metadata import METADATA_KEY, field_metadata
from st_spark.tables.source_version import list_files

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from st_spark.specs.row_jobs import DescribeJob
    from st_spark.steps.timings import Timings

# What is shown of an index; see index.run().
_LISTS = ("lists", "nprobe", "recall", "recall_low", "recall_high", "recall_asked", "k", "score", "source")
# Spark opens each file, so many small ones make a table slow to read.
SMALL, MANY = 8 << 20, 100


def run(spark: "SparkSession", job: "DescribeJob", timings: "Timings") -> dict[str, Any]:
    """Run a describe job; see describe() for the result."""
    with timings("read", f"Reading {job.table}"):
        return describe(spark, job.table, job.table_format)


def describe(spark: "SparkSession", table: str, table_format: str | None = None) -> dict[str, Any]:
    """Describe a table, from its metadata: no value is read, except one vector if the size of vectors is unknown.

    Args:
        spark: The session.
        table: Path or catalog name of a table, such as the output of an embed job.
        table_format: Its format, by default found from the path.

    Returns:
        table, format;
        rows; files, bytes, and small_files: files of less than 8 MB;
        columns: for each column that a job has made its type, its dimension if it holds vectors, and its recipe: model,
            content (a hash of the model's files), prompt, precision, ...; {} if unknown;
        index: of an index lists, nprobe, recall, recall_low, recall_high, recall_asked, k, score, source,
            source_version, source_now (its version now), and stale: whether they differ; both are None if the source
            cannot be found;
        last_run: job, job_id, st_spark (the version), application, time, mode and rows (the counts) of the last job
            that has written the table; for Delta also the version. None if unknown;
        warnings: what should be changed, in sentences.

    Raises:
        TableError: There is no such table.
    """
    table_format = table_format or io.find_format(spark, table)
    df = io.read(spark, table, table_format)
    size = _size(df)
    index, broken = _index(df, table, table_format)
    return {
        "table": table,
        "format": table_format,
        "rows": df.count(),
        **size,
        "columns": {field.name: _column(df, field) for field in _made(df.schema)},
        **({"index": index} if index else {}),
        "last_run": provenance.last_run(spark, table, table_format),
        "warnings": [*_warnings(size), *broken],
    }


def _index(df: "DataFrame", table: str, table_format: str) -> tuple[dict[str, Any] | None, list[str]]:
    """Return what is shown of an index, None for another table; and what is wrong with it."""
    try:
        found = find_index(df, table, table_format)
    except TableError as error:
        return None, [str(error)]
    if found is None:
        return None, []
    now, then = found.version_now(df.sparkSession), found.facts["source_version"]
    state = {"source_version": then, "source_now": now, "stale": None if now is None else now != then}
    return {**{name: found.facts[name] for name in _LISTS}, **state}, []


def _made(schema: st.StructType) -> list[st.StructField]:
    """Return the columns that a job has made; if none says so, the columns that can be vectors."""
    fields = [field for field in schema.fields if field.name != LIST or index_mark(schema) is None]
    marked = [field for field in fields if METADATA_KEY in (field.metadata or {})]
    return marked or [field for field in schema.fields if _is_vector(field)]


def _is_vector(field: st.StructField) -> bool:
    return isinstance(field.dataType, st.ArrayType) and isinstance(field.dataType.elementType, st.NumericType)


def _column(df: "DataFrame", field: st.StructField) -> dict[str, Any]:
    recipe = field_metadata(df.schema, field.name)
    about: dict[str, Any] = {"type": field.dataType.simpleString(), "recipe": recipe}
    if not _is_vector(field):
        return about
    dimension = recipe.get("dim")
    if dimension is None:
        vector = quoted_column(field.name)
        first = df.where(vector.isNotNull()).select(sf.size(vector)).first()
        dimension = first and first[0]
    return {"dimension": dimension, **about}


def _size(df: "DataFrame") -> dict[str, int]:
    """Return the number of files, their bytes, and how many are small. Spark lists the files and reads none."""
    listed = list_files(df)
    if listed is None:
        return {"files": 0, "bytes": 0, "small_files": 0}
    length = sf.col("length")
    row = listed.agg(sf.count(length), sf.sum(length), sf.count_if(length < SMALL)).collect()[0]
    return {"files": row[0], "bytes": row[1], "small_files": row[2]}


def _warnings(size: dict[str, int]) -> list[str]:
    if size["small_files"] < MANY:
        return []
    return [
        f"{size['small_files']:,} of {size['files']:,} files are smaller than {SMALL >> 20} MB, which makes the table "
        "slow to read. Compact it: OPTIMIZE for Delta, else read it, coalesce() and write it anew."
    ]
