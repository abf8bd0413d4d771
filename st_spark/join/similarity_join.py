"""similarity_join: the nearest rows of another table, or all pairs of rows that are similar enough."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as sf

from st_spark.errors import InputError, check_list
from st_spark.join import exact
from st_spark.join.input_stats import InputStats, collect_stats
from st_spark.join.inputs import TABLES, TablePair, table_pair
from st_spark.join.options import Request, described
from st_spark.join.pair_columns import add_columns, check_added_columns
from st_spark.join.vector_index import lists_of
from st_spark.tables.conditions import filter_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

    from st_spark.join.tasks.results import PairReducer


@dataclass(frozen=True)
class PlannedJoin:
    """A join that is planned and has not run."""

    pairs: "DataFrame"  # left_id, right_id, score (and rank); or the rows of the reducer
    stats: InputStats  # Counts of the inputs
    # How the pairs are made: method, score, k, threshold, ...; also in the metadata of the score column, without the
    # number of tasks
    facts: dict[str, Any]


def similarity_join(  # noqa: PLR0913  (two tables with the names of their columns, and the options)
    left: "DataFrame",
    right: "DataFrame | None" = None,
    *,
    k: int | None = 10,
    threshold: float | None = None,
    score: str = "cosine",
    left_id: str = "id",
    right_id: str = "id",
    left_vector: str = "embedding",
    right_vector: str = "embedding",
    on: Sequence[str] = (),
    method: str = "exact",
    recall: float = 0.95,
    max_pairs: int = 100_000_000,
    overflow: str = "error",
    left_columns: Sequence[str] = (),
    right_columns: Sequence[str] = (),
    left_where: str | None = None,
    right_where: str | None = None,
) -> "DataFrame":
    """Join tables by the similarity of their vectors.

    The call reads the inputs once to count their rows, and the result reads them again. Vectors that encode() or other
    Python functions compute are computed once: the executors keep them on disk. They keep eight inputs, and free the
    oldest first. To free them sooner, persist the inputs yourself, or call spark.catalog.clearCache().

    Args:
        left: A table with a column of unique ids (whole numbers or strings) and one of vectors: array<float>,
            array<double>, vectors of pyspark.ml, or the bytes and bits of an embed job with a precision. These are read
            as floats: bytes by the ranges in the metadata of the column, bits as 1 and -1.
        right: Another table. None joins the left table with itself: no row is its own neighbour. So does the same
            DataFrame, if the names of its columns and the conditions are the same on both sides.
        k: How many neighbours each left row gets, the best first. None for all pairs above the threshold.
        threshold: The lowest score of a pair.
        score: "cosine" (-1 to 1), "dot", or "euclidean": minus the distance. More is more similar; of equal scores the
            smaller right id is better. Bits have a cosine only: 1 - 2 * (share of the bits that differ).
        left_id: Column of the left ids.
        right_id: Column of the right ids.
        left_vector: Column of the left vectors.
        right_vector: Column of the right vectors.
        on: Columns of both tables that must be equal: rows are compared only within equal values.
        method: "exact", or "ivf": approximate, by inverted lists. If the right table is an index of build_index(), its
            lists are used, and none are made; the recall is measured as always.
        recall: With "ivf", the share of the true neighbours to find.
        max_pairs: With a threshold and no k: the most pairs that may be expected. A sample estimates their number, so
            somewhat more can be returned.
        overflow: What to do with more pairs: "error", or "best": keep the best max_pairs / rows of each left row.
        left_columns: Columns of the left table to add to the pairs. Each gets the prefix left_.
        right_columns: Columns of the right table to add. Each gets the prefix right_.
        left_where: SQL condition, such as "lang = 'de'": only these rows of the left table are joined. Without a right
            table it holds for both sides.
        right_where: The same for the right table.

    Returns:
        left_id, right_id (of the types of the inputs), score (double) and with k rank (int, from 1), then the columns
        that were asked for. Without k a pair of a table with itself comes once, with left_id < right_id. A left row has
        fewer than k neighbours only if there are fewer; with "ivf" also if the lists that it probes hold fewer. Some
        rows are left out: rows without an id, a vector or a value of `on`, vectors of another size than most, with NaN
        or infinities, or (for cosine) of zeros.

    Raises:
        InputError: An argument, a condition or a column that cannot work, duplicate ids in one table, vectors of
            different sizes in both tables, or more pairs than max_pairs.
    """
    request = Request(k, threshold, score, method, recall, max_pairs, overflow)
    names = {"left": (left_id, left_vector), "right": (right_id, right_vector)}
    if right is None and right_where is not None:
        raise InputError("right_where is given without right.", "give the right table, or left_where alone.")
    one = other = filter_rows(left, left_where, "left_where", TABLES[0])
    if right is not None and (right is not left or left_where != right_where):
        other = filter_rows(right, right_where, "right_where", TABLES[1])
    added = {"left": check_list("left_columns", left_columns), "right": check_list("right_columns", right_columns)}
    check_added_columns(one.schema, TABLES[0], "left", added["left"])
    check_added_columns(other.schema, TABLES[1], "right", added["right"])
    tables = table_pair(one, None if right is None else other, names, check_list("on", on))
    if method == "ivf" and right is not None:
        request = replace(request, quantizer=lists_of(other, right_vector, score))
    pairs = add_columns(plan_join(tables, request).pairs, "left", one, left_id, added["left"])
    return add_columns(pairs, "right", other, left_id if right is None else right_id, added["right"])


def plan_join(
    tables: TablePair,
    request: Request,
    reducer: "PairReducer | None" = None,
    schema: "StructType | None" = None,
    names: tuple[str, str] = TABLES,
) -> PlannedJoin:
    """Plan a similarity join of the tables of inputs.table_pair().

    With k=None, a reducer makes other rows from the pairs of each task, with the columns of `schema`. Then there may be
    any number of pairs. `names` are the names of the tables, for errors.
    """
    stats = collect_stats(tables, request.score, names)
    facts = {"method": request.method, "score": request.score, "k": request.k, "threshold": request.threshold}
    joinable = tables.joinable()
    if request.method == "ivf":
        from st_spark.join import ivf

        pairs, more = ivf.top_k(joinable, stats, request)
    elif request.k is not None:
        pairs, more = exact.top_k(joinable, stats, request, request.k)
    else:
        pairs, more = exact.above(joinable, stats, request, reducer, schema)
    facts |= more
    if reducer is None:
        ranks = ["rank"] if request.k is not None else []
        pairs = pairs.select("left_id", "right_id", described(sf.col("score"), facts), *ranks)
    return PlannedJoin(pairs, stats, facts)
