"""The mining job: it reads two tables and writes a table, files, a report and the result."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from st_spark.cli import main
from st_spark.errors import InputError, TableError
from st_spark.jobs import mine, runner
from st_spark.specs.pair_jobs import MineJob
from st_spark.tables import io
from tests.spark.join.tables import frame
from tests.support.report_page import sections
from tests.unit.bitext import laser
from tests.unit.bitext.test_retrieval import clustered

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow

VECTORS = clustered(1, 30), clustered(2, 24)


@pytest.fixture(scope="module")
def embedded(spark: "SparkSession", tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Write two embedded tables with texts; one row of the source table has no vector."""
    folder = tmp_path_factory.mktemp("embedded")
    for side, vectors in zip(("source", "target"), VECTORS, strict=True):
        rows: list[Any] = [*vectors, *([None] if side == "source" else [])]
        texts = [f"{side} sentence & number {i}" for i in range(len(rows))]
        frame(spark, range(len(rows)), rows, text=texts).write.parquet(str(folder / side))
    return str(folder / "source"), str(folder / "target")


def test_a_mining_job_writes_a_table_files_and_a_report(
    spark: "SparkSession", embedded: tuple[str, str], tmp_path: Path
) -> None:
    source, target = embedded
    job = MineJob(
        source=source,
        target=target,
        output=str(tmp_path / "out"),
        threshold=1.1,
        text_column="text",
        max_alike=1.0,
        tsv=str(tmp_path / "out.tsv"),
        tmx=str(tmp_path / "out.tmx"),
        report=str(tmp_path / "report.html"),
        source_language="de",
        target_language="en",
    )
    result = runner.run(job, spark)
    want = laser.mine(laser.cosines(*(each.astype("float32") for each in VECTORS)), threshold=1.1)
    out = io.read(spark, job.output)
    assert out.columns == "source_id target_id score cosine direction forward_rank backward_rank".split()
    found = {(row["source_id"], row["target_id"]): row["score"] for row in out.collect()}
    assert found == pytest.approx(want, abs=1e-9)
    names = ("job", "pairs", "k", "margin", "retrieval", "candidates", "threshold", "method", "model", "refused")
    values = ["mine", len(want), 4, "ratio", "max", "best", 1.1, "exact", None, {}]
    assert [result[name] for name in names] == values
    assert result["source"]["set_aside"] == {"null": 1}
    assert result["source"]["kept"] == 30
    output = {"path": job.output, "format": "parquet", "mode": "error", "version": None}
    assert result["output"] == output | {"job_id": result["output"]["job_id"]}
    lines = Path(str(job.tsv)).read_text().splitlines()
    assert [float(line.split("\t")[0]) for line in lines[1:]] == pytest.approx(sorted(want.values())[::-1], abs=1e-6)
    best = min(want, key=lambda pair: (-want[pair], *pair))
    assert lines[1].split("\t")[1:3] == [f"source sentence & number {best[0]}", f"target sentence & number {best[1]}"]
    units = ElementTree.parse(str(job.tmx)).getroot().findall("body/tu")
    assert len(units) == len(want)
    assert units[0].findtext("tuv/seg") == f"source sentence & number {best[0]}"
    assert result["report"]["pairs_from"]["1.10"] == len(want)
    every = laser.mine(laser.cosines(*(each.astype("float32") for each in VECTORS)))
    assert next(iter(result["report"]["pairs_from"].values())) == len(every) > len(want)
    shown = {title: " ".join(text.split()) for title, text in sections(job.report).items()}
    assert list(shown) == ["What ran", "Time", "Inputs", "Scores", "Examples", "All values"]
    assert "source set aside: null 1" in shown["Inputs"]
    assert f"1.10 {len(want)}" in shown["Scores"]
    above, below = shown["Examples"].split("Just below it")
    assert f"{want[best]:.4f} {best[0]}: source sentence & number {best[0]}" in above
    assert "source sentence & number" in below
    with pytest.raises(TableError, match="exists"):
        runner.run(job, spark)


SENTENCES = {
    "A cat is sleeping on the sofa.": "On the couch there is a cat asleep.",
    "The train to Hamburg leaves at noon.": "At twelve the train departs for Hamburg.",
    "She bought fresh bread this morning.": "This morning she purchased some fresh bread.",
    "Inflation rose to five percent in May.": "In May inflation climbed to five percent.",
    "Only one half of this has a partner.": "Sharks are fish with skeletons of cartilage.",
}


def test_texts_are_embedded_by_the_default_model_and_the_summary_is_printed(
    spark: "SparkSession",
    minilm: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(mine, "MODEL", str(minilm))
    for side, texts in (("source", SENTENCES), ("target", SENTENCES.values())):
        lines = [json.dumps({"id": i, "text": text}) for i, text in enumerate([*texts, "short", "", "a b c d e" * 99])]
        (tmp_path / f"{side}.jsonl").write_text("\n".join(lines) + "\n")
    argv = [
        "mine",
        f"--source={tmp_path / 'source.jsonl'}",
        f"--target={tmp_path / 'target.jsonl'}",
        f"--output={tmp_path / 'out'}",
        f"--result={tmp_path / 'r.json'}",
        "--text-column=text",
        "--texts",
        "--candidates=all",
        "-k=2",
    ]
    assert main.main(argv) == 0
    shown = capsys.readouterr().out
    result = json.loads((tmp_path / "r.json").read_text())
    rows = io.read(spark, str(tmp_path / "out")).collect()
    assert {(row["source_text"], row["target_text"]) for row in rows} == set(list(SENTENCES.items())[:4])
    assert result["source"]["set_aside"] == {"too long": 1, "too short": 2}
    assert result["model"]["dim"] == 384
    assert "4 pairs in" in shown
    assert "ratio margin above 1.06, k 2, max of all, exact" in shown
    assert f"set aside of {tmp_path / 'source.jsonl'}: 1 too long, 2 too short" in shown


def test_an_option_of_the_model_is_rejected_for_tables_of_vectors(
    spark: "SparkSession", embedded: tuple[str, str], tmp_path: Path
) -> None:
    source, target = embedded
    job = MineJob(source=source, target=target, output=str(tmp_path / "out"), max_seq_length=8)
    with pytest.raises(InputError, match="max_seq_length is given, and no text is embedded: both tables have vectors"):
        runner.run(job, spark)


def test_files_without_a_folder_are_rejected_before_any_work(
    spark: "SparkSession", embedded: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = MineJob(
        source=embedded[0],
        target=embedded[1],
        output=str(tmp_path / "out"),
        text_column="text",
        tsv=str(tmp_path / "none" / "out.tsv"),
    )
    with pytest.raises(InputError, match="There is no folder for"):
        runner.run(job, spark)
    argv = [f"--source={embedded[0]}", f"--target={embedded[1]}", f"--output={tmp_path / 'out'}", "--margin=absolute"]
    assert main.main(["mine", *argv]) == 2
    assert "the default, 1.06, is for ratios" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
