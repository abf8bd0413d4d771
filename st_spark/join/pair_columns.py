"""Columns of the input tables beside the pairs of a join.

They are fetched by id after the join. A join sends each row to several tasks, so columns that went with it would be
copied as often. Here each table is read once more, without its vectors, and only the pairs carry columns.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as sf

from st_spark.errors import InputError
from st_spark.join.inputs import id_values
from st_spark.tables.columns import RESERVED, check_columns, quoted_column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

_KEY = f"{RESERVED}id"


def add_columns(pairs: "DataFrame", side: str, df: "DataFrame", id_column: str, names: Sequence[str]) -> "DataFrame":
    """Return the pairs with columns of one table. The column NAME becomes left_NAME or right_NAME.

    Args:
        pairs: Rows with left_id and right_id.
        side: "left" or "right".
        df: The table.
        id_column: Its ids, which are unique.
        names: The columns.
    """
    if not names:
        return pairs
    columns = [quoted_column(name).alias(f"{side}_{name}") for name in names]
    rows = df.select(id_values(df, id_column).alias(_KEY), *columns)
    return pairs.join(rows, sf.col(f"{side}_id") == sf.col(_KEY)).drop(_KEY)


def check_added_columns(schema: "StructType", where: str, side: str, names: Sequence[str]) -> None:
    """Check that columns can be added to pairs.

    Raises:
        InputError: A column is missing, named twice, or would have the name of another column of the pairs.
    """
    check_columns(schema, where, (), names)
    seen = {"id"}
    for name in names:
        if name.lower() in seen:
            reason = "is named twice" if name.lower() != "id" else f"would become {side}_{name}, which the pairs have"
            raise InputError(
                f"The column {name!r} of {where} {reason}.",
                f"remove it from {side}_columns, or rename it in the table.",
            )
        seen.add(name.lower())
