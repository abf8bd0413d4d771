"""mine_hard_negatives: texts that are near a query and are no answer to it, to train a model with."""

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from pyspark.sql import Window
from pyspark.sql import functions as sf

from st_spark.choices import NEGATIVE_FORMATS, SAMPLING_STRATEGIES
from st_spark.errors import InputError, check_choice, check_count, check_number
from st_spark.join.input_stats import why_set_aside
from st_spark.join.inputs import table_pair
from st_spark.join.options import Request
from st_spark.join.row_scores import with_score
from st_spark.join.shuffle import ID, VECTOR
from st_spark.join.similarity_join import plan_join
from st_spark.spark.hold import hold
from st_spark.tables.columns import check_columns, quoted_column
from st_spark.tables.vector_types import vector_values

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

# Negatives that are looked at for each one that is wanted, if a limit can leave some out.
_SPARE = 10


@dataclass(frozen=True)
class _Rules:
    """Which candidates become negatives; see mine_hard_negatives()."""

    range_min: int
    range_max: int | None
    max_score: float | None
    min_score: float | None
    absolute_margin: float | None
    relative_margin: float | None
    num_negatives: int
    sampling_strategy: str
    seed: int
    output_format: str

    def __post_init__(self) -> None:
        """Check the fields; InputError for a value that cannot work."""
        check_count("num_negatives", self.num_negatives)
        check_count("range_min", self.range_min, 0)
        check_count("seed", self.seed, 0)
        check_choice("sampling_strategy", self.sampling_strategy, SAMPLING_STRATEGIES)
        check_choice("output_format", self.output_format, NEGATIVE_FORMATS)
        for name in ("max_score", "min_score", "absolute_margin", "relative_margin"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name))
        if self.range_max is not None:
            check_count("range_max", self.range_max)
            if self.range_max - self.range_min < self.num_negatives:
                raise InputError(
                    f"range_min is {self.range_min} and range_max {self.range_max}, which is less than "
                    f"{self.num_negatives} negatives.",
                    "raise range_max, or lower range_min or num_negatives.",
                )
        if None not in (self.min_score, self.max_score) and self.min_score > self.max_score:  # type: ignore[operator]
            raise InputError(f"min_score is {self.min_score}, and max_score {self.max_score}.", "swap them.")

    def last_rank(self, max_positives: int) -> int:
        """Return range_max, or as many candidates as are likely to be enough."""
        if self.range_max is not None:
            return self.range_max
        limits = (self.absolute_margin, self.relative_margin, self.max_score)
        spare = 1 if limits == (None, None, None) else _SPARE
        return self.range_min + self.num_negatives * spare + max_positives

    def refuses(self) -> "Column":
        """Return a condition on `score` and `positive`, the lowest score of a positive: too near, or too far."""
        score, positive = sf.col("score"), sf.col("positive")
        found = [sf.lit(False)]
        if self.absolute_margin is not None:
            found.append(score + self.absolute_margin > positive)
        if self.relative_margin is not None:
            found.append(score > positive - sf.abs(positive) * self.relative_margin)
        if self.max_score is not None:
            found.append(score > self.max_score)
        if self.min_score is not None:
            found.append(score < self.min_score)
        return reduce(or_, found)


def mine_hard_negatives(  # noqa: PLR0913  (three tables with the names of their columns, and the options)
    queries: "DataFrame",
    positives: "DataFrame",
    corpus: "DataFrame",
    *,
    range_min: int = 0,
    range_max: int | None = None,
    max_score: float | None = None,
    min_score: float | None = None,
    absolute_margin: float | None = None,
    relative_margin: float | None = None,
    num_negatives: int = 3,
    sampling_strategy: str = "top",
    seed: int = 0,
    output_format: str = "triplet",
    output_scores: bool = False,
    id: str = "id",
    text: str = "text",
    vector: str = "embedding",
    query_id: str = "query_id",
    corpus_id: str = "corpus_id",
    score: str = "cosine",
) -> "DataFrame":
    """Find texts of a corpus that are near a query and are none of its positives.

    The options have the names and the meaning of mine_hard_negatives in sentence-transformers. Equal texts count as
    one, so a copy of a positive is no negative. The search is exact; of equal scores the smaller id comes first.

    Args:
        queries: A table of queries: id, text and vector.
        positives: Pairs that belong together: query_id and corpus_id. Queries without a pair are left out.
        corpus: A table of texts, with the positives: id, text and vector.
        range_min: Skip so many of the best candidates of a query: they may be positives that nobody has marked.
        range_max: The rank of the last candidate. By default as many as are likely to be enough.
        max_score: Skip candidates with a higher score.
        min_score: Skip candidates with a lower score.
        absolute_margin: Skip candidates whose score is not at least this much below the lowest score of a positive.
        relative_margin: The same as a share of the positive's score: 0.05 asks for 5% less.
        num_negatives: Negatives of a query.
        sampling_strategy: "top": the best candidates; "random": any of them.
        seed: For "random": the same seed gives the same negatives, for any partitions.
        output_format: "triplet": a row for each negative: anchor, positive, negative. "n-tuple": a row for each
            positive: anchor, positive, negative_1, ... negative_n; queries with fewer negatives are left out.
        output_scores: Whether to add the column scores: of the positive and of each negative.
        id: The id column of the queries and of the corpus.
        text: Their text column.
        vector: Their vector column.
        query_id: The column of `positives` with the id of a query.
        corpus_id: The column of `positives` with the id of a row of the corpus.
        score: "cosine", "dot" or "euclidean".

    Returns:
        Texts, as trainers of sentence-transformers read them: write the rows as Parquet, then
        datasets.load_dataset("parquet", data_files=...).

    Raises:
        InputError: A column or an option that cannot work, or positives whose ids are not in the tables.
    """
    limits = (max_score, min_score, absolute_margin, relative_margin)
    rules = _Rules(range_min, range_max, *limits, num_negatives, sampling_strategy, seed, output_format)
    for df, where in ((queries, "the table of queries"), (corpus, "the corpus")):
        check_columns(df.schema, where, (text,), (id, vector))
    check_columns(positives.schema, "the table of positives", (), (query_id, corpus_id))
    questions, texts = (_Texts.of(df, id, text, vector) for df in (queries, corpus))
    pairs, most = _positive_pairs(positives, query_id, corpus_id, questions, texts)
    asked = questions.rows.join(pairs.select(sf.col("query").alias("id")).distinct(), "id", "left_semi")
    last = rules.last_rank(most)
    names = {"left": ("id", "vector"), "right": ("id", "vector")}
    request = Request(last + most, None, score)
    tables = ("the table of queries", "the corpus")
    joined = plan_join(table_pair(asked, texts.rows, names, where=tables), request, names=tables)
    scored = _with_scores(pairs, questions, texts, joined.stats.dimension, score)
    candidates = joined.pairs.select(sf.col("left_id").alias("query"), sf.col("right_id").alias("text"), "score")
    chosen = _choose(candidates.join(pairs, ["query", "text"], "left_anti"), scored, rules, last)
    return _output(chosen, scored, questions, texts, rules, output_scores)


@dataclass(frozen=True)
class _Texts:
    """The different texts of a table.

    Attributes:
        rows: id, shown (the text) and vector; of equal texts the row with the smallest id.
        same: id and first: the id in `rows` of its text.
    """

    rows: "DataFrame"
    same: "DataFrame"

    @classmethod
    def of(cls, df: "DataFrame", id_column: str, text: str, vector: str) -> "_Texts":
        columns = quoted_column(id_column), quoted_column(text), vector_values(df.schema, vector)
        named = (column.alias(new) for column, new in zip(columns, ("id", "shown", "vector"), strict=True))
        rows = hold(df.select(*named), "the table")
        rows = rows.where(sf.col("shown").isNotNull())
        first = rows.groupBy("shown").agg(sf.min("id").alias("first"))
        same = rows.select("id", "shown").join(first, "shown").select("id", "first")
        return cls(rows.join(first.select(sf.col("first").alias("id")), "id", "left_semi"), same)


def _positive_pairs(
    positives: "DataFrame", query_id: str, corpus_id: str, queries: _Texts, corpus: _Texts
) -> "tuple[DataFrame, int]":
    """Return the pairs of different texts, query and text, and how many the query with the most of them has."""
    rows = positives.select(quoted_column(query_id).alias("q"), quoted_column(corpus_id).alias("c"))
    for name, texts, new in (("q", queries, "query"), ("c", corpus, "text")):
        rows = rows.join(texts.same.select(sf.col("id").alias(name), sf.col("first").alias(new)), name, "left")
    rows = hold(rows, "the table of positives")
    lost = [
        sf.max(sf.when(sf.col(new).isNull(), sf.col(name).cast("string")))
        for name, new in (("q", "query"), ("c", "text"))
    ]
    sides = ("query", query_id, "table of queries"), ("text", corpus_id, "corpus")
    counts = rows.agg(*(sf.count_if(sf.col(new).isNull()) for new, _, _ in sides), *lost).collect()[0]
    for place, (_, name, table) in enumerate(sides):
        if counts[place]:
            raise InputError(
                f"{counts[place]:,} positives have a {name} that is not in the {table}, or has no text there, such as "
                f"{counts[place + 2]!r}.",
                "add these rows, or leave the pairs out.",
            )
    pairs = rows.select("query", "text").distinct()
    most = pairs.groupBy("query").count().agg(sf.max("count")).collect()[0][0]
    if not most:
        raise InputError("The table of positives has no rows.", "give the pairs that belong together.")
    return pairs, most


def _with_scores(pairs: "DataFrame", queries: _Texts, corpus: _Texts, dimension: int, score: str) -> "DataFrame":
    """Return query, text and score of the pairs whose vectors can be compared."""
    for name, table, vector in (("query", queries, "x"), ("text", corpus, "y")):
        rows = table.rows.select(sf.col("id").alias(ID), sf.col("vector").alias(VECTOR))
        rows = rows.where(why_set_aside(rows, dimension, score).isNull())
        pairs = pairs.join(rows.select(sf.col(ID).alias(name), sf.col(VECTOR).alias(vector)), name)
    return with_score(pairs.select("query", "text", "x", "y"), dimension, score)


def _choose(candidates: "DataFrame", positives: "DataFrame", rules: _Rules, last: int) -> "DataFrame":
    """Return the negatives of each query: query, text and score."""
    hardest = positives.groupBy("query").agg(sf.min("score").alias("positive"))
    allowed = candidates.join(hardest, "query").where(~rules.refuses())
    by_query = Window.partitionBy("query")
    rank = sf.row_number().over(by_query.orderBy(sf.col("score").desc(), "text"))
    ranked = allowed.withColumn("rank", rank).where((sf.col("rank") > rules.range_min) & (sf.col("rank") <= last))
    drawn = "rank" if rules.sampling_strategy == "top" else sf.xxhash64(sf.lit(rules.seed), "query", "text")
    order = sf.row_number().over(by_query.orderBy(drawn, "rank"))
    return ranked.withColumn("order", order).where(sf.col("order") <= rules.num_negatives)


def _output(
    chosen: "DataFrame", positives: "DataFrame", queries: _Texts, corpus: _Texts, rules: _Rules, output_scores: bool
) -> "DataFrame":
    """Return the texts of the negatives in the wanted format."""
    texts = corpus.rows.select(sf.col("id").alias("text"), "shown")
    named = chosen.join(texts, "text").select("query", "rank", sf.col("shown").alias("negative"), "score")
    anchors = queries.rows.select(sf.col("id").alias("query"), sf.col("shown").alias("anchor"))
    pairs = positives.join(texts, "text").join(anchors, "query")
    pairs = pairs.select("query", "anchor", sf.col("shown").alias("positive"), sf.col("score").alias("positive_score"))
    if rules.output_format == "triplet":
        rows = pairs.join(named, "query")
        columns: list[Any] = ["negative"]
        scores = sf.array("positive_score", "score")
    else:
        listed = sf.sort_array(sf.collect_list(sf.struct("rank", "negative", "score"))).alias("found")
        full = named.groupBy("query").agg(listed).where(sf.size("found") == rules.num_negatives)
        rows = pairs.join(full, "query")
        places = range(rules.num_negatives)
        columns = [sf.col("found")[place]["negative"].alias(f"negative_{place + 1}") for place in places]
        scores = sf.concat(sf.array("positive_score"), sf.col("found")["score"])
    return rows.select("anchor", "positive", *columns, *([scores.alias("scores")] if output_scores else []))
