"""Jobs that work on each row of a table. Each checks its fields when it is made."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from st_spark.choices import (
    CHUNK_COLUMNS,
    CHUNK_ID,
    EMBED_MODES,
    MODES,
    ON_BAD_VECTOR,
    ON_NEW_RECIPE,
    POOLINGS,
    PRECISIONS,
    SCORES,
)
from st_spark.errors import SpecError
from st_spark.specs.base import Job, option
from st_spark.specs.fields import (
    BadRows,
    InputTable,
    OutputTable,
    Partitions,
    Report,
    TextFiles,
    column_names,
    format_option,
)


@dataclass(frozen=True, kw_only=True)
class EmbedJob(InputTable, OutputTable, Partitions, Report):
    """Embed a column of texts or images (or a pair of text columns): write all columns and the vectors."""

    kind: ClassVar[str] = "embed"

    text_column: str | tuple[str, str] = option("text column, or image column (CLIP); two for text pairs", most=2)
    output_column: str = option("name of the vector column", "embedding")
    prompt_name: str | None = option("name of a prompt that the model defines", None)
    task: str | None = option("task for Router models: query, document, ...", None)
    normalize_embeddings: bool = option("scale every vector to length 1", False)
    truncate_dim: int | None = option("keep only the first N values of each vector", None, least=1)
    precision: str = option("type of the stored values; int8 and uint8 are calibrated", "float32", choices=PRECISIONS)
    chunk: str | None = option(
        "read texts in full: cut them into chunks of at most so many tokens (without a number: as the model reads)",
        None,
        bare="auto",
        metavar="TOKENS",
        integer=True,
    )
    overlap: int = option("with --chunk: how many tokens at most the end of a chunk and the next one share", 0, least=0)
    pooling: str = option(
        "with --chunk: a row for each chunk, or one vector for a text: the mean, weighted by tokens, or the maximum",
        "none",
        choices=POOLINGS,
    )
    mode: str = option(
        "what to do if the output table exists; merge embeds only new and changed texts", "error", choices=EMBED_MODES
    )
    delete_missing: bool = option("with --mode merge: delete rows whose id has left the input", False)
    since_version: str | None = option(
        "with --mode merge, from a Delta table with Change Data Feed: read only what has changed after this version; "
        "last: after the one that the last merge has read",
        None,
        integer=True,
    )
    on_new_recipe: str = option(
        "with --mode merge, if another model or other options made the table: stop, or embed all rows anew",
        "error",
        choices=ON_NEW_RECIPE,
    )
    slice_seconds: int | None = option(
        "keep finished rows about every N seconds, for a rerun if the job is killed; 0 keeps none "
        "(default: 60 in long jobs)",
        None,
        least=0,
    )

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        self._check_chunks()
        if self.since_version is not None and not re.fullmatch(r"last|[0-9]+", self.since_version):
            raise SpecError(f"since_version is {self.since_version!r}.", "give a version of the table, or last.")
        if self.mode == "merge" and self.id_column is None:
            raise SpecError("The mode merge needs id_column.", "name the column that identifies a row: --id-column.")
        given = {"delete_missing": self.delete_missing, "since_version": self.since_version is not None}
        given["on_new_recipe"] = self.on_new_recipe != "error"
        for name, is_given in given.items():
            if is_given and self.mode != "merge":
                raise SpecError(f"{name} is given, and the mode is {self.mode}.", "add --mode merge.")
        if self.since_version is not None and self.on_new_recipe == "rebuild":
            problem = "since_version is given, and on_new_recipe is rebuild, which embeds all rows."
            raise SpecError(problem, "leave out --since-version, so that the job reads all rows.")
        if self.prompt is not None and self.prompt_name is not None:
            raise SpecError(f"Both prompt and prompt_name ({self.prompt_name!r}) are given.", "remove one of them.")

    def _check_chunks(self) -> None:
        """Check the fields about chunks. The model's limit is checked when the model is read."""
        given = {"overlap": self.overlap > 0, "pooling": self.pooling != "none"}
        if self.chunk is None:
            for name in (name for name, is_given in given.items() if is_given):
                raise SpecError(f"{name} is {getattr(self, name)}, and chunk is not given.", "add --chunk.")
            return
        if not re.fullmatch(r"auto|0*[1-9][0-9]*", self.chunk):
            raise SpecError(
                f"chunk is {self.chunk!r}.", "give a number of tokens, or auto for as many as the model reads."
            )
        if self.chunk != "auto" and self.overlap >= int(self.chunk):
            raise SpecError(f"overlap is {self.overlap}, and chunk is {self.chunk}.", "give a smaller --overlap.")
        if len(self.text_columns) > 1:
            raise SpecError("chunk is given, and two text columns: pairs are not cut.", "give one --text-column.")
        if self.writes_chunks and self.mode == "merge" and self.on_error in ("null", "quarantine"):
            raise SpecError(
                f"on_error is {self.on_error} in a merge of chunks: a text would mix old chunks and new ones.",
                "use --on-error fail, or leave it out.",
            )
        if self.writes_chunks and self.output_column in (CHUNK_ID, *CHUNK_COLUMNS):
            raise SpecError(
                f"output_column {self.output_column!r} is a column of chunks.", "choose another name for it."
            )

    @property
    def writes_chunks(self) -> bool:
        """Whether each chunk of a text is a row."""
        return self.chunk is not None and self.pooling == "none"

    @property
    def row_id(self) -> str | None:
        """The column that identifies a row of the output."""
        return CHUNK_ID if self.writes_chunks and self.id_column else self.id_column

    @property
    def encoding(self) -> dict[str, Any]:
        """See ModelOptions."""
        chunk = self.chunk if self.chunk in (None, "auto") else int(str(self.chunk))
        return super().encoding | {"chunk": chunk}


@dataclass(frozen=True, kw_only=True)
class ClassifyJob(InputTable, OutputTable, Partitions):
    """Label texts or images without training (zero-shot): each row gets the most similar label."""

    kind: ClassVar[str] = "classify"

    text_column: str = option("text column, or image column for a CLIP model")
    output_column: str = option("name of the new column: label, score and all scores", "classification")
    prompt: str | None = option("text to put before every text, but not before labels", None)
    labels: str | None = option("labels, separated by commas; or use --labels-table", None)
    labels_table: str | None = option("path or catalog name of a table of labels", None, table=True)
    label_column: str = option("column of --labels-table with the labels", "label")
    template: str = option("text that the model reads for a label; {} is the label: 'a photo of a {}'", "{}")
    wide: bool = option("also add a column for each label with its score: OUTPUT_COLUMN_label", False)
    label_model: str | None = option(
        "model for the labels (default: --model), such as one for another language", None, path=True
    )

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if (self.labels is None) == (self.labels_table is None):
            problem = "No labels are given." if self.labels is None else "Both labels and labels_table are given."
            raise SpecError(problem, "give one of them: --labels a,b,c or --labels-table PATH.")
        if "{}" not in self.template:
            raise SpecError(f"The template {self.template!r} has no {{}}.", "put {} where the label goes.")

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels of `labels`, without surrounding spaces."""
        return tuple(label.strip() for label in self.labels.split(",")) if self.labels is not None else ()


@dataclass(frozen=True, kw_only=True)
class SearchJob(OutputTable, TextFiles, BadRows):
    """Find the rows of an embedded table that are most similar to a query, or to each query of a table."""

    kind: ClassVar[str] = "search"

    query: str | None = option("text to search for; or use --queries", None, short="-")
    table: str = option("path or catalog name of the embedded table", table=True)
    queries: str | None = option("path or catalog name of a table of queries; needs --output", None, table=True)
    queries_format: str | None = format_option("queries")
    k: int = option("most rows for each query", 5, short="-k", least=1)
    where: str | None = option(
        "search only these rows of the table: SQL, such as \"lang = 'de' AND year > 2020\"", None
    )
    columns: str | tuple[str, ...] | None = option(
        "columns of the table in the answer, separated by commas (default: all but the vectors; for one query also "
        "without arrays, maps, structs and binary columns)",
        None,
        most=99,
    )
    query_columns: str | tuple[str, ...] | None = option(
        "columns of --queries in the answer; NAME becomes query_NAME (default: all but the column of vectors or images "
        "that is searched with)",
        None,
        most=99,
    )
    text_column: str | None = option(
        "text column of --queries, or image column for a CLIP model (default: text, if there are no vectors)",
        None,
    )
    query_column: str | None = option("vector column of --queries (default: the only one)", None)
    id_column: str | None = option(
        "ID column of the table, which orders equal scores (default: the one that it was embedded with, else id)", None
    )
    column: str | None = option("vector column of the table (default: the only one)", None)
    model: str | None = option("model for the queries (default: the one that embedded the table)", None, path=True)
    score: str | None = option("similarity function (default: the model's, else cosine)", None, choices=SCORES)
    nprobe: str | None = option(
        "with an index: how many lists each query probes, or all, which is exact (default: as its recall needs)",
        None,
        metavar="N",
        integer=True,
    )
    output: str | None = option(  # type: ignore[assignment]  # one query needs no table
        "path or catalog name of the output table, with --queries", None, table=True
    )
    on_error: str | None = option(
        "rows without a valid vector: stop (default: leave them out and count them)", None, choices=ON_BAD_VECTOR[:1]
    )

    def __post_init__(self) -> None:
        """Check the fields, and that there is a query or a table of queries with an output."""
        super().__post_init__()
        self._check_query()
        if self.nprobe is not None and not re.fullmatch(r"all|0*[1-9][0-9]*", self.nprobe):
            raise SpecError(f"nprobe is {self.nprobe!r}.", "give a number of lists, 1 or more, or all.")
        if self.queries is not None and self.output is None:
            raise SpecError("queries is given without output.", "name the table for the answer: --output.")
        if self.queries is not None and self.model is not None and self.query_column is not None:
            raise SpecError("Both a model and query_column are given.", "remove one of them.")
        if self.text_column is not None and self.query_column is not None:
            raise SpecError("Both text_column and query_column are given.", "remove one of them.")
        if self.query is not None:
            names = ("output", "output_format", "queries_format", "query_columns", "text_column", "query_column")
            for name in (*names, "schema", "input_encoding"):
                if getattr(self, name) is not None:
                    raise SpecError(f"{name} is given without queries.", "name the table of queries: --queries.")
        for name in ("columns", "query_columns"):
            _ = column_names(name, getattr(self, name))

    def _check_query(self) -> None:
        """Check that there is a query, or a table of queries."""
        if (self.query is None) == (self.queries is None):
            problem = "No query is given." if self.query is None else "Both a query and queries are given."
            raise SpecError(problem, 'give one of them: a text, as in `st-spark search "..."`, or --queries TABLE.')
        if self.query == "":
            raise SpecError("query is empty.", "give a value.")

    def names(self, option: str) -> tuple[str, ...] | None:
        """Return the columns of `columns` or `query_columns`; None if the option is not given."""
        return column_names(option, getattr(self, option)) or None


@dataclass(frozen=True, kw_only=True)
class IndexJob(OutputTable, BadRows):
    """Sort an embedded table into lists of near vectors, so that a search reads only the lists near its queries."""

    kind: ClassVar[str] = "index"

    table: str = option("path or catalog name of the embedded table", table=True)
    table_format: str | None = format_option("embedded")
    recall: float | None = option(
        "share of the true neighbours that a search should find (default: 0.95; to append, as the index was built)",
        None,
    )
    lists: int | None = option("number of lists (default: as many as suit the rows)", None, least=1)
    id_column: str | None = option(
        "column with the unique IDs of the table (default: the one that it was embedded with, else id)", None
    )
    column: str | None = option("vector column of the table (default: the only one)", None)
    score: str | None = option("similarity function (default: the model's, else cosine)", None, choices=SCORES)
    mode: str = option(
        "what to do if the index exists; append adds the rows of the table whose IDs it does not have",
        "error",
        choices=MODES,
    )
    on_error: str | None = option(
        "rows without an ID or a valid vector: stop (default: leave them out and count them)",
        None,
        choices=ON_BAD_VECTOR[:1],
    )

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.table == self.output:
            raise SpecError(f"table and output are both {self.table}.", "name another table for the index: --output.")
        if self.recall is not None and not 0 < self.recall <= 1:
            raise SpecError(f"recall is {self.recall}.", "give a share of the true neighbours, above 0 and up to 1.")
        if self.lists is not None and self.mode == "append":
            raise SpecError(
                f"lists is {self.lists}, and the mode is append, which keeps the lists.", "remove one, or overwrite."
            )


@dataclass(frozen=True, kw_only=True)
class DescribeJob(Job):
    """Show what a table is: rows, dimension, model and options, the last run, files."""

    kind: ClassVar[str] = "describe"

    table: str = option("path or catalog name of the table", short="-", table=True)
    table_format: str | None = format_option("described")
    json: bool = option("print the description as JSON", False)
