"""SQL text in options, such as the condition "lang = 'de' AND year > 2020": checked before the work starts."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from st_spark.errors import InputError
from st_spark.tables.columns import CORRUPT, readable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def filter_rows(df: "DataFrame", condition: str | None, option: str, where: str) -> "DataFrame":
    """Return the rows that meet a condition. Spark pushes it to the files, so other vectors are not read.

    Rows of CSV and JSON lines that Spark cannot read stay, because jobs count them.

    Args:
        df: The rows.
        condition: SQL as in WHERE; None for all rows.
        option: The name of the option, for errors.
        where: The name of the table, for errors.

    Raises:
        InputError: The condition cannot be used.
    """
    if condition is None:
        return df
    from pyspark.sql import functions as sf

    fix = f'write a condition as in SQL\'s WHERE, such as "year > 2020"; the columns are {_names(df)}.'
    return analysed(lambda: df.where(sf.expr(condition) | ~readable(df)), f"{option} {condition!r}", where, fix)


def analysed(make: "Callable[[], DataFrame]", text: str, where: str, fix: str) -> "DataFrame":
    """Return the DataFrame that `make` makes of SQL text; InputError if Spark does not understand the text."""
    from pyspark.errors import PySparkException

    try:
        df = make()
        _ = df.schema  # Connect analyses it only now
    except PySparkException as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InputError(
            f"{text} cannot be used with {where}: {reason.partition(' SQLSTATE')[0].strip()}", fix
        ) from None
    return df


def _names(df: "DataFrame") -> str:
    return ", ".join(name for name in df.columns if name != CORRUPT)
