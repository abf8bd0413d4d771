"""Near-duplicates of rows that are new: of earlier rows, which are in another table, and of each other.

Earlier rows are not compared with each other, so a day costs its rows times all rows.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as sf

from st_spark.errors import InputError
from st_spark.join.exact_copies import drop_rows
from st_spark.join.inputs import TablePair, table_pair
from st_spark.join.kept_rows import without_ids
from st_spark.join.near_duplicates import DuplicateGroups, checked_threshold, find_groups
from st_spark.join.options import Request, described
from st_spark.join.shuffle import ID
from st_spark.join.similarity_join import plan_join
from st_spark.spark.hold import hold

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from st_spark.tables.order import SortKey


def find_new_groups(
    df: "DataFrame",
    earlier: "DataFrame",
    request: Request,
    linkage: str,
    *,
    columns: tuple[tuple[str, str], tuple[str, str]],
    on: Sequence[str] = (),
    keep: "Sequence[SortKey]" = (),
    names: tuple[str, str] = ("the table", "the table of earlier rows"),
) -> DuplicateGroups:
    """Plan near_duplicates() with earlier rows.

    Args:
        df: The new rows.
        earlier: The earlier rows. Rows with an id of a new row are left out: they are the same row.
        request: See find_groups().
        linkage: See find_groups().
        columns: (id column, vector column) of both tables.
        on: See find_groups().
        keep: See find_groups().
        names: The names of both tables, for errors.

    Returns:
        The groups of the new rows. A row with an earlier row within the threshold is a duplicate of the most similar
        one: its group is the id of that row. Other new rows are compared with each other.
    """
    checked_threshold(request, linkage)
    tables = _without_new(table_pair(df, earlier, dict(zip(("left", "right"), columns, strict=True)), on, names), names)
    joined = plan_join(tables, replace(request, k=1), names=names)
    known = hold(joined.pairs, names[0])
    count = known.count()
    id_column, vector = columns[0]
    fresh = without_ids(df, id_column, known.select("left_id")) if count else df
    found = find_groups(fresh, request, linkage, id_column=id_column, vector=vector, on=on, where=names[0], keep=keep)
    groups = found.groups.unionByName(_groups(known)) if count else found.groups
    facts = found.facts | {"known": count}
    groups = groups.withColumn("score", described(sf.col("score"), found.facts))
    # A row without a key is in no pair, but is a group, so the counts of the join are too low.
    stats = replace(found.stats, rows=found.stats.rows + count, dimension=joined.stats.left.dimension)
    return DuplicateGroups(groups, stats, found.copies, facts, joined.stats.right)


def _without_new(tables: TablePair, names: tuple[str, str]) -> TablePair:
    """Return the tables without the earlier rows that are new rows: the table can have the rows of this day already."""
    ours, theirs = (kind.simpleString() for kind in tables.id_types())
    if ours != theirs:
        raise InputError(f"The ids hold {ours} in {names[0]}, and {theirs} in {names[1]}.", "cast one of them.")
    assert tables.right is not None
    ids = tables.left.select(ID)
    return replace(tables, right=drop_rows(tables.right, ids, ids.count()))


def _groups(known: "DataFrame") -> "DataFrame":
    """Return rows that repeat an earlier row as groups. The size of a group counts the earlier row."""
    size = sf.count(sf.lit(1)).over(Window.partitionBy("right_id")) + 1
    return known.select(
        sf.col("left_id").alias("id"),
        sf.col("right_id").alias("group"),
        size.alias("size"),
        sf.lit(False).alias("representative"),
        "score",
    )
