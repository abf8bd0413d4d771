"""Columns of a table: quote their names, check that they exist and hold texts, leave out unreadable rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from st_spark.errors import InputError, close

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import StructType

# Null in each row of CSV or JSON that Spark could read. Else the raw text, or what --schema does not allow.
CORRUPT = "_st_spark_corrupt_row"
# Spaces of all kinds, such as line breaks and no-break spaces. Spark's trim() knows only " ".
SPACES, NOT_BLANK = r"(?U)\s+", r"(?U)\S"
# Temporary columns of jobs start with this, so no column of a table may.
RESERVED = "_st_spark_"


def quoted_column(name: str) -> "Column":
    """Return the column with exactly this name, even if the name contains dots or backquotes."""
    from pyspark.sql import functions as sf

    return sf.col(quoted_name(name))


def quoted_name(name: str) -> str:
    """Return a name of a column as Spark SQL writes it."""
    return "`" + name.replace("`", "``") + "`"


def check_new_column(df: "DataFrame", where: str, name: str, fix: str) -> None:
    """Check that a table has no column that a new one would replace; InputError with the fix if it has.

    Spark ignores the case of letters in names, unless spark.sql.caseSensitive is true.
    """
    same = [each for each in df.columns if each.lower() == name.lower()]
    if name in same or (same and str(df.sparkSession.conf.get("spark.sql.caseSensitive")).lower() != "true"):
        other = "" if name in same else f", which Spark takes for {name!r}"
        raise InputError(f"{where} has a column {(name if name in same else same[0])!r} already{other}.", fix)


def readable(df: "DataFrame") -> "Column":
    """Return a condition: true for each row that Spark could read. CSV and JSON files can have other rows."""
    from pyspark.sql import functions as sf

    return quoted_column(CORRUPT).isNull() if CORRUPT in df.columns else sf.lit(True)


def check_columns(
    schema: "StructType", where: str, texts: Sequence[str], others: Sequence[str] = (), *, images: bool = False
) -> None:
    """Check that columns exist, and that the text columns hold strings.

    Args:
        schema: The columns of the table.
        where: The name of the table, for errors.
        texts: Names of the text columns.
        others: Names of other columns that must exist.
        images: Whether text columns may also hold binary: image files.

    Raises:
        InputError: A column is missing, or has another type.
    """
    from pyspark.sql.types import BinaryType, CharType, StringType, VarcharType

    names = [name for name in schema.names if name != CORRUPT]
    for name in (*texts, *others):
        if name not in names:
            near = close(name, names)
            fix = f"the table has {', '.join(names)}" + (f"; did you mean {near!r}?" if near else ".")
            raise InputError(f"{where} has no column {name!r}.", fix)
    for name in texts:
        kind = schema[name].dataType
        binary = isinstance(kind, BinaryType)
        if not isinstance(kind, StringType | CharType | VarcharType) and not (images and binary):
            hint = "choose a CLIP model if it holds images, else " if binary else ""
            raise InputError(
                f"In {where} the column {name!r} holds {kind.simpleString()}, not strings.",
                f"{hint}name the text column, or cast this one to string.",
            )
