"""near_duplicates: which rows of a table are about the same, and which one stands for them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import functions as sf
from pyspark.sql.types import DoubleType, LongType, StructField, StructType

from st_spark.choices import LINKAGES
from st_spark.errors import InputError
from st_spark.join import exact, ivf
from st_spark.join.exact_copies import OWN, copies, digested
from st_spark.join.grouping import components, leaders
from st_spark.join.input_stats import SideSurvey, Survey, survey
from st_spark.join.inputs import Sides, picked
from st_spark.join.options import Request
from st_spark.join.shuffle import ID, VECTOR, key_name
from st_spark.join.tasks.components import of_meeting
from st_spark.join.tasks.vector_column import checked
from st_spark.tables.metadata import METADATA_KEY
from st_spark.topk.scores import exact_scores

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# The best score that there is; a threshold above it is a mistake.
_BEST = {"cosine": 1.0, "euclidean": 0.0}
# Neighbours of each row that "ivf" looks for.
_NEAREST = 32
# Ids of copies that are sent to all tasks, so that the vectors need not be sorted by id.
_BROADCAST = 1_000_000


@dataclass(frozen=True)
class Found:
    """Groups, and what was seen on the way.

    Attributes:
        groups: See near_duplicates().
        survey: The rows of the table, and those set aside.
        copies: Rows with the vector of another row, bit by bit: they were not compared again.
        facts: How the groups are made, also in the metadata of the score column, but
            for the number of meetings: method, score, threshold, linkage, ...
    """

    groups: "DataFrame"
    survey: SideSurvey
    copies: int
    facts: dict[str, Any]


def near_duplicates(  # noqa: PLR0913  (a table with the names of its columns, and what is asked)
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
) -> "DataFrame":
    """Groups the rows of a table that are about the same.

    Args:
        df: A table of vectors. It is read several times: write it or persist it before, if vectors are yet to be made.
        threshold: The score from which on two rows are a pair.
        id: The column of the ids, integers or strings; unique.
        vector: The column of the vectors, array<float> or array<double>.
        score: "cosine"; "dot", the inner product; or "euclidean", minus the distance (so the threshold is too).
        method: "exact" finds all pairs. "ivf" finds most of those of each row with the 32 rows nearest to it, so that
            some groups may come in parts.
        recall: The share of these that "ivf" is to find.
        linkage: "components": rows that a chain of pairs connects are one group. "leader": the rows in the order of
            their ids each join the most similar leader before them, or become a leader where there is none within
            the threshold; so every row is within the threshold of its representative, and no chain runs away.
        on: Columns in which rows of one group must be equal. A null there is equal to nothing.
        max_pairs: The most pairs that leaders may be chosen from; components need no such bound.

    Returns:
        One row for each row with an id and a sound vector: id; group (the smallest id of it, strings in the order of
        their UTF-8 bytes); size, 1 for a row alone; representative, whether it is the row that names the group; and
        score, that with the representative (of the representative with itself: 1.0 for cosine). Rows that have no id or
        no vector, one of another size than most, one with a NaN or an infinity, or for cosine one of zeros are not in
        it.

    Raises:
        InputError: A column or an option that cannot work, ids that stand twice, or more than max_pairs pairs.
    """
    request = Request(None, threshold, score, method, recall, max_pairs)
    return find(df, request, linkage, id_column=id, vector=vector, on=on).groups


def find(
    df: "DataFrame",
    request: Request,
    linkage: str,
    *,
    id_column: str,
    vector: str,
    on: Sequence[str] = (),
    where: str = "the table",
) -> Found:
    """near_duplicates() with what a job tells of it; Spark counts rows here, and does the rest when groups are read."""
    threshold = _checked(request, linkage)
    keys = tuple(key_name(place) for place in range(len(on)))
    sides = Sides(picked(df, where, id_column, vector, on), None, keys)
    # Rows without a key are in no pair, but groups of their own.
    seen = survey(replace(sides, keys=()), request.score, copies=True)
    rows = sides.left.where(sf.col(ID).isNotNull())
    digests = digested(rows, keys, seen.dimension, request.score)
    same = copies(digests, keys, threshold)
    repeated = same.count() if seen.left.alike else 0
    firsts = Sides(_without(sides.left, same, repeated), None, keys).ready()
    fewer = replace(seen, left=replace(seen.left, rows=seen.left.rows - repeated))
    pairs, more = _pairs(firsts, fewer, request, linkage)
    if repeated:
        pairs = pairs.unionByName(same, allowMissingColumns=True)
    grouped = components(pairs) if linkage == "components" else leaders(pairs)
    scored = _scored(grouped, rows, seen.dimension, request.score)
    facts = {"method": request.method, "score": request.score, "threshold": threshold, "linkage": linkage, **more}
    if keys:
        facts["null_keys"] = rows.count() - sides.ready().left.count()
    return Found(_whole(digests, scored, facts), seen.left, repeated, facts)


def _checked(request: Request, linkage: str) -> float:
    """The threshold, once it and the linkage are known to make sense."""
    if linkage not in LINKAGES:
        raise InputError(f"linkage={linkage!r} is unknown.", f"choose one of {', '.join(LINKAGES)}.")
    threshold, best = request.threshold, _BEST.get(request.score)
    assert threshold is not None
    if best is not None and threshold > best:
        hint = "; it is minus the distance" if request.score == "euclidean" else ""
        raise InputError(
            f"No {request.score} score reaches the threshold {threshold}.", f"give one of at most {best}{hint}."
        )
    return threshold


def _pairs(sides: Sides, seen: Survey, request: Request, linkage: str) -> "tuple[DataFrame, dict[str, Any]]":
    """left_id, right_id of all pairs, for leaders with the score; for components of some that connect as many."""
    if request.method == "ivf":
        return _likely_pairs(sides, seen, request)
    if linkage == "leader":
        return exact.pairs(sides, seen, request)
    kind = sides.left.schema[ID].dataType
    made = StructType([StructField("left_id", kind), StructField("right_id", kind)])
    return exact.pairs(sides, seen, request, of_meeting, made)


def _likely_pairs(sides: Sides, seen: Survey, request: Request) -> "tuple[DataFrame, dict[str, Any]]":
    """Most pairs: those of each row with its nearest."""
    found, facts = ivf.pairs(sides, seen, replace(request, k=_NEAREST))
    smaller, larger = (pick("left_id", "right_id") for pick in (sf.least, sf.greatest))
    pairs = found.select(smaller.alias("left_id"), larger.alias("right_id"), "score")
    return pairs.dropDuplicates(["left_id", "right_id"]), facts


def _without(rows: "DataFrame", same: "DataFrame", count: int) -> "DataFrame":
    """The rows that are no copies."""
    if not count:
        return rows
    ids = same.select(sf.col("right_id").alias(ID))
    return rows.join(sf.broadcast(ids) if count <= _BROADCAST else ids, ID, "left_anti")


def _scored(groups: "DataFrame", rows: "DataFrame", dimension: int, score: str) -> "DataFrame":
    """The groups with one more column: the score of each row with the first of its group."""
    own = rows.select(sf.col(ID).alias("id"), sf.col(VECTOR).alias("x"))
    first = rows.select(sf.col(ID).alias("group"), sf.col(VECTOR).alias("y"))
    joined = groups.join(own, "id").join(first, "group").select("id", "group", "size", "x", "y")

    def score_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            x, y = (checked(batch.column(name), dimension, score).matrix for name in ("x", "y"))
            scores = pa.array(exact_scores(x, y, score) + 0.0)
            yield pa.RecordBatch.from_arrays([*batch.columns[:3], scores], names=["id", "group", "size", "score"])

    kind = groups.schema["id"].dataType
    columns = {"id": kind, "group": kind, "size": LongType(), "score": DoubleType()}
    return joined.mapInArrow(score_batches, StructType([StructField(name, each) for name, each in columns.items()]))


def _whole(digests: "DataFrame", scored: "DataFrame", facts: dict[str, Any]) -> "DataFrame":
    """Every row: those in groups of several, and each other as a group of its own."""
    said = {name: value for name, value in facts.items() if name != "meetings"}  # that is of the run, not of the groups
    alone = digests.select(sf.col(ID).alias("id"), OWN)
    group = sf.coalesce("group", "id")
    return alone.join(scored, "id", "left").select(
        "id",
        group.alias("group"),
        sf.coalesce("size", sf.lit(1).cast("bigint")).alias("size"),
        (group == sf.col("id")).alias("representative"),
        sf.coalesce("score", OWN).alias("score", metadata={METADATA_KEY: said}),
    )
