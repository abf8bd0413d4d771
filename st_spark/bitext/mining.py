"""mine_bitext: find the rows of two tables that are translations of each other."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyspark import StorageLevel
from pyspark.sql import functions as sf

from st_spark.bitext.corpus import TEXT, Corpus, table_pair
from st_spark.bitext.neighbours import find_nearest
from st_spark.bitext.prepare import prepare
from st_spark.bitext.retrieval import PAIR_COLUMNS, REJECTED, SCORE, SOURCE, TARGET, Rule
from st_spark.bitext.retrieval_spark import choose_in_one_task, merge_directions, one_to_one, retrieve
from st_spark.bitext.text_filters import TextFilters, pair_measures
from st_spark.errors import InputError, check_list
from st_spark.join.inputs import TablePair
from st_spark.join.options import Request, described
from st_spark.join.shuffle import ID

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from st_spark.join.input_stats import InputStats

# One task chooses among at most this many neighbours, some 100 bytes each.
_ONE_TASK = 8_000_000


@dataclass(frozen=True)
class Mined:
    """Pairs, and how they were mined.

    Attributes:
        pairs: The result of mine_bitext().
        stats: Counts of both inputs: all rows, and the rows that were not mined, by reason.
        facts: Options and measurements: margin, k, recall, ... The metadata of the score column has them too, except
            "tasks".
        rejected: Numbers of neighbours whose texts cannot be translations, by reason; {} without texts.
        persisted: DataFrames that are persisted for the pairs.
    """

    pairs: "DataFrame"
    stats: "InputStats"
    facts: dict[str, Any]
    rejected: dict[str, int]
    persisted: "list[DataFrame]" = field(default_factory=list)

    def close(self) -> None:
        """Unpersist what is persisted. The pairs can still be read, but are computed again."""
        for each in self.persisted:
            each.unpersist()


def mine_bitext(  # noqa: PLR0913  (two tables with the names of their columns, and the options)
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
    """Find the rows of two tables that are translations of each other, by the margin of their cosine (as LASER does).

    The inputs are read here to count their rows, and again when the result is used. Vectors that Python computes are
    kept on the executors' disks; see similarity_join(). Of rows with the same text or the same vector in one table,
    only the row with the smallest id is mined. Rows without an id or a valid vector are not mined.

    Args:
        source: A table with unique ids (integers or strings) and vectors, of any type that similarity_join() takes.
        target: Another table, with vectors of the same model. Swapped tables give the same pairs.
        k: Neighbours of each row that the margin compares with.
        margin: Score of a pair. a is its cosine; b is the average of two means: the mean cosine of each of its rows and
            the row's k nearest rows in the other table. "absolute": a; "distance": a - b; "ratio": a / b.
        retrieval: "forward": the best pair of each source row; "backward": the best pair of each target row;
            "intersect": pairs that are both; "union": pairs that are either; "max": the pairs of "union", best first,
            each row once.
        threshold: A pair needs a higher score. The default is for ratios; -math.inf keeps all pairs.
        candidates: Pairs that retrieval chooses from. "best": the best pair of each row; "all": the pairs of each row
            with all its k nearest.
        source_id: Id column of the source table.
        target_id: Id column of the target table.
        source_vector: Vector column of the source table.
        target_vector: Vector column of the target table.
        source_text: Text column of the source table, to filter texts; needs target_text.
        target_text: Text column of the target table.
        texts: Whether to add source_text and target_text to the result.
        filters: Limits for texts and pairs; default TextFilters().
        language_column: Language column of both tables; rows in other languages are not mined. Needs texts.
        languages: Language of the source and of the target.
        document_id: Document column of both tables: rows are neighbours, copies and pairs only within a document.
        method: "exact", or "ivf" (approximate). Missed neighbours lower the means, so scores are too high.
        recall: With "ivf", the share of the true neighbours to find.

    Returns:
        source_id, target_id (types of the inputs), score (double), cosine (double), direction ("forward" if the pair is
        a candidate of its source row, "backward" of its target row, or "both"; see candidates), forward_rank (int: rank
        of the target row among the k nearest of the source row, from 1; null if it is not among them) and backward_rank
        (the other way round); with `texts` also source_text and target_text. A score is never NaN: a ratio of 0 to 0
        is no pair. With text columns, or with millions of rows, pairs stay persisted on the executors' disks until the
        session ends.

    Raises:
        InputError: An argument or a column is not valid; duplicate ids in a table; vectors of different dimensions.
    """
    rule = Rule(k, margin, retrieval, candidates, threshold)
    spoken = (None, None) if languages is None else check_list("languages", languages)
    if len(spoken) != 2:
        raise InputError(f"{len(spoken)} languages are given.", "give two: of the source and of the target.")
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
    one_task: int = _ONE_TASK,
) -> Mined:
    """Mine as mine_bitext() does, with the same arguments, and also return counts and measurements.

    One task chooses among at most `one_task` neighbours. All tasks share the work if there are more.
    """
    Request(method=method)
    with_texts = source.text is not None
    if texts and not with_texts and target.text is None:
        raise InputError("texts=True needs the text columns.", "name source_text and target_text.")
    filters = filters or TextFilters()
    sides, stats = prepare(table_pair(source, target, document_id), filters, (source.language, target.language))
    near, limit, measured = find_nearest(sides, stats, rule.k, method, recall)
    persisted: list[DataFrame] = []
    rejected: dict[str, int] = {}
    if with_texts or limit > one_task:
        near = merge_directions(near, rule.k)
        near = (_with_reasons(near, sides, filters) if with_texts else near).persist(StorageLevel.DISK_ONLY)
        persisted.append(near)
        counts = near.where(sf.col(REJECTED).isNotNull()).groupBy(REJECTED).agg(sf.count(sf.lit(1)))
        rejected = dict(sorted(counts.collect())) if with_texts else {}
    if limit <= one_task:
        pairs = choose_in_one_task(near, rule)
    else:
        pairs = retrieve(near, rule)
        pairs = one_to_one(pairs, persisted, one_task // 4) if rule.retrieval == "max" else pairs
    if texts:
        both = [[sf.col(TEXT).alias(name)] for name in ("source_text", "target_text")]
        pairs = _with_rows(pairs, sides, *both).select(*PAIR_COLUMNS, "source_text", "target_text")
    facts = {"method": method, **vars(rule), **measured}
    return Mined(with_metadata(pairs, facts), stats, facts, rejected, persisted)


def with_metadata(pairs: "DataFrame", facts: dict[str, Any]) -> "DataFrame":
    """Return the pairs with the facts, as JSON values, in the metadata of their score column."""
    kept = {name: value for name, value in facts.items() if value not in (-math.inf, math.inf)}
    return pairs.select(*(described(sf.col(SCORE), kept) if name == SCORE else name for name in pairs.columns))


def _with_reasons(pairs: "DataFrame", sides: TablePair, filters: TextFilters) -> "DataFrame":
    """Set REJECTED to why a pair of texts is rejected."""
    measured = _with_rows(pairs, sides, pair_measures("_source_"), pair_measures("_target_"))
    return measured.withColumn(REJECTED, filters.pair_reason("_source_", "_target_")).select(*pairs.columns)


def _with_rows(pairs: "DataFrame", sides: TablePair, source: "list[Column]", target: "list[Column]") -> "DataFrame":
    """Add columns of the source row and of the target row to each pair."""
    assert sides.right is not None
    left = sides.left.select(sf.col(ID).alias(SOURCE), *source)
    right = sides.right.select(sf.col(ID).alias(TARGET), *target)
    return pairs.join(left, SOURCE).join(right, TARGET)
