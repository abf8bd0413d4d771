"""What each cluster is: size, representative, its text, and the words that set the cluster apart."""

from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as sf

from st_spark.errors import check_count
from st_spark.tables.columns import check_columns, quoted_column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# A word is two letters or more; it can hold digits, marks and apostrophes. Characters that are read of a text.
_WORD, _CHARACTERS = r"(?U)\p{L}[\p{L}\p{M}\p{N}_'’-]+", 20_000
_COLUMNS = ("cluster", "size", "representative", "mean_score", "text", "words")


def cluster_summary(
    clusters: "DataFrame", df: "DataFrame | None" = None, *, id: str = "id", text: str = "text", words: int = 10
) -> "DataFrame":
    """Return what each cluster is.

    The words are weighted by class-based TF-IDF: the share of the rows of the cluster that have the word, times the
    logarithm of how much larger this share is than in all clusters. Words that are as frequent everywhere, such as
    "the", get 0, so no list of stop words is needed, in no language.

    Args:
        clusters: The result of cluster(), best from a table: it is read several times.
        df: A table with the texts; None for no texts and no words.
        id: Its id column.
        text: Its text column.
        words: The most words of a cluster.

    Returns:
        A row for each cluster: cluster, size, representative (its id), mean_score (of the rows with the centre), text
        of the representative, and words (a list, the most telling first).
    """
    check_count("words", words)
    inside = clusters.where("cluster IS NOT NULL")
    representative = sf.max(sf.when(sf.col("is_representative"), sf.col("id"))).alias("representative")
    sizes = inside.groupBy("cluster").agg(
        sf.count(sf.lit(1)).alias("size"), representative, sf.avg("score").alias("mean_score")
    )
    if df is None:
        empty = sf.lit(None).cast("string").alias("text"), sf.array().cast("array<string>").alias("words")
        return sizes.select(*_COLUMNS[:4], *empty)
    check_columns(df.schema, "the table of texts", (text,), (id,))
    texts = df.select(quoted_column(id).alias("id"), quoted_column(text).cast("string").alias("text"))
    best = _best_words(inside.join(texts, "id").select("cluster", "text"), sizes, words)
    shown = texts.withColumnRenamed("id", "representative")
    found = sizes.join(shown, "representative", "left").join(best, "cluster", "left")
    filled = sf.coalesce("words", sf.array().cast("array<string>")).alias("words")
    return found.select(*_COLUMNS[:5], filled)


def _best_words(rows: "DataFrame", sizes: "DataFrame", most: int) -> "DataFrame":
    """Return cluster and words: the words with the largest weights."""
    text = sf.lower(sf.substring("text", 1, _CHARACTERS))
    found = sf.array_distinct(sf.regexp_extract_all(text, sf.lit(_WORD), sf.lit(0)))
    counts = rows.select("cluster", sf.explode(found).alias("word")).groupBy("cluster", "word").count()
    total = sizes.agg(sf.sum("size").alias("rows"))
    everywhere = sf.sum("count").over(Window.partitionBy("word"))
    counts = counts.withColumn("everywhere", everywhere).join(sizes.select("cluster", "size"), "cluster")
    share, of_all = sf.col("count") / sf.col("size"), sf.col("everywhere") / sf.col("rows")
    weighted = counts.crossJoin(sf.broadcast(total)).withColumn("weight", share * sf.log(share / of_all))
    order = Window.partitionBy("cluster").orderBy(sf.col("weight").desc(), "word")
    ranked = (
        weighted.where("weight > 1e-9").withColumn("rank", sf.row_number().over(order)).where(sf.col("rank") <= most)
    )
    listed = sf.sort_array(sf.collect_list(sf.struct("rank", "word")))
    return ranked.groupBy("cluster").agg(listed.getField("word").alias("words"))
