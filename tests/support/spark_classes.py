"""Write an archive of the classes that Spark loads, as Java can (class data sharing): python -m ... ARCHIVE.

A Spark that starts with the archive need not unpack and check 20,000 classes, a fifth of the time of a small job. See
https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html. Java ignores an archive of other versions.
"""

import os
import sys
import tempfile
from pathlib import Path

from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F

from tests.support.short_spark import JAVA


def main(archive: str) -> None:
    """Run what most jobs run, and let Java write the archive as it ends."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    options = f"{JAVA} -Xlog:disable -XX:ArchiveClassesAtExit={archive}"
    builder = SparkSession.builder.master("local[2]").config("spark.driver.extraJavaOptions", options)
    spark = builder.config("spark.sql.shuffle.partitions", "2").getOrCreate()
    with tempfile.TemporaryDirectory() as folder:
        run(spark, Path(folder))
    spark.stop()
    gateway = spark.sparkContext._gateway
    assert gateway is not None
    gateway.proc.stdin.close()  # Java ends now
    gateway.proc.wait()


def run(spark: SparkSession, folder: Path) -> None:
    """Read and write, sort, group, join and number rows, and call Python."""
    rows = spark.range(1000).selectExpr("id", "cast(id % 7 as string) word", "array(cast(id as float), 1f) vector")
    rows.write.json(str(folder / "json"))
    read = spark.read.json(str(folder / "json"))
    read.mapInArrow(lambda batches: batches, read.schema).write.parquet(str(folder / "parquet"))
    table = spark.read.parquet(str(folder / "parquet"))
    first = Window.partitionBy("word").orderBy("id")
    numbered = table.withColumn("place", F.row_number().over(first)).where("place < 10")
    numbered.join(table.groupBy("word").agg(F.count("*"), F.max("id")), "word").orderBy("id").toPandas()
    table.join(F.broadcast(numbered.select("id")), "id").cache().count()
    spark.createDataFrame([(1, "a")], "id int, word string").collect()


if __name__ == "__main__":
    main(sys.argv[1])
