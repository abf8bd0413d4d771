"""The jobs of the command line and of Airflow. Each checks its fields when it is made."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from st_spark.choices import (
    CANDIDATES,
    CHUNK_COLUMNS,
    CHUNK_ID,
    CLUSTER_METHODS,
    CLUSTER_OPTIONS,
    EMBED_MODES,
    LINKAGES,
    MARGINS,
    MODES,
    ON_BAD_VECTOR,
    ON_NEW_RECIPE,
    OVERFLOWS,
    POOLINGS,
    PRECISIONS,
    RETRIEVALS,
    SCORES,
)
from st_spark.errors import SpecError
from st_spark.specs.base import Job, option
from st_spark.specs.fields import (
    BadRows,
    InputTable,
    OutputTable,
    PairOptions,
    Partitions,
    Report,
    TextFiles,
    VectorInput,
    VectorOptions,
    column_names,
    format_option,
    schema_option,
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
        "what to do if the output table exists; merge embeds only what is new", "error", choices=EMBED_MODES
    )
    delete_missing: bool = option("with --mode merge: delete rows whose id has left the input", False)
    since_version: str | None = option(
        "with --mode merge, from a Delta table with Change Data Feed: read only what has changed after this version; "
        "last: after the one that the last merge has read",
        None,
        integer=True,
    )
    on_new_recipe: str = option(
        "with --mode merge, if another model or other options made the table", "error", choices=ON_NEW_RECIPE
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
            raise SpecError("since_version and on_new_recipe rebuild are given.", "to embed all rows, read all rows.")
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
        if self.writes_chunks and self.mode == "merge":
            raise SpecError(
                "The mode merge needs one row for each ID, and chunk writes several.",
                "add --pooling mean, or overwrite the table.",
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
        "columns of the table in the answer, separated by commas (default: all but the vectors)", None, most=99
    )
    query_columns: str | tuple[str, ...] | None = option(
        "columns of --queries in the answer; NAME becomes query_NAME (default: all but vectors and images)",
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


@dataclass(frozen=True, kw_only=True)
class JoinJob(OutputTable, PairOptions, Report):
    """Join two tables, or one with itself, by the similarity of their vectors or texts."""

    kind: ClassVar[str] = "join"

    left: str = option("path or catalog name of the left table", table=True)
    right: str | None = option("path or catalog name of the right table (default: the left one)", None, table=True)
    left_format: str | None = format_option("left")
    right_format: str | None = format_option("right")
    right_schema: str | None = schema_option("right")
    right_id_column: str | None = option("ID column of the right table (default: --id-column)", None)
    right_column: str | None = option("vector column of the right table (default: the only one)", None)
    right_text_column: str | None = option("text column of the right table (default: --text-column)", None)
    k: int | None = option("neighbours per left row (default: 10; all with --threshold)", None, short="-k", least=1)
    threshold: float | None = option("lowest score of a pair", None)
    max_pairs: int = option("limit on the number of pairs, with --threshold and no --k", 100_000_000)
    overflow: str = option("above --max-pairs: stop, or keep the best pairs of each row", "error", choices=OVERFLOWS)

    left_columns: str | tuple[str, ...] | None = option(
        "columns of the left table to add to the pairs, separated by commas; NAME becomes left_NAME", None, most=99
    )
    right_columns: str | tuple[str, ...] | None = option(
        "columns of the right table to add; NAME becomes right_NAME", None, most=99
    )
    left_where: str | None = option("join only these rows of the left table: SQL, such as \"lang = 'de'\"", None)
    right_where: str | None = option("join only these rows of the right table", None)

    def __post_init__(self) -> None:
        """Check the fields, and that there is a right table if they need one."""
        super().__post_init__()
        for name in ("right_column", "right_where"):
            if self.right is None and getattr(self, name) is not None:
                raise SpecError(f"{name} is given without right.", "name the right table: --right.")
        _ = self.added_columns

    @property
    def vector_columns(self) -> tuple[str | None, ...]:
        """See VectorOptions."""
        return (self.column,) if self.right is None else (self.column, self.right_column)

    @property
    def right_id(self) -> str:
        """The ID column of the right table."""
        return self.right_id_column or self.id_column if self.right is not None else self.id_column

    @property
    def added_columns(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The columns of `left_columns` and of `right_columns`."""
        names = [column_names(side, getattr(self, side)) for side in ("left_columns", "right_columns")]
        for side, columns in zip(("left", "right"), names, strict=True):
            if "id" in (name.lower() for name in columns):
                raise SpecError(f"{side}_columns has id, and the pairs have {side}_id already.", "leave it out.")
        return names[0], names[1]


@dataclass(frozen=True, kw_only=True)
class DedupJob(InputTable, OutputTable, PairOptions, Report):
    """Group near-duplicate rows by their vectors or texts, and choose one row to keep of each group."""

    kind: ClassVar[str] = "dedup"

    threshold: float = option("lowest score of a pair", 0.9)
    linkage: str = option("group all rows that pairs connect, or rows near a leader", "components", choices=LINKAGES)
    max_pairs: int = option("limit on the number of pairs, with --linkage leader", 100_000_000)
    where: str | None = option("group only these rows: SQL, such as \"day = '2026-11-27'\"", None)
    keep: str | None = option(
        "row to keep of each group: the first in an order such as 'date DESC' (default: the smallest id)", None
    )
    output_kept: str | None = option(
        "also write the input without its duplicates to this table, with all columns, by --mode and --output-format",
        None,
        table=True,
    )
    against: str | None = option(
        "table of earlier rows: a row that is similar to one of them is a duplicate (one id in both is one row)",
        None,
        table=True,
    )
    against_format: str | None = format_option("earlier")
    against_where: str | None = option("compare only with these rows of --against", None)

    def __post_init__(self) -> None:
        """Check the fields, and that the two outputs differ."""
        super().__post_init__()
        if self.output_kept == self.output:
            raise SpecError(f"output and output_kept are both {self.output!r}.", "name two tables.")
        if self.against is None and self.against_where is not None:
            raise SpecError("against_where is given without against.", "name the table of earlier rows: --against.")


@dataclass(frozen=True, kw_only=True)
class ClusterJob(InputTable, OutputTable, VectorInput, Report):
    """Group rows by their vectors, texts or images: k-means, or communities around central rows."""

    kind: ClassVar[str] = "cluster"

    method: str = option("all rows in k clusters, or dense groups only", "kmeans", choices=CLUSTER_METHODS)
    k: int | None = option("kmeans: number of clusters (default: the best of several)", None, short="-k", least=1)
    min_k: int | None = option("kmeans without --k: smallest number to try (default: 2)", None, least=2)
    max_k: int | None = option("kmeans without --k: largest number to try (default: 50)", None, least=2)
    seed: int | None = option("kmeans: chooses the first centroids (default: 0)", None, least=0)
    threshold: float | None = option("communities: lowest score with the central row (default: 0.75)", None)
    min_community_size: int | None = option("communities: rows of the smallest one (default: 10)", None, least=1)
    max_pairs: int | None = option("communities: limit on similar pairs (default: 100000000)", None, least=1)
    score: str | None = option("similarity function (default: the model's, else cosine)", None, choices=SCORES)
    text_column: str | None = option(
        "text or image column: embedded with --model, else shown for each cluster (default: the embedded column)", None
    )
    summary: str | None = option(
        "path or catalog name of a second table: size, representative, text and words of each cluster", None, path=True
    )
    mode: str = option("what to do if an output table exists", "error", choices=MODES[:2])

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        self.check_model_options()
        if self.model is not None and self.text_column is None:
            raise SpecError("model is given without text_column.", "name the text column: --text-column.")
        for owner, names in CLUSTER_OPTIONS.items():
            wrong = [name for name in names if owner != self.method and getattr(self, name) is not None]
            if wrong:
                problem = f"{wrong[0]} is given, and the method is {self.method}."
                raise SpecError(problem, f"leave it out, or add --method {owner}.")
        if self.k is not None and (self.min_k is not None or self.max_k is not None):
            raise SpecError("k is given, and bounds for it, too.", "give --k, or --min-k and --max-k.")
        if self.summary is not None and self.summary == self.output:
            raise SpecError(f"summary and output are both {self.output}.", "name two tables.")


@dataclass(frozen=True, kw_only=True)
class MineJob(OutputTable, VectorOptions, Report):
    """Find sentences of two tables that translate each other, by the margin of their similarity."""

    kind: ClassVar[str] = "mine"

    source: str = option("path or catalog name of the source table", table=True)
    target: str = option("path or catalog name of the target table", table=True)
    source_format: str | None = format_option("source")
    target_format: str | None = format_option("target")
    target_schema: str | None = schema_option("target")
    target_id_column: str | None = option("ID column of the target table (default: --id-column)", None)
    target_column: str | None = option("vector column of the target table (default: the only one)", None)
    target_text_column: str | None = option("text column of the target table (default: --text-column)", None)
    text_column: str | None = option("text column, to embed, filter or write the texts", None)
    model: str | None = option(
        "hub name, folder, or package:NAME (default: LaBSE if there are no vectors)", None, path=True
    )
    k: int = option("neighbours per row for the margin", 4, short="-k", least=1)
    margin: str = option("score: cosine, cosine minus the neighbours' mean, or ratio to it", "ratio", choices=MARGINS)
    retrieval: str = option("pairs to keep; max is one to one, the best scores first", "max", choices=RETRIEVALS)
    candidates: str = option("pairs of a row to choose from: the best one, or all k", "best", choices=CANDIDATES)
    threshold: float = option("keep pairs with a score above this", 1.06)
    document_column: str | None = option("document column; rows are only paired within a document", None)
    language_column: str | None = option("language column; rows in other languages are skipped", None)
    source_language: str | None = option("language of the source, such as de", None)
    target_language: str | None = option("language of the target", None)
    min_chars: int = option("shortest text to use, in characters", 10)
    max_chars: int = option("longest text to use, in characters", 500)
    max_symbols: float = option("largest share of digits and punctuation in a text", 0.5)
    max_ratio: float = option("largest ratio of the two text lengths", 3.0)
    max_alike: float = option("largest share of equal letters; above it, a pair counts as a copy", 0.9)
    texts: bool = option("also write both texts to the table", False)
    tsv: str | None = option("also write scores and texts to this TSV file", None, path=True)
    tmx: str | None = option("also write the texts to this TMX file; needs both languages", None, path=True)

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if not math.isfinite(self.threshold):
            raise SpecError(f"threshold is {self.threshold}.", "give a number; -1000 keeps every pair.")
        for name in ("model", "texts", "tsv", "tmx"):
            if getattr(self, name) and self.text_column is None:
                raise SpecError(f"{name} is given without text_column.", "name the text column: --text-column.")
        for name in ("language_column", "tmx"):
            if getattr(self, name) and None in (self.source_language, self.target_language):
                raise SpecError(
                    f"{name} is given without both languages.", "give --source-language and --target-language."
                )

    @property
    def vector_columns(self) -> tuple[str | None, ...]:
        """See VectorOptions."""
        return (self.column, self.target_column)


JOBS: Mapping[str, type[Job]] = {
    job.kind: job
    for job in (EmbedJob, ClassifyJob, IndexJob, SearchJob, JoinJob, DedupJob, ClusterJob, MineJob, DescribeJob)
}
