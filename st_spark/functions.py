"""encode(column) and register(spark, name): a model as a Spark function, for DataFrames and for SQL."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from types import GenericAlias
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as sf
from pyspark.sql.pandas import functions as vectorized
from pyspark.sql.types import ArrayType, BooleanType, DataType, FloatType, IntegerType, StructField, StructType

from st_spark.encoding import EncodeOptions
from st_spark.errors import InputError
from st_spark.model import checkpoint, hub, prompts
from st_spark.model.precision import DTYPES
from st_spark.shipping import ship

if TYPE_CHECKING:
    import os

    from pyspark.sql._typing import UserDefinedFunctionLike


def encode(  # noqa: PLR0913  (as many as SentenceTransformer.encode has)
    columns: str | Column | Sequence[str | Column],
    *,
    model: "str | os.PathLike[str]",
    revision: str | None = None,
    dtype: str = "auto",
    prompt: str | None = None,
    prompt_name: str | None = None,
    normalize_embeddings: bool = False,
    truncate_dim: int | None = None,
    details: bool = False,
    shipping: str = "auto",
) -> Column:
    """Encodes a text column, or pairs of texts from two columns, with a model.

    Args:
        columns: A string column, or a list of two for pairs such as ["title", "text"].
        model: A folder, "package:IMPORT_NAME", or a name on the hub.
        revision: Branch, tag or commit on the hub.
        dtype: "auto", "float32", "bfloat16" or "float16"; see SentenceTransformer.
        prompt: Text put before each text (before the first one of a pair).
        prompt_name: Name of one of the model's own prompts instead.
        normalize_embeddings: Scale each vector to length 1.
        truncate_dim: Keep only the first dimensions.
        details: Give struct<embedding:array<float>, n_tokens:int, truncated:boolean> instead of array<float>.
        shipping: How the model reaches the executors: "auto", "broadcast", "artifact", "path" or "hub"; see ship().

    Returns:
        A column of array<float>, or of structs. A null text gives null, and so does a pair with a null in it.
        A task that Spark gives a GPU (spark.task.resource.gpu.amount) uses that one; other tasks use the first GPU
        of their node, or its CPU with spark.task.cpus threads.

    Raises:
        InputError: An argument that cannot work, or no Spark session.
        ModelError: No such model. It is looked for here on the driver, before any job starts.
    """
    names = [columns] if isinstance(columns, (str, Column)) else list(columns)
    if len(names) not in (1, 2):
        raise InputError(f"{len(names)} columns were given to encode.", "give one column, or two: pairs of texts")
    options = EncodeOptions(prompt, prompt_name, normalize_embeddings, truncate_dim, details)
    function = encoder(_session(), model, options, revision=revision, dtype=dtype, shipping=shipping)
    return apply(function, names, options)


def register(
    spark: SparkSession,
    name: str,
    *,
    model: "str | os.PathLike[str]",
    **options: Any,  # noqa: ANN401  (of encode)
) -> None:
    """Makes a model an SQL function: `SELECT embed(text) FROM docs`, `SELECT embed(title, text) FROM docs`.

    Args:
        spark: The session that gets the function.
        name: Its name in SQL.
        model: See encode().
        options: The other options of encode().

    Raises:
        InputError: As encode().
        ModelError: As encode().
    """
    ways = {key: options.pop(key) for key in ("revision", "dtype", "shipping") if key in options}
    spark.udf.register(name, encoder(spark, model, EncodeOptions(**options), **ways))


def encoder(
    spark: SparkSession,
    model: "str | os.PathLike[str]",
    options: EncodeOptions,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    shipping: str = "auto",
) -> "UserDefinedFunctionLike":
    """The user-defined function behind encode() and register(), for one or two columns.

    It is non-deterministic to Spark, which else may compute a vector twice where a filter needs it (SPARK-47672).
    """
    if dtype not in DTYPES:
        raise InputError(f"dtype={dtype!r} is unknown.", f"choose one of {', '.join(DTYPES)}")
    if options.truncate_dim is not None and options.truncate_dim < 1:
        raise InputError(f"truncate_dim={options.truncate_dim} is not a size.", "give a number of dimensions from 1")
    snapshot = hub.resolve(model, revision)
    description = checkpoint.read(snapshot.folder)
    stored = prompts.with_defaults(description.prompts)
    prompts.resolve(stored, description.default_prompt_name, options.prompt, options.prompt_name)
    make: Any  # PySpark's own overloads know no function whose type comes from hints
    # Plain dicts, so that nothing of st_spark is needed to unpack the function; see _MISSING.
    order = {"shipment": vars(ship(spark, snapshot, shipping)), "options": asdict(options), "dtype": dtype}
    if _udf_flavour() == "arrow":
        make, function = vectorized.arrow_udf, _arrow_function(order)
    else:
        make, function = vectorized.pandas_udf, _pandas_function(order, options)
    return make(function, return_type(options)).asNondeterministic()


def apply(function: "UserDefinedFunctionLike", columns: Sequence[str | Column], options: EncodeOptions) -> Column:
    """The function on its columns; a pandas UDF cannot give a null struct by itself."""
    column = function(*columns)
    if _udf_flavour() == "arrow" or not (options.details or options.counts):
        return column
    present = [(sf.col(name) if isinstance(name, str) else name).isNotNull() for name in columns]
    return sf.when(present[0] & present[-1], column)


def return_type(options: EncodeOptions) -> DataType:
    """The Spark type of the output."""
    vector = ArrayType(FloatType())
    if not (options.details or options.counts):
        return vector
    fields = [StructField("embedding", vector), StructField("n_tokens", IntegerType())]
    fields.append(StructField("truncated", BooleanType()))
    return StructType([*fields, StructField("duplicate", BooleanType())] if options.counts else fields)


def _udf_flavour() -> str:
    """Arrow UDFs came with PySpark 4.1; they move vectors many times faster."""
    return "arrow" if hasattr(vectorized, "arrow_udf") else "pandas"


def _session() -> SparkSession:
    try:
        return SparkSession.active()
    except RuntimeError as error:
        cure = "start one first: spark = SparkSession.builder.getOrCreate()"
        raise InputError("encode() needs a running Spark session.", cure) from error


# The functions below are nested, so that they travel to the workers by value: a worker whose Python lacks st_spark
# can then say so, where unpacking a reference would end in a bare ModuleNotFoundError.
_MISSING = (
    "The Python of the Spark workers, {python}, has no module {module!r}. Cure: install st-spark in it on every node, "
    "or point PYSPARK_PYTHON (spark.pyspark.python) at a Python that has it; `st-spark doctor` checks this."
)


def _arrow_function(order: dict[str, Any]) -> Callable[..., Any]:
    """The function of an Arrow iterator UDF. Spark reads its kind from the type hints."""
    missing = _MISSING

    def encode(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        import sys

        try:
            from st_spark.worker import encode_stream

            yield from encode_stream(order, batches)
        except ModuleNotFoundError as error:
            module = str(error.name).partition(".")[0]
            raise RuntimeError(missing.format(python=sys.executable, module=module)) from error

    return encode


def _pandas_function(order: dict[str, Any], options: EncodeOptions) -> Callable[..., Any]:
    """The function of a pandas iterator UDF."""
    import pandas as pd

    missing = _MISSING

    def encode(batches: Iterator[pd.Series]) -> Iterator[Any]:
        import sys

        try:
            from st_spark.worker import encode_series

            yield from encode_series(order, batches)
        except ModuleNotFoundError as error:
            module = str(error.name).partition(".")[0]
            raise RuntimeError(missing.format(python=sys.executable, module=module)) from error

    output = pd.DataFrame if options.details or options.counts else pd.Series
    encode.__annotations__["return"] = GenericAlias(Iterator, (output,))
    return encode
