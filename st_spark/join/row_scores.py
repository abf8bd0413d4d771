"""The score of the two vectors of each row."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql.types import DoubleType, StructField, StructType

from st_spark.join.stored_vectors import stored_form
from st_spark.join.tasks.vector_column import read_vectors, score_column
from st_spark.topk.scores import exact_scores

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def with_score(rows: "DataFrame", dimension: int, score: str) -> "DataFrame":
    """Return the rows with `score`, the score of their vectors x and y, in place of both. Both can be joined."""
    forms = {name: stored_form(rows.schema, name) for name in ("x", "y")}

    def score_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            x, y = (read_vectors(batch.column(name), dimension, score, form).matrix for name, form in forms.items())
            scores = score_column(exact_scores(x, y, score))
            yield batch.drop_columns(["x", "y"]).append_column("score", scores)

    kept = [field for field in rows.schema.fields if field.name not in ("x", "y")]
    return rows.mapInArrow(score_batches, StructType([*kept, StructField("score", DoubleType())]))
