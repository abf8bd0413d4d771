"""chunk(column): cut long texts into parts that a model reads in full."""

from typing import TYPE_CHECKING, Any

from pyspark.sql import Column

from st_spark.embedding import udf
from st_spark.embedding.arrow_chunk import CHUNKS
from st_spark.embedding.encode import active_session
from st_spark.embedding.send_model import send
from st_spark.model.checkpoint import hub

if TYPE_CHECKING:
    import os

    from pyspark.sql import SparkSession
    from pyspark.sql._typing import UserDefinedFunctionLike


def chunk(  # noqa: PLR0913  (with the names of encode's)
    column: str | Column,
    *,
    model: "str | os.PathLike[str]",
    max_tokens: int | None = None,
    overlap: int = 0,
    revision: str | None = None,
    prompt: str | None = None,
    prompt_name: str | None = None,
    task: str | None = None,
    max_seq_length: int | None = None,
    shipping: str = "auto",
) -> Column:
    """Cut a column of texts into chunks that a model reads in full.

    A chunk ends at an end of a sentence if there is one in its second half, else between words, else between
    characters. No character is cut, such as a letter with its accents, or a flag. The chunks of a text cover it:
    without an overlap, put together they are the text.

    One row for each chunk: `df.select("id", sf.inline(chunk("text", model=...)))`.

    Args:
        column: A string column.
        model: A folder, "package:IMPORT_NAME", or a name on the hub. Its tokenizer counts; its weights are not used.
        max_tokens: The most tokens of a chunk, without special tokens and the prompt's; by default as many as the model
            reads. A chunk of one character can have more, if max_tokens is very small.
        overlap: How many tokens at most the end of a chunk and the start of the next one share. A chunk begins at a
            word or a sentence, so they can be fewer.
        revision: Branch, tag or commit on the hub.
        prompt: The prompt that encode() will get; its tokens leave less room for the text.
        prompt_name: See prompt.
        task: See encode().
        max_seq_length: See encode().
        shipping: See encode().

    Returns:
        A column of array<struct<chunk_index:int, chunk_start:int, chunk_end:int, chunk_tokens:int, chunk_text:string>>.
        chunk_start and chunk_end count characters from 0, as Python does; in SQL the chunk is substring(text,
        chunk_start + 1, chunk_end - chunk_start). A null text gives null, an empty one a chunk without characters.

    Raises:
        InputError: The model reads fewer tokens, or has no limit and max_tokens is not given; the overlap is as long as
            a chunk; another argument is wrong; or there is no Spark session.
        ModelError: The model is not found.
    """
    options = {"max_tokens": max_tokens, "overlap": overlap, "prompt": prompt, "prompt_name": prompt_name}
    options |= {"task": task, "max_seq_length": max_seq_length}
    return chunker(active_session(), model, options, revision=revision, shipping=shipping)(column)


def chunker(
    spark: "SparkSession",
    model: "str | os.PathLike[str]",
    options: dict[str, Any],
    *,
    revision: str | None = None,
    shipping: str = "auto",
) -> "UserDefinedFunctionLike":
    """Return the Spark function behind chunk(); `options` are the fields of ChunkOptions."""
    from st_spark.model.chunker import ChunkOptions, chunk_tokens  # loads torch

    snapshot = hub.resolve(model, revision)
    options = {**options, "max_tokens": chunk_tokens(snapshot.folder, ChunkOptions(**options))}
    payload = {"model": vars(send(spark, snapshot, shipping)), "options": options}
    return udf.make(payload, CHUNKS, "chunk")
