"""The same code over Spark Connect: the model is sent as artifacts, and the vectors are the same as without Spark."""

import json
from pathlib import Path

import numpy as np
import pytest

from st_spark.model.encoder import SentenceTransformer
from tests.support.connect import run

pytestmark = pytest.mark.slow

TEXTS = ["the cat sat", None, "sun and rain", "the cat sat"]

# In a process of its own: one Python process is a client of Connect or of a classic session, not both.
SCRIPT = """
import json, sys
from pyspark.sql import SparkSession
from st_spark import encode, register

model, texts = sys.argv[1], json.loads(sys.argv[2])
spark = SparkSession.builder.remote("local[1]").getOrCreate()
docs = spark.createDataFrame(list(enumerate(texts)), "id int, text string")
docs.createOrReplaceTempView("docs")
out = {"module": type(spark).__module__}
out["column"] = [r.e for r in docs.withColumn("e", encode("text", model=model, dtype="float32")).sort("id").collect()]
details = docs.select("id", encode(["text", "text"], model=model, dtype="float32", details=True).alias("e"))
out["pairs"] = [r.e and r.e.embedding for r in details.sort("id").collect()]
register(spark, "embed", model=model, dtype="float32")
out["sql"] = [r.e for r in spark.sql("SELECT embed(text) AS e FROM docs ORDER BY id").collect()]
try:
    encode("text", model=model, shipping="broadcast")
except Exception as error:
    out["broadcast"] = str(error)
from st_spark.embedding import send_model
out["sent"] = [len(models) for models in send_model._sent.values()]
print("RESULT" + json.dumps(out))
spark.stop()
"""


def test_columns_pairs_and_sql_give_the_same_vectors_as_local_mode(tiny_model: Path) -> None:
    found = run(SCRIPT, str(tiny_model), json.dumps(TEXTS))
    model = SentenceTransformer(tiny_model, dtype="float32", device="cpu")
    for way in ("column", "sql", "pairs"):
        assert [vector is None for vector in found[way]] == [text is None for text in TEXTS]
        texts = [text for text in TEXTS if text is not None]
        expected = model.encode([(text, text) for text in texts] if way == "pairs" else texts)
        np.testing.assert_allclose([vector for vector in found[way] if vector], expected, atol=1e-5)
    assert "use shipping='artifact'" in found["broadcast"]
    assert found["sent"] == [1]
