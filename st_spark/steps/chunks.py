"""Make the chunks of texts the rows of an embed job."""

from contextlib import ExitStack
from typing import TYPE_CHECKING

from pyspark import StorageLevel
from pyspark.sql import functions as sf
from pyspark.sql import types as st

from st_spark.choices import CHUNK_COLUMNS, CHUNK_ID
from st_spark.embedding.arrow_encode import EncodeOptions
from st_spark.embedding.chunk import chunker
from st_spark.errors import InputError
from st_spark.tables.changes import DROPPED, ID, MISSING, STATUS
from st_spark.tables.columns import RESERVED, check_columns, check_new_column, quoted_column, readable
from st_spark.tables.decoding import NOT_UTF8, is_not_utf8
from st_spark.tables.row_counts import RowCounts, count_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from st_spark.specs.row_jobs import EmbedJob

_CHUNKS, _STORED = f"{RESERVED}chunks", f"{RESERVED}stored"


def check(df: "DataFrame", job: "EmbedJob") -> None:
    """Check that the texts of a job can be cut, and that its ids can be a part of CHUNK_ID; InputError if not."""
    if job.chunk is not None:
        check_columns(df.schema, job.input, job.text_columns)
    kind = df.schema[job.id_column].dataType if job.id_column else st.StringType()
    if job.writes_chunks and not isinstance(kind, st.IntegralType | st.StringType):
        raise InputError(
            f"The id column {job.id_column!r} of {job.input} holds {kind.simpleString()}.",
            "cast it to bigint or string: the ids of chunks are made of these.",
        )
    if job.writes_chunks:
        for name in (*([CHUNK_ID] if job.id_column else []), *CHUNK_COLUMNS):
            check_new_column(df, job.input, name, "rename it: --chunk adds this column.")


def cut(df: "DataFrame", job: "EmbedJob", size: RowCounts, stack: ExitStack) -> "tuple[DataFrame, RowCounts]":
    """Return a row for each chunk, and how many there are.

    The text column holds the chunk in place of the text, and CHUNK_COLUMNS come after it. If the job names an id
    column, CHUNK_ID comes before them, so that other jobs can tell the chunks apart. The other columns are repeated. A
    row without a text stays one row. The executors keep the rows on their disks until the stack closes, so that texts
    are cut once.

    Args:
        df: The rows of the input.
        job: The job.
        size: How many rows there are.
        stack: Ends with the job.
    """
    name, options = job.text_columns[0], EncodeOptions(**job.encoding).chunking
    function = chunker(df.sparkSession, job.model, options, revision=job.revision)
    tasks = max(size.wanted, min(size.cores, size.rows))  # rows are few and texts are long
    rows = df if len(size.partitions) >= tasks else df.repartition(tasks)
    rows = rows.withColumn(_CHUNKS, function(sf.when(readable(df), quoted_column(name))))
    rows = rows.withColumn(NOT_UTF8, is_not_utf8(df.schema, [name]))
    others = [quoted_column(each) for each in df.columns if each != name]
    rows = rows.select(*others, NOT_UTF8, sf.inline_outer(_CHUNKS))
    columns = [quoted_column(each) if each != name else sf.col("chunk_text").alias(name) for each in df.columns]
    place = df.columns.index(name) + 1
    ids = []
    if job.id_column:
        number = sf.coalesce(sf.col("chunk_index"), sf.lit(0)).cast("string")
        ids = [sf.concat(quoted_column(job.id_column).cast("string"), sf.lit(":"), number).alias(CHUNK_ID)]
    rows = rows.select(*columns[:place], *ids, *CHUNK_COLUMNS, *columns[place:], NOT_UTF8)
    rows = rows.persist(StorageLevel.DISK_ONLY)
    stack.callback(rows.unpersist)
    return rows, count_rows(rows)


def mark_dropped(keys: "DataFrame", table: "DataFrame", df: "DataFrame", text_id: str) -> "DataFrame":
    """Give chunks the status DROPPED in place of MISSING if the input has their text: it has become shorter.

    Args:
        keys: The columns of changes.compare().
        table: The chunks that are stored.
        df: The chunks of the input.
        text_id: The column that identifies a text.
    """
    texts = df.select(quoted_column(text_id).alias(_STORED)).distinct()
    stored = table.select(quoted_column(CHUNK_ID).alias(ID), quoted_column(text_id).alias(_STORED))
    shorter = stored.join(texts, _STORED, "left_semi")
    status = sf.when((sf.col(STATUS) == MISSING) & sf.col(_STORED).isNotNull(), DROPPED).otherwise(sf.col(STATUS))
    return keys.join(shorter, ID, "left").withColumn(STATUS, status).drop(_STORED)
