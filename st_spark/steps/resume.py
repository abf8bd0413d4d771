"""Let an embed job go on from the rows that a killed run has finished, and keep its own for the next run.

docs/operations/killed_jobs.md explains it.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as sf
from pyspark.sql.types import StringType, StructField, StructType

from st_spark._version import __version__
from st_spark.embedding import udf
from st_spark.embedding.model_info import seconds_per_row
from st_spark.errors import BusyError, PlatformError, TableError
from st_spark.spark.progress import follow
from st_spark.tables.changes import TEXT_HASH
from st_spark.tables.columns import RESERVED
from st_spark.tables.row_counts import RowCounts
from st_spark.tables.slices import Slices, homes

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Row, SparkSession
    from pyspark.sql._typing import UserDefinedFunctionLike

    from st_spark.specs.row_jobs import EmbedJob
    from st_spark.steps.timings import Timings
    from st_spark.tables.writers import Writer

# Temporary columns: the struct that the function of a job returns, and whether an earlier run has made it.
RESULT, RESUMED = f"{RESERVED}result", f"{RESERVED}resumed"
_KNOWN = f"{RESERVED}known"
_HASH = StructField(TEXT_HASH, StringType())
_SLICE_SECONDS = 60
_SAMPLE = 16
# With fewer rows it takes longer to find out whether slices pay than they could save.
_LEAST_ROWS = 1_000
# The largest share of a job's time that slices may take by default. Measured: seconds to write a number of a vector and
# a byte of a text to a slice, and to read it again.
_LARGEST_SHARE, _NUMBER_SECONDS, _BYTE_SECONDS = 0.05, 1e-7, 1e-8
_log = logging.getLogger(__name__)


class Resume:
    """What a job needs to use the slices of earlier runs and to write its own.

    Args:
        spark: The session.
        job: The job.
        writer: Its output.
        recipe: What decides a vector, with its text.
        timings: Measures the phases.
        stack: Ends with the job. The slices are deleted if it succeeds.
    """

    def __init__(
        self,
        spark: "SparkSession",
        job: "EmbedJob",
        writer: "Writer",
        recipe: Mapping[str, Any],
        timings: "Timings",
        stack: ExitStack,
    ) -> None:
        self._spark, self._job, self._writer, self._recipe = spark, job, writer, recipe
        self._timings, self._stack = timings, stack

    def encode(
        self, df: "DataFrame", size: RowCounts, texts: Sequence["Column"], function: "UserDefinedFunctionLike"
    ) -> "DataFrame | None":
        """Encode rows and write them to slices, except where this costs too much.

        Args:
            df: The rows. TEXT_HASH is null in rows without a text.
            size: Their number.
            texts: The columns to encode.
            function: Encodes them.

        Returns:
            The rows with RESULT and RESUMED, read from the slices; None if slices cost too much.
        """
        if self._job.slice_seconds == 0:
            return None
        result = df.select(udf.call(function, texts, struct=True).alias(RESULT)).schema[RESULT]
        start, found = homes(self._spark, self._writer.where, self._writer.format)
        if start is None:
            return None
        types = [df.schema[name].dataType.simpleString() for name in self._job.text_columns]
        home = start + key(self._job, self._recipe, types, result.dataType.simpleString())
        most = self._rows_of_slice(df, size, texts, kept=home in found)
        slices = self._open(home) if most else None
        if slices is None:
            return None
        known = slices.known(StructType([_HASH, result]))
        fits = known is None and max(size.partitions, default=0) <= most
        size = replace(size, most=most, partitions=size.partitions if fits else ())
        encoded = _encoded(df, size, texts, function, known)
        with (
            self._timings("encode_and_write", f"Encoding {size.rows:,} rows. Finished ones are kept in {home}"),
            follow(self._spark, size.rows, size.tasks),
        ):
            return slices.write(encoded, size.rows)

    def _rows_of_slice(self, df: "DataFrame", size: RowCounts, texts: Sequence["Column"], kept: bool) -> int:
        """Return how many rows a slice should have, 0 if slices cost too much."""
        asked = self._job.slice_seconds
        if size.rows < _LEAST_ROWS and not kept and not asked:
            return 0
        columns = [text.alias(f"{RESERVED}{place}") for place, text in enumerate(texts)]
        sample = _sample(df.where(sf.col(TEXT_HASH).isNotNull()).select(*columns))
        if not sample:
            return 0
        seconds = seconds_per_row(self._spark, self._job, sample, size.first_tasks)
        text_bytes = sum(len(text) for row in sample for text in row) / len(sample)
        cost = self._recipe["dim"] * _NUMBER_SECONDS + text_bytes * _BYTE_SECONDS
        most = slice_rows(size, seconds, cost, asked, kept)
        if not most:
            _log.info(
                "No finished rows are kept: too few rows, or fast ones (%.2g s each). --slice-seconds keeps them.",
                seconds,
            )
        return most

    def _open(self, home: str) -> Slices | None:
        slices = Slices(self._spark, self._writer.where, home)
        try:
            return self._stack.enter_context(slices.locked())
        except (BusyError, PlatformError, TableError) as error:
            _log.warning("If this job is killed, its work is lost: %s", error.problem)
            return None


def slice_rows(size: RowCounts, seconds: float, cost: float, asked: int | None, kept: bool) -> int:
    """Return how many rows a slice should have, 0 if slices cost too much.

    Args:
        size: All rows.
        seconds: Seconds in which a task encodes a row.
        cost: Seconds in which it writes a row to a slice and reads it again.
        asked: The seconds of a slice, if the job gives them.
        kept: Whether there are slices of an earlier run.
    """
    long = size.rows * seconds > 2 * _SLICE_SECONDS * size.cores
    if not (asked or kept or (long and cost <= _LARGEST_SHARE * seconds)):
        return 0
    return max(1, min(size.most, int((asked or _SLICE_SECONDS) / seconds)))


def key(job: "EmbedJob", recipe: Mapping[str, Any], types: Sequence[str], result: str) -> str:
    """Return a hash of all that decides a vector and the layout of slices, and of the name of the input.

    Args:
        job: The job.
        recipe: What the table says of its vectors.
        types: The types of the text columns.
        result: The type of RESULT.
    """
    source = "" if job.input.startswith(RESERVED) else job.input  # the name of a view is another one in each run
    values = [__version__, source, types, result, job.max_image_pixels, recipe]
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _sample(rows: "DataFrame") -> "list[Row]":
    """Return some different rows. The first ones are often alike, and equal texts are encoded once."""
    return rows.limit(50 * _SAMPLE).distinct().limit(_SAMPLE).collect()


def _by_text(known: "DataFrame") -> "DataFrame":
    """Return TEXT_HASH and one result of each text.

    It is the smallest, not the first: a task that Spark repeats must find the same result as before. Otherwise the rows
    of a shuffle come in another order, and some are lost and others doubled.
    """
    return known.where(sf.col(TEXT_HASH).isNotNull()).groupBy(TEXT_HASH).agg(sf.min(RESULT).alias(_KNOWN))


def _encoded(
    df: "DataFrame",
    size: RowCounts,
    texts: Sequence["Column"],
    function: "UserDefinedFunctionLike",
    known: "DataFrame | None",
) -> "DataFrame":
    """Return the rows with RESULT and RESUMED, in partitions of slices. Only what is not known is encoded."""
    if known is None:
        call = udf.call(function, texts, struct=True)
        return size.repartition(df).withColumn(RESULT, call).withColumn(RESUMED, sf.lit(False))
    found = size.repartition(df.join(_by_text(known), TEXT_HASH, "left"))
    resumed = sf.col(_KNOWN).isNotNull()
    call = udf.call(function, [sf.when(~resumed, text) for text in texts], struct=True)
    return found.withColumn(RESULT, sf.coalesce(_KNOWN, call)).withColumn(RESUMED, resumed).drop(_KNOWN)
