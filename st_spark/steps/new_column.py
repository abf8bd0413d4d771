"""The column that an embed or classify job makes: how it is encoded, checked, counted and written on Spark."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as sf
from pyspark.sql.types import BinaryType, StructType

from st_spark.embedding import udf
from st_spark.specs.row_jobs import EmbedJob
from st_spark.steps.resume import RESULT, RESUMED
from st_spark.tables import bad_rows
from st_spark.tables.bad_rows import PROBLEM
from st_spark.tables.columns import NOT_BLANK, RESERVED, check_columns, quoted_column, readable
from st_spark.tables.decoding import is_not_utf8
from st_spark.tables.metadata import column_metadata

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql._typing import UserDefinedFunctionLike

    from st_spark.specs.row_jobs import ClassifyJob
    from st_spark.tables.row_counts import RowCounts

_MODEL_METADATA = ("revision", "content", "dim", "dtype", "similarity", "prompt", "max_seq_length")


@dataclass(frozen=True)
class ColumnBuilder:
    """How a job makes its column.

    Attributes:
        function: Function of the text columns. It returns a struct with n_tokens, truncated, duplicate (and problem).
        value: The column to write, made from the struct RESULT.
        conditions: Further conditions; the result counts the rows for which each is true.
        not_finite: Whether the vector has a NaN or an infinity.
        metadata: What the metadata of the column says, in addition to the model.
        more: Further columns to write after it, by name.
    """

    function: "UserDefinedFunctionLike"
    value: "Column"
    conditions: Mapping[str, "Column"]
    not_finite: "Column"
    metadata: Mapping[str, Any]
    more: "Mapping[str, Column]" = field(default_factory=dict)


@dataclass(frozen=True)
class NewColumn:
    """The new column of a job. "Encoded" rows have the columns of the input and RESULT.

    Attributes:
        job: The job.
        builder: Makes the column.
        model: See model_info.describe().
    """

    job: "EmbedJob | ClassifyJob"
    builder: ColumnBuilder
    model: Mapping[str, Any]

    @property
    def value(self) -> "Column":
        """The new column; null for bad rows if the job writes them so."""
        return self._without_bad(self.builder.value)

    def _without_bad(self, value: "Column") -> "Column":
        return sf.when(sf.col(PROBLEM).isNull(), value) if self.job.on_error == "null" else value

    @property
    def metadata(self) -> dict[str, Any]:
        """What the table says of the column: the model, and the options that decide the values."""
        metadata = {name: self.model.get(name) for name in _MODEL_METADATA}
        metadata |= {**self.builder.metadata, "model": self.job.model}
        id_column = self.job.row_id if isinstance(self.job, EmbedJob) else self.job.id_column
        return metadata | {"text_columns": list(self.job.text_columns), "id_column": id_column}

    def texts(self, df: "DataFrame") -> "list[Column]":
        """Return the text columns, null in rows that cannot be read."""
        return [sf.when(readable(df), quoted_column(name)) for name in self.job.text_columns]

    def encode(self, df: "DataFrame", size: "RowCounts") -> "DataFrame":
        """Return the encoded input, in partitions that keep every core busy."""
        encoded = size.repartition(df).withColumn(RESULT, udf.call(self.builder.function, self.texts(df), struct=True))
        check_columns(df.schema, self.job.input, self.job.text_columns, images=_reads_images(encoded))
        return encoded

    def mark(self, encoded: "DataFrame", *, lossy: bool) -> "DataFrame":
        """Add the column PROBLEM, if the job finds bad rows; see bad_rows.unread() for `lossy`."""
        job = self.job
        if not job.finds_bad_rows:
            return encoded.withColumn(PROBLEM, sf.lit(None).cast(bad_rows.PROBLEM_TYPE))
        case = bad_rows.unread(encoded, job.text_columns, lossy=lossy)
        if _reads_images(encoded):
            why = sf.col(f"{RESULT}.problem")
            case = case.when(why.isNotNull(), bad_rows.problem(why, job.text_columns[0]))
        case = case.when(self.builder.not_finite, bad_rows.problem(bad_rows.NOT_FINITE, job.output_column))
        return encoded.withColumn(PROBLEM, case)

    def conditions(self, encoded: "DataFrame") -> "dict[str, Column]":
        """Return the conditions by which rows are counted."""
        names, null, empty = self.job.text_columns, sf.lit(False), sf.lit(True)
        for name in names:
            text, binary = quoted_column(name), _is_binary(encoded, name)
            blank = sf.length(text) == 0 if binary else ~text.rlike(NOT_BLANK)
            null, empty = null | text.isNull(), empty & blank
        conditions = {
            "null": readable(encoded) & null,
            "empty": readable(encoded) & empty,
            "truncated": sf.col(f"{RESULT}.truncated"),
            "corrupt": ~readable(encoded),
            "duplicates": sf.col(f"{RESULT}.duplicate") & ~_resumed(encoded),
        }
        if isinstance(self.job, EmbedJob):
            conditions["resumed"] = _resumed(encoded)
        if _reads_images(encoded):
            conditions["unreadable"] = sf.col(f"{RESULT}.problem").isNotNull()
        if not all(_is_binary(encoded, name) for name in names):
            conditions["undecodable"] = is_not_utf8(encoded.schema, names)
        return conditions | dict(self.builder.conditions)

    def observe(self, encoded: "DataFrame", counts: Observation, conditions: Mapping[str, "Column"]) -> "DataFrame":
        """Count rows, tokens and conditions in the stage that writes. So a task that runs twice counts once."""
        if self.job.finds_bad_rows:
            conditions = {**conditions, "bad": sf.col(PROBLEM).isNotNull()}
        aggregates = [sf.count_if(condition).alias(name) for name, condition in conditions.items()]
        rows = (sf.count(sf.lit(1)).alias("in"), sf.count_if(self._is_kept(encoded)).alias("out"))
        tokens = sf.sum(sf.when(~_resumed(encoded), sf.col(f"{RESULT}.n_tokens"))).alias("tokens")
        return encoded.observe(counts, *rows, tokens, *aggregates)

    def output(self, encoded: "DataFrame") -> "DataFrame":
        """Return the table to write: the rows that are kept, the columns of the input, and the new ones."""
        value = self.value.alias(self.job.output_column, metadata=column_metadata(self.metadata))
        more = [self._without_bad(column).alias(name) for name, column in self.builder.more.items()]
        return encoded.where(self._is_kept(encoded)).select(*map(quoted_column, input_columns(encoded)), value, *more)

    def _is_kept(self, encoded: "DataFrame") -> "Column":
        """Return a condition: the row is written to the output."""
        return sf.col(PROBLEM).isNull() if self.job.on_error == "quarantine" else readable(encoded)


def input_columns(encoded: "DataFrame") -> list[str]:
    """Return the names of the columns of the input."""
    return [name for name in encoded.columns if not name.startswith(RESERVED)]


def _reads_images(encoded: "DataFrame") -> bool:
    kind = encoded.schema[RESULT].dataType
    return isinstance(kind, StructType) and "problem" in kind.names


def _is_binary(encoded: "DataFrame", name: str) -> bool:
    return isinstance(encoded.schema[name].dataType, BinaryType)


def _resumed(encoded: "DataFrame") -> "Column":
    return sf.col(RESUMED) if RESUMED in encoded.columns else sf.lit(False)
