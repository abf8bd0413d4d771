"""Small tables of vectors, joins of them in several tasks, and the expected result by plain float64 arithmetic."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame, SparkSession

from st_spark.join.inputs import table_pair
from st_spark.join.options import Request, Settings
from st_spark.join.similarity_join import plan_join

Row = tuple[Any, Any, float, int]


def random_vectors(seed: int, rows: int, dimension: int) -> npt.NDArray[np.float32]:
    """Return vectors of small whole numbers, none of zeros: many are equal, and many scores tie."""
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-2, 3, (rows, dimension)).astype(np.float32)
    vectors[:, 0] = rng.integers(1, 4, rows)
    return vectors


def frame(
    spark: SparkSession, ids: Sequence[Any], vectors: Iterable[Any], partitions: int = 3, **more: Sequence[Any]
) -> DataFrame:
    """Return a DataFrame of id, embedding (array<float>) and more columns."""
    kind = "string" if ids and isinstance(ids[0], str) else "bigint"
    schema = f"id {kind}, embedding array<float>" + "".join(f", {name} string" for name in more)
    rows = [
        (i, None if vector is None else [float(value) for value in vector], *others)
        for i, vector, *others in zip(ids, vectors, *more.values(), strict=True)
    ]
    return spark.createDataFrame(rows, schema).repartition(partitions)


def join_blocks(
    left: DataFrame, right: DataFrame | None, settings: Settings, on: Sequence[str] = (), **options: Any
) -> DataFrame:
    """Return the pairs of similarity_join() with other sizes of tasks."""
    names = {"left": ("id", "embedding"), "right": ("id", "embedding")}
    return plan_join(table_pair(left, right, names, on), Request(**options, settings=settings)).pairs


def scores(left: npt.NDArray[Any], right: npt.NDArray[Any], score: str) -> npt.NDArray[np.float64]:
    """Return all scores, [n, m]."""
    x, y = left.astype(np.float64)[:, None, :], right.astype(np.float64)[None, :, :]
    if score == "euclidean":
        return np.asarray(-np.sqrt(((x - y) ** 2).sum(axis=2)))
    products = (x * y).sum(axis=2)
    if score == "dot":
        return np.asarray(products)
    return np.asarray(np.clip(products / np.sqrt((x * x).sum(axis=2) * (y * y).sum(axis=2)), -1.0, 1.0))


def neighbours(
    left_ids: Sequence[Any],
    left: npt.NDArray[Any],
    right_ids: Sequence[Any],
    right: npt.NDArray[Any],
    k: int,
    score: str,
    *,
    threshold: float = -np.inf,
    itself: bool = False,
    keys: tuple[Sequence[Any], Sequence[Any]] | None = None,
) -> set[Row]:
    """Return left_id, right_id, score, rank of the k best by brute force."""
    order = sorted(range(len(right_ids)), key=lambda j: byte_order(right_ids[j]))
    table = scores(left, right[order], score)
    names = [right_ids[j] for j in order]
    allowed = table >= threshold
    if itself:
        allowed &= np.array([[name != other for other in names] for name in left_ids], bool).reshape(table.shape)
    if keys is not None:
        theirs = [keys[1][j] for j in order]
        allowed &= np.array([[key is not None and key == other for other in theirs] for key in keys[0]], bool)
    best = np.argsort(np.where(allowed, -table, np.inf), axis=1, kind="stable")[:, :k]
    return {
        (left_ids[i], names[j], float(table[i, j]) + 0.0, rank)
        for i, columns in enumerate(best)
        for rank, j in enumerate(columns.tolist(), 1)
        if allowed[i, j]
    }


def byte_order(name: Any) -> Any:
    """Return the sort key of an id."""
    return name.encode() if isinstance(name, str) else name


def rows(df: DataFrame) -> set[Any]:
    """Return the rows of a DataFrame as tuples. None may be repeated."""
    found = [tuple(row) for row in df.collect()]
    assert len(found) == len(set(found))
    return set(found)
