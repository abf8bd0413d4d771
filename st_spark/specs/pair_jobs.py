"""Jobs that compare rows. Each checks its fields when it is made."""

import math
from dataclasses import dataclass
from typing import ClassVar

from st_spark.choices import (
    CANDIDATES,
    CLUSTER_METHODS,
    CLUSTER_OPTIONS,
    LINKAGES,
    MARGINS,
    MODES,
    OVERFLOWS,
    RETRIEVALS,
    SCORES,
)
from st_spark.errors import SpecError, check_margin
from st_spark.specs.base import option
from st_spark.specs.fields import (
    InputTable,
    OutputTable,
    PairOptions,
    Report,
    VectorInput,
    VectorOptions,
    column_names,
    format_option,
    schema_option,
)


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
        """See VectorInput."""
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
        "also write the input without its duplicates to this table, with all columns, by --mode and --output-format; "
        "with --where only the rows that meet it",
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
    max_k: int | None = option(
        "kmeans without --k: largest number to try (default: 50, or --min-k if larger)", None, least=2
    )
    seed: int | None = option("kmeans: chooses the first centroids (default: 0)", None, least=0)
    threshold: float | None = option(
        "communities: lowest score with the central row (default: 0.75 for cosine; euclidean has none)", None
    )
    min_community_size: int | None = option("communities: rows of the smallest one (default: 10)", None, least=1)
    max_pairs: int | None = option("communities: limit on similar pairs (default: 100000000)", None, least=1)
    score: str | None = option("similarity function (default: the model's, else cosine)", None, choices=SCORES)
    text_column: str | None = option(
        "text or image column: embedded with --model, else shown for each cluster (default: the embedded column)", None
    )
    summary: str | None = option(
        "path or catalog name of a second table: size, representative, text and words of each cluster", None, table=True
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
    margin: str = option(
        "absolute: the cosine; distance: the cosine minus the neighbours' mean; ratio: the cosine divided by it",
        "ratio",
        choices=MARGINS,
    )
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
        check_margin(self.margin, self.threshold, SpecError)
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
        """See VectorInput."""
        return (self.column, self.target_column)
