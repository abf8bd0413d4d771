"""similarity_join: the nearest rows of another table, or all pairs of rows that are near enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as sf

from st_spark.join import exact
from st_spark.join.input_stats import Survey, survey
from st_spark.join.inputs import Sides, sides_of
from st_spark.join.options import Request
from st_spark.tables.metadata import METADATA_KEY

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

    from st_spark.join.tasks.results import Each


@dataclass(frozen=True)
class Joined:
    """A join that is planned but not run.

    Attributes:
        pairs: left_id, right_id, score (and rank); or what `each` makes.
        survey: What was found of the inputs.
        facts: How it is done: method, score, k, threshold, ...; also in the metadata of the score column, but for the
            number of meetings.
    """

    pairs: "DataFrame"
    survey: Survey
    facts: dict[str, Any]


def similarity_join(  # noqa: PLR0913  (two tables with the names of their columns, and what is asked)
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
) -> "DataFrame":
    """Joins tables by the similarity of their vectors.

    The inputs are read here once, to count their rows, and again when the result is used: write or cache them before
    if their vectors are costly to make.

    Args:
        left: A table with a column of unique ids (of whole numbers or strings) and one of array<float> or <double>.
        right: Another one. None, or the very same DataFrame, joins the left one with itself by its own columns: no row
            is its own neighbour.
        k: How many neighbours each left row gets, the best first. None for all pairs above the threshold.
        threshold: The least score of a pair.
        score: "cosine" (-1..1), "dot", or "euclidean": minus the distance. More is more similar; of equal scores the
            smaller right id is better.
        left_id: Column of the left ids.
        right_id: Column of the right ids.
        left_vector: Column of the left vectors.
        right_vector: Column of the right vectors.
        on: Columns of both tables that must be equal: rows are compared only within each of their values.
        method: "exact", or "ivf": approximate, which looks only where neighbours are likely.
        recall: With "ivf", the share of the true neighbours to find.
        max_pairs: The most pairs that a threshold alone (k=None) may let through. A sample tells how many to expect.
        overflow: What to do if they are more: "error", or "best": only the best max_pairs / rows of each left row.

    Returns:
        left_id, right_id (of the types of the inputs), score (double) and with k rank (int, from 1). Without k a pair
        of a table with itself comes once, with left_id < right_id. A left row has fewer than k neighbours only where
        there are fewer (with "ivf" also where the cells that it searches hold fewer). Rows without an id, a vector or a
        value of `on`, and vectors of another size than most, with NaN or infinities, or (for cosine) of zeros, are left
        out.

    Raises:
        InputError: An argument or a column that cannot work, an id that stands twice in one table, sides with vectors
            of different sizes, or more pairs than max_pairs.
    """
    request = Request(k, threshold, score, method, recall, max_pairs, overflow)
    names = {"left": (left_id, left_vector), "right": (right_id, right_vector)}
    return join(sides_of(left, right, names, on), request).pairs


def join(sides: Sides, request: Request, each: "Each | None" = None, made: "StructType | None" = None) -> Joined:
    """similarity_join() with all that is known of it.

    Args:
        sides: The inputs; see inputs.sides_of().
        request: What is asked.
        each: With k=None, what to make of the pairs of each meeting instead of rows of pairs; they may be any number.
        made: The columns that it gives.
    """
    found = survey(sides, request.score)
    facts = {"method": request.method, "score": request.score, "k": request.k, "threshold": request.threshold}
    ready = sides.ready()
    if request.method == "ivf":
        from st_spark.join import ivf

        pairs, more = ivf.pairs(ready, found, request)
    elif request.k is not None:
        pairs, more = exact.neighbours(ready, found, request, request.k)
    else:
        pairs, more = exact.pairs(ready, found, request, each, made)
    facts |= more
    if each is None:
        said = {name: value for name, value in facts.items() if value is not None and name != "meetings"}
        others = ["rank"] if request.k is not None else []
        pairs = pairs.select(
            "left_id", "right_id", sf.col("score").alias("score", metadata={METADATA_KEY: said}), *others
        )
    return Joined(pairs, found, facts)
