"""Embed jobs with int8, uint8 and binary precision: the table has the ranges, appends use them, searches too."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from st_spark.cli import main
from st_spark.cli.summaries import summary_of_embed
from st_spark.errors import InputError, TableError
from st_spark.jobs import runner
from st_spark.model.encoder import SentenceTransformer
from st_spark.model.quantization import Form, ranges_of
from st_spark.specs.pair_jobs import ClusterJob, DedupJob, JoinJob, MineJob
from st_spark.specs.row_jobs import EmbedJob, SearchJob
from st_spark.tables import io
from st_spark.tables.metadata import ranges_from_metadata, vector_column
from tests.support.report_page import sections
from tests.support.word_checkpoints import write_router

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow
Embed = Callable[..., dict[str, Any]]
TEXTS = [f"the {animal} {verb}" for animal in ("cat", "dog", "river", "sun") for verb in ("sat", "ran", "rain", "and")]


@pytest.fixture
def embed(spark: "SparkSession", tiny_model: Path, tmp_path: Path) -> Embed:
    """Embed texts, numbered from `first`, and a null into tmp_path/out."""

    def run(texts: list[str], first: int = 0, **options: Any) -> dict[str, Any]:
        rows = [*enumerate(texts, first), (999, None)]
        source = str(tmp_path / f"in{first}")
        spark.createDataFrame(rows, "id int, text string").write.mode("overwrite").parquet(source)
        given = {"model": str(tiny_model), "dtype": "float32", "text_column": "text", "id_column": "id", **options}
        return runner.run(EmbedJob(input=source, output=str(tmp_path / "out"), **given), spark)

    return run


def written(spark: "SparkSession", tmp_path: Path) -> tuple[dict[int, Any], dict[str, Any], str]:
    """Return the vectors by id, the metadata of their column, and its type."""
    table = io.read(spark, str(tmp_path / "out"))
    metadata = vector_column(table.schema, "out")[1]
    found = {row.id: row.embedding for row in table.collect() if row.id != 999}
    return found, metadata, dict(table.dtypes)["embedding"]


@pytest.mark.parametrize(
    ("precision", "kind"),
    [("int8", "tinyint"), ("uint8", "smallint"), ("binary", "tinyint"), ("ubinary", "smallint")],
)
def test_quantised_tables_are_read_and_searched_with_their_metadata(
    spark: "SparkSession", embed: Embed, tiny_model: Path, tmp_path: Path, precision: str, kind: str
) -> None:
    """With the metadata of the table its bytes become the vectors of the model again."""
    result = embed(TEXTS, precision=precision)
    assert result["precision"] == precision
    seconds = result["seconds"]
    assert sum(seconds.values()) - seconds["total"] <= seconds["total"] + 0.01  # no second counts for two phases
    assert f"float32 on {result['model']['device']}, stored as {precision}\n" in summary_of_embed(result)
    assert [result["rows"][name] for name in ("in", "out", "null", "zero", "nan")] == [17, 17, 1, 0, 0]
    found, metadata, stored = written(spark, tmp_path)
    assert (stored, metadata["precision"], metadata["dim"]) == (f"array<{kind}>", precision, 32)
    model = SentenceTransformer(tiny_model, dtype="float32", device="cpu")
    wanted = model.encode(TEXTS)
    back = Form(precision, metadata["dim"], ranges_from_metadata(metadata)).floats(
        np.array([found[i] for i in range(16)])
    )
    if precision in ("binary", "ubinary"):
        assert np.array_equal(back, np.where(wanted > 0, 1, -1))
    else:
        ranges = ranges_of(wanted)
        assert np.abs(np.array(ranges_from_metadata(metadata)) - ranges).max() < 1e-6
        assert (np.abs(back - wanted) <= (ranges[1] - ranges[0]) / 255 / 2 + 1e-5).all()
    if precision != "ubinary":
        check_search(spark, tiny_model, tmp_path, precision)


def test_jobs_read_tables_of_every_precision_also_of_two(
    spark: "SparkSession", embed: Embed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = {name: str(tmp_path / name) for name in ("float32", "uint8", "binary")}
    for precision, folder in where.items():
        embed(TEXTS, precision=precision, mode="overwrite")
        shutil.copytree(tmp_path / "out", folder)
    for left, right in (("float32", "uint8"), ("uint8", "binary")):
        job = JoinJob(left=where[left], right=where[right], k=1, output=str(tmp_path / "pairs"), mode="overwrite")
        result = runner.run(job, spark)
        about = {"rows": 17, "kept": 16, "set_aside": {"null": 1}, "dimension": 32}
        assert [result[side] for side in ("left", "right")] == [
            {"path": where[each], **about} for each in (left, right)
        ]
        ours, theirs = (unit_floats(spark, where[name]) for name in (left, right))
        pairs = io.read(spark, job.output).collect()
        assert sorted(row["left_id"] for row in pairs) == list(range(16))
        for row in pairs:
            cosines = ours[row["left_id"]] @ theirs.T
            assert row["score"] == pytest.approx(cosines.max(), abs=1e-6)
            assert row["score"] == pytest.approx(cosines[row["right_id"]], abs=1e-6)
    groups = runner.run(DedupJob(input=where["binary"], threshold=0.9, output=str(tmp_path / "groups")), spark)
    assert (groups["score"], groups["input"]["kept"]) == ("cosine", 16)
    page = str(tmp_path / "clusters.html")
    clusters = ClusterJob(input=where["binary"], k=3, output=str(tmp_path / "clusters"), report=page)
    assert runner.run(clusters, spark)["clusters"]["all"] == 3
    shown = " ".join(" ".join(sections(page).values()).split())
    assert "16 sampled vectors, by their first two principal components" in shown
    mined = MineJob(source=where["float32"], target=where["uint8"], output=str(tmp_path / "mined"), threshold=0.5)
    assert runner.run(mined, spark)["pairs"] > 10
    wrong = ["dedup", "--input", where["binary"], "--score", "dot", "--output", str(tmp_path / "no")]
    assert main.main(wrong) == 2
    assert "are binary, which dot cannot compare: bits are signs without lengths. Fix" in capsys.readouterr().err


def unit_floats(spark: "SparkSession", where: str) -> Any:
    """Return the vectors of a table as they are read, with length 1, in the order of the ids."""
    table = io.read(spark, where)
    metadata = vector_column(table.schema, where)[1]
    form = Form(metadata.get("precision", "float32"), 32, ranges_from_metadata(metadata))
    rows = table.where("embedding IS NOT NULL").orderBy("id").collect()
    vectors = form.floats(np.array([row.embedding for row in rows])).astype(float)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def check_search(spark: "SparkSession", tiny_model: Path, tmp_path: Path, precision: str) -> None:
    """Check that byte vectors score within 0.01 of float vectors, and bit vectors like vectors of 1 and -1."""
    result = runner.run(SearchJob(query="the dog ran", table=str(tmp_path / "out"), k=16), spark)
    assert result["model"] == {"name": str(tiny_model), "dim": 32, "similarity": "cosine", "precision": precision}
    assert result["rows"] == {"in": 17, "null": 1, "nan": 0, "dimension": 0}
    assert result["hits"][0]["row"]["text"] == "the dog ran"
    vectors = SentenceTransformer(tiny_model, device="cpu").encode([*TEXTS, "the dog ran"])
    vectors = vectors.astype(float)
    query, near = vectors[-1], 0.01
    if precision == "binary":
        vectors, near = np.where(vectors > 0, 1.0, -1.0), 0.02
    scores = vectors[:-1] @ query / np.linalg.norm(vectors[:-1], axis=1) / np.linalg.norm(query)
    for hit in result["hits"]:
        assert abs(hit["score"] - scores[hit["row"]["id"]]) <= near


@pytest.mark.parametrize("output_format", ["parquet", "table"])
def test_an_append_uses_the_ranges_of_the_table(
    spark: "SparkSession", embed: Embed, tiny_model: Path, tmp_path: Path, output_format: str
) -> None:
    """Values of the second texts outside the ranges of the first are clipped."""
    where = str(tmp_path / "out") if output_format == "parquet" else "appended_int8"
    spark.sql("DROP TABLE IF EXISTS appended_int8")

    def run(texts: list[str], first: int, mode: str) -> None:
        source = str(tmp_path / f"in{first}")
        spark.createDataFrame(list(enumerate(texts, first)), "id int, text string").write.parquet(source)
        job = EmbedJob(
            input=source,
            output=where,
            model=str(tiny_model),
            text_column="text",
            dtype="float32",
            precision="int8",
            mode=mode,
        )
        result = runner.run(EmbedJob(**{**vars(job), "output_format": output_format}), spark)
        assert ("calibrate" in result["seconds"]) == (mode == "error")

    run(TEXTS[:4], 0, "error")
    first = vector_column(io.read(spark, where, output_format).schema, "out")[1]
    run(TEXTS[4:], 4, "append")
    table = io.read(spark, where, output_format)
    metadata = vector_column(table.schema, "out")[1]
    assert metadata["ranges"] == first["ranges"]
    low, high = ranges_from_metadata(metadata) or ([], [])
    wanted = np.clip(SentenceTransformer(tiny_model, dtype="float32", device="cpu").encode(TEXTS), low, high)
    found = {row.id: row.embedding for row in table.collect()}
    back = Form("int8", 32, [low, high]).floats(np.array([found[i] for i in range(16)]))
    assert (np.abs(back - wanted) <= (np.array(high) - low) / 255 / 2 + 1e-5).all()
    spark.sql("DROP TABLE IF EXISTS appended_int8")


def test_an_append_in_another_precision_is_an_error(embed: Embed) -> None:
    embed(TEXTS[:8], precision="int8")
    for precision, problem in (
        ("uint8", "Cannot add uint8 vectors to .*: its column 'embedding' has no uint8 ranges"),
        ("binary", "precision 'int8'; this job uses precision 'binary'"),
    ):
        with pytest.raises(TableError, match=problem):
            embed(TEXTS[8:], 8, precision=precision, mode="append")


def test_too_few_texts_to_calibrate_are_an_error(embed: Embed) -> None:
    with pytest.raises(InputError, match=r"text: 1 different texts have a vector.* Fix: .* float32 or binary"):
        embed(["one"], precision="int8")


def test_zero_vectors_are_counted_in_every_precision(spark: "SparkSession", tmp_path: Path) -> None:
    from tests.support.word_checkpoints import write_words

    spark.createDataFrame([("",), ("paris london",), (None,)], "text string").write.parquet(str(tmp_path / "in"))
    job = EmbedJob(
        input=str(tmp_path / "in"),
        output=str(tmp_path / "out"),
        model=str(write_words(tmp_path / "words")),
        text_column="text",
    )
    for precision in ("float32", "uint8", "binary"):
        result = runner.run(EmbedJob(**{**vars(job), "precision": precision, "mode": "overwrite"}), spark)
        assert (result["rows"]["zero"], result["rows"]["nan"], result["rows"]["null"]) == (1, 0, 1)


def test_a_job_uses_the_route_of_its_task(spark: "SparkSession", embed: Embed, tmp_path: Path) -> None:
    folder = write_router(tmp_path / "router")
    embed(["the cat sat"], model=str(folder), task="query")
    found, metadata, _ = written(spark, tmp_path)
    alone = SentenceTransformer(folder, dtype="float32", device="cpu")
    np.testing.assert_allclose(found[0], alone.encode("the cat sat", task="query"), atol=1e-5)
    assert metadata["task"] == "query"
    with pytest.raises(TableError, match="task 'query'; this job uses task 'document'"):
        embed(["rain"], 1, model=str(folder), task="document", mode="append")
