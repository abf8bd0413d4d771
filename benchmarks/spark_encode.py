"""A Spark DataFrame to Parquet against bare encode(), and against the two usual wraps of sentence-transformers.

    python -m benchmarks.spark_encode [--rounds 5]

The long job, of both kinds of texts, has only the first two contenders: it shows what is left of the second or so that
Spark takes for any job, however small.

Spark runs as local[2], so with two Python workers of one thread each; bare encode() has two threads. Each timed job
comes right after a small one, because Spark ends Python workers, and with them their models, after a minute of rest.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.encode import MODEL
from benchmarks.race import Maker, Result, race, scratch, table
from benchmarks.texts import passages, phrases

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from pyspark.sql import Column

SETS = {"passages": passages(2300), "phrases": phrases(9600), "long job": [*passages(5200), *phrases(9600)]}
FILES = 2


@dataclass(frozen=True)
class Bare:
    """SentenceTransformer.encode without Spark."""

    texts: str

    def __call__(self) -> Callable[[], object]:
        """Loads the model; returns what encodes."""
        from st_spark import SentenceTransformer

        model = SentenceTransformer(MODEL, device="cpu", threads=2)
        return lambda: model.encode(SETS[self.texts])


@dataclass(frozen=True)
class OnSpark:
    """Parquet to Parquet with one more column, made by a function of the text column."""

    texts: str
    column: Callable[[], "Column"]

    def __call__(self) -> Callable[[], object]:
        """Starts Spark and writes the input; returns what runs the job."""
        import os

        from pyspark.sql import SparkSession

        os.environ["PYSPARK_PYTHON"] = sys.executable
        builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        spark = builder.config("spark.driver.memory", "2g").getOrCreate()
        spark.sparkContext.setLogLevel("ERROR")
        folder = scratch()
        rows = [(text,) for text in SETS[self.texts]]
        spark.createDataFrame(rows, "text string").repartition(FILES).write.parquet(str(folder / "in"))
        column = self.column()

        def run() -> float:
            texts = spark.read.parquet(str(folder / "in"))
            spark.range(2, numPartitions=2).selectExpr("'warm up' AS text").select(column).collect()
            start = time.perf_counter()
            texts.withColumn("embedding", column).write.parquet(str(folder / "out"))
            seconds = time.perf_counter() - start
            shutil.rmtree(folder / "out")
            return seconds

        return run


def auto() -> "Column":
    """st_spark.encode."""
    from st_spark import encode

    return encode("text", model=MODEL)


def float32() -> "Column":
    """st_spark.encode in float32."""
    from st_spark import encode

    return encode("text", model=MODEL, dtype="float32")


def naive_pandas_udf() -> "Column":
    """The wrap that Spark's guide shows: a pandas UDF over batches, which loads the model once per task."""
    from pyspark.sql.pandas import functions as vectorized

    folder = _folder()

    def embed(batches: Iterator["pd.Series"]) -> Iterator["pd.Series"]:
        import pandas as pd
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(folder, device="cpu")
        for batch in batches:
            yield pd.Series(list(model.encode(batch.tolist())))

    import pandas as pd

    embed.__annotations__ = {"batches": Iterator[pd.Series], "return": Iterator[pd.Series]}
    make: Any = vectorized.pandas_udf  # its overloads know no function whose type comes from hints
    return make(embed, "array<float>")("text")


def batch_udf() -> "Column":
    """Spark's own way for models: predict_batch_udf."""
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql.types import ArrayType, FloatType

    folder = _folder()

    def make() -> Any:  # noqa: ANN401
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(folder, device="cpu")

        def predict(texts: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
            return model.encode(texts.tolist())

        return predict

    return predict_batch_udf(make, return_type=ArrayType(FloatType()), batch_size=1024)("text")


def _folder() -> str:
    from st_spark.model.checkpoint.hub import resolve

    return str(resolve(MODEL).folder)


WAYS: dict[str, Callable[[], "Column"]] = {
    "Spark, st-spark auto": auto,
    "Spark, st-spark float32": float32,
    "Spark, pandas_udf of sentence-transformers": naive_pandas_udf,
    "Spark, predict_batch_udf of sentence-transformers": batch_udf,
}


def main() -> None:
    """Runs one race per set of texts and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--set", choices=SETS, action="append", dest="sets", help="only this one; may be given again")
    given = parser.parse_args()
    for name in given.sets or SETS:
        ways = {"Spark, st-spark auto": auto} if name == "long job" else WAYS
        makers: dict[str, Maker] = {"bare encode, st-spark auto": Bare(name)}
        makers |= {way: OnSpark(name, column) for way, column in ways.items()}
        print(_table(name, race(makers, given.rounds)), flush=True)


def _table(name: str, results: dict[str, Result]) -> str:
    bare = results["bare encode, st-spark auto"]
    against = {"of bare": bare}
    against |= {f"x {way.split()[1]}": result for way, result in results.items() if "sentence-transformers" in way}
    rows = []
    for title, result in results.items():
        share, *ratios = (result.times_faster_than(other) for other in against.values())
        figures = (f"{share:.0%}", *(f"{ratio:.2f}" for ratio in ratios), f"{result.peak_mb:.0f}")
        rows.append([f"{name}: {title}", f"{result.rate(len(SETS[name])):.0f}", *figures])
    return table(["all-MiniLM-L6-v2", "rows/s", *against, "peak MB"], rows)


if __name__ == "__main__":
    main()
