"""Small tables of vectors in every kind that a table can store them in, and the floats that they stand for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.ml.linalg import Vectors

from st_spark.choices import BITS, PRECISIONS, RANGED
from st_spark.model.quantization import dequantise, quantise
from st_spark.tables.metadata import column_metadata, ranges_to_metadata

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

Matrix = npt.NDArray[Any]
TYPES = {"int8": "tinyint", "uint8": "smallint", "binary": "tinyint", "ubinary": "smallint", "double": "double"}
KINDS = (*PRECISIONS[1:], "double", "pyspark.ml", "fixed size")


def ranges_for(dim: int) -> list[list[float]]:
    """Return ranges with steps of 1: a whole number v is read as v + 0.5, so products have no rounding."""
    return [[-128.0] * dim, [127.0] * dim]


def floats_of(vectors: Matrix, kind: str) -> Matrix:
    """Return what stored vectors are read as."""
    if kind not in PRECISIONS:
        return vectors
    ranges = ranges_for(vectors.shape[1]) if kind in RANGED else None
    return dequantise(quantise(vectors, kind, ranges), kind, vectors.shape[1], ranges)


def stored(
    spark: "SparkSession", ids: Sequence[Any], vectors: Matrix, kind: str, folder: "Path | None" = None, **made: Any
) -> "DataFrame":
    """Return a table of id and embedding, stored in a kind.

    Args:
        spark: The session.
        ids: [n] integers or strings.
        vectors: [n, d].
        kind: One of KINDS, or "float32".
        folder: Where a table of lists of a fixed size is written.
        made: More metadata.
    """
    rows: list[Any] = [vector.tolist() for vector in vectors]
    name = "string" if isinstance(ids[0], str) else "bigint"
    if kind == "fixed size":
        assert folder is not None
        lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), pa.float32()), vectors.shape[1])
        pq.write_table(pa.table({"id": list(ids), "embedding": lists}), folder / "lists.parquet")
        return spark.read.parquet(str(folder / "lists.parquet"))
    if kind == "pyspark.ml":
        rows = [Vectors.dense(row) if place % 2 else sparse(row) for place, row in enumerate(rows)]
        return spark.createDataFrame(list(zip(ids, rows, strict=True)), ["id", "embedding"]).repartition(3)
    if kind in TYPES and kind != "double":
        ranges = ranges_for(vectors.shape[1]) if kind in RANGED else None
        rows = quantise(vectors, kind, ranges).tolist()
        made |= {"precision": kind, "dim": vectors.shape[1], "ranges": ranges_to_metadata(ranges)}
    schema = f"id {name}, embedding array<{TYPES.get(kind, 'float')}>"
    df = spark.createDataFrame(list(zip(ids, rows, strict=True)), schema).repartition(3)
    return df.withMetadata("embedding", column_metadata(made)) if made else df


def sparse(values: Sequence[float]) -> Any:
    """Return a sparse vector of pyspark.ml."""
    places = np.flatnonzero(values)
    return Vectors.sparse(len(values), places.tolist(), np.asarray(values)[places].tolist())


def is_bits(kind: str) -> bool:
    """Return whether vectors of this kind are bits."""
    return kind in BITS
