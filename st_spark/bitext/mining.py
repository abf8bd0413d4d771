"""mine_bitext: the rows of two tables that translate each other."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import functions as sf
from pyspark.sql.types import DoubleType, IntegerType, StringType, StructField, StructType

from st_spark.bitext import neighbours, spread
from st_spark.bitext.columns import BACKWARD_RANK, COSINE, FORWARD, FORWARD_RANK, REFUSED, SCORE, SOURCE, TARGET, TEXT
from st_spark.bitext.corpus import Corpus, sides_of
from st_spark.bitext.one_to_one import one_to_one
from st_spark.bitext.prepare import prepared
from st_spark.bitext.retrieval import Rule
from st_spark.bitext.selection import NAMES, Selection
from st_spark.bitext.text_filters import TextFilters, measures
from st_spark.errors import InputError
from st_spark.join.inputs import Sides
from st_spark.join.shuffle import ID
from st_spark.tables.metadata import METADATA_KEY

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from st_spark.join.input_stats import Survey

# Neighbours that one task holds while it chooses pairs, some 100 bytes each.
_FEW = 8_000_000


@dataclass(frozen=True)
class Mined:
    """Pairs, and what was seen on the way.

    Attributes:
        pairs: See mine_bitext().
        survey: The rows of both sides, and those that were left out, by reason.
        facts: How it was done: margin, k, ...; also in the metadata of the score column, but for the meetings.
        refused: Pairs of neighbours that were no candidates, by reason; {} without texts.
        held: What is persisted for the pairs.
    """

    pairs: "DataFrame"
    survey: "Survey"
    facts: dict[str, Any]
    refused: dict[str, int]
    held: "list[DataFrame]" = field(default_factory=list)

    def close(self) -> None:
        """Frees what is held; the pairs can still be read, but are made again."""
        for each in self.held:
            each.unpersist()


def mine_bitext(  # noqa: PLR0913  (two tables with the names of their columns, and what is asked)
    source: "DataFrame",
    target: "DataFrame",
    k: int = 4,
    margin: str = "ratio",
    retrieval: str = "max",
    threshold: float = 1.06,
    *,
    candidates: str = "best",
    source_id: str = "id",
    target_id: str = "id",
    source_vector: str = "embedding",
    target_vector: str = "embedding",
    source_text: str | None = None,
    target_text: str | None = None,
    texts: bool = False,
    filters: TextFilters | None = None,
    language_column: str | None = None,
    languages: tuple[str, str] | None = None,
    document_id: str | None = None,
    method: str = "exact",
    recall: float = 0.95,
) -> "DataFrame":
    """Finds the rows of two tables that translate each other, by the margin of their cosine (LASER's definition).

    The inputs are read here to count their rows, and again when the result is used: write or persist them before if
    their vectors are costly to make. Rows with the text or the vector of another row of their side are left out but for
    the one with the smallest id; so are rows without an id or a sound vector.

    Args:
        source: A table with a column of unique ids (of whole numbers or strings) and one of array<float> or <double>.
        target: Another one, with vectors of the same model. Swapped sides give the same pairs.
        k: Neighbours of each row that the margin compares with.
        margin: Of a pair with the cosine a and, as the middle of both rows' mean cosines with their k nearest on the
            other side, b. "absolute": a; "distance": a - b; "ratio": a / b.
        retrieval: "forward": each source row's best pair; "backward": each target row's; "intersect": pairs that are
            both; "union": pairs that are either; "max": of these the best first, each row once.
        threshold: A pair needs a score above it. The default is for ratios; -math.inf keeps all.
        candidates: "best": what retrieval chooses from is the best pair of each row; "all": its pairs with all its k
            nearest.
        source_id: Column of the source ids.
        target_id: Column of the target ids.
        source_vector: Column of the source vectors.
        target_vector: Column of the target vectors.
        source_text: Column of the source texts, if texts shall be filtered; then target_text is needed, too.
        target_text: Column of the target texts.
        texts: Whether to add source_text and target_text to the result.
        filters: What texts and pairs to leave out; TextFilters() by default.
        language_column: Column of both tables that says the language; rows of another one are left out.
        languages: That of the source and that of the target.
        document_id: Column of both tables: rows are neighbours, copies and pairs only within equal values.
        method: "exact", or "ivf": approximate. Missed neighbours lower the means, so that scores are too high.
        recall: With "ivf", the share of the true neighbours to find.

    Returns:
        source_id, target_id (of the types of the inputs), score (double), cosine (double), direction ("forward" for the
        best pair of the source row, "backward" for that of the target row, or "both"), forward_rank (int, from 1: which
        of the source row's nearest the target row is; null for none of the k) and backward_rank; with `texts`
        source_text and target_text. No pair has a NaN score, which a ratio of 0 to 0 would be. Where there are millions
        of rows, pairs are persisted on the executors' disks until the session ends.

    Raises:
        InputError: An argument or a column that cannot work, an id that stands twice in one table, or sides with
            vectors of different sizes.
    """
    rule = Rule(k, margin, retrieval, candidates, threshold)
    spoken = languages or (None, None)
    one = Corpus(source, source_id, source_vector, source_text, language_column, spoken[0])
    other = Corpus(target, target_id, target_vector, target_text, language_column, spoken[1])
    return mine(
        one, other, rule, filters=filters, texts=texts, document_id=document_id, method=method, recall=recall
    ).pairs


def mine(
    source: Corpus,
    target: Corpus,
    rule: Rule,
    *,
    filters: TextFilters | None = None,
    texts: bool = False,
    document_id: str | None = None,
    method: str = "exact",
    recall: float = 0.95,
    few: int = _FEW,
) -> Mined:
    """mine_bitext() with all that is known of it.

    Args:
        source: The source side.
        target: The target side.
        rule: How to choose pairs.
        filters: See mine_bitext().
        texts: See mine_bitext().
        document_id: See mine_bitext().
        method: See mine_bitext().
        recall: See mine_bitext().
        few: As many neighbours one task may choose from; of more, Spark does.
    """
    neighbours.check_method(method)
    sides = sides_of(source, target, document_id)
    with_texts = TEXT in sides.left.columns
    if texts and not with_texts:
        raise InputError("texts are asked for without their columns.", "name source_text and target_text.")
    filters = filters or TextFilters()
    ready = prepared(sides, filters, (source.language, target.language))
    found, count, told = neighbours.nearest(ready.sides, ready.fewer, rule.k, method, recall)
    held: list[DataFrame] = []
    refused: dict[str, int] = {}
    if with_texts or count > few:
        found = spread.merged(found, rule.k)
        found = (_judged(found, ready.sides, filters) if with_texts else found).persist(StorageLevel.DISK_ONLY)
        held.append(found)
        refused = _refused(found) if with_texts else {}
    facts = {"method": method, **_said(rule), **told}
    pairs = _chosen(found, rule, sides) if count <= few else _spread(found, rule, held, few)
    if texts:
        pairs = _with_texts(pairs, ready.sides)
    return Mined(labelled(pairs, facts), ready.survey, facts, refused, held)


def _judged(pairs: "DataFrame", sides: Sides, filters: TextFilters) -> "DataFrame":
    """Pairs with REFUSED."""
    assert sides.right is not None
    measured = pairs
    for side, name, prefix in ((sides.left, SOURCE, "_source_"), (sides.right, TARGET, "_target_")):
        measured = measured.join(side.select(sf.col(ID).alias(name), *measures(prefix)), name)
    why = filters.unfit_pair("_source_", "_target_").alias(REFUSED)
    return measured.select(*(sf.col(name) for name in pairs.columns), why)


def _refused(pairs: "DataFrame") -> dict[str, int]:
    counts = pairs.where(sf.col(REFUSED).isNotNull()).groupBy(REFUSED).agg(sf.count(sf.lit(1)).alias("rows"))
    return {row[REFUSED]: row["rows"] for row in sorted(counts.collect())}


def _chosen(found: "DataFrame", rule: Rule, sides: Sides) -> "DataFrame":
    """The pairs, chosen by one task."""
    selection = Selection(rule)

    def choose(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from selection(batches)

    source, target = sides.id_types()
    kinds = (source, target, DoubleType(), DoubleType(), StringType(), IntegerType(), IntegerType())
    schema = StructType([StructField(name, kind) for name, kind in zip(NAMES, kinds, strict=True)])
    needed = [
        name
        for name in (FORWARD, SOURCE, TARGET, COSINE, FORWARD_RANK, BACKWARD_RANK, REFUSED)
        if name in found.columns
    ]
    return found.select(*needed).repartition(1).mapInArrow(choose, schema)


def _spread(found: "DataFrame", rule: Rule, held: "list[DataFrame]", few: int) -> "DataFrame":
    """The pairs, chosen by all tasks."""
    pairs = spread.listed(found, rule)
    return one_to_one(pairs, held, few // 4) if rule.retrieval == "max" else pairs


def _with_texts(pairs: "DataFrame", sides: Sides) -> "DataFrame":
    assert sides.right is not None
    for side, name, text in ((sides.left, SOURCE, "source_text"), (sides.right, TARGET, "target_text")):
        pairs = pairs.join(side.select(sf.col(ID).alias(name), sf.col(TEXT).alias(text)), name)
    return pairs.select(*NAMES, "source_text", "target_text")


def labelled(pairs: "DataFrame", facts: dict[str, Any]) -> "DataFrame":
    """Pairs whose score column says how they were made."""
    said = {name: value for name, value in facts.items() if value is not None and name != "meetings"}
    columns = [
        sf.col(SCORE).alias(SCORE, metadata={METADATA_KEY: said}) if name == SCORE else name for name in pairs.columns
    ]
    return pairs.select(*columns)


def _said(rule: Rule) -> dict[str, Any]:
    """The rule as JSON can hold it."""
    return vars(rule) | {"threshold": rule.threshold if math.isfinite(rule.threshold) else None}
