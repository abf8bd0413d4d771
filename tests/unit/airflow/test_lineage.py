"""Lineage: tables by OpenLineage's names, and the origins of columns."""

import pytest

from st_airflow import lineage
from st_spark.specs.base import Job
from st_spark.specs.pair_jobs import ClusterJob, DedupJob, JoinJob, MineJob
from st_spark.specs.row_jobs import ClassifyJob, EmbedJob, IndexJob, SearchJob


@pytest.mark.parametrize(
    ("where", "address"),
    [
        ("/data/docs", ("file", "/data/docs")),
        ("file:/data/docs/", ("file", "/data/docs")),
        ("/data/my docs#1", ("file", "/data/my docs#1")),
        ("data/docs", ("file", "data/docs")),
        ("s3a://bucket/docs/", ("s3://bucket", "docs")),
        ("hdfs://name:8020/a/b", ("hdfs://name:8020", "a/b")),
        ("shop.docs", ("spark", "shop.docs")),
        ("docs", ("spark", "default.docs")),
        ("shop.`my docs`", ("spark", "shop.my docs")),
    ],
)
def test_table_has_the_address_of_openlineage(where: str, address: tuple[str, str]) -> None:
    assert lineage.address(where) == address


EMBED = EmbedJob(input="/in", output="/out", model="m", text_column=("title", "text"))


def test_embedding_comes_from_its_texts() -> None:
    found = lineage.of(EMBED, {"rows": {"in": 9, "out": 8}})
    assert [each.name for each in found.inputs] == ["/in"]
    (written,) = found.outputs
    assert (written.namespace, written.name) == ("file", "/out")
    fields = written.facets["columnLineage"].fields
    assert [each.field for each in fields["embedding"].inputFields] == ["title", "text"]
    assert written.outputFacets["outputStatistics"].rowCount == 8


def test_without_a_result_there_is_no_row_count() -> None:
    (written,) = lineage.of(EMBED, None).outputs
    assert written.outputFacets == {}


def test_a_search_for_one_query_has_no_output() -> None:
    found = lineage.of(SearchJob(query="q", table="/docs"), {})
    assert ([each.name for each in found.inputs], found.outputs) == (["/docs"], [])


def test_table_may_be_input_and_output() -> None:
    found = lineage.of(EmbedJob(input="/t", output="/t", model="m", text_column="text"), None)
    assert [each.name for each in found.inputs] == ["/t"] == [each.name for each in found.outputs]


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
                "score": [("/left", "v")],  # the right one is the only vector column of its table
            },
        ),
        (
            JoinJob(left="/in", output="/out", right_id_column="key", column="v"),
            ["/in"],
            {"left_id": [("/in", "id")], "right_id": [("/in", "id")], "score": [("/in", "v")]},
        ),
        (
            SearchJob(
                queries="/asked", table="/docs", output="/out", columns="id", query_columns="q", text_column="text"
            ),
            ["/docs", "/asked"],
            {"query_q": [("/asked", "q")], "id": [("/docs", "id")], "score": [("/asked", "text")]},
        ),
        (IndexJob(table="/docs", output="/out", column="v"), ["/docs"], {"list": [("/docs", "v")]}),
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
def test_columns_have_the_origins_that_the_job_names(
    job: Job, inputs: list[str], columns: dict[str, list[tuple[str, str]]]
) -> None:
    assert [each.name for each in lineage.of(job, None).inputs] == inputs
    assert lineage.columns(job) == columns


def test_second_tables_are_outputs() -> None:
    """They are no inputs."""
    found = lineage.of(ClusterJob(input="/in", output="/out", summary="/summary", column="v"), None)
    assert [[each.name for each in tables] for tables in (found.inputs, found.outputs)] == [
        ["/in"],
        ["/out", "/summary"],
    ]


def test_unnamed_vector_column_has_no_lineage() -> None:
    (written,) = lineage.of(JoinJob(left="/left", output="/out"), {"pairs": 7}).outputs
    assert set(written.facets["columnLineage"].fields) == {"left_id", "right_id"}
    assert written.outputFacets["outputStatistics"].rowCount == 7
