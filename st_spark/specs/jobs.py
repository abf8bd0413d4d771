"""Job specifications: frozen, checked when made, and the same thing as JSON and as an argument vector."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from st_spark.choices import (
    CANDIDATES,
    DTYPES,
    FORMATS_IN,
    FORMATS_OUT,
    LINKAGES,
    MARGINS,
    METHODS,
    MODES,
    OVERFLOWS,
    PRECISIONS,
    RETRIEVALS,
    SCORES,
)
from st_spark.errors import SpecError
from st_spark.specs.base import Job, option


@dataclass(frozen=True)
class EmbedJob(Job):
    """Embed a column of texts or images (or a pair of text columns) and write all columns and the vectors."""

    kind: ClassVar[str] = "embed"

    input: str = option("path of the texts, or the name of a catalog table")
    output: str = option("path or name of the table to write")
    model: str = option("hub name, folder, or package:NAME")
    text_column: str | tuple[str, str] = option("column of the texts; give it twice for pairs", most=2)
    id_column: str | None = option("column of the ids: nulls and duplicates in it are counted", None)
    input_format: str | None = option("by default told from the path, else parquet", None, choices=FORMATS_IN)
    output_format: str = option("kind of table to write", "parquet", choices=FORMATS_OUT)
    mode: str = option("what to do when the output exists", "error", choices=MODES)
    output_column: str = option("column of the vectors", "embedding")
    revision: str | None = option("commit, tag or branch of a hub model", None)
    dtype: str = option("precision of the model", "auto", choices=DTYPES)
    prompt: str | None = option("text put before every text", None)
    prompt_name: str | None = option("name of one of the model's own prompts", None)
    normalize_embeddings: bool = option("scale every vector to length 1", False, kind=bool)
    truncate_dim: int | None = option("keep only the first N values of a vector", None, kind=int)
    task: str | None = option("route of a model that has some, such as query or document", None)
    precision: str = option("what the vectors are stored as; int8 and uint8 calibrate", "float32", choices=PRECISIONS)

    def __post_init__(self) -> None:
        """Checks the fields, and that they agree with each other."""
        super().__post_init__()
        if self.prompt is not None and self.prompt_name is not None:
            raise SpecError(f"Both prompt and prompt_name ({self.prompt_name!r}) are given.", "give one of them.")
        if self.truncate_dim is not None and self.truncate_dim < 1:
            raise SpecError(f"truncate_dim is {self.truncate_dim}.", "give 1 or more, or leave it out.")
        if self.output_column in (*self.text_columns, self.id_column):
            raise SpecError(
                f"output_column {self.output_column!r} is an input column.", "give the vectors a name of their own."
            )

    def tables(self) -> list[tuple[str, str | None]]:
        """See Job."""
        return [(self.input, self.input_format), (self.output, self.output_format)]

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The one or two text columns as a tuple."""
        return (self.text_column,) if isinstance(self.text_column, str) else self.text_column


@dataclass(frozen=True)
class ClassifyJob(Job):
    """Give each text or image of a table the most similar of some labels, without training (zero-shot)."""

    kind: ClassVar[str] = "classify"
    prompt_name: ClassVar[None] = None
    truncate_dim: ClassVar[None] = None
    task: ClassVar[None] = None

    input: str = option("path of the texts or images, or the name of a catalog table")
    output: str = option("path or name of the table to write")
    model: str = option("hub name, folder, or package:NAME")
    text_column: str = option("column of the texts, or of image files for a CLIP model")
    labels: str | None = option("the labels, with commas between them", None)
    labels_table: str | None = option("path or name of a table of labels instead", None)
    label_column: str = option("column of the labels in it", "label")
    template: str = option("what the model reads of a label, {} standing for it: 'a photo of a {}'", "{}")
    label_model: str | None = option("another model that reads the labels, in other languages for instance", None)
    id_column: str | None = option("column of the ids: nulls and duplicates in it are counted", None)
    input_format: str | None = option("by default told from the path, else parquet", None, choices=FORMATS_IN)
    output_format: str = option("kind of table to write", "parquet", choices=FORMATS_OUT)
    mode: str = option("what to do when the output exists", "error", choices=MODES)
    output_column: str = option("column of label, score and all scores", "classification")
    revision: str | None = option("commit, tag or branch of a hub model", None)
    dtype: str = option("precision of the model", "auto", choices=DTYPES)
    prompt: str | None = option("text put before every text, not before labels", None)

    def __post_init__(self) -> None:
        """Checks the fields; labels come from exactly one place."""
        super().__post_init__()
        if (self.labels is None) == (self.labels_table is None):
            given = "Both labels and labels_table are" if self.labels is not None else "No labels are"
            raise SpecError(f"{given} given.", "give one of them: --labels a,b,c or --labels-table PATH.")
        if "{}" not in self.template:
            raise SpecError(
                f"The template {self.template!r} has no place for the label.", "write {} there: 'a photo of a {}'."
            )
        if self.output_column in (self.text_column, self.id_column):
            raise SpecError(
                f"output_column {self.output_column!r} is an input column.", "give the labels a name of their own."
            )

    def tables(self) -> list[tuple[str, str | None]]:
        """See Job."""
        labels = [(self.labels_table, None)] if self.labels_table is not None else []
        return [(self.input, self.input_format), (self.output, self.output_format), *labels]

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The one column as a tuple."""
        return (self.text_column,)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels that stand in the job itself, without the spaces around them."""
        return tuple(label.strip() for label in self.labels.split(",")) if self.labels is not None else ()


@dataclass(frozen=True)
class SearchJob(Job):
    """Find the rows of an embedded table that are nearest to a query."""

    kind: ClassVar[str] = "search"

    query: str = option("the text to search for", short="-")
    table: str = option("path of the embedded table, or the name of a catalog table")
    k: int = option("how many rows", 5, kind=int, short="-k")
    model: str | None = option("by default the one that the table was embedded with", None)
    column: str | None = option("column of the vectors, by default the only one", None)

    def __post_init__(self) -> None:
        """Checks the fields; k must be 1 or more."""
        super().__post_init__()
        if self.k < 1:
            raise SpecError(f"k is {self.k}.", "ask for 1 row or more.")

    def tables(self) -> list[tuple[str, str | None]]:
        """See Job."""
        return [(self.table, None)]


@dataclass(frozen=True)
class JoinJob(Job):
    """Join two tables, or one with itself, by the similarity of their vectors or texts."""

    kind: ClassVar[str] = "join"
    prompt_name: ClassVar[None] = None
    truncate_dim: ClassVar[None] = None
    task: ClassVar[None] = None

    left: str = option("path or name of the left table, embedded or (with --model) of texts")
    output: str = option("path or name of the table of pairs to write")
    right: str | None = option("the right table; by default the left one is joined with itself", None)
    k: int | None = option("neighbours of each row (default: 10, or with a threshold all)", None, kind=int, short="-k")
    threshold: float | None = option("least score of a pair", None, kind=float)
    score: str | None = option("by default what suits the vectors' model, else cosine", None, choices=SCORES)
    id_column: str = option("column of the ids", "id")
    right_id_column: str | None = option("that of the right table, by default the same", None)
    column: str | None = option("column of the vectors, by default the only one", None)
    right_column: str | None = option("that of the right table, by default the only one", None)
    on: str | tuple[str, ...] | None = option("column that must be equal in both tables; can be repeated", None, most=9)
    method: str = option("exact, or ivf: approximate", "exact", choices=METHODS)
    recall: float = option("share of the neighbours that ivf is to find", 0.95, kind=float)
    max_pairs: int = option("most pairs that a threshold alone may let through", 100_000_000, kind=int)
    overflow: str = option("what to do if there are more", "error", choices=OVERFLOWS)
    model: str | None = option("hub name, folder, or package:NAME, to embed texts before", None)
    text_column: str | None = option("column of the texts then", None)
    right_text_column: str | None = option("that of the right table, by default the same", None)
    revision: str | None = option("commit, tag or branch of a hub model", None)
    dtype: str = option("precision of the model", "auto", choices=DTYPES)
    prompt: str | None = option("text put before every text", None)
    left_format: str | None = option("by default told from the path, else parquet", None, choices=FORMATS_IN)
    right_format: str | None = option("the same of the right table", None, choices=FORMATS_IN)
    output_format: str = option("kind of table to write", "parquet", choices=FORMATS_OUT)
    mode: str = option("what to do when the output exists", "error", choices=MODES)

    def __post_init__(self) -> None:
        """Checks the fields, and that they agree with each other."""
        super().__post_init__()
        if self.k is not None and self.k < 1:
            raise SpecError(f"k is {self.k}.", "ask for 1 neighbour or more, or leave it out and give a threshold.")
        _check_texts(self, self.column or self.right_column)

    def tables(self) -> list[tuple[str, str | None]]:
        """See Job."""
        right = [(self.right, self.right_format)] if self.right is not None else []
        return [(self.left, self.left_format), (self.output, self.output_format), *right]

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that must be equal, as a tuple."""
        return (self.on,) if isinstance(self.on, str) else self.on or ()


@dataclass(frozen=True)
class DedupJob(Job):
    """Group the rows of a table whose vectors or texts are about the same, and say which row stands for each group."""

    kind: ClassVar[str] = "dedup"
    prompt_name: ClassVar[None] = None
    truncate_dim: ClassVar[None] = None
    task: ClassVar[None] = None

    input: str = option("path or name of the table, embedded or (with --model) of texts")
    output: str = option("path or name of the table of groups to write")
    threshold: float = option("least score of a pair", 0.9, kind=float)
    score: str | None = option("by default what suits the vectors' model, else cosine", None, choices=SCORES)
    linkage: str = option(
        "rows in a chain of pairs, or all within the threshold of one", "components", choices=LINKAGES
    )
    id_column: str = option("column of the ids", "id")
    column: str | None = option("column of the vectors, by default the only one", None)
    on: str | tuple[str, ...] | None = option("column that must be equal in a group; can be repeated", None, most=9)
    method: str = option("exact, or ivf: approximate", "exact", choices=METHODS)
    recall: float = option("share of the pairs that ivf is to find", 0.95, kind=float)
    max_pairs: int = option("most pairs that leaders may be chosen from", 100_000_000, kind=int)
    model: str | None = option("hub name, folder, or package:NAME, to embed texts before", None)
    text_column: str | None = option("column of the texts then", None)
    revision: str | None = option("commit, tag or branch of a hub model", None)
    dtype: str = option("precision of the model", "auto", choices=DTYPES)
    prompt: str | None = option("text put before every text", None)
    input_format: str | None = option("by default told from the path, else parquet", None, choices=FORMATS_IN)
    output_format: str = option("kind of table to write", "parquet", choices=FORMATS_OUT)
    mode: str = option("what to do when the output exists", "error", choices=MODES)

    def __post_init__(self) -> None:
        """Checks the fields, and that they agree with each other."""
        super().__post_init__()
        _check_texts(self, self.column)

    def tables(self) -> list[tuple[str, str | None]]:
        """See Job."""
        return [(self.input, self.input_format), (self.output, self.output_format)]

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that must be equal, as a tuple."""
        return (self.on,) if isinstance(self.on, str) else self.on or ()


@dataclass(frozen=True)
class MineJob(Job):
    """Find the sentences of two tables that translate each other, by the margin of their vectors' similarity."""

    kind: ClassVar[str] = "mine"
    prompt_name: ClassVar[None] = None
    truncate_dim: ClassVar[None] = None
    task: ClassVar[None] = None

    source: str = option("path or name of the source table, embedded or of texts")
    target: str = option("that of the target table")
    output: str = option("path or name of the table of pairs to write")
    k: int = option("neighbours of each row that the margin is taken over", 4, kind=int, short="-k")
    margin: str = option("cosine alone, less the neighbours' mean, or divided by it", "ratio", choices=MARGINS)
    retrieval: str = option("max: the best pairs of both directions, one to one", "max", choices=RETRIEVALS)
    candidates: str = option(
        "of each row only its best pair, or those with all k neighbours", "best", choices=CANDIDATES
    )
    threshold: float = option("a pair needs a score above this", 1.06, kind=float)
    method: str = option("exact, or ivf: approximate", "exact", choices=METHODS)
    recall: float = option("share of the neighbours that ivf is to find", 0.95, kind=float)
    id_column: str = option("column of the ids", "id")
    target_id_column: str | None = option("that of the target table, by default the same", None)
    column: str | None = option("column of the vectors, by default the only one", None)
    target_column: str | None = option("that of the target table, by default the only one", None)
    text_column: str | None = option("column of the texts: to embed them, filter by them or write them", None)
    target_text_column: str | None = option("that of the target table, by default the same", None)
    document_column: str | None = option("column of the documents: rows are paired within equal ones", None)
    language_column: str | None = option("column of the languages: rows of others are left out", None)
    source_language: str | None = option("language of the source, such as de", None)
    target_language: str | None = option("language of the target", None)
    min_chars: int = option("shortest text", 10, kind=int)
    max_chars: int = option("longest text", 500, kind=int)
    max_symbols: float = option("largest share of digits and punctuation in a text", 0.5, kind=float)
    max_ratio: float = option("how many times as wide as the other one text of a pair may be", 3.0, kind=float)
    max_alike: float = option("largest share of equal letters; above it a pair is a copy", 0.9, kind=float)
    texts: bool = option("write both texts to the table, too", False, kind=bool)
    tsv: str | None = option("also write score and texts to this file, for spreadsheets", None)
    tmx: str | None = option("also write the texts to this file, for translation tools; needs both languages", None)
    report: str | None = option("folder for a histogram of the scores, pairs at each threshold, and examples", None)
    model: str | None = option("hub name, folder, or package:NAME; LaBSE where the tables hold no vectors", None)
    revision: str | None = option("commit, tag or branch of a hub model", None)
    dtype: str = option("precision of the model", "auto", choices=DTYPES)
    prompt: str | None = option("text put before every text", None)
    source_format: str | None = option("by default told from the path, else parquet", None, choices=FORMATS_IN)
    target_format: str | None = option("the same of the target table", None, choices=FORMATS_IN)
    output_format: str = option("kind of table to write", "parquet", choices=FORMATS_OUT)
    mode: str = option("what to do when the output exists", "error", choices=MODES)

    def __post_init__(self) -> None:
        """Checks the fields, and that they agree with each other."""
        super().__post_init__()
        if self.k < 1:
            raise SpecError(f"k is {self.k}.", "ask for 1 neighbour or more.")
        if not math.isfinite(self.threshold):
            raise SpecError(f"threshold is {self.threshold}.", "give a number; -1000 keeps every pair.")
        if self.model is not None and (self.column or self.target_column):
            raise SpecError("Both a model and a column of vectors are given.", "leave one of them out.")
        asked = [name for name in ("model", "texts", "tsv", "tmx") if getattr(self, name)]
        if asked and self.text_column is None:
            raise SpecError(f"{asked[0]} is given without text_column.", "say where the texts are: --text-column.")
        asked = [name for name in ("language_column", "tmx") if getattr(self, name)]
        if asked and None in (self.source_language, self.target_language):
            raise SpecError(
                f"{asked[0]} is given without both languages.", "give --source-language and --target-language."
            )

    def tables(self) -> list[tuple[str, str | None]]:
        """See Job."""
        return [(self.source, self.source_format), (self.output, self.output_format), (self.target, self.target_format)]


def _check_texts(job: JoinJob | DedupJob, vectors: str | None) -> None:
    """Texts need a model, and a model texts; vectors need neither."""
    if (job.model is None) != (job.text_column is None):
        missing, given = ("model", "text_column") if job.model is None else ("text_column", "model")
        raise SpecError(f"{given} is given without {missing}.", "give both for texts, none for vectors.")
    if job.model is not None and vectors:
        raise SpecError("Both a model and a column of vectors are given.", "leave one of them out.")


JOBS: Mapping[str, type[Job]] = {
    job.kind: job for job in (EmbedJob, ClassifyJob, SearchJob, JoinJob, DedupJob, MineJob)
}
