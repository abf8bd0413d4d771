"""One side of a bitext: a table, and the names of its columns."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from st_spark.errors import InputError
from st_spark.join.inputs import TablePair, number_keys, select_columns
from st_spark.join.shuffle import key_name
from st_spark.tables.columns import check_columns
from st_spark.tables.metadata import check_comparable, field_metadata

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Columns of a prepared corpus, in addition to the columns of every join.
TEXT, LANGUAGE = "_text", "_language"


@dataclass(frozen=True)
class Corpus:
    """One side of a bitext.

    Attributes:
        df: The table.
        id_column: Id column.
        vector: Vector column.
        text: Text column, None without texts.
        language_column: Language column, None if rows are not selected by language.
        language: The language to mine.
    """

    df: "DataFrame"
    id_column: str = "id"
    vector: str = "embedding"
    text: str | None = None
    language_column: str | None = None
    language: str | None = None

    def select(self, where: str, document: str | None) -> "DataFrame":
        """Return the columns that mining needs: id, vector, and the document key, TEXT and LANGUAGE if they are used.

        Errors call the table `where`.
        """
        check_columns(self.df.schema, where, () if self.text is None else (self.text,))
        named = {TEXT: self.text, LANGUAGE: self.language_column}
        others = {new: name for new, name in named.items() if name is not None}
        on = [] if document is None else [document]
        return select_columns(self.df, where, self.id_column, self.vector, on, others)


def table_pair(source: Corpus, target: Corpus, document: str | None) -> TablePair:
    """Return both sides as the inputs of a join. With a document column, rows are compared only within a document.

    Raises:
        InputError: A column is missing or has a wrong type; only one side has texts; or a language has no column.
    """
    if (source.text is None) != (target.text is None):
        raise InputError("Only one table has a text column.", "name both source_text and target_text, or none.")
    for each in (source, target):
        if (each.language_column is None) != (each.language is None):
            raise InputError("Languages and a language column are needed together.", "give both, or none of them.")
        if each.language_column is not None and each.text is None:
            raise InputError(
                "A language filter needs text columns.",
                "name them: --text-column, or source_text and target_text; or filter first.",
            )
    keys = () if document is None else (key_name(0),)
    one, other = source.select("the source table", document), target.select("the target table", document)
    recipes = [field_metadata(each.df.schema, each.vector) for each in (source, target)]
    check_comparable(recipes[0], recipes[1], ("the source table", "the target table"))
    types = [side.schema[key].dataType.simpleString() for key in keys for side in (one, other)]
    if len(set(types)) > 1:
        raise InputError(
            f"The document column {document!r} holds {types[0]} in the source table, {types[1]} in the target table.",
            "cast one of them.",
        )
    return number_keys(TablePair(one, other, keys))
