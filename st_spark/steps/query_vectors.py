"""The queries of a search as vectors on the driver: encoded as the model of the table wants it, or read as they are."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as sf
from pyspark.sql import types as st

from st_spark.choices import BITS, SCORES
from st_spark.embedding.encode import encode
from st_spark.errors import InputError, ModelError, check_choice
from st_spark.join.query_scan import check_size
from st_spark.join.stored_vectors import check_score, form_of, stored_form
from st_spark.join.tasks.row_stats import RowStats
from st_spark.join.tasks.vector_column import read_vectors
from st_spark.model.checkpoint import checkpoint, hub
from st_spark.model.inputs import prompts
from st_spark.model.quantization import Form
from st_spark.spark.cluster import is_connect
from st_spark.spark.hold import check_batch
from st_spark.tables.columns import RESERVED, check_columns, quoted_column
from st_spark.tables.local_rows import from_arrow, to_arrow
from st_spark.tables.metadata import METADATA_KEY, check_comparable, field_metadata
from st_spark.tables.vector_types import holds_floats, is_vector_type, vector_values

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from st_spark.model.encoder import SentenceTransformer
    from st_spark.topk.scores import Matrix

QUERIES = "the queries"
NUMBER, _VECTOR = f"{RESERVED}query", f"{RESERVED}vector"
_ID, _TEXT = "id", "text"


@dataclass(frozen=True)
class TableVectors:
    """The vectors of the table that is searched."""

    where: str  # Name of the table, for errors
    column: str
    metadata: Mapping[str, Any]  # How the vectors were made; {} if unknown

    @property
    def precision(self) -> str:
        """The precision of the stored values."""
        return str(self.metadata.get("precision", "float32"))

    def form(self, dimension: int) -> Form | None:
        """Return how vectors of so many dimensions are stored; None for floats."""
        if self.precision == "float32":
            return None
        return replace(form_of(self.metadata, self.column, self.where, dimension), dim=dimension)

    def score(self, chosen: str | None, model: str | None = None) -> str:
        """Return how to compare: as chosen, else as the model says. Bits are compared by cosine; InputError if not."""
        if chosen is not None:
            check_choice("score", chosen, SCORES)
            check_score(self.precision, chosen, self.where)
            return chosen
        if self.precision in BITS:
            return "cosine"
        score = model or str(self.metadata.get("similarity", "cosine"))
        if score not in SCORES:
            raise InputError(
                f"The model of {self.where} uses {score} similarity, which no index and no search of a table of "
                "queries supports.",
                f"choose a score: {', '.join(SCORES)}; or search the table itself for one query: `st-spark search`.",
            )
        return score


@dataclass(frozen=True)
class QueryModel:
    """The model that encodes the queries."""

    name: str
    revision: str | None
    content: str
    description: checkpoint.Checkpoint

    def load(self) -> "SentenceTransformer":
        """Return the model, loaded on the driver. The last one is kept: a notebook asks again and again."""
        return _load(self.name, self.revision, self.content)


@dataclass(frozen=True)
class Queries:
    """Queries with vectors."""

    rows: "DataFrame"  # NUMBER (the row of the matrix), and the columns of the queries
    matrix: "Matrix"  # [n, dimension]
    total: int  # All queries
    set_aside: Mapping[str, int]  # Queries that have no usable vector, by reason; see choices.REASONS
    model: QueryModel | None  # The model that has encoded them; None if they had vectors
    score: str  # How to compare them

    @property
    def names(self) -> list[str]:
        """The columns of the queries."""
        return [name for name in self.rows.columns if name != NUMBER]


@lru_cache(maxsize=1)
def _load(name: str, revision: str | None, _content: str) -> "SentenceTransformer":
    from st_spark.model.encoder import SentenceTransformer

    return SentenceTransformer(name, revision=revision)


def find_model(table: TableVectors, chosen: str | None, asked: str = QUERIES) -> QueryModel:
    """Return the model that made a table, by its name in the table or as chosen. `asked` is for errors.

    Raises:
        InputError: The table names no model, or another one made it, or its files have changed.
        ModelError: There is no such model.
    """
    name = chosen or table.metadata.get("model")
    if name is None:
        raise InputError(f"{table.where} does not say which model made its vectors.", "name it: --model, model=.")
    revision = None if chosen else table.metadata.get("revision")
    try:
        folder = hub.resolve(name, revision).folder
        found = QueryModel(name, revision, checkpoint.fingerprint(folder), checkpoint.read(folder))
    except ModelError as error:
        fix = error.fix if chosen else f"{error.fix.rstrip('.')}; or name where the model is now: --model, model=."
        raise ModelError(error.problem, fix) from error
    check_comparable(table.metadata, {"model": name, "content": found.content}, (table.where, asked))
    return found


def encode_here(queries: Any, table: TableVectors, model: QueryModel) -> "Matrix":  # noqa: ANN401 (texts or images)
    """Encode queries on the driver, with the options of the table: [n, dimension] float32."""
    loaded = model.load()
    loaded.max_seq_length = table.metadata.get("max_seq_length")
    options = {name: table.metadata.get(name) for name in ("normalize_embeddings", "truncate_dim")}
    options["normalize_embeddings"] = bool(options["normalize_embeddings"])
    return np.asarray(loaded.encode_query(queries, show_progress_bar=False, **options))


def read_queries(
    spark: "SparkSession",
    queries: Any,  # noqa: ANN401 (a DataFrame, texts or images)
    table: TableVectors,
    *,
    text_column: str | None = None,
    query_column: str | None = None,
    columns: Sequence[str] | None = None,
    model: str | None = None,
    score: str | None = None,
    where: str = QUERIES,
) -> Queries:
    """Return queries with their vectors; see search_table.search() for the arguments.

    Raises:
        InputError: A column is missing, or the vectors cannot be compared with the table's.
    """
    if not hasattr(queries, "isStreaming"):
        return _of_list(spark, queries, table, find_model(table, model, where), score)
    check_batch(queries, where)
    text, vector = _choose(queries.schema, where, text_column, query_column)
    if vector is not None:
        if model is not None:
            raise InputError(f"A model is given, and {where} has vectors.", "leave out one: the model or the vectors.")
        return _of_vectors(queries, table, vector, _named(queries, columns, vector, where), score, where)
    check_columns(queries.schema, where, (text,), images=True)
    found = find_model(table, model, where)
    column = quoted_column(text)  # of a CSV file Spark must count a column
    size = sum(queries.agg(sf.count(column), sf.count_if(column.isNull())).collect()[0])
    check_size(size, table.metadata.get("dim") or 1, where, connect=is_connect(spark))
    encoded = encode(
        text,
        model=found.name,
        revision=found.revision,
        prompt_name=prompts.of_task(prompts.with_defaults(found.description.prompts), "query"),
        task="query",
        normalize_embeddings=bool(table.metadata.get("normalize_embeddings")),
        truncate_dim=table.metadata.get("truncate_dim"),
        max_seq_length=table.metadata.get("max_seq_length"),
    )
    binary = isinstance(queries.schema[text].dataType, st.BinaryType)
    names = _named(queries, columns, text if binary else None, where)
    df = queries.select(*map(quoted_column, names), encoded.alias(_VECTOR))
    return _collected(df, found, table.score(score, found.description.similarity))


def _choose(schema: st.StructType, where: str, text: str | None, vector: str | None) -> tuple[str, str | None]:
    """Return the text column, and the vector column if the queries have vectors."""
    if text is not None and vector is not None:
        raise InputError(
            f"Both a text column ({text!r}) and a vector column ({vector!r}) of {where} are given.", "remove one."
        )
    if text is not None:
        return text, None
    if vector is None:
        arrays = [each.name for each in schema.fields if is_vector_type(each.dataType)]
        marked = [name for name in arrays if METADATA_KEY in (schema[name].metadata or {})]
        vectors = marked or [name for name in arrays if holds_floats(schema[name].dataType)]
        if len(vectors) > 1:
            raise InputError(
                f"{where} has several vector columns: {', '.join(vectors)}.",
                "name one (--query-column, query_column=), or the text column (--text-column, text_column=).",
            )
        vector = vectors[0] if vectors else None
    if vector is None and _TEXT not in schema.names:
        raise InputError(
            f"{where} has no column {_TEXT!r} and no vectors; its columns are {', '.join(schema.names)}.",
            "name the column of the texts or images: --text-column, text_column=.",
        )
    return _TEXT, vector


def _named(queries: "DataFrame", columns: Sequence[str] | None, left_out: str | None, where: str) -> list[str]:
    """Return the columns of the queries that the answer has; by default all but `left_out`."""
    if columns is None:
        return [name for name in queries.columns if name != left_out]
    check_columns(queries.schema, where, (), columns)
    return list(dict.fromkeys(columns))


def _of_vectors(
    queries: "DataFrame", table: TableVectors, vector: str, names: list[str], score: str | None, where: str
) -> Queries:
    check_columns(queries.schema, where, (), (vector,))
    metadata = field_metadata(queries.schema, vector)
    form = stored_form(queries.schema, vector, where, table.metadata.get("dim"))
    check_comparable(table.metadata, metadata, (table.where, where))
    chosen = table.score(score, metadata.get("similarity") if form is None or form.precision not in BITS else "cosine")
    check_score("float32" if form is None else form.precision, chosen, where)
    dimension = table.metadata.get("dim") or 1
    check_size(queries.count(), dimension, where, connect=is_connect(queries.sparkSession))
    df = queries.select(*map(quoted_column, names), vector_values(queries.schema, vector).alias(_VECTOR))
    return _collected(df, None, chosen, form)


def _of_list(
    spark: "SparkSession",
    queries: Any,  # noqa: ANN401
    table: TableVectors,
    model: QueryModel,
    score: str | None,
) -> Queries:
    """Encode a text, an image, or a list of them on the driver. The columns are id (from 0), and text for texts."""
    from st_spark.model.embedder import is_one

    listed = [queries] if is_one(queries) else list(queries)
    matrix = encode_here(listed, table, model)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), max(matrix.shape[1], 1))
    rows, schema = {_ID: pa.array(range(len(listed)), pa.int64())}, st.StructType([st.StructField(_ID, st.LongType())])
    if all(isinstance(each, str) for each in listed):
        rows[_TEXT] = pa.array(listed, pa.string())
        schema = schema.add(_TEXT, st.StringType())
    chosen = table.score(score, model.description.similarity)
    return _kept(spark, pa.table({**rows, _VECTOR: vectors}), schema, model, chosen)


def _collected(df: "DataFrame", model: QueryModel | None, score: str, form: Form | None = None) -> Queries:
    schema = st.StructType([each for each in df.schema.fields if each.name != _VECTOR])
    return _kept(df.sparkSession, to_arrow(df), schema, model, score, form)


def _kept(
    spark: "SparkSession",
    rows: pa.Table,
    schema: st.StructType,
    model: QueryModel | None,
    score: str,
    form: Form | None = None,
) -> Queries:
    """Return the queries with usable vectors. Of floats, the size that most vectors have is the right one."""
    column = rows.column(_VECTOR).combine_chunks()
    sizes = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    size = int(np.bincount(sizes[sizes > 0]).argmax()) if (sizes > 0).any() else 1
    dimension, width = (size, size) if form is None else (form.dim, form.width)
    vectors = read_vectors(column, dimension, score, form)
    lost = column.filter(pa.array(~vectors.kept))
    wrong = pc.list_value_length(lost).fill_null(width).to_numpy(zero_copy_only=False) != width
    reasons = RowStats(score, form).reasons(lost).to_pylist()
    set_aside = Counter("dimension" if other else why for other, why in zip(wrong, reasons, strict=True))
    numbered = rows.drop_columns([_VECTOR]).filter(pa.array(vectors.kept))
    numbered = numbered.append_column(NUMBER, pa.array(range(len(numbered)), pa.int32()))
    local = from_arrow(spark, numbered, st.StructType([*schema.fields, st.StructField(NUMBER, st.IntegerType())]))
    return Queries(local, vectors.matrix, len(rows), dict(sorted(set_aside.items())), model, score)
