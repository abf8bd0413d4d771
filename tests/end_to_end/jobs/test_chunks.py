"""embed --chunk: a row for each chunk, or one vector for a text."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from st_spark import encode, search
from st_spark.errors import InputError
from st_spark.jobs import runner
from st_spark.model.encoder import SentenceTransformer
from st_spark.specs.row_jobs import EmbedJob, SearchJob
from st_spark.tables import io
from st_spark.tables.metadata import field_metadata

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow

LONG = "The cat sat on the mat. A dog sat in the sun! " * 40
TEXTS = [LONG, None, "", "the cat", LONG.upper(), LONG]


@pytest.fixture
def docs(spark: "SparkSession", tmp_path: Path) -> str:
    """A table with long, short, empty and missing texts."""
    rows = [(number, text, f"doc {number}") for number, text in enumerate(TEXTS)]
    spark.createDataFrame(rows, "id int, text string, title string").write.parquet(str(tmp_path / "docs"))
    return str(tmp_path / "docs")


def test_chunks_are_rows_of_the_table(spark: "SparkSession", tiny_model: Path, docs: str, tmp_path: Path) -> None:
    where = str(tmp_path / "out")
    about: dict[str, Any] = {
        "input": docs,
        "text_column": "text",
        "id_column": "id",
        "output": where,
        "dtype": "float32",
    }
    # Slices of a killed run are found by the text of a chunk.
    result = runner.run(EmbedJob(**about, model=str(tiny_model), chunk="40", overlap=6, slice_seconds=60), spark)
    table = io.read(spark, where)
    names = ["id", "text", "chunk_id", "chunk_index", "chunk_start", "chunk_end", "chunk_tokens", "title", "embedding"]
    assert table.columns == names
    rows = sorted(table.collect(), key=lambda row: (row.id, row.chunk_index or 0))
    metadata = field_metadata(table.schema, "embedding")
    assert {name: metadata[name] for name in ("chunk", "overlap", "pooling")} == {
        "chunk": 40,
        "overlap": 6,
        "pooling": "none",
    }
    counts = result["rows"]
    assert counts["in"] == len(TEXTS)
    assert counts["out"] == len(rows) > 30
    assert {name: counts[name] for name in ("null", "empty", "truncated", "null_id", "duplicate_id")} == {
        "null": 1,
        "empty": 1,
        "truncated": 0,
        "null_id": 0,
        "duplicate_id": 0,
    }
    for number, text in enumerate(TEXTS):
        parts = [row for row in rows if row.id == number]
        assert {row.title for row in parts} == {f"doc {number}"}
        if text is None:
            assert [(row.text, row.chunk_index, row.embedding) for row in parts] == [(None, None, None)]
            continue
        assert [row.text for row in parts] == [text[row.chunk_start : row.chunk_end] for row in parts]
        assert [row.chunk_index for row in parts] == list(range(len(parts)))
        assert parts[-1].chunk_end == len(text)
        vectors = SentenceTransformer(tiny_model, dtype="float32").encode([row.text for row in parts])
        np.testing.assert_allclose([row.embedding for row in parts], vectors, atol=1e-5)
    hits = runner.run(SearchJob(query=rows[3].text, table=where, k=1), spark)["hits"]
    assert hits[0]["row"]["text"].strip().lower() == rows[3].text.strip().lower()
    assert all(row.chunk_id == f"{row.id}:{row.chunk_index or 0}" for row in rows)
    (hit,) = search([rows[3].text], table, 1).collect()
    same = [row.chunk_id for row in rows if row.text and row.text.strip().lower() == rows[3].text.strip().lower()]
    assert hit.chunk_id == min(same)  # of equal scores the smallest id
    with pytest.raises(InputError, match=r"has a column 'chunk_id' already\. Fix: rename it: --chunk adds"):
        runner.run(
            EmbedJob(
                **{**about, "input": where, "output": where + "2", "output_column": "v"},
                model=str(tiny_model),
                chunk="40",
            ),
            spark,
        )
    with pytest.raises(InputError, match=r"A chunk of 99 tokens is more than the model reads"):
        runner.run(EmbedJob(**about, model=str(tiny_model), chunk="99"), spark)


def test_a_pooled_table_has_a_row_for_each_text_and_is_merged(
    spark: "SparkSession", tiny_model: Path, docs: str, tmp_path: Path
) -> None:
    job = EmbedJob(
        input=docs,
        text_column="text",
        id_column="id",
        output=str(tmp_path / "out"),
        mode="merge",
        model=str(tiny_model),
        dtype="float32",
        chunk="auto",
        pooling="mean",
    )
    assert runner.run(job, spark)["rows"]["out"] == len(TEXTS)
    table = {row.id: row for row in io.read(spark, job.output).collect()}
    options: dict[str, Any] = {"model": tiny_model, "dtype": "float32", "chunk": "auto", "pooling": "mean"}
    made = spark.read.parquet(docs).select("id", encode("text", **options).alias("embedding")).collect()
    for row in made:
        assert (row.embedding is None) == (TEXTS[row.id] is None)
        if row.embedding:
            np.testing.assert_allclose(table[row.id].embedding, row.embedding, atol=1e-5)
    again = runner.run(job, spark)["rows"]
    assert (again["unchanged"], again["new"]) == (len(TEXTS), 0)


def test_merged_chunks_are_those_of_a_new_table(spark: "SparkSession", tiny_model: Path, tmp_path: Path) -> None:
    job = EmbedJob(
        input=str(tmp_path / "docs"),
        text_column="text",
        id_column="id",
        output=str(tmp_path / "merged"),
        mode="merge",
        model=str(tiny_model),
        dtype="float32",
        chunk="40",
        overlap=6,
    )

    def write(rows: list[tuple[int, str | None, str]]) -> None:
        frame = spark.createDataFrame(rows, "id int, text string, title string")
        frame.write.mode("overwrite").parquet(job.input)

    def read(where: str) -> dict[str, Any]:
        return {row.chunk_id: row.asDict() for row in io.read(spark, where).collect()}

    def near(rows: dict[str, Any]) -> dict[str, Any]:
        return {name: row | {"embedding": pytest.approx(row["embedding"], abs=1e-5)} for name, row in rows.items()}

    write([(1, LONG, "one"), (2, LONG + "The end.", "two"), (3, LONG, "three"), (4, None, "four"), (5, LONG, "five")])
    assert runner.run(job, spark)["rows"]["in"] == 5
    two, gone = ({name for name in read(job.output) if name.startswith(number)} for number in ("2:", "5:"))
    # One grows, two shrinks, three has no text left, four gets one, five is gone, and six is new.
    write([(1, LONG + LONG.upper(), "1"), (2, LONG, "2"), (3, None, "3"), (4, "the cat", "4"), (6, "A dog.", "6")])
    runner.run(replace(job, mode="error", output=str(tmp_path / "new")), spark)
    new, rows = read(str(tmp_path / "new")), runner.run(job, spark)["rows"]
    assert {name: row for name, row in read(job.output).items() if name not in gone} == near(new)
    assert (rows["missing"], rows["out"]) == (len(gone), len(gone) + len(new))
    # Text three has one row in place of its chunks, text two has one chunk less.
    assert rows["dropped"] == len(gone) - 1 + len(two) - sum(name.startswith("2:") for name in new)
    rows = runner.run(replace(job, delete_missing=True), spark)["rows"]
    assert {rows[name] for name in ("new", "changed", "updated", "dropped")} == {0}
    assert (rows["deleted"], read(job.output)) == (len(gone), near(new))


def test_a_merge_of_chunks_stops_at_a_text_that_cannot_be_decoded(
    spark: "SparkSession", tiny_model: Path, tmp_path: Path
) -> None:
    texts = spark.createDataFrame([(1, LONG.encode() + b"\xff"), (2, LONG.encode())], "id int, text binary")
    texts.selectExpr("id", "cast(text AS string) AS text").write.parquet(str(tmp_path / "docs"))
    job = EmbedJob(
        input=str(tmp_path / "docs"),
        text_column="text",
        id_column="id",
        output=str(tmp_path / "merged"),
        mode="merge",
        on_error="fail",
        model=str(tiny_model),
        chunk="40",
    )
    spark.createDataFrame([(3, "the cat")], "id int, text string").write.parquet(str(tmp_path / "first"))
    runner.run(replace(job, input=str(tmp_path / "first")), spark)
    with pytest.raises(InputError, match=r"rows of .*docs are bad .*Nothing was written"):
        runner.run(job, spark)
    rows = runner.run(replace(job, on_error=None), spark)["rows"]
    chunks = io.read(spark, job.output).where("id = 1").count()
    assert (rows["undecodable"], rows["chunks"]) == (chunks, 2 * chunks)


def test_ids_of_chunks_are_made_of_whole_numbers_or_strings(
    spark: "SparkSession", tiny_model: Path, tmp_path: Path
) -> None:
    spark.createDataFrame([(1.5, "the cat")], "id double, text string").write.parquet(str(tmp_path / "docs"))
    job = EmbedJob(
        input=str(tmp_path / "docs"),
        text_column="text",
        id_column="id",
        output=str(tmp_path / "out"),
        model=str(tiny_model),
        chunk="40",
    )
    with pytest.raises(InputError, match=r"The id column 'id' of .* holds double.* Fix: cast it to bigint or string"):
        runner.run(job, spark)
