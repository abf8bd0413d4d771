"""Fields that several jobs share. A job inherits the groups that it needs; their docstrings are titles in --help."""

import codecs
import re
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

from st_spark.choices import (
    DTYPES,
    FORMATS_IN,
    FORMATS_OUT,
    MAX_IMAGE_PIXELS,
    METHODS,
    MODES,
    ON_BAD_VECTOR,
    ON_ERROR,
    SCORES,
)
from st_spark.errors import SpecError
from st_spark.specs.base import Job, option

# The fields that encode() takes, too; precision is apart, because int8 needs ranges.
_ENCODING = {
    *("prompt", "prompt_name", "normalize_embeddings", "truncate_dim", "task", "max_seq_length", "batch_size"),
    *("max_image_pixels", "chunk", "overlap", "pooling"),
}


def schema_option(table: str) -> Any:  # noqa: ANN401 (the caller annotates the field)
    """Declare the field with the types of a second table."""
    return option(f"types of columns of the {table} table (default: --schema, for CSV and JSON lines)", None)


def format_option(table: str) -> Any:  # noqa: ANN401 (the caller annotates the field)
    """Declare the field with the format of a table to read."""
    return option(f"format of the {table} table (default: found from the path, else parquet)", None, choices=FORMATS_IN)


def column_names(option: str, given: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the columns that an option names, separated by commas; SpecError if a name is empty or repeated."""
    several = (given,) if isinstance(given, str) else given or ()
    names = tuple(name.strip() for each in several for name in each.split(","))
    if "" in names or len(set(names)) < len(names):
        raise SpecError(f"{option} is {','.join(names)!r}.", "name each column once, without an empty name.")
    return names


@dataclass(frozen=True, kw_only=True)
class TextFiles(Job):
    """Text files."""

    input_encoding: str | None = option("encoding of CSV and JSON lines, such as cp1252 (default: UTF-8)", None)
    schema: str | None = option(
        "types of columns of CSV and JSON lines: 'id INT, date DATE' (default: strings in CSV, in JSON as found)", None
    )

    def __post_init__(self) -> None:
        """Check the fields, and that the encoding exists."""
        super().__post_init__()
        try:
            codecs.lookup(self.input_encoding or "utf-8")
        except LookupError:
            raise SpecError(
                f"input_encoding {self.input_encoding!r} is unknown.", "choose one such as utf-8, latin-1 or cp1252."
            ) from None


@dataclass(frozen=True, kw_only=True)
class InputTable(TextFiles):
    """Input table."""

    input: str = option("path or catalog name of the input table", table=True)
    input_format: str | None = format_option("input")


@dataclass(frozen=True, kw_only=True)
class OutputTable(Job):
    """Output table."""

    output: str = option("path or catalog name of the output table", table=True)
    output_format: str | None = option(
        "format of the output table (default: the format of the table that is there, else parquet)",
        None,
        choices=FORMATS_OUT,
    )
    mode: str = option("what to do if the output table exists", "error", choices=MODES)


@dataclass(frozen=True, kw_only=True)
class Report(Job):
    """Report."""

    report: str | None = option("file for an HTML page about the run: counts, plots and examples", None, path=True)

    def __post_init__(self) -> None:
        """Check the fields, and that the report is a page."""
        super().__post_init__()
        if self.report is not None and not self.report.lower().endswith((".html", ".htm")):
            raise SpecError(
                f"The report is one HTML page, and report is {self.report!r}.",
                f"name a file that ends in .html: --report {self.report.rstrip('/') or 'report'}.html.",
            )


@dataclass(frozen=True, kw_only=True)
class BadRows(Job):
    """Bad rows."""

    on_error: str | None = option(
        "rows that cannot be read, or that get no valid vector: stop the job, write them with a null, or write them to "
        "OUTPUT__rejected (default: write them, counted; unreadable images with a null). Corrupt rows of CSV and JSON "
        "lines are never written to the output: by default and with null they are only counted",
        None,
        choices=ON_ERROR,
    )
    max_bad: str | None = option(
        "stop before anything is written if more rows are bad: a number, or a share such as 1%", None, integer=True
    )

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.max_bad is not None and not re.fullmatch(r"\d+|\d+(\.\d+)?%", self.max_bad, re.ASCII):
            raise SpecError(f"max_bad is {self.max_bad!r}.", "give a number of rows, or a share such as 1% or 0.5%.")
        if self.max_bad is not None and self.on_error == "fail":
            raise SpecError("max_bad is given, and on_error is fail, which allows no bad row.", "remove one of them.")

    @property
    def finds_bad_rows(self) -> bool:
        """Whether the job does anything with bad rows but count them."""
        return self.max_bad is not None or self.on_error is not None

    @property
    def limits_bad_rows(self) -> bool:
        """Whether the job stops if it has too many bad rows."""
        return self.max_bad is not None or self.on_error == "fail"

    def allowed(self, rows: int) -> Fraction:
        """Return how many rows of a table with so many rows may be bad, if there is a limit."""
        limit = self.max_bad or "0"
        return Fraction(limit.rstrip("%")) * rows / 100 if limit.endswith("%") else Fraction(limit)


@dataclass(frozen=True, kw_only=True)
class ModelOptions(Job):
    """Model."""

    model: str | None = option("model that embeds the texts: hub name, folder, or package:NAME", None, path=True)
    revision: str | None = option("revision of --model on the hub: commit, tag or branch", None)
    dtype: str = option("data type for the model's computation", "auto", choices=DTYPES)
    prompt: str | None = option("text to put before every text", None)
    max_seq_length: int | None = option(
        "maximum number of tokens of a text; the rest is cut (default: the model's)", None, least=1
    )
    batch_size: int | None = option(
        "maximum number of texts in one step of the model (default: only their tokens are limited)", None, least=1
    )

    @property
    def encoding(self) -> dict[str, Any]:
        """The options of the job that say how to encode, as keyword arguments of encode()."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name in _ENCODING}


@dataclass(frozen=True, kw_only=True)
class NewColumn(ModelOptions, BadRows):
    """New column."""

    model: str = option("hub name, folder, or package:NAME", path=True)
    text_column: str | tuple[str, str] = option("text column, or image column for a CLIP model")
    id_column: str | None = option("ID column; its nulls and duplicates are counted", None)
    output_column: str = option("name of the new column")
    max_image_pixels: int = option("images with more pixels count as unreadable", MAX_IMAGE_PIXELS, least=1)

    def __post_init__(self) -> None:
        """Check the fields, and that the new column is not an input column."""
        super().__post_init__()
        if self.output_column in (*self.text_columns, self.id_column):
            raise SpecError(f"output_column {self.output_column!r} is an input column.", "choose another name for it.")
        if self.output_column.lower().startswith("_st_spark_"):
            raise SpecError(f"output_column {self.output_column!r} is a name that jobs use.", "choose another name.")

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The one or two text columns."""
        return (self.text_column,) if isinstance(self.text_column, str) else self.text_column


@dataclass(frozen=True, kw_only=True)
class Partitions(NewColumn):
    """Partitions."""

    partition_by: str | tuple[str, ...] | None = option(
        "partition columns, separated by commas; --mode overwrite then replaces only the partitions of the new rows",
        None,
        most=9,
    )

    def __post_init__(self) -> None:
        """Check the fields, and that vectors and what they are made of do not become names of folders."""
        super().__post_init__()
        names = self.partition_columns
        object.__setattr__(self, "partition_by", (names[0] if len(names) == 1 else names) or None)
        for name in names:
            if name in (*self.text_columns, self.id_column, self.output_column):
                raise SpecError(
                    f"The partition column {name!r} is a text, ID or output column: each row would be a partition.",
                    "choose a column with few values, such as a date.",
                )

    @property
    def partition_columns(self) -> tuple[str, ...]:
        """The columns of `partition_by`."""
        return column_names("partition_by", self.partition_by)


@dataclass(frozen=True, kw_only=True)
class VectorInput(ModelOptions, TextFiles, BadRows):
    """Vectors."""

    id_column: str = option("ID column", "id")
    column: str | None = option("vector column (default: the only one)", None)
    text_column: str | None = option("text column (needs --model)", None)
    on_error: str | None = option(
        "rows that cannot be read or compared: stop the job, or write them to OUTPUT__rejected (default: leave them "
        "out, counted)",
        None,
        choices=ON_BAD_VECTOR,
    )

    def __post_init__(self) -> None:
        """Check the fields, and that a model has something to embed."""
        super().__post_init__()
        if self.model is not None and all(self.vector_columns):
            raise SpecError("Both a model and a vector column are given.", "remove one of them.")

    @property
    def vector_columns(self) -> tuple[str | None, ...]:
        """The vector column of each table that the job reads; None if the job does not name it."""
        return (self.column,)

    def check_model_options(self) -> None:
        """Check that no option of the model is given without a model."""
        unused = [name for name in ("revision", *self.encoding) if getattr(self, name) is not None]
        if self.model is None and unused:
            raise SpecError(f"{unused[0]} is given without model.", "give --model and --text-column, or leave it out.")


@dataclass(frozen=True, kw_only=True)
class VectorOptions(VectorInput):
    """Method."""

    method: str = option("exact, or ivf (approximate)", "exact", choices=METHODS)
    recall: float = option("share of the exact result that ivf should find", 0.95)


@dataclass(frozen=True, kw_only=True)
class PairOptions(VectorOptions):
    """Pairs."""

    score: str | None = option("similarity function (default: the model's, else cosine)", None, choices=SCORES)
    on: str | tuple[str, ...] | None = option(
        "column whose values must be equal; can be given several times", None, most=9
    )

    def __post_init__(self) -> None:
        """Check the fields, and that a model and a text column are given together."""
        super().__post_init__()
        self.check_model_options()
        if (self.model is None) != (self.text_column is None):
            missing, given = ("model", "text_column") if self.model is None else ("text_column", "model")
            raise SpecError(f"{given} is given without {missing}.", "give both to embed texts, none to read vectors.")

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns of `on`."""
        return (self.on,) if isinstance(self.on, str) else self.on or ()
