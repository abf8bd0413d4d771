"""encode(column) and register(spark, name) on a real Spark session, by Arrow UDF and by pandas UDF."""

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from st_spark import encode, register
from st_spark.embedding import encode as functions
from st_spark.embedding import model_cache, send_model, udf
from st_spark.embedding.arrow_encode import EncodeOptions
from st_spark.embedding.receive_model import receive
from st_spark.errors import InputError, ModelError
from st_spark.model.checkpoint.hub import Snapshot
from st_spark.model.encoder import SentenceTransformer
from tests.support.checkpoints import write_bert

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow

TEXTS = ["the cat sat", None, "", "a river of sun", "the cat sat", "rain " * 100, "日本 é"]
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def docs(spark: "SparkSession") -> "DataFrame":
    """Seven rows in two partitions, the second one a null."""
    rows = [(number, text, None if number == 3 else "moon") for number, text in enumerate(TEXTS)]
    return spark.createDataFrame(rows, "id int, text string, title string").repartition(2, "id")


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> SentenceTransformer:
    """The same model, without Spark."""
    return SentenceTransformer(tiny_model, dtype="float32", device="cpu")


@pytest.fixture(params=["arrow", "pandas"])
def flavour(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Force the kind of UDF: PySpark before 4.1 has only pandas UDFs."""
    monkeypatch.setattr(udf, "flavour", lambda: request.param)
    return str(request.param)


def in_order(frame: "DataFrame", column: Any) -> list[Any]:
    """Return the values of a column by id."""
    return [row.value for row in frame.select("id", column.alias("value")).orderBy("id").collect()]


def assert_same(found: list[Any], expected: list[Any]) -> None:
    """Assert that lists of vectors are equal, nulls included."""
    assert [vector is None for vector in found] == [vector is None for vector in expected]
    for one, other in zip(found, expected, strict=True):
        if other is not None:
            np.testing.assert_allclose(one, other, atol=TOLERANCE, rtol=0)


def alone(model: SentenceTransformer, texts: list[Any], **options: Any) -> list[Any]:
    """Encode each text in its own call, without nulls."""
    return [None if text is None else model.encode([text], **options)[0] for text in texts]


def rows_through_python(frame: "DataFrame") -> list[int]:
    """Run a query without a shuffle, and return for each UDF operator of its plan the number of rows from Python."""
    counts: list[int] = []
    todo = [frame._jdf.queryExecution().executedPlan()]
    frame.collect()
    while todo:
        node = todo.pop()
        if node.nodeName() == "ArrowEvalPython":
            counts.append(node.metrics().apply("pythonNumRowsReceived").value())
        todo += [node.children().apply(place) for place in range(node.children().size())]
    return counts


@pytest.mark.usefixtures("flavour")
def test_each_text_gets_its_vector_and_null_gets_null(
    docs: "DataFrame", tiny_model: Path, model: SentenceTransformer
) -> None:
    found = in_order(docs, encode("text", model=tiny_model, dtype="float32"))
    assert_same(found, alone(model, TEXTS))


@pytest.mark.usefixtures("flavour")
def test_a_pair_gets_its_vector_and_a_pair_with_a_null_gets_a_null(
    docs: "DataFrame", tiny_model: Path, model: SentenceTransformer
) -> None:
    found = in_order(docs, encode([docs.title, "text"], model=tiny_model, dtype="float32"))
    pairs = [None if text is None or number == 3 else ("moon", text) for number, text in enumerate(TEXTS)]
    assert_same(found, alone(model, pairs))


@pytest.mark.usefixtures("flavour")
def test_details_have_tokens_and_truncation_and_null_gets_null(
    docs: "DataFrame", tiny_model: Path, model: SentenceTransformer
) -> None:
    found = in_order(docs, encode("text", model=tiny_model, dtype="float32", details=True))
    expected = [None if text is None else model.embed([text]) for text in TEXTS]
    assert [row and (row.n_tokens, row.truncated) for row in found] == [
        one and (int(one.n_tokens[0]), bool(one.truncated[0])) for one in expected
    ]
    assert found[5].truncated
    assert_same([row and row.embedding for row in found], [one and one.vectors[0] for one in expected])


@pytest.mark.usefixtures("flavour")
def test_registered_models_are_sql_functions_of_one_text_or_a_pair(
    spark: "SparkSession", docs: "DataFrame", tiny_model: Path, model: SentenceTransformer
) -> None:
    limits = {"max_seq_length": 4, "batch_size": 2}
    register(spark, "embed", model=tiny_model, dtype="float32", normalize_embeddings=True, **limits)
    docs.createOrReplaceTempView("docs")
    query = "SELECT embed(text) AS one, embed(title, text) AS pair FROM docs WHERE id = 0"
    row = spark.sql(query).first()
    assert row is not None
    model.max_seq_length = 4
    expected = alone(model, [TEXTS[0], ("moon", TEXTS[0])])
    model.max_seq_length = None
    assert_same([row.one, row.pair], expected)


def test_the_type_is_a_list_of_floats_or_a_struct(docs: "DataFrame", tiny_model: Path) -> None:
    plain, details = encode("text", model=tiny_model), encode("text", model=tiny_model, details=True)
    types = [field.dataType.simpleString() for field in docs.select(plain, details).schema]
    assert types == ["array<float>", "struct<embedding:array<float>,n_tokens:int,truncated:boolean>"]


def test_prompt_dimensions_and_limits_reach_the_model(
    docs: "DataFrame", tiny_model: Path, model: SentenceTransformer
) -> None:
    options: dict[str, Any] = {"prompt": "query: ", "truncate_dim": 8, "normalize_embeddings": True, "batch_size": 2}
    found = in_order(docs, encode("text", model=tiny_model, dtype="float32", max_seq_length=7, **options))
    unlimited = alone(model, TEXTS, **options)
    model.max_seq_length = 7
    expected = alone(model, TEXTS, **options)
    model.max_seq_length = None
    assert_same(found, expected)
    assert not np.allclose(found[5], unlimited[5])


@pytest.mark.usefixtures("flavour")
def test_counts_mark_repeated_texts(spark: "SparkSession", docs: "DataFrame", tiny_model: Path) -> None:
    options = EncodeOptions(counts=True)
    counted = udf.call(functions.encoder(spark, str(tiny_model), options), ["text"], options.struct)
    found = in_order(docs.coalesce(1), counted)
    assert sorted(row.duplicate for row in found if row is not None) == [False] * 5 + [True]
    assert found[1] is None


def test_a_vector_is_computed_once_where_filters_and_columns_use_it_many_times(
    spark: "SparkSession", tiny_model: Path
) -> None:
    from pyspark.sql import functions as sf

    docs = spark.createDataFrame([(text,) for text in TEXTS], "text string")
    encoded = docs.withColumn("e", encode("text", model=tiny_model))
    query = encoded.where("e IS NOT NULL AND e[0] < 2").select("e", sf.size("e"), encoded.e[1]).where("e[1] < 2")
    assert rows_through_python(query) == [len(TEXTS)]


def test_an_empty_table_and_a_column_of_nulls_give_their_rows(spark: "SparkSession", tiny_model: Path) -> None:
    vector = encode("text", model=tiny_model)
    assert spark.createDataFrame([], "text string").select(vector).collect() == []
    nulls = spark.createDataFrame([(None,)] * 5, "text string").select(vector.alias("e")).collect()
    assert [row.e for row in nulls] == [None] * 5
    assert spark.sql("SELECT NULL AS text").select(vector.alias("e")).collect()[0].e is None


def test_a_text_of_ten_megabytes_does_not_end_the_job(
    spark: "SparkSession", tiny_model: Path, model: SentenceTransformer
) -> None:
    long = "cat " * 2_500_000
    texts = spark.range(3).selectExpr("id", "CASE WHEN id = 1 THEN repeat('cat ', 2500000) ELSE 'the cat' END AS text")
    found = in_order(texts, encode("text", model=tiny_model, dtype="float32"))
    assert_same(found, alone(model, ["the cat", long, "the cat"]))


def test_bytes_that_are_not_utf8_do_not_end_the_job(
    spark: "SparkSession", tiny_model: Path, model: SentenceTransformer
) -> None:
    query = "SELECT 0 AS id, CAST(unhex('636174FF') AS STRING) AS text UNION ALL SELECT 1, 'the cat'"
    found = in_order(spark.sql(query), encode("text", model=tiny_model, dtype="float32"))
    assert_same(found, alone(model, ["cat\ufffd", "the cat"]))


@pytest.mark.usefixtures("flavour")
def test_another_column_type_is_an_error_that_names_it(docs: "DataFrame", tiny_model: Path) -> None:
    with pytest.raises(Exception, match=r"holds int\d\d, not strings. Fix: .*cast"):
        docs.select(encode("id", model=tiny_model)).collect()


def test_a_broadcast_model_gives_the_same_vectors(docs: "DataFrame", tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "model", seed=23)  # no worker has it yet
    found = in_order(docs, encode("text", model=folder, dtype="float32", shipping="broadcast"))
    assert_same(found, alone(SentenceTransformer(folder, dtype="float32", device="cpu"), TEXTS))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt_name": "poem"}, "poem"),
        ({"dtype": "float8"}, "float8"),
        ({"truncate_dim": 0}, "truncate_dim is 0"),
        ({"truncate_dim": 2.5}, "truncate_dim is 2.5"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"max_seq_length": 2}, "max_seq_length is 2"),
        ({"max_seq_length": 513}, "max_seq_length=513 is more than the 512 positions"),
        ({"shipping": "post"}, "post"),
        ({"columns": ["a", "b", "c"]}, "3 columns"),
        ({"columns": []}, "0 columns"),
        ({"columns": {"title", "text"}}, "columns is a set"),
        ({"columns": None}, "columns is a NoneType"),
        ({"prompt": "query\ud83d: "}, "prompt has half a surrogate pair, '.ud83d', at character 5"),
    ],
)
def test_wrong_arguments_are_an_error_on_the_driver(
    spark: "SparkSession", tiny_model: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        encode(**{"columns": "text", "model": tiny_model, **options})


def test_a_folder_without_a_model_is_an_error_on_the_driver(spark: "SparkSession", tmp_path: Path) -> None:
    for model in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ModelError):
            encode("text", model=model)


def test_encode_without_a_session_is_an_error(tiny_model: Path) -> None:
    code = "import sys; from st_spark import encode; encode('text', model=sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, tiny_model], capture_output=True, text=True, check=False)
    assert "needs a running Spark session. Fix: start one first" in done.stderr


def test_a_worker_without_st_spark_is_an_error_with_a_fix(
    spark: "SparkSession", tiny_model: Path, tmp_path: Path
) -> None:
    from pyspark.serializers import CloudPickleSerializer

    function = functions.encoder(spark, str(tiny_model), EncodeOptions()).func
    serializer: Any = CloudPickleSerializer()
    (tmp_path / "function").write_bytes(serializer.dumps(function))
    code = (
        "import pickle, sys; sys.modules['st_spark'] = None\n"
        f"next(pickle.load(open({str(tmp_path / 'function')!r}, 'rb'))(iter([])))"
    )
    environment = {**os.environ, "PYTHONPATH": ""}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert "has no module 'st_spark'. Fix: install st-spark" in done.stderr


def test_instructor_models_are_recognised_by_their_name(spark: "SparkSession", tmp_path: Path) -> None:
    """Their prompt is not pooled. On a local master the workers read the folder, which has another name."""
    name, prompt = "hkunlp/instructor-base", "the river: "
    folder = write_bert(tmp_path / "model", seed=77)
    bundle = send_model.send(spark, Snapshot(folder, name, None))
    assert (bundle.transport, receive(bundle)) == ("path", folder)
    found = model_cache.open_model(bundle, "float32").encode(["the cat"], prompt=prompt)
    expected, other = (
        SentenceTransformer(folder, dtype="float32", name=each).encode(["the cat"], prompt=prompt)
        for each in (name, "m")
    )
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    assert np.abs(found - other).max() > 100 * TOLERANCE
