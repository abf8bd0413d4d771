"""Bad rows: why a row is bad, and the columns of the table that keeps such rows."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as sf
from pyspark.sql.types import StringType, StructType

from st_spark.tables.columns import CORRUPT, RESERVED, check_new_column, quoted_column, readable
from st_spark.tables.decoding import is_not_utf8, is_undecodable

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Row

# A temporary column: a struct of REASON and COLUMN, null for a good row.
PROBLEM = f"{RESERVED}problem"
# The last columns of a table of rejected rows. RAW_TEXT is what CORRUPT says of a row, or null.
# It is always written, because an append can read another format than the run before.
REASON, COLUMN, RAW_TEXT = "reason", "column", "raw_text"
PROBLEM_TYPE = f"struct<{REASON}:string,{COLUMN}:string>"
CORRUPT_ROW, UNDECODABLE, NOT_FINITE = "corrupt", "undecodable", "not finite"
_SHOWN = 3


def problem(reason: "str | Column", column: "str | Column | None") -> "Column":
    """Return the value of PROBLEM for a bad row."""
    return sf.struct(sf.lit(reason).alias(REASON), sf.lit(column).cast("string").alias(COLUMN))


def unread(df: "DataFrame", names: Sequence[str], *, lossy: bool) -> "Column":
    """Return PROBLEM for rows that are corrupt, or have a text that is not in its encoding.

    Args:
        df: The rows.
        names: The text columns.
        lossy: Whether U+FFFD stands for bytes that Spark could not decode; see count_bad_texts().
    """
    case = sf.when(~readable(df), problem(CORRUPT_ROW, None))
    for name in names:
        bad = is_undecodable(df, [name]) if lossy else is_not_utf8(df.schema, [name])
        case = case.when(bad, problem(UNDECODABLE, name))
    return case


def check_names(df: "DataFrame", where: str) -> None:
    """Check that a table of rejected rows can have all columns of the input; InputError if not."""
    for name in (REASON, COLUMN, RAW_TEXT):
        check_new_column(df, where, name, "rename it: the table of rejected rows adds this column.")


def rejected(df: "DataFrame", names: Iterable[str]) -> "DataFrame":
    """Return the bad rows with PROBLEM: the columns `names`, REASON, COLUMN and RAW_TEXT."""
    raw = quoted_column(CORRUPT) if CORRUPT in df.columns else sf.lit(None).cast("string")
    why = [sf.col(f"{PROBLEM}.{name}") for name in (REASON, COLUMN)]
    return df.where(sf.col(PROBLEM).isNotNull()).select(*map(quoted_column, names), *why, raw.alias(RAW_TEXT))


def name_some(bad: "DataFrame", id_column: str | None) -> str:
    """Return the first rows of rejected() as text: id 7 (undecodable, column 'text'); ..."""
    found = bad.limit(_SHOWN + 1).collect()
    shown = [_named(row, id_column or _first_text(bad.schema)) for row in found[:_SHOWN]]
    return "; ".join(shown) + ("; ..." if len(found) > _SHOWN else "")


def _named(row: "Row", name: str | None) -> str:
    values = row.asDict()
    why = values[REASON] + (f", column {values[COLUMN]!r}" if values[COLUMN] else "")
    raw = values.get(RAW_TEXT)
    key = "row" if raw else name
    value = raw if raw else values.get(name or "")
    return why if key is None else f"{key} {_short(value)} ({why})"


def _first_text(schema: StructType) -> str | None:
    """Return the first column that can name a row, such as the path of a file."""
    names = (each.name for each in schema.fields if isinstance(each.dataType, StringType))
    return next((name for name in names if name not in (REASON, COLUMN, RAW_TEXT)), None)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."  # a path should be whole
