"""near_duplicates: which rows of a table are nearly the same, and which row represents them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as sf
from pyspark.sql.types import StructType

from st_spark.choices import LINKAGES
from st_spark.errors import InputError, check_choice, check_list
from st_spark.join import exact, ivf
from st_spark.join.exact_copies import SELF_SCORE, drop_rows, find_copies, hash_vectors
from st_spark.join.grouping import components, leaders
from st_spark.join.input_stats import InputStats, TableStats, collect_stats
from st_spark.join.inputs import TablePair, number_keys, select_columns
from st_spark.join.kept_rows import KEPT, check_order, with_kept, without_duplicates
from st_spark.join.options import Request, check_reachable, described
from st_spark.join.row_scores import with_score
from st_spark.join.shuffle import ID, VECTOR, key_name
from st_spark.join.tasks.groups import reduce_to_tree_edges
from st_spark.tables.conditions import filter_rows
from st_spark.tables.order import parse_order

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from st_spark.tables.order import SortKey

# Neighbours of each row that "ivf" looks for.
_NEIGHBOURS = 32


@dataclass(frozen=True)
class DuplicateGroups:
    """Planned groups, and facts about them."""

    groups: "DataFrame"  # See near_duplicates()
    stats: TableStats  # Counts of the table
    copies: int  # Rows with the same vector as another row, bit by bit. They are not compared again.
    # How the groups are made: method, score, threshold, linkage, ...; also in the metadata of the score column, without
    # the number of tasks
    facts: dict[str, Any]
    earlier: TableStats | None = None  # Counts of the table of earlier rows; see earlier_rows.find_new_groups()


def near_duplicates(  # noqa: PLR0913  (a table with the names of its columns, and the options)
    df: "DataFrame",
    threshold: float = 0.9,
    *,
    id: str = "id",
    vector: str = "embedding",
    score: str = "cosine",
    method: str = "exact",
    recall: float = 0.95,
    linkage: str = "components",
    on: Sequence[str] = (),
    max_pairs: int = 100_000_000,
    keep: str | None = None,
    against: "DataFrame | None" = None,
    where: str | None = None,
    against_where: str | None = None,
) -> "DataFrame":
    """Group the rows of a table that are nearly the same.

    Args:
        df: A table of vectors. It is read several times. Vectors that Python computes are kept on the executors' disks;
            see similarity_join().
        threshold: The lowest score of a pair.
        id: Column of the ids: integers or strings, unique.
        vector: Column of the vectors, of any type that similarity_join() takes.
        score: "cosine"; "dot", the inner product; or "euclidean", minus the distance (and so is the threshold).
        method: "exact" finds all pairs. "ivf" finds most pairs of each row with its 32 nearest rows, so some groups may
            be split.
        recall: The share of these pairs that "ivf" should find.
        linkage: "components": rows that are connected by a chain of pairs are one group. "leader": in the order of ids,
            each row joins the most similar leader within the threshold, or becomes a leader if there is none. So every
            row is within the threshold of its leader, and there are no long chains. Without keep, the leader is the
            representative of its group.
        on: Columns in which the rows of a group must be equal. A null is equal to nothing.
        max_pairs: The most pairs that leaders may be chosen from. Components have no such limit.
        keep: Which row represents its group: the first in an order such as "date DESC". Of equal rows, and by default,
            the row with the smallest id. It does not change which rows are a group.
        against: Earlier rows with the same columns, whose ids are other ones. A row that is similar to one of them is
            its duplicate. They are not compared with each other; those with an id of `df` are left out.
        where: SQL condition, such as "day = '2026-11-27'": only these rows of `df` are grouped.
        against_where: The same for `against`.

    Returns:
        One row for each row with an id and a vector that can be joined: id; group (the smallest id of the group;
        strings are ordered by their UTF-8 bytes; or the id of the most similar row of `against`); size, 1 for a row
        alone; representative, whether the row is kept; and score, the row's score with the representative (1.0 for the
        representative itself by cosine).
        Some rows are left out: rows without an id or a vector, vectors of another size than most, with NaN or
        infinities, or (for cosine) of zeros.

    Raises:
        InputError: A column or an option that cannot work, duplicate ids, or more than max_pairs pairs.
    """
    request, keys = Request(None, threshold, score, method, recall, max_pairs), check_list("on", on)
    order = () if keep is None else parse_order(keep, "keep")
    if against is None and against_where is not None:
        raise InputError("against_where is given without against.", "give the earlier rows: against.")
    df = filter_rows(df, where, "where", "the table")
    check_order(df, order, "the table")
    if against is None:
        return find_groups(df, request, linkage, id_column=id, vector=vector, on=keys, keep=order).groups
    from st_spark.join.earlier_rows import find_new_groups  # it calls find_groups()

    earlier = filter_rows(against, against_where, "against_where", "the table of earlier rows")
    columns = ((id, vector), (id, vector))
    return find_new_groups(df, earlier, request, linkage, columns=columns, on=keys, keep=order).groups


def drop_near_duplicates(df: "DataFrame", threshold: float = 0.9, *, id: str = "id", **options: Any) -> "DataFrame":  # noqa: ANN401
    """Return a table without its near-duplicates: one row of each group, with all columns.

    Rows that cannot be compared stay, such as rows without a vector. Rows that do not meet `where` are left out.

    Args:
        df: The table.
        threshold: The lowest score of a pair.
        id: Column of the ids.
        options: Other options of near_duplicates(), such as keep="date DESC".
    """
    groups = near_duplicates(df, threshold, id=id, **options)
    return without_duplicates(filter_rows(df, options.get("where"), "where", "the table"), groups, id)


def find_groups(
    df: "DataFrame",
    request: Request,
    linkage: str,
    *,
    id_column: str,
    vector: str,
    on: Sequence[str] = (),
    where: str = "the table",
    keep: "Sequence[SortKey]" = (),
) -> DuplicateGroups:
    """Plan near_duplicates(). Spark counts the rows here, and does the rest when the groups are read."""
    threshold = checked_threshold(request, linkage)
    keys = tuple(map(key_name, range(len(on))))
    table = number_keys(TablePair(select_columns(df, where, id_column, vector, on), None, keys))
    # Rows without a key are in no pair, but are groups.
    stats = collect_stats(replace(table, keys=()), request.score, (where, where))
    rows = table.left.where(sf.col(ID).isNotNull())
    hashes = hash_vectors(rows, keys, stats.dimension, request.score)
    copies = find_copies(hashes, keys, threshold)
    count = copies.count()
    unique = replace(table, left=drop_rows(table.left, copies.select(sf.col("right_id").alias(ID)), count)).joinable()
    unique_stats = replace(stats, left=replace(stats.left, rows=stats.left.rows - count))
    pairs, more = _pairs(unique, unique_stats, request, linkage)
    if count:
        pairs = pairs.unionByName(copies, allowMissingColumns=True)
    grouped = components(pairs) if linkage == "components" else leaders(pairs)
    scored = _with_scores(with_kept(grouped, df, id_column, keep), rows, stats.dimension, request.score)
    facts = {"method": request.method, "score": request.score, "threshold": threshold, "linkage": linkage, **more}
    facts |= {"keep": ", ".join(map(str, keep))} if keep else {}
    if keys:
        facts["null_keys"] = rows.count() - table.joinable().left.count()
    return DuplicateGroups(_with_single_rows(hashes, scored, facts), stats.left, count, facts)


def checked_threshold(request: Request, linkage: str) -> float:
    """Return the threshold. Raise InputError if no score can reach it, or the linkage is unknown."""
    check_choice("linkage", linkage, LINKAGES)
    assert request.threshold is not None
    check_reachable(request.threshold, request.score)
    return request.threshold


def _pairs(table: TablePair, stats: InputStats, request: Request, linkage: str) -> "tuple[DataFrame, dict[str, Any]]":
    """Return left_id and right_id of all pairs, with score for leaders; or fewer pairs with the same components."""
    if request.method == "ivf":
        pairs, facts = ivf.top_k(table, stats, replace(request, k=_NEIGHBOURS))
        return exact.smaller_id_left(pairs).dropDuplicates(["left_id", "right_id"]), facts
    if linkage == "leader":
        return exact.above(table, stats, request)
    schema = StructType(exact.pair_schema(table).fields[:2])
    return exact.above(table, stats, request, reduce_to_tree_edges, schema)


def _with_scores(groups: "DataFrame", rows: "DataFrame", dimension: int, score: str) -> "DataFrame":
    """Return the groups with the score of each row with the representative."""
    own = rows.select(sf.col(ID).alias("id"), sf.col(VECTOR).alias("x"))
    representative = rows.select(sf.col(ID).alias(KEPT), sf.col(VECTOR).alias("y"))
    joined = groups.join(own, "id").join(representative, KEPT).select(*groups.columns, "x", "y")
    return with_score(joined, dimension, score)


def _with_single_rows(hashes: "DataFrame", scored: "DataFrame", facts: dict[str, Any]) -> "DataFrame":
    """Return every row: the groups of several rows, and each other row as a group."""
    rows = hashes.select(sf.col(ID).alias("id"), SELF_SCORE)
    return rows.join(scored, "id", "left").select(
        "id",
        sf.coalesce("group", "id").alias("group"),
        sf.coalesce("size", sf.lit(1).cast("bigint")).alias("size"),
        (sf.coalesce(KEPT, "id") == sf.col("id")).alias("representative"),
        described(sf.coalesce("score", SELF_SCORE), facts),
    )
