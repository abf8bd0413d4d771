"""The embed job: vectors of a table of texts, and its result."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from st_spark.errors import InputError, ModelError, StSparkError, TableError
from st_spark.jobs import runner
from st_spark.model.encoder import SentenceTransformer
from st_spark.spark.failures import explain
from st_spark.specs.row_jobs import EmbedJob, SearchJob
from st_spark.tables import io
from st_spark.tables.row_counts import RowCounts, count_rows
from tests.support.checkpoints import write_bert
from tests.support.report_page import sections

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow
Embed = Callable[..., dict[str, Any]]


@pytest.fixture
def embed(spark: "SparkSession", tiny_model: Path, tmp_path: Path) -> Embed:
    """Run an embed job into tmp_path/out. The first argument is the text of a file, a path, or the name of a table."""

    def run(texts: str, suffix: str = ".csv", **options: Any) -> dict[str, Any]:
        where = tmp_path / f"in{suffix}"
        if "\n" in texts:
            where.write_text(texts, encoding="utf-8")
        given = {"input": str(where) if "\n" in texts else texts, "output": str(tmp_path / "out")}
        job = EmbedJob(**{"model": str(tiny_model), "text_column": "text", **given, **options})
        return runner.run(job, spark)

    return run


def written(spark: "SparkSession", tmp_path: Path, column: str = "embedding") -> dict[Any, Any]:
    return {row["id"]: row[column] for row in io.read(spark, str(tmp_path / "out")).collect()}


def test_the_output_has_the_input_columns_and_the_vectors_of_the_model(
    spark: "SparkSession", embed: Embed, tiny_model: Path, tmp_path: Path
) -> None:
    texts = [f"the cat {i} sat on the mat" for i in range(599)] + ["<script>alert('x')</script>" + " word" * 99]
    report = str(tmp_path / "report.html")
    result = embed("id,text,other\n" + "".join(f"{i},{text},x\n" for i, text in enumerate(texts)), report=report)
    out = io.read(spark, str(tmp_path / "out"))
    assert out.dtypes == [("id", "string"), ("text", "string"), ("other", "string"), ("embedding", "array<float>")]
    found = written(spark, tmp_path)
    vectors = SentenceTransformer(tiny_model).encode(texts)
    np.testing.assert_allclose([found[str(i)] for i in range(600)], vectors, atol=2e-2)
    assert result["report"] == {"path": report}
    shown = sections(report)
    assert list(shown) == ["What ran", "Time", "Rows", "Speed", "Length of texts", "Map", "All values"]
    assert "embed --mode error" in shown["What ran"] and str(tiny_model) in shown["What ran"]
    assert "encode and write" in shown["Time"]
    assert "The model reads at most 64 tokens of a text: 1 texts of this run were cut" in shown["Length of texts"]
    assert "<script>alert('x')</script> word word" in shown["Length of texts"]
    assert "600 sampled vectors" in shown["Map"] and "the cat" in shown["Map"]
    assert '"rows_per_second"' in shown["All values"]


def test_the_result_counts_every_kind_of_row(spark: "SparkSession", embed: Embed, tmp_path: Path) -> None:
    long = "word " * 200
    result = embed(f'id,text\n1,a\n2,\n3,"  "\n4,a\n4,{long}\n,b\n7,too,many\n8,""\n', id_column="id")
    assert result["rows"] == {
        "in": 8,
        "out": 7,
        "null": 1,
        "empty": 2,
        "truncated": 1,
        "corrupt": 1,
        "undecodable": 0,
        "zero": 0,
        "nan": 0,
        "resumed": 0,
        "null_id": 1,
        "duplicate_id": 1,
    }
    assert result["duplicates"] == 1
    assert result["tokens"] >= 64
    assert written(spark, tmp_path)["2"] is None


def test_texts_of_spaces_of_every_kind_are_empty(embed: Embed) -> None:
    texts = ["", "  ", "\\n\\t", "\u00a0", "\u3000\u2003", "\u200b", "a"]
    result = embed("".join(f'{{"id": {i}, "text": "{text}"}}\n' for i, text in enumerate(texts)), ".jsonl")
    assert (result["rows"]["in"], result["rows"]["empty"]) == (7, 5)


def test_bytes_of_another_encoding_are_counted(spark: "SparkSession", embed: Embed, tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes("id,text\n1,café\n2,b\n".encode("latin-1"))
    assert embed(str(tmp_path / "latin.csv"))["rows"]["undecodable"] == 1
    result = embed(str(tmp_path / "latin.csv"), input_encoding="latin-1", mode="overwrite")
    assert result["rows"]["undecodable"] == 0
    assert written(spark, tmp_path, "text") == {"1": "café", "2": "b"}


def test_the_result_has_model_and_output_and_is_json(embed: Embed, tmp_path: Path) -> None:
    result = embed("id,text\n1,a\n", dtype="float32", truncate_dim=8)
    assert json.loads(json.dumps(result)) == result
    assert result["model"]["dim"] == 8
    assert result["model"]["dtype"] == "float32"
    assert result["model"]["device"] in ("cpu", "cuda")
    assert len(result["output"].pop("job_id")) == 12
    assert result["output"] == {
        "path": str(tmp_path / "out"),
        "format": "parquet",
        "mode": "error",
        "column": "embedding",
        "version": None,
    }
    assert set(result["seconds"]) == {"read", "load", "encode_and_write", "total"}


def test_a_pair_with_one_null_has_no_vector(spark: "SparkSession", embed: Embed, tmp_path: Path) -> None:
    text = '{"id": 1, "title": "a", "text": "b"}\n{"id": 2, "title": "a"}\n{"id": 3, "title": "", "text": ""}\n'
    result = embed(text, ".jsonl", text_column=("title", "text"))
    assert (result["rows"]["null"], result["rows"]["empty"]) == (1, 1)
    found = written(spark, tmp_path)
    assert found[2] is None
    assert found[1] is not None


def test_an_empty_table_and_one_of_nulls_only_give_tables(spark: "SparkSession", embed: Embed, tmp_path: Path) -> None:
    result = embed("id,text\n")
    assert (result["rows"]["in"], result["rows"]["out"], result["tokens"]) == (0, 0, 0)
    assert io.read(spark, str(tmp_path / "out")).columns == ["id", "text", "embedding"]
    result = embed("id,text\n1,\n2,\n", mode="overwrite")
    assert (result["rows"]["out"], result["rows"]["null"]) == (2, 2)
    assert written(spark, tmp_path) == {"1": None, "2": None}


def test_a_text_of_ten_megabytes_is_truncated_like_any_other(embed: Embed) -> None:
    result = embed("id,text\n1," + "sun moon river " * 700_000 + "\n2,short\n")
    assert (result["rows"]["out"], result["rows"]["truncated"]) == (2, 1)


def test_a_table_can_be_embedded_into_itself(spark: "SparkSession", embed: Embed, tmp_path: Path) -> None:
    embed("id,text\n1,a\n2,b\n")
    again = embed(str(tmp_path / "out"), mode="overwrite", output_column="second", prompt="query: ")
    assert again["rows"]["out"] == 2
    out = io.read(spark, str(tmp_path / "out"))
    assert out.columns == ["id", "text", "embedding", "second"]


def test_an_append_with_another_prompt_is_an_error_before_the_work(
    spark: "SparkSession", embed: Embed, tmp_path: Path
) -> None:
    embed("id,text\n1,a\n")
    with pytest.raises(TableError, match="prompt None; this job uses prompt 'query: '"):
        embed("id,text\n2,b\n", mode="append", prompt="query: ")
    embed("id,text\n2,b\n", mode="append")
    assert set(written(spark, tmp_path)) == {"1", "2"}


def test_max_seq_length_cuts_texts_and_is_recorded(
    spark: "SparkSession", embed: Embed, tiny_model: Path, tmp_path: Path
) -> None:
    text = "the cat sat on the mat"
    limits: dict[str, Any] = {"max_seq_length": 4, "batch_size": 1, "dtype": "float32"}
    result = embed(f"id,text\n1,{text}\n2,sun\n", **limits)
    assert (result["rows"]["truncated"], result["tokens"], result["model"]["max_seq_length"]) == (1, 7, 4)
    model = SentenceTransformer(tiny_model, dtype="float32")
    model.max_seq_length = 4
    np.testing.assert_allclose(written(spark, tmp_path)["1"], model.encode(text), atol=1e-5)
    with pytest.raises(TableError, match="max_seq_length 4; this job uses max_seq_length None"):
        embed("id,text\n3,b\n", mode="append")
    embed("id,text\n3,b\n", mode="append", **{**limits, "batch_size": 2})
    hits = runner.run(SearchJob(query=text, table=str(tmp_path / "out"), k=1), spark)["hits"]
    assert (hits[0]["row"]["id"], round(hits[0]["score"], 3)) == ("1", 1)


def test_wrong_inputs_are_an_error_before_the_work(embed: Embed, tmp_path: Path, tiny_model: Path) -> None:
    table = "id,text,embedding\n1,a,b\n"
    with pytest.raises(InputError, match="did you mean 'text'"):
        embed(table, text_column="txt", output_column="e")
    with pytest.raises(InputError, match="has no column 'key'"):
        embed(table, id_column="key", output_column="e")
    with pytest.raises(InputError, match="has a column 'embedding' already"):
        embed(table)
    with pytest.raises(InputError, match="has a column 'text' already, which Spark takes for 'TEXT'"):
        embed(table, output_column="TEXT")
    with pytest.raises(InputError, match="holds bigint, not strings"):
        embed('{"text": 1}\n', ".jsonl")
    with pytest.raises(TableError, match="There is no path"):
        embed("/no/such.csv")
    with pytest.raises(InputError, match="prompt_name='nonsense'"):
        embed(table, output_column="e", prompt_name="nonsense")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part-0.parquet").touch()
    with pytest.raises(TableError, match=r"exists\. Fix: overwrite it \(--mode"):
        embed(table, output_column="e")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["part-0.parquet"]


def test_models_that_are_missing_or_unsafe_are_an_error(embed: Embed, tmp_path: Path) -> None:
    bare, foreign, outside = (tmp_path / name for name in ("bare", "foreign", "outside"))
    for folder, modules in (
        (bare, None),
        (foreign, [{"idx": 0, "name": "0", "path": "", "type": "evil.module.Transformer"}]),
        (outside, [{"idx": 0, "name": "0", "path": "../bare", "type": "sentence_transformers.models.Transformer"}]),
    ):
        folder.mkdir()
        if modules is not None:
            (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    for model, says in ((bare, "bare"), (foreign, "evil"), (outside, r"\.\."), (tmp_path / "none", "none")):
        with pytest.raises(ModelError, match=says):
            embed("id,text\n1,a\n", model=str(model))
    assert not (tmp_path / "out").exists()


def test_workers_load_the_model_once(spark: "SparkSession", embed: Embed, tmp_path: Path) -> None:
    def loads(batches: Any) -> Any:
        import os

        import pyarrow as pa

        from st_spark.embedding import model_cache

        for _ in batches:
            yield pa.record_batch({"pid": [os.getpid()], "loads": [model_cache.loads()]})

    def loads_by_worker() -> dict[int, int]:
        return dict(spark.range(40, numPartitions=20).mapInArrow(loads, "pid long, loads long").distinct().collect())

    model = write_bert(tmp_path / "model", seed=17)
    before = loads_by_worker()
    embed("id,text\n" + "".join(f"{i},the cat {i}\n" for i in range(2_000)), model=str(model))
    assert max(now - before.get(pid, 0) for pid, now in loads_by_worker().items()) == 1


def test_a_st_spark_error_in_a_worker_reaches_the_driver(spark: "SparkSession") -> None:
    def failing(batches: Any) -> Any:
        from st_spark.errors import ModelError

        raise ModelError("The weights are damaged.", "fetch them again.")

    with pytest.raises(Exception, match="damaged") as caught:
        spark.range(1).mapInArrow(failing, "id long").collect()
    error = explain(caught.value)
    assert type(error) is ModelError
    assert str(error) == "The weights are damaged. Fix: fetch them again."


def test_any_other_error_in_a_worker_becomes_one_line(spark: "SparkSession") -> None:
    def failing(batches: Any) -> Any:
        raise ValueError("an unknown value")

    with pytest.raises(Exception, match="unknown") as caught:
        spark.range(1).mapInArrow(failing, "id long").collect()
    error = explain(caught.value)
    assert isinstance(error, StSparkError)
    assert "ValueError: an unknown value" in str(error)
    assert "\n" not in str(error)


def test_rows_are_counted_by_partition(spark: "SparkSession") -> None:
    assert count_rows(spark.range(0, 1000, numPartitions=4)) == RowCounts(1000, (250, 250, 250, 250), 2)
