"""Lineage: tables by OpenLineage's names, and columns where the job tells them."""

import pytest

from st_airflow import lineage
from st_airflow.assets import table
from st_spark.specs.base import Job
from st_spark.specs.jobs import ClassifyJob, DedupJob, EmbedJob, JoinJob, MineJob


@pytest.mark.parametrize(
    ("where", "uri", "address"),
    [
        ("/data/docs", "file:///data/docs", ("file", "/data/docs")),
        ("file:///data/docs/", "file:///data/docs", ("file", "/data/docs")),
        ("s3a://bucket/docs/", "s3://bucket/docs", ("s3://bucket", "docs")),
        ("s3://bucket/docs", "s3://bucket/docs", ("s3://bucket", "docs")),
        ("hdfs://name:8020/a/b", "hdfs://name:8020/a/b", ("hdfs://name:8020", "a/b")),
        ("shop.docs", "x-spark-table://shop.docs", ("spark", "shop.docs")),
    ],
)
def test_a_table_has_one_address(where: str, uri: str, address: tuple[str, str]) -> None:
    assert table(where).uri == uri
    assert lineage.address(where) == address


EMBED = EmbedJob(input="/in", output="/out", model="m", text_column=("title", "text"))


def test_an_embedding_comes_from_its_texts() -> None:
    told = lineage.of(EMBED, {"rows": {"in": 9, "out": 8}})
    assert [each.name for each in told.inputs] == ["/in"]
    (made,) = told.outputs
    assert (made.namespace, made.name) == ("file", "/out")
    fields = made.facets["columnLineage"].fields
    assert [each.field for each in fields["embedding"].inputFields] == ["title", "text"]
    assert made.outputFacets["outputStatistics"].rowCount == 8


def test_without_a_result_no_rows_are_told() -> None:
    (made,) = lineage.of(EMBED, None).outputs
    assert made.outputFacets == {}


def test_a_table_made_of_itself_is_told_as_input_and_as_output() -> None:
    told = lineage.of(EmbedJob(input="/t", output="/t", model="m", text_column="text"), None)
    assert [each.name for each in told.inputs] == ["/t"] == [each.name for each in told.outputs]


@pytest.mark.parametrize(
    ("job", "inputs", "columns"),
    [
        (
            ClassifyJob(input="/in", output="/out", model="m", text_column="text", labels_table="/labels"),
            ["/in", "/labels"],
            {"classification": [("/in", "text"), ("/labels", "label")]},
        ),
        (
            JoinJob(left="/left", right="/right", output="/out", right_id_column="key", column="v"),
            ["/left", "/right"],
            {
                "left_id": [("/left", "id")],
                "right_id": [("/right", "key")],
                "score": [("/left", "v"), ("/right", "v")],
            },
        ),
        (
            DedupJob(input="/in", output="/out", model="m", text_column="text"),
            ["/in"],
            {"id": [("/in", "id")], "group": [("/in", "id"), ("/in", "text")], "score": [("/in", "text")]},
        ),
        (
            MineJob(source="/de", target="/en", output="/out", model="m", text_column="text", target_id_column="key"),
            ["/de", "/en"],
            {
                "source_id": [("/de", "id")],
                "target_id": [("/en", "key")],
                "score": [("/de", "text"), ("/en", "text")],
                "cosine": [("/de", "text"), ("/en", "text")],
            },
        ),
    ],
)
def test_columns_are_told_as_far_as_the_job_knows_them(
    job: Job, inputs: list[str], columns: dict[str, list[tuple[str, str]]]
) -> None:
    assert [each.name for each in lineage.of(job, None).inputs] == inputs
    assert lineage.columns(job) == columns


def test_of_vectors_that_are_found_in_the_table_nothing_is_said() -> None:
    (made,) = lineage.of(JoinJob(left="/left", output="/out"), {"pairs": 7}).outputs
    assert set(made.facets["columnLineage"].fields) == {"left_id", "right_id"}
    assert made.outputFacets["outputStatistics"].rowCount == 7
