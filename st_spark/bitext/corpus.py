"""One side of a bitext: a table and the names of its columns."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from st_spark.bitext.columns import LANGUAGE, TEXT
from st_spark.errors import InputError
from st_spark.join.inputs import TablePair, select_columns
from st_spark.join.shuffle import key_name
from st_spark.tables.columns import check_columns

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Corpus:
    """A side.

    Attributes:
        df: The table.
        id_column: Column of the ids.
        vector: Column of the vectors.
        text: Column of the texts, if there are any.
        language_column: Column of the languages, if rows shall be chosen by them.
        language: The language of the rows that are wanted.
    """

    df: "DataFrame"
    id_column: str = "id"
    vector: str = "embedding"
    text: str | None = None
    language_column: str | None = None
    language: str | None = None

    def picked(self, where: str, document: str | None) -> "DataFrame":
        """ID, VECTOR, the key of the documents, TEXT and LANGUAGE, as far as there are such."""
        named = {TEXT: self.text, LANGUAGE: self.language_column}
        others = {new: name for new, name in named.items() if name is not None}
        on = [] if document is None else [document]
        made = select_columns(self.df, where, self.id_column, self.vector, on, others)
        check_columns(self.df.schema, where, () if self.text is None else (self.text,))
        return made


def sides_of(source: Corpus, target: Corpus, document: str | None) -> TablePair:
    """Both sides as a join knows them.

    Raises:
        InputError: A column is missing or of a type that cannot be mined; texts of one side alone; languages without a
            column of them, or the other way round.
    """
    if (source.text is None) != (target.text is None):
        raise InputError("Only one side has a column of texts.", "name both source_text and target_text, or none.")
    for each in (source, target):
        if (each.language_column is None) != (each.language is None):
            raise InputError("Languages need a column, and a column languages.", "give both, or none of them.")
        if each.language_column is not None and each.text is None:
            raise InputError(
                "Rows are chosen by language only with texts.", "name source_text and target_text, or filter before."
            )
    keys = () if document is None else (key_name(0),)
    one, other = source.picked("the source table", document), target.picked("the target table", document)
    kinds = [side.schema[key].dataType.simpleString() for key in keys for side in (one, other)]
    if len(set(kinds)) > 1:
        raise InputError(
            f"The document column {document!r} holds {kinds[0]} in the source table and {kinds[1]} in the target one.",
            "cast one of them.",
        )
    return TablePair(one, other, keys)
