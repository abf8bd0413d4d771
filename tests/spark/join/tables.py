"""Small tables of vectors for joins, and what a join of them is by plain float64 arithmetic."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

Row = tuple[Any, Any, float, int]


def random_vectors(seed: int, rows: int, dimension: int) -> npt.NDArray[np.float32]:
    """Vectors of small whole numbers, none of zeros: many are equal, many scores tie."""
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-2, 3, (rows, dimension)).astype(np.float32)
    vectors[:, 0] = rng.integers(1, 4, rows)
    return vectors


def frame(
    spark: SparkSession, ids: Sequence[Any], vectors: Iterable[Any], partitions: int = 3, **more: Sequence[Any]
) -> DataFrame:
    """A DataFrame of id, embedding (array<float>) and more columns."""
    kind = "string" if ids and isinstance(ids[0], str) else "bigint"
    schema = f"id {kind}, embedding array<float>" + "".join(f", {name} string" for name in more)
    rows = [
        (i, None if vector is None else [float(value) for value in vector], *others)
        for i, vector, *others in zip(ids, vectors, *more.values(), strict=True)
    ]
    return spark.createDataFrame(rows, schema).repartition(partitions)


def scores(left: npt.NDArray[Any], right: npt.NDArray[Any], score: str) -> npt.NDArray[np.float64]:
    """[n, m] all scores, pair by pair."""
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
    """left_id, right_id, score, rank of the k best by brute force."""
    table = scores(left, right, score)
    found = set()
    for i, name in enumerate(left_ids):
        may = [
            (-table[i, j], byte_order(other), other)
            for j, other in enumerate(right_ids)
            if table[i, j] >= threshold
            and not (itself and other == name)
            and (keys is None or (keys[0][i] is not None and keys[0][i] == keys[1][j]))
        ]
        found |= {(name, other, -value + 0.0, rank) for rank, (value, _, other) in enumerate(sorted(may)[:k], 1)}
    return found


def byte_order(name: Any) -> Any:
    """What orders ids."""
    return name.encode() if isinstance(name, str) else name


def rows(df: DataFrame) -> set[Any]:
    """The rows of a DataFrame as tuples, each once."""
    found = [tuple(row) for row in df.collect()]
    assert len(found) == len(set(found))
    return set(found)


def list_column(vectors: Sequence[Sequence[float | None] | None], kind: pa.DataType | None = None) -> pa.Array:
    """An Arrow column of vectors."""
    return pa.array(vectors, pa.list_(kind or pa.float32()))
