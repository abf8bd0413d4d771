"""st_spark.encode() from Parquet to Parquet, against no Spark and two common uses of sentence-transformers on Spark.

    python -m benchmarks.spark_encode [--rounds 5]

The long job, of both kinds of texts, has only the first two contenders. Any Spark job takes a second or so more than
the encoding, however small it is. The long job shows how little that matters in a longer job.

Spark runs as local[2], with two Python workers of one thread each; encode() without Spark has two threads. Each timed
job runs right after a small one, because Spark ends Python workers, and the models in them, after an idle minute.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks import local_spark
from benchmarks.encoders import MODEL, StSpark, Texts, model_folder
from benchmarks.race import Maker, Result, parser, race, scratch, table
from benchmarks.texts import passages, phrases

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from pyspark.sql import Column

FILES = 2


def long_job() -> list[str]:
    """Return texts of both kinds."""
    return [*passages(5200), *phrases(9600)]


SETS: dict[str, Texts] = {
    "passages": partial(passages, 2300),
    "phrases": partial(phrases, 9600),
    "long job": long_job,
}


@dataclass(frozen=True)
class OnSpark:
    """Reads Parquet, adds a column that is computed from the texts, and writes Parquet."""

    texts: Texts
    column: Callable[[], "Column"]

    def __call__(self) -> Callable[[], object]:
        """Start Spark and write the input; return the function that runs the job."""
        spark, folder = local_spark.start("2g"), scratch()
        rows = [(text,) for text in self.texts()]
        spark.createDataFrame(rows, "text string").repartition(FILES).write.parquet(str(folder / "in"))
        column = self.column()

        def run() -> float:
            texts = spark.read.parquet(str(folder / "in"))
            spark.range(2, numPartitions=2).selectExpr("'warm up' AS text").select(column).collect()
            return local_spark.timed_write(lambda: texts.withColumn("embedding", column), folder / "out")

        return run


def auto() -> "Column":
    """Return st_spark.encode()."""
    from st_spark import encode

    return encode("text", model=MODEL)


def float32() -> "Column":
    """Return st_spark.encode() in float32."""
    from st_spark import encode

    return encode("text", model=MODEL, dtype="float32")


def naive_pandas_udf() -> "Column":
    """Return the pandas UDF of Spark's guide: over batches, so that it loads the model once per task."""
    from pyspark.sql.pandas import functions as vectorized

    folder = str(model_folder())

    def embed(batches: Iterator["pd.Series"]) -> Iterator["pd.Series"]:
        import pandas as pd
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(folder, device="cpu")
        for batch in batches:
            yield pd.Series(list(model.encode(batch.tolist())))

    import pandas as pd

    embed.__annotations__ = {"batches": Iterator[pd.Series], "return": Iterator[pd.Series]}
    make: Any = vectorized.pandas_udf  # its overloads do not cover functions with type hints
    return make(embed, "array<float>")("text")


def batch_udf() -> "Column":
    """Return Spark's own UDF for models, predict_batch_udf()."""
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql.types import ArrayType, FloatType

    folder = str(model_folder())

    def make() -> Any:  # noqa: ANN401
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(folder, device="cpu")

        def predict(texts: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
            return model.encode(texts.tolist())

        return predict

    return predict_batch_udf(make, return_type=ArrayType(FloatType()), batch_size=1024)("text")


BARE = "bare encode, st-spark auto"
WAYS: dict[str, Callable[[], "Column"]] = {
    "Spark, st-spark auto": auto,
    "Spark, st-spark float32": float32,
    "Spark, pandas_udf of sentence-transformers": naive_pandas_udf,
    "Spark, predict_batch_udf of sentence-transformers": batch_udf,
}


def main() -> None:
    """Run one race per set of texts and print its table."""
    options = parser(__doc__, rounds=5)
    options.add_argument("--set", choices=SETS, action="append", dest="sets", help="run only this set; can be repeated")
    given = options.parse_args()
    for name in given.sets or SETS:
        ways = {"Spark, st-spark auto": auto} if name == "long job" else WAYS
        makers: dict[str, Maker] = {BARE: StSpark(SETS[name])}
        makers |= {way: OnSpark(SETS[name], column) for way, column in ways.items()}
        print(_table(name, race(makers, given.rounds)), flush=True)


def _table(name: str, results: dict[str, Result]) -> str:
    bare = results[BARE]
    against = {"of bare": bare}
    against |= {f"x {way.split()[1]}": result for way, result in results.items() if "sentence-transformers" in way}
    rows, texts = [], len(SETS[name]())
    for title, result in results.items():
        share, *ratios = (result.times_faster_than(other) for other in against.values())
        figures = (f"{share:.0%}", *(f"{ratio:.2f}" for ratio in ratios), f"{result.peak_mb:.0f}")
        rows.append([f"{name}: {title}", f"{result.rate(texts):.0f}", *figures])
    return table(["all-MiniLM-L6-v2", "rows/s", *against, "peak MB"], rows)


if __name__ == "__main__":
    main()
