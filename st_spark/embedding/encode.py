"""encode(column) and register(spark, name): a model as a Spark function, for DataFrames and for SQL."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from pyspark.sql import Column, SparkSession

from st_spark.choices import DTYPES, MAX_IMAGE_PIXELS, POOLINGS, RANGED
from st_spark.embedding import udf
from st_spark.embedding.arrow_encode import EncodeOptions, output_type
from st_spark.embedding.send_model import send
from st_spark.errors import InputError, check_choice, check_count, check_list
from st_spark.model import quantization
from st_spark.model.checkpoint import checkpoint, hub
from st_spark.model.inputs import prompts
from st_spark.model.modules import router

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from numpy.typing import ArrayLike
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
    task: str | None = None,
    max_seq_length: int | None = None,
    batch_size: int | None = None,
    precision: str = "float32",
    ranges: "ArrayLike | None" = None,
    max_image_pixels: int = MAX_IMAGE_PIXELS,
    chunk: int | str | None = None,
    overlap: int = 0,
    pooling: str = "none",
    shipping: str = "auto",
) -> Column:
    """Encode a column of texts, two columns of text pairs, or (with a CLIP model) a column of images.

    A task to which Spark gives a GPU (spark.task.resource.gpu.amount) uses this GPU. Other tasks use the first GPU of
    their node, or its CPU with spark.task.cpus threads.

    Args:
        columns: A string column, or a list of two for pairs such as ["title", "text"]. For CLIP models also a binary
            column of image files, such as `content` of spark.read.format("binaryFile"). The strings of a column are
            always texts, never paths or addresses of images.
        model: A folder, "package:IMPORT_NAME", or a name on the hub.
        revision: Branch, tag or commit on the hub.
        dtype: "auto", "float32", "bfloat16", "float16" or "int8"; see SentenceTransformer.
        prompt: Text to put before each text (before the first text of a pair).
        prompt_name: Name of one of the model's own prompts instead.
        normalize_embeddings: Scale each vector to length 1.
        truncate_dim: Keep only the first dimensions.
        details: Return struct<embedding:array<float>, n_tokens:int, truncated:boolean> instead of array<float>. CLIP
            models add problem:string: why an image could not be read.
        task: Task for models with a Router: "query", "document" or another.
        max_seq_length: Maximum number of tokens of a text, special ones included; by default the model's. The rest is
            cut off.
        batch_size: Maximum number of texts in one step of the model; by default only their tokens are limited. The
            vectors do not depend on it.
        precision: "float32", or as in SentenceTransformer.encode "int8", "uint8", "binary" or "ubinary". int8 and
            binary give array<tinyint>; uint8 and ubinary give array<smallint>, because Spark has no unsigned bytes.
            They cannot hold NaN or infinity: a vector with one of them becomes null.
        ranges: The lowest and the highest value of each dimension, [2, d]. int8 and uint8 need them, the same for
            every row; calibrate() finds them. A value outside the range becomes the nearest end of it.
        max_image_pixels: An image with more pixels counts as one that cannot be read; a large JPEG is decoded smaller.
        chunk: Read texts in full, in chunks of at most so many tokens: see chunk(). "auto" for as many as the model
            reads. It needs `pooling`.
        overlap: How many tokens at most two neighbouring chunks share; see chunk().
        pooling: How the vectors of the chunks become one: "mean", weighted by the tokens of the chunks, or "max". It
            has length 1 if the vectors of the chunks have. A text of one chunk keeps its vector.
        shipping: How to send the model to the executors: "auto", "broadcast", "artifact", "path" or "hub".

    Returns:
        A column of array<float> (see precision for other types) or of structs. A null text, or a pair with a null,
        gives null. An image that cannot be read gives a null vector; with details it gives a struct with a null
        embedding and the problem.

    Raises:
        InputError: An argument is wrong, or there is no Spark session.
        ModelError: The model is not found. The driver looks for it before any job starts.
    """
    names = [columns] if isinstance(columns, Column) else check_list("columns", columns)
    if len(names) not in (1, 2):
        raise InputError(f"encode() got {len(names)} columns.", "give one column, or two: pairs of texts")
    options = EncodeOptions(
        prompt,
        prompt_name,
        normalize_embeddings,
        truncate_dim,
        details,
        task=task,
        max_seq_length=max_seq_length,
        batch_size=batch_size,
        precision=precision,
        ranges=ranges,  # type: ignore[arg-type]  # prepare() makes lists of it
        max_image_pixels=max_image_pixels,
        chunk=chunk,
        overlap=overlap,
        pooling=pooling,
    )
    _check_one_vector(options, len(names))
    function = encoder(active_session(), model, options, revision=revision, dtype=dtype, shipping=shipping)
    return udf.call(function, names, options.struct)


def register(
    spark: SparkSession,
    name: str,
    *,
    model: "str | os.PathLike[str]",
    **options: Any,  # noqa: ANN401  (of encode)
) -> None:
    """Make a model an SQL function: `SELECT embed(text) FROM docs`, `SELECT embed(title, text) FROM docs`.

    Args:
        spark: The session in which SQL can use the function.
        name: Name of the function in SQL.
        model: See encode().
        options: Other options of encode(), which also says what may be raised.
    """
    others = {key: options.pop(key) for key in ("revision", "dtype", "shipping") if key in options}
    chosen = EncodeOptions(**options)
    _check_one_vector(chosen, 1)
    spark.udf.register(name, encoder(spark, model, chosen, **others))


def encoder(
    spark: SparkSession,
    model: "str | os.PathLike[str]",
    options: EncodeOptions,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    shipping: str = "auto",
) -> "UserDefinedFunctionLike":
    """Return the Spark function behind encode() and register(), for one or two columns."""
    snapshot, options = prepare(model, options, revision, dtype)
    payload = {"model": vars(send(spark, snapshot, shipping)), "options": asdict(options), "dtype": dtype}
    return udf.make(payload, output_type(options))


def prepare(
    model: "str | os.PathLike[str]", options: EncodeOptions, revision: str | None, dtype: str
) -> tuple[hub.Snapshot, EncodeOptions]:
    """Find a model, check the options against it, and complete them: ranges as lists, whether it reads images."""
    check_choice("dtype", dtype, DTYPES)
    for name in ("truncate_dim", "batch_size", "max_image_pixels"):
        if (value := getattr(options, name)) is not None:
            check_count(name, value)
    ranges = _ranges(options)
    snapshot = hub.resolve(model, revision)
    description = checkpoint.read(snapshot.folder)
    stored = prompts.with_defaults(description.prompts)
    prompts.resolve(stored, description.default_prompt_name, options.prompt, options.prompt_name)
    router.check_task(description.modules, options.task)
    if options.max_seq_length is not None:
        from st_spark.model.modules.length_check import check_max_seq_length  # loads torch

        check_max_seq_length(description.modules, options.max_seq_length)
    images = description.modules[0].kind == "CLIPModel"
    return snapshot, replace(options, images=images, ranges=ranges, chunk=_chunk_tokens(snapshot.folder, options))


def _chunk_tokens(folder: "Path", options: EncodeOptions) -> int | None:
    """Check the options about chunks, and return the most tokens of a chunk; None if texts are not cut."""
    check_choice("pooling", options.pooling, POOLINGS)
    if options.chunk is None:
        for name, value, default in (("overlap", options.overlap, 0), ("pooling", options.pooling, "none")):
            if value != default:
                raise InputError(
                    f"{name}={value!r} is given without chunk.", 'add chunk="auto", or a number of tokens.'
                )
        return None
    from st_spark.model.chunker import ChunkOptions, chunk_tokens  # loads torch

    return chunk_tokens(folder, ChunkOptions(**options.chunking))


def _check_one_vector(options: EncodeOptions, columns: int) -> None:
    """Check that a text, and no pair, gets one vector."""
    if options.chunk is None:
        return
    if columns == 2:
        raise InputError("chunk is given, and two columns: pairs are not cut.", "give one column.")
    if not options.pools:
        fix = 'give pooling="mean" or "max", or encode the chunks that chunk() returns.'
        raise InputError("chunk is given without pooling, and encode() returns one vector for a text.", fix)


def _ranges(options: EncodeOptions) -> list[list[float]] | None:
    """Return the ranges as lists, None if the precision needs none. The executors check their size."""
    ranges = quantization.checked_ranges(options.precision, options.ranges)
    if ranges is None and options.precision in RANGED:
        raise InputError(
            f"precision={options.precision!r} needs ranges, the same for all rows.",
            "give ranges=calibrate(df, column, model=...), or run the embed job, which calibrates by itself.",
        )
    return None if ranges is None else ranges.tolist()


def active_session() -> SparkSession:
    """Return the running session; InputError if there is none."""
    try:
        return SparkSession.active()
    except RuntimeError as error:
        fix = "start one first: spark = SparkSession.builder.getOrCreate()"
        raise InputError("This needs a running Spark session.", fix) from error
