"""Find vectors that a table has already, so that no text is embedded twice."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyspark.sql.types import ArrayType, FractionalType

from st_spark.errors import InputError
from st_spark.model.checkpoint import hub
from st_spark.model.checkpoint.files import fingerprint
from st_spark.tables.metadata import check_comparable, field_metadata, is_comparable, vector_column

if TYPE_CHECKING:
    from pyspark.sql.types import StructField, StructType

    from st_spark.specs.fields import VectorInput

_log = logging.getLogger(__name__)
# Options that one table alone must be embedded with, if the job gives them. Of two tables each may have its own prompt:
# queries have another one than documents.
_GIVEN = ("prompt", "max_seq_length")
_NAME = "name the text column, or the vector column to use."


@dataclass(frozen=True)
class Choice:
    """Which vectors of a table a job uses.

    Attributes:
        column: The vector column; None if the texts must be embedded.
        metadata: Its metadata.
    """

    column: str | None
    metadata: Mapping[str, Any] = field(default_factory=dict)


def choose(schema: "StructType", where: str, job: "VectorInput", column: str | None, text: str) -> Choice:
    """Choose between the vectors of a table and its texts. The log says what is used, and why vectors are not.

    Args:
        schema: The columns of the table.
        where: Path or name of the table.
        job: A job with a model.
        column: The vector column that the job names.
        text: The text column.

    Raises:
        InputError: The column that the job names is of another model; there are several columns; or the table has
            vectors that cannot be used, and no texts.
    """
    if column is not None:
        name, metadata = vector_column(schema, where, column)
        check_comparable(metadata, _recipe(job), (where, "--model"))
        return Choice(name, metadata)
    arrays = [each for each in schema.fields if isinstance(each.dataType, ArrayType)]
    recipe = _recipe(job) if arrays else {}
    found = {each.name: _why_not(each, schema, job, text, recipe) for each in arrays}
    fitting = [name for name, reason in found.items() if reason is None]
    if len(fitting) > 1:
        raise InputError(
            f"{where} has {len(fitting)} columns of vectors of {job.model}: {', '.join(fitting)}.",
            "name one: --column, and leave out --model and --text-column; or, of the second table, --right-column or "
            "--target-column.",
        )
    if fitting:
        metadata = field_metadata(schema, fitting[0])
        _log.info("Using the vectors of %s: column %r, made by %s", where, fitting[0], _described(metadata))
        return Choice(fitting[0], metadata)
    reasons = {name: reason for name, reason in found.items() if reason is not None}
    if reasons and text not in schema.names:
        why = "; ".join(f"{name!r} {reason}" for name, reason in reasons.items())
        raise InputError(f"{where} has no column {text!r} to embed, and its vectors cannot be used: {why}.", _NAME)
    for name, reason in reasons.items():
        _log.info("Embedding the texts of %s: its column %r %s", where, name, reason)
    return Choice(None)


def _why_not(
    column: "StructField", schema: "StructType", job: "VectorInput", text: str, recipe: Mapping[str, Any]
) -> str | None:
    """Return why the vectors of a column are not used; None if they are. `recipe` is the job's."""
    assert isinstance(column.dataType, ArrayType)
    metadata = field_metadata(schema, column.name)
    if not isinstance(column.dataType.elementType, FractionalType):
        return f"holds {column.dataType.simpleString()}"
    if metadata.get("content") is None:
        return "does not say which model made it"
    if not is_comparable(metadata, recipe):
        others = "other files of " if metadata.get("model") == job.model else ""
        return f"was made by {others}{_described(metadata)}, not by {job.model}"
    texts = metadata.get("text_columns") or [text]
    if text in schema.names and texts != [text]:
        return f"was made from {', '.join(texts)}, not from {text}"
    given = {name: getattr(job, name) for name in _GIVEN if len(job.vector_columns) == 1}
    differing = [name for name, value in given.items() if value is not None and value != metadata.get(name)]
    return f"was made with another {differing[0]}" if differing else None


def _recipe(job: "VectorInput") -> dict[str, Any]:
    """Return what the metadata of the job's own vectors would say."""
    folder = hub.resolve(str(job.model), job.revision).folder
    return {"model": job.model, "content": fingerprint(folder)}


def _described(metadata: Mapping[str, Any]) -> str:
    """Return a model and its prompt."""
    prompt = metadata.get("prompt")
    return str(metadata.get("model", "an unknown model")) + (f" with the prompt {prompt!r}" if prompt else "")
