"""What a table says of itself: describe(), on tables of every kind."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as sf

from st_spark import __version__, describe
from st_spark.cli import main
from st_spark.jobs import runner
from st_spark.specs.pair_jobs import DedupJob
from st_spark.specs.row_jobs import EmbedJob
from st_spark.steps import output_table
from st_spark.tables import provenance
from st_spark.tables.transactional_writer import TransactionalWriter

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow


@pytest.fixture
def job(tmp_path: Path, tiny_model: Path) -> EmbedJob:
    """A merge of three texts, of which two are equal."""
    where = tmp_path / "in.csv"
    where.write_text("id,text\n1,the cat\n2,a mat\n3,the cat\n")
    fields: dict[str, Any] = {"input": str(where), "output": str(tmp_path / "out [1]"), "model": str(tiny_model)}
    return EmbedJob(**fields, prompt="query: ", text_column="text", id_column="id", mode="merge")


@pytest.fixture
def warehouse(spark: "SparkSession", tmp_path: Path) -> Iterator["SparkSession"]:
    """A session with a database `lake`, which is dropped at the end."""
    spark.sql(f"CREATE DATABASE lake LOCATION '{tmp_path}'")
    yield spark
    spark.sql("DROP DATABASE lake CASCADE")


def changed(job: EmbedJob, **fields: Any) -> EmbedJob:
    return EmbedJob(**{**vars(job), **fields})


def test_a_folder_says_how_it_was_made_and_by_which_run(
    spark: "SparkSession", job: EmbedJob, capsys: pytest.CaptureFixture[str]
) -> None:
    result = runner.run(job, spark)
    found = describe(spark, job.output)
    files = list(Path(job.output).glob("*.parquet"))
    sizes = (len(files), sum(file.stat().st_size for file in files), len(files))
    assert (found["format"], found["rows"], found["warnings"]) == ("parquet", 3, [])
    assert (found["files"], found["bytes"], found["small_files"]) == sizes
    column = found["columns"]["embedding"]
    assert (column["type"], column["dimension"]) == ("array<float>", 32)
    recipe = {name: column["recipe"][name] for name in ("model", "content", "prompt", "text_columns", "id_column")}
    assert recipe == {
        "model": job.model,
        "content": result["model"]["content"],
        "prompt": "query: ",
        "text_columns": ["text"],
        "id_column": "id",
    }
    run = found["last_run"]
    assert (run["job"], run["st_spark"], run["mode"]) == ("embed", __version__, "merge")
    assert run["job_id"] == result["output"]["job_id"]
    assert run["application"] == result["spark"]["application"]
    assert (run["rows"]["in"], run["rows"]["out"], run["rows"]["duplicates"]) == (3, 3, result["duplicates"])

    Path(job.input).write_text("id,text\n1,the cat\n2,a mat\n3,the cats\n4,word\n")
    merged = runner.run(job, spark)
    file = Path(job.input).with_name("about.json")
    assert main.main(["describe", job.output, "--json", "--result", str(file)]) == 0
    shown = capsys.readouterr().out
    assert file.read_text() == shown
    run = json.loads(shown)["last_run"]
    assert run["job_id"] == merged["output"]["job_id"]
    assert {name: run["rows"][name] for name in ("new", "changed", "unchanged")} == {
        "new": 1,
        "changed": 1,
        "unchanged": 2,
    }
    runner.run(job, spark)  # writes nothing
    assert describe(spark, job.output)["last_run"] == run
    assert main.main(["describe", job.output]) == 0
    shown = capsys.readouterr().out
    assert f"table {job.output} (parquet)\n  4 rows in {len(list(Path(job.output).glob('*.parquet')))} files, " in shown
    for line in ("column embedding: array<float>, 32 dimensions", "prompt query: ", "50.0% kept their vector"):
        assert line in shown


def test_an_append_and_a_table_of_groups_have_their_record(spark: "SparkSession", job: EmbedJob) -> None:
    runner.run(changed(job, mode="error"), spark)
    appended = runner.run(changed(job, mode="append"), spark)
    found = describe(spark, job.output)
    assert (found["rows"], found["last_run"]["rows"]["out"]) == (6, 3)
    assert (found["last_run"]["mode"], found["last_run"]["job_id"]) == ("append", appended["output"]["job_id"])
    runner.run(changed(job, mode="overwrite"), spark)
    groups = DedupJob(input=job.output, output=f"{job.output}_groups")
    runner.run(groups, spark)
    found = describe(spark, groups.output)
    assert (found["last_run"]["job"], found["last_run"]["rows"]["rows"]) == ("dedup", 3)
    assert found["columns"]["score"]["recipe"]["threshold"] == 0.9


@pytest.mark.parametrize("mode", ["overwrite", "append", "merge"])
def test_a_catalog_table_keeps_the_record_in_its_properties(
    warehouse: "SparkSession", job: EmbedJob, mode: str
) -> None:
    table = changed(job, output="lake.kept", output_format="table", mode=mode)
    runner.run(table, warehouse)
    Path(job.input).write_text("id,text\n5,another cat\n")
    result = runner.run(table, warehouse)
    found = describe(warehouse, table.output)
    assert (found["format"], found["rows"]) == ("table", 1 if mode == "overwrite" else 4)
    assert found["last_run"]["job_id"] == result["output"]["job_id"]
    assert found["last_run"]["rows"]["out"] == result["rows"]["out"]
    assert found["files"] > 0


def test_rejected_rows_have_the_format_of_a_catalog_table(warehouse: "SparkSession", job: EmbedJob) -> None:
    warehouse.sql("CREATE TABLE lake.kept (id STRING) USING orc")
    table = changed(job, output="lake.kept", mode="overwrite", on_error="quarantine")
    with output_table.opened(warehouse, table) as output:
        assert output.rejected is not None
        assert (output.rejected.where, output.rejected.provider) == ("lake.kept__rejected", "orc")
        output.rejected.write(warehouse.range(3), lambda: 3)
    assert "orc" in warehouse.sql("SHOW CREATE TABLE lake.kept__rejected").collect()[0][0]


def test_tables_in_other_formats_with_transactions_keep_no_record(warehouse: "SparkSession") -> None:
    warehouse.sql("CREATE TABLE lake.kept (id STRING) USING parquet")
    fields = (warehouse, "lake.kept", "table", "append", True, (), "lake.kept")
    provenance.keep(TransactionalWriter(*fields, provider="iceberg"), {"job": "embed"})
    assert provenance.last_run(warehouse, "lake.kept", "table") is None


def test_a_table_that_says_nothing_is_described_as_far_as_it_can_be(spark: "SparkSession", tmp_path: Path) -> None:
    where = str(tmp_path / "plain")
    df = spark.range(120).withColumn("v", sf.array(sf.lit(1.0), sf.lit(2.0)))
    df.repartition(101).write.partitionBy("id").parquet(where)
    found = describe(spark, where)
    assert found["columns"] == {"v": {"type": "array<double>", "dimension": 2, "recipe": {}}}
    assert (found["rows"], found["files"], found["last_run"]) == (120, 120, None)
    assert "120 of 120 files are smaller than 8 MB" in found["warnings"][0]
