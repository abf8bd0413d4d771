"""Mining over Spark Connect, in a new process: a process has a Connect client or a classic session, not both."""

import pytest

from tests.support.connect import run
from tests.unit.bitext import laser
from tests.unit.bitext.test_retrieval import clustered

pytestmark = pytest.mark.slow

SCRIPT = """
import json
from pyspark.sql import SparkSession
from st_spark import mine_bitext
from st_spark.bitext.corpus import Corpus
from st_spark.bitext.mining import mine
from st_spark.bitext.retrieval import Rule
from tests.unit.bitext.test_retrieval import clustered
from tests.spark.join.tables import frame

spark = SparkSession.builder.remote("local[2]").getOrCreate()
texts = [f"This is the sentence {chr(97 + i)}" for i in range(30)]
sides = [frame(spark, range(30), clustered(seed, 30).astype("float32"), text=texts) for seed in (1, 2)]
out = {"module": type(spark).__module__}
out["one task"] = [row[:3] for row in mine_bitext(*sides, threshold=0.9).collect()]
corpora = [Corpus(side, text="text") for side in sides]
from st_spark import TextFilters
mined = mine(*corpora, Rule(threshold=0.9), one_task=0, texts=True, filters=TextFilters(max_alike=1.0))
out["all tasks"] = [row[:3] for row in mined.pairs.collect()]
mined.close()
print("RESULT" + json.dumps(out))
spark.stop()
"""


def test_connect_gives_the_same_pairs_as_local_mode() -> None:
    found = run(SCRIPT)
    sides = [clustered(seed, 30).astype("float32") for seed in (1, 2)]
    want = laser.mine(laser.cosines(*sides), threshold=0.9)
    for rows in found.values():
        assert {(i, j): score for i, j, score in rows} == pytest.approx(want, abs=1e-9)
