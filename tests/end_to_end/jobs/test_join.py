"""The join job: pairs of tables of vectors or texts, and its result."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from st_spark.cli import main
from st_spark.errors import InputError, TableError
from st_spark.jobs import runner
from st_spark.model.encoder import SentenceTransformer
from st_spark.specs.pair_jobs import DedupJob, JoinJob, MineJob
from st_spark.specs.row_jobs import EmbedJob
from st_spark.tables import io
from tests.spark.join.tables import frame, neighbours, random_vectors, rows
from tests.support.checkpoints import write_bert
from tests.support.report_page import sections

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.slow
def test_two_tables_are_joined_and_rows_without_vectors_counted(spark: "SparkSession", tmp_path: Path) -> None:
    vectors = random_vectors(0, 40, 3)
    frame(spark, [*range(30), 99, None], [*vectors[:30], None, [1, 1, 1]]).write.parquet(str(tmp_path / "left"))
    frame(spark, range(30, 40), vectors[30:]).write.parquet(str(tmp_path / "right"))
    job = JoinJob(left=str(tmp_path / "left"), right=str(tmp_path / "right"), output=str(tmp_path / "out"), k=2)
    result = runner.run(job, spark)
    side = {"path": job.left, "rows": 32, "kept": 30, "set_aside": {"null": 1, "null id": 1}, "dimension": 3}
    assert result["left"] == side
    assert result["right"] == {"path": job.right, "rows": 10, "kept": 10, "set_aside": {}, "dimension": 3}
    names = ("job", "pairs", "method", "score", "k", "threshold", "model")
    assert [result[name] for name in names] == ["join", 60, "exact", "cosine", 2, None, None]
    assert {"read", "survey", "join_and_write", "total"} <= set(result["seconds"])
    expected = neighbours(range(30), vectors[:30], range(30, 40), vectors[30:], 2, "cosine")
    assert rows(io.read(spark, job.output)) == expected
    with pytest.raises(TableError, match="exists"):
        runner.run(job, spark)
    with pytest.raises(TableError, match=r"the columns differ: rank \(int there, missing here\)"):
        runner.run(JoinJob(**{**vars(job), "mode": "append", "k": None, "threshold": 0.5}), spark)


@pytest.mark.slow
def test_texts_of_both_tables_are_embedded_and_joined(spark: "SparkSession", minilm: Path, tmp_path: Path) -> None:
    questions, answers = tmp_path / "questions.jsonl", tmp_path / "answers.csv"
    asked = {"q1": "Where do cats sleep?", "q2": "How is bread made?", "q3": None}
    lines = [json.dumps({"id": name, "text": text}) for name, text in asked.items()]
    questions.write_text("\n".join([*lines, "{broken"]) + "\n")
    answers.write_text("name,sentence\na1,Bread is baked from flour and water.\na2,A cat sleeps in a warm place.\n")
    job = JoinJob(
        left=str(questions),
        right=str(answers),
        output=str(tmp_path / "out"),
        k=1,
        model=str(minilm),
        text_column="text",
        right_id_column="name",
        right_text_column="sentence",
        max_seq_length=6,
        batch_size=2,
        dtype="float32",
        report=str(tmp_path / "r.html"),
    )
    result = runner.run(job, spark)
    model = SentenceTransformer(minilm, dtype="float32")
    model.max_seq_length = 6
    scores = model.similarity(
        *(model.encode(text) for text in ("Where do cats sleep?", "A cat sleeps in a warm place."))
    )
    found = {row[0]: row[2] for row in rows(io.read(spark, job.output))}
    assert found["q1"] == pytest.approx(scores.item(), abs=1e-5)
    assert result["model"]["max_seq_length"] == 6
    assert {row[:2] for row in rows(io.read(spark, job.output))} == {("q1", "a2"), ("q2", "a1")}
    assert result["left"]["set_aside"] == {"null": 1, "corrupt": 1}
    assert result["left"]["rows"] == 4
    shown = " ".join(sections(job.report)["Examples"].split())
    assert "q1: Where do cats sleep? a2: A cat sleeps in a warm place." in shown
    assert result["model"]["dim"] == result["right"]["dimension"] == 384
    assert result["score"] == "cosine"


@pytest.mark.slow
def test_a_table_that_has_vectors_of_the_model_is_not_embedded_again(
    spark: "SparkSession", tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sentence_transformers import SentenceTransformer as Peer

    asked, answers = ["where do cats sleep", "bread"], ["bread is baked from flour", "a cat sleeps", "rain"]
    (tmp_path / "asked.csv").write_text("id,text\n" + "".join(f"{i},{text}\n" for i, text in enumerate(asked)))
    (tmp_path / "in.csv").write_text("id,answer\n" + "".join(f"{i},{text}\n" for i, text in enumerate(answers)))
    embed = EmbedJob(
        input=str(tmp_path / "in.csv"),
        output=str(tmp_path / "docs"),
        model=str(tiny_model),
        text_column="answer",
        truncate_dim=16,
        normalize_embeddings=True,
        dtype="float32",
    )
    runner.run(embed, spark)
    argv = ["join", f"--left={tmp_path / 'asked.csv'}", f"--right={embed.output}", f"--output={tmp_path / 'out'}"]
    argv += ["--text-column=text", f"--model={tiny_model}", "--dtype=float32", "--score=dot", "--k=3"]
    argv += ["--left-columns=text", "--right-columns=answer", "--right-where=answer <> 'rain'"]
    assert main.main([*argv, f"--result={tmp_path / 'r.json'}"]) == 0
    shown, result = capsys.readouterr(), json.loads((tmp_path / "r.json").read_text())
    assert f"Using the vectors of {embed.output}: column 'embedding', made by {tiny_model}" in shown.err
    assert f"vectors: {tmp_path / 'asked.csv'} embedded, {embed.output} reused" in shown.out
    assert [result[side]["vectors"] for side in ("left", "right")] == ["embedded", "reused"]
    assert [result[side]["dimension"] for side in ("left", "right")] == [16, 16]
    peer = Peer(str(tiny_model), truncate_dim=16, device="cpu")
    x, y = (peer.encode(texts, normalize_embeddings=True) for texts in (asked, answers))
    found = {(int(row[0]), int(row[1])): row for row in rows(io.read(spark, str(tmp_path / "out")))}
    for i, j in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        assert found[i, j][2] == pytest.approx(float(x[i] @ y[j]), abs=1e-5)
        assert found[i, j][4:] == (asked[i], answers[j])
    assert len(found) == result["pairs"] == 4
    grouped = DedupJob(input=embed.output, output=str(tmp_path / "groups"), model=str(tiny_model), text_column="answer")
    assert runner.run(grouped, spark)["input"]["vectors"] == "reused"
    mined = MineJob(
        source=str(tmp_path / "asked.csv"),
        target=embed.output,
        output=str(tmp_path / "pairs"),
        model=str(tiny_model),
        text_column="text",
        target_text_column="answer",
    )
    result = runner.run(mined, spark)
    assert [result[side]["vectors"] for side in ("source", "target")] == ["embedded", "reused"]
    other = str(write_bert(tmp_path / "other", seed=9))
    where: dict[str, Any] = {"left": str(tmp_path / "asked.csv"), "right": embed.output, "output": str(tmp_path / "no")}
    with pytest.raises(InputError, match=r"docs has no column 'text' to embed, and its vectors cannot be used: 'emb"):
        runner.run(JoinJob(**where, model=other, text_column="text"), spark)


@pytest.mark.slow
def test_tables_of_two_models_are_not_joined(
    spark: "SparkSession", minilm: Path, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": 1, "text": "a cat"}\n')
    for name, model in (("left", minilm), ("right", tiny_model)):
        where: dict[str, Any] = {"input": str(tmp_path / "in.jsonl"), "output": str(tmp_path / name)}
        runner.run(EmbedJob(**where, model=str(model), text_column="text"), spark)
    job = JoinJob(left=str(tmp_path / "left"), right=str(tmp_path / "right"), output=str(tmp_path / "out"))
    with pytest.raises(InputError, match=r"left was embedded with .*right with .*use one model for both"):
        runner.run(job, spark)


@pytest.mark.slow
def test_the_command_joins_a_table_with_itself_and_prints_a_summary(
    spark: "SparkSession", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame(spark, [*range(20), 20], [*random_vectors(1, 20, 3), [0, 0, 0]]).write.parquet(str(tmp_path / "in"))
    argv = ["join", f"--left={tmp_path / 'in'}", f"--output={tmp_path / 'out'}", f"--result={tmp_path / 'r.json'}"]
    assert main.main([*argv, "--threshold=0.5"]) == 0
    shown = capsys.readouterr().out
    result = json.loads((tmp_path / "r.json").read_text())
    assert "right" not in result
    assert result["pairs"] == io.read(spark, str(tmp_path / "out")).count()
    for line in (
        "21 rows with themselves",
        "a score of 0.5 or more; cosine, exact",
        f"set aside of {tmp_path / 'in'}: 1 zero",
    ):
        assert line in shown
    assert main.main([*argv, "--threshold=-1", "--max-pairs=50", "--mode=overwrite"]) == 2
    assert "About 190 pairs have a cosine score of -1 or more" in capsys.readouterr().err
    assert main.main([*argv, "--threshold=-1", "--max-pairs=50", "--mode=overwrite", "--overflow=best"]) == 0
    assert "only the best 2 of each row; 190 were expected" in capsys.readouterr().out
