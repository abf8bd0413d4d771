"""The search job: the rows of an embedded table that are nearest to a query, exactly, in one pass over the table."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from st_spark.choices import RANGED
from st_spark.errors import InputError, ModelError
from st_spark.model.quantization import Form
from st_spark.tables import io
from st_spark.tables.columns import exact, stored_ranges, vector_column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from st_spark.jobs.timings import Phases
    from st_spark.specs.jobs import SearchJob

Floats = npt.NDArray[np.float64]
_SCORE, _ROWS, _NULL, _NAN = (f"_st_spark_{name}" for name in ("score", "rows", "null", "nan"))
_VECTOR = "_st_spark_vector"
# Columns of these types can be shown; vectors and other nested values cannot.
_NESTED = ("array", "map", "struct", "binary")


def run(spark: "SparkSession", job: "SearchJob", phases: "Phases") -> dict[str, Any]:
    """Runs a search.

    Returns:
        hits: best first, each with rank (from 1), score, and the row's own columns under "row";
        rows: in, and those without a score: null (no vector) and nan (a vector with a value that is no number);
        model: name, dim, similarity, and the precision of the table's vectors; query, table, column.

    The query stays float32 whatever the table's precision. int8 and uint8 are scored as the middles of their steps,
    by the model's similarity; binary and ubinary as vectors of 1 and -1, by cosine.
    """
    with phases("read", f"Reading {job.table}"):
        df = io.read(spark, job.table)
        column, facts = vector_column(df.schema, job.table, job.column)
        precision = facts.get("precision", "float32")
        size = vector_size(df, job.table, column, whole=precision != "float32")
    name = job.model or facts.get("model")
    if name is None:
        raise InputError(f"{job.table} does not say which model made its vectors.", "name it: --model.")
    with phases("load", f"Loading {name}"):
        query, similarity = encode_query(job.query, name, facts, chosen=job.model is not None)
        form = Form(precision, len(query), stored_ranges(facts))
        if form.width != size:
            raise InputError(
                f"The vectors in {job.table} have {size} values, those of the model {name} have {form.width}.",
                "search with the model that made the table: leave out --model if the table says it.",
            )
    similarity = similarity if precision in ("float32", *RANGED) else "cosine"
    with phases("search", f"Searching {job.table}"):
        hits, rows = top_k(df, column, query, job.k, similarity, facts.get("id_column"), form)
    shown = [{"rank": rank, "score": score, "row": row} for rank, (score, row) in enumerate(hits, 1)]
    model = {"name": name, "dim": len(query), "similarity": similarity, "precision": precision}
    return {"query": job.query, "table": job.table, "column": column, "model": model, "rows": rows, "hits": shown} | {
        "text_columns": facts.get("text_columns"),
        "id_column": facts.get("id_column"),
    }


def vector_size(df: "DataFrame", where: str, column: str, *, whole: bool = False) -> int:
    """The size of the first vector; InputError if there is none, or of other numbers than fractional (or whole)."""
    from pyspark.sql import functions as sf
    from pyspark.sql.types import ArrayType, FractionalType, IntegralType

    kind = df.schema[column].dataType
    numbers = IntegralType if whole else FractionalType
    if not isinstance(kind, ArrayType) or not isinstance(kind.elementType, numbers):
        raise InputError(f"The column {column!r} of {where} holds {kind.simpleString()}, no vectors.", "name another.")
    vector = exact(column)
    first = df.where(vector.isNotNull()).select(sf.size(vector)).first()
    if first is None:
        raise InputError(f"{where} has no vector in its column {column!r}.", "embed some texts into it first.")
    return int(first[0])


def encode_query(text: str, model: str, facts: dict[str, Any], *, chosen: bool) -> tuple[Floats, str]:
    """The query's vector, made as the table's were, and the function that compares them."""
    from st_spark.model.encoder import SentenceTransformer

    try:
        loaded = SentenceTransformer(model, revision=None if chosen else facts.get("revision"))
    except ModelError as error:
        fix = error.fix if chosen else f"{error.fix.rstrip('.')}; or name where the model is now: --model."
        raise ModelError(error.problem, fix) from error
    vector = loaded.encode_query(
        text,
        normalize_embeddings=facts.get("normalize_embeddings", False),
        truncate_dim=facts.get("truncate_dim"),
    )
    return vector.astype(np.float64), loaded.similarity_fn_name


def top_k(
    df: "DataFrame",
    column: str,
    query: Floats,
    k: int,
    similarity: str = "cosine",
    id_column: str | None = None,
    form: Form | None = None,
) -> tuple[list[tuple[float, dict[str, Any]]], dict[str, int]]:
    """The k rows whose vectors are nearest to the query, found exactly.

    Args:
        df: A table with a column of arrays of numbers; each partition gives its own best k.
        column: That column.
        query: The vector to compare with.
        k: How many rows, 1 or more; fewer come back where there are fewer vectors.
        similarity: "cosine", "dot", "euclidean" or "manhattan" (the latter two as negative distances).
        id_column: What orders equal scores, else all columns do: the answer does not depend on partitions.
        form: How the vectors are stored, float32 by default.

    Returns:
        (score, the row's plain columns) best first, and the counts in, null and nan.
    """
    from pyspark.sql.types import DoubleType, LongType, StructField, StructType

    plain = [each for each in df.schema.fields if each.dataType.typeName() not in _NESTED]
    numbers = [StructField(_SCORE, DoubleType()), *(StructField(name, LongType()) for name in (_ROWS, _NULL, _NAN))]
    schema = StructType([*(StructField(each.name, each.dataType) for each in plain), *numbers])
    picked = df.select(*(exact(each.name) for each in plain), exact(column).cast("array<float>").alias(_VECTOR))
    order = [each.name for each in plain if each.name == id_column] or [each.name for each in plain]
    scorer = _scorer(query, k, similarity, order, form or Form("float32", len(query)))
    found = [row.asDict() for row in picked.mapInArrow(scorer, schema).collect()]
    counts = {"in": _ROWS, "null": _NULL, "nan": _NAN}
    rows = {name: sum(row[key] or 0 for row in found) for name, key in counts.items()}
    hits = [(row[_SCORE], {each.name: row[each.name] for each in plain}) for row in found if row[_SCORE] is not None]
    hits.sort(key=lambda hit: (-hit[0], *((hit[1][name] is None, hit[1][name]) for name in order)))
    return hits[:k], rows


def _scorer(
    query: Floats, k: int, similarity: str, order: list[str], form: Form
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    keys = [(_SCORE, "descending"), *((name, "ascending") for name in order)]

    def best(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        kept: pa.Table | None = None
        counts = dict.fromkeys((_ROWS, _NULL, _NAN), 0)
        for batch in batches:
            scored = score_batch(batch, query, similarity, counts, form)
            kept = scored if kept is None else pa.concat_tables([kept, scored])
            kept = kept.take(pc.select_k_unstable(kept, k, keys))
        if kept is None:
            return
        for name in counts:
            kept = kept.append_column(name, pa.nulls(len(kept), pa.int64()))
        totals = pa.Table.from_pylist([counts], schema=kept.schema)  # one more row, without a score
        yield from pa.concat_tables([kept, totals]).combine_chunks().to_batches()

    return best


def score_batch(
    batch: pa.RecordBatch,
    query: Floats,
    similarity: str,
    counts: dict[str, int],
    form: Form | None = None,
) -> pa.Table:
    """The rows of a batch that have a score, with it in place of the vector; the others are counted."""
    vectors = batch.column(batch.num_columns - 1)
    present = vectors.is_valid().to_numpy(zero_copy_only=False)
    sizes = vectors.value_lengths().to_numpy(zero_copy_only=False)[present]
    form = form or Form("float32", len(query))
    if (odd := sizes[sizes != form.width]).size:
        raise InputError(f"A vector has {int(odd[0])} values, others {form.width}.", "embed the table with one model.")
    matrix = vectors.flatten().to_numpy(zero_copy_only=False).reshape(-1, form.width)
    scores = score(form.floats(matrix), query, similarity)
    sound = np.isfinite(scores)
    counts[_ROWS] += len(batch)
    counts[_NULL] += int((~present).sum())
    counts[_NAN] += int((~sound).sum())
    table = pa.Table.from_batches([batch]).take(pa.array(np.flatnonzero(present)[sound]))
    return table.drop_columns([_VECTOR]).append_column(_SCORE, pa.array(scores[sound]))


def score(vectors: Floats, query: Floats, similarity: str) -> Floats:
    """[n, d] against [d] in float64, each row summed by itself in one order, so that equal vectors tie exactly."""
    if similarity == "euclidean":
        return -np.sqrt(((vectors - query) ** 2).sum(axis=1))
    if similarity == "manhattan":
        return -np.abs(vectors - query).sum(axis=1)
    products = (vectors * query).sum(axis=1)
    if similarity == "dot":
        return products
    norms = np.sqrt((vectors**2).sum(axis=1) * (query**2).sum())
    return np.divide(products, norms, out=np.where(np.isnan(products), np.nan, 0.0), where=norms > 0)
