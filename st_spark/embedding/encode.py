"""encode(column) and register(spark, name): a model as a Spark function, for DataFrames and for SQL."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from pyspark.sql import Column, SparkSession
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    ByteType,
    DataType,
    FloatType,
    IntegerType,
    ShortType,
    StringType,
    StructField,
    StructType,
)

from st_spark.choices import DTYPES, RANGED
from st_spark.embedding import udf
from st_spark.embedding.arrow_encode import EncodeOptions
from st_spark.embedding.send_model import ship
from st_spark.errors import InputError
from st_spark.model import quantization
from st_spark.model.checkpoint import checkpoint, hub
from st_spark.model.inputs import prompts
from st_spark.model.modules import router

if TYPE_CHECKING:
    import os

    from numpy.typing import ArrayLike
    from pyspark.sql._typing import UserDefinedFunctionLike

# Spark has no unsigned bytes.
_ELEMENTS = {
    "float32": FloatType(),
    **dict.fromkeys(("int8", "binary"), ByteType()),
    **dict.fromkeys(("uint8", "ubinary"), ShortType()),
}


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
    task: str | None = None,
    precision: str = "float32",
    ranges: "ArrayLike | None" = None,
    shipping: str = "auto",
) -> Column:
    """Encodes a text column, pairs of texts from two columns, or with a CLIP model a column of images, with a model.

    Args:
        columns: A string column, or a list of two for pairs such as ["title", "text"]. For CLIP models also a binary
            column of image files, such as `content` of spark.read.format("binaryFile"); the texts of a string column
            are texts, and never opened as paths or addresses.
        model: A folder, "package:IMPORT_NAME", or a name on the hub.
        revision: Branch, tag or commit on the hub.
        dtype: "auto", "float32", "bfloat16" or "float16"; see SentenceTransformer.
        prompt: Text put before each text (before the first one of a pair).
        prompt_name: Name of one of the model's own prompts instead.
        normalize_embeddings: Scale each vector to length 1.
        truncate_dim: Keep only the first dimensions.
        details: Give struct<embedding:array<float>, n_tokens:int, truncated:boolean> instead of array<float>. CLIP
            models add problem:string, why an image could not be read.
        task: Which route of a model with a Router: "query", "document" or another that it has.
        precision: "float32"; or as in SentenceTransformer.encode "int8", "uint8", "binary" and "ubinary". int8 and
            binary give array<tinyint>, uint8 and ubinary array<smallint>, for Spark has no unsigned bytes. A vector
            with a NaN, which these cannot hold, becomes null.
        ranges: [2, d], the lowest and the highest value of each dimension: int8 and uint8 need it, the same for every
            row. calibrate() makes it; values outside get the nearest end.
        shipping: How the model reaches the executors: "auto", "broadcast", "artifact", "path" or "hub"; see ship().

    Returns:
        A column of array<float> (see precision for others), or of structs. A null text gives null, and so does a pair
        with a null in it. An image that cannot be read gives a null vector; with details the struct is there, its
        embedding null, and says why. A task that Spark gives a GPU (spark.task.resource.gpu.amount) uses that one;
        other tasks use the first GPU of their node, or its CPU with spark.task.cpus threads.

    Raises:
        InputError: An argument that cannot work, or no Spark session.
        ModelError: No such model. It is looked for here on the driver, before any job starts.
    """
    names = [columns] if isinstance(columns, (str, Column)) else list(columns)
    if len(names) not in (1, 2):
        raise InputError(f"{len(names)} columns were given to encode.", "give one column, or two: pairs of texts")
    options = EncodeOptions(
        prompt,
        prompt_name,
        normalize_embeddings,
        truncate_dim,
        details,
        task=task,
        precision=precision,
        ranges=ranges,  # type: ignore[arg-type]  # prepare() makes lists of it
    )
    function = encoder(session(), model, options, revision=revision, dtype=dtype, shipping=shipping)
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
    """The user-defined function behind encode() and register(), for one or two columns."""
    snapshot, options = prepare(model, options, revision, dtype)
    order = {"shipment": vars(ship(spark, snapshot, shipping)), "options": asdict(options), "dtype": dtype}
    return udf.make(order, return_type(options))


def prepare(
    model: "str | os.PathLike[str]", options: EncodeOptions, revision: str | None, dtype: str
) -> tuple[hub.Snapshot, EncodeOptions]:
    """The model's folder, and the options checked against it, with what it says: whether it reads images.

    Raises:
        InputError: An option that cannot work.
        ModelError: No such model.
    """
    if dtype not in DTYPES:
        raise InputError(f"dtype={dtype!r} is unknown.", f"choose one of {', '.join(DTYPES)}")
    if options.truncate_dim is not None and options.truncate_dim < 1:
        raise InputError(f"truncate_dim={options.truncate_dim} is not a size.", "give a number of dimensions from 1")
    ranges = _ranges(options)
    snapshot = hub.resolve(model, revision)
    description = checkpoint.read(snapshot.folder)
    stored = prompts.with_defaults(description.prompts)
    prompts.resolve(stored, description.default_prompt_name, options.prompt, options.prompt_name)
    router.check_task(description.modules, options.task)
    return snapshot, replace(options, images=description.modules[0].kind == "CLIPModel", ranges=ranges)


def _ranges(options: EncodeOptions) -> list[list[float]] | None:
    """The ranges as plain values, where the precision needs some; the model's size is known on the executors."""
    ranges = quantization.checked_ranges(options.precision, options.ranges)
    if ranges is None and options.precision in RANGED:
        raise InputError(
            f"precision={options.precision!r} needs ranges, the same for all rows.",
            "give ranges=calibrate(df, column, model=...), or run the embed job, which calibrates by itself.",
        )
    return None if ranges is None else ranges.tolist()


def apply(function: "UserDefinedFunctionLike", columns: Sequence[str | Column], options: EncodeOptions) -> Column:
    """The function on its columns."""
    return udf.call(function, columns, options.details or options.counts)


def return_type(options: EncodeOptions) -> DataType:
    """The Spark type of the output."""
    vector = ArrayType(_ELEMENTS[options.precision])
    if not (options.details or options.counts):
        return vector
    fields = [StructField("embedding", vector), StructField("n_tokens", IntegerType())]
    fields.append(StructField("truncated", BooleanType()))
    fields += [StructField("problem", StringType())] if options.images else []
    flags = ["duplicate", *(["zero", "nan"] if options.precision != "float32" else [])] if options.counts else []
    return StructType([*fields, *(StructField(name, BooleanType()) for name in flags)])


def session() -> SparkSession:
    """The running session; InputError where there is none."""
    try:
        return SparkSession.active()
    except RuntimeError as error:
        fix = "start one first: spark = SparkSession.builder.getOrCreate()"
        raise InputError("This needs a running Spark session.", fix) from error
