"""One to one at any size: exactly the pairs that a loop over all of them, the best first, would take.

A pair that is the best of both its rows is taken by that loop whatever comes before it, so all such pairs can be taken
at once; those that share a row with them fall away, and among the others there are again such pairs.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import Window
from pyspark.sql import functions as sf

from st_spark.bitext.columns import SCORE, SOURCE, TARGET

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Pairs that one task goes through in less time than a round takes.
FEW = 2_000_000
# The share that a round must take away; where scores form long chains, rounds take few, and one task does the rest.
_WORTH = 0.2
_TAKEN, _GONE = "_taken", "_gone"


def one_to_one(pairs: "DataFrame", held: "list[DataFrame]", few: int = FEW) -> "DataFrame":
    """The pairs that are taken.

    Args:
        pairs: SOURCE, TARGET, SCORE and more columns; each pair once, no score NaN.
        held: Takes the persisted DataFrames that the result needs.
        few: As many are left to one task, which holds the ids that it has taken, and no pairs.
    """
    taken: list[DataFrame] = []
    rest = pairs.persist(StorageLevel.DISK_ONLY)
    held.append(rest)
    count = rest.count()
    while count > few:
        after = _after_a_round(rest).persist(StorageLevel.DISK_ONLY)
        held.append(after)
        taken.append(after.where(_TAKEN).select(*pairs.columns))
        rest = after.where(f"not {_GONE}").select(*pairs.columns)
        before, count = count, rest.count()
        if count > before * (1 - _WORTH):
            break
    ordered = rest.repartition(1).sortWithinPartitions(sf.col(SCORE).desc(), SOURCE, TARGET)
    found = ordered.mapInArrow(_in_turn, pairs.schema)
    for each in taken:
        found = found.unionByName(each)
    return found


def _after_a_round(pairs: "DataFrame") -> "DataFrame":
    """Pairs with _TAKEN, if they are the best of both their rows, and _GONE, if one of their rows is taken.

    By windows alone, for a plan that names its input once stays small however many rounds there are.
    """
    source, target = Window.partitionBy(SOURCE), Window.partitionBy(TARGET)
    order = [sf.col(SCORE).desc(), sf.col(SOURCE), sf.col(TARGET)]
    ranked = pairs.withColumn("_one", sf.row_number().over(source.orderBy(*order)))
    ranked = ranked.withColumn("_other", sf.row_number().over(target.orderBy(*order)))
    best = ranked.withColumn(_TAKEN, sf.expr("_one = 1 and _other = 1")).drop("_one", "_other")
    gone = sf.col("_gone_target") | sf.max(_TAKEN).over(source)
    return best.withColumn("_gone_target", sf.max(_TAKEN).over(target)).withColumn(_GONE, gone).drop("_gone_target")


def _in_turn(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    sources: set[object] = set()
    targets: set[object] = set()
    for batch in batches:
        places = []
        rows = zip(batch.column(SOURCE).to_pylist(), batch.column(TARGET).to_pylist(), strict=True)
        for place, (source, target) in enumerate(rows):
            if source not in sources and target not in targets:
                sources.add(source)
                targets.add(target)
                places.append(place)
        yield batch.take(pa.array(places, pa.int64()))
