"""Which row of a group of near-duplicates is kept: the first in an order of columns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as sf

from st_spark.join.inputs import id_values
from st_spark.tables.columns import RESERVED, check_columns
from st_spark.tables.conditions import analysed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from st_spark.tables.order import SortKey

# The id of the row that represents the group.
KEPT = "kept"
_ID, _GROUP, _SIZE = (f"{RESERVED}{name}" for name in ("id", "group", "size"))


def check_order(df: "DataFrame", keep: "Sequence[SortKey]", where: str) -> None:
    """Check that a table can be sorted by columns; InputError if not."""
    check_columns(df.schema, where, (), [key.name for key in keep])
    names = ", ".join(key.name for key in keep)
    if keep:
        analysed(
            lambda: df.orderBy(*(key.column() for key in keep)),
            f"The order by {names}",
            where,
            "choose columns that can be sorted, such as numbers, strings and dates.",
        )


def with_kept(groups: "DataFrame", df: "DataFrame", id_column: str, keep: "Sequence[SortKey]") -> "DataFrame":
    """Add KEPT to groups: the smallest id, or the id of the first row in an order of columns (ties by id).

    Args:
        groups: id, group and size.
        df: The table with the columns of the order.
        id_column: Its ids.
        keep: The order; () for the smallest id.
    """
    if not keep:
        return groups.withColumn(KEPT, sf.col("group"))
    renamed = groups.select(sf.col("id").alias(_ID), sf.col("group").alias(_GROUP), sf.col("size").alias(_SIZE))
    order = Window.partitionBy(_GROUP).orderBy(*(key.column() for key in keep), sf.col(_ID).asc())
    rows = df.join(renamed, id_values(df, id_column) == sf.col(_ID))
    first = sf.first(_ID).over(order.rowsBetween(Window.unboundedPreceding, Window.currentRow))
    return rows.select(
        sf.col(_ID).alias("id"), sf.col(_GROUP).alias("group"), sf.col(_SIZE).alias("size"), first.alias(KEPT)
    )


def without_duplicates(df: "DataFrame", groups: "DataFrame", id_column: str) -> "DataFrame":
    """Return the rows of a table but the duplicates: rows of a group that do not represent it.

    Rows that could not be compared stay: they have no id, or no usable vector.
    """
    return without_ids(df, id_column, groups.where("NOT representative").select("id"))


def without_ids(df: "DataFrame", id_column: str, ids: "DataFrame") -> "DataFrame":
    """Return the rows of a table whose id is not in the one column of `ids`. Rows without an id stay."""
    return df.join(ids.toDF(_ID), id_values(df, id_column) == sf.col(_ID), "left_anti")
