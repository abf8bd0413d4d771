"""Tables as assets: one asset for all spellings of a table, in Airflow's own registry."""

from itertools import count

import pytest
from airflow.sdk import DAG, Asset

from st_airflow import EmbedOperator, table
from st_spark.errors import SpecError

# The URI of each table, and spellings of it.
TABLES: dict[str, list[str]] = {
    "file:///data/x": ["/data/x", "/data/x/", "//data//./x", "/data/y/../x", "file:/data/x", "file:///data/x/"],
    "file:///data/X": ["/data/X", "FILE:///data/X"],
    "file:///data/day=2026-01-01": ["/data/day=2026-01-01"],
    "file:///data/a%23b": ["/data/a#b", "file:/data/a#b"],
    "file:///data/a%2523b": ["/data/a%23b"],  # Spark reads a path as it is
    "file:///data/a%3Fb=1": ["/data/a?b=1"],
    "file:///data/my%20d%C3%A9p%C3%B4t/x:y": ["/data/my dépôt/x:y"],
    "s3://bucket/x": ["s3://bucket/x", "s3a://bucket/x", "s3n://bucket/x/", "S3A://bucket//x"],
    "s3://bucket/x%23y": ["s3a://bucket/x#y"],
    "s3://bucket/": ["s3a://bucket", "s3://bucket/"],
    "gs://bucket/x": ["gs://bucket/x/"],
    "hdfs://name:8020/a/b": ["hdfs://name:8020/a/b", "hdfs://name:8020/a//b/"],
    "hdfs:/a/b": ["hdfs:///a/b", "hdfs:/a/b/"],
    "dbfs:/a/b": ["dbfs:/a/b", "dbfs:///a/b"],
    "abfss://box@account.dfs.core.windows.net/x": [
        "abfss://box@account.dfs.core.windows.net/x",
        "abfs://box@account.dfs.core.windows.net/x/",
    ],
    "x-spark-table://default.docs": ["docs", "default.docs", "`docs`", "spark_catalog.default.docs", "Default.DOCS"],
    "x-spark-table://shop.docs": ["shop.docs", "spark_catalog.shop.`docs`"],
    "x-spark-table://lake.shop.docs": ["lake.shop.docs"],
    "x-spark-table://shop.my%20pairs%2E%602": ["shop.`my pairs.``2`"],
}
SPELLINGS = [(uri, where) for uri, spellings in TABLES.items() for where in spellings]


@pytest.mark.parametrize(("uri", "where"), SPELLINGS)
def test_spelling_gives_the_uri_of_its_table(uri: str, where: str) -> None:
    # The name is the URI, too: Asset("s3://bucket/x") of another team is the same asset.
    assert table(where) == Asset(uri)
    assert (table(where).name, table(where).uri) == (uri, uri)


@pytest.mark.parametrize(
    "where", ["", "data/x", "./x", "my-docs", "a b", "/data/{{ ds }}", "/{% if a %}b{% endif %}", "/a{# b #}", "s3a:"]
)
def test_relative_path_or_template_is_no_asset(where: str) -> None:
    with pytest.raises(SpecError, match=r"cannot be an asset\. Fix: give an absolute path"):
        table(where)


def test_asset_has_no_secret() -> None:
    with pytest.raises(SpecError, match="s3a://") as caught:
        table("s3a://KEY:SECRET@bucket/x")
    assert "SECRET" not in str(caught.value)


@pytest.mark.slow
def test_airflow_keeps_one_asset_for_each_table_and_starts_every_consumer() -> None:
    from airflow.assets.manager import asset_manager
    from airflow.dag_processing.collection import update_dag_parsing_results_in_db
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from airflow.models.asset import AssetActive, AssetDagRunQueue, AssetModel
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagwarning import DagWarning
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session
    from sqlalchemy import select, update

    number = count()
    with DAG("producer") as producer:
        for _, where in SPELLINGS:
            EmbedOperator(
                task_id=f"embed_{next(number)}",
                input="/in",
                model="m",
                text_column="text",
                output=where,
                output_format="parquet" if where.startswith("/") or ":" in where else "table",
            )
    consumers = [DAG(f"consumer_{next(number)}", schedule=[table(where)]) for _, where in SPELLINGS]
    initdb()
    with create_session() as session:
        session.add(DagBundleModel(name="dags"))
        session.flush()
        dags = [LazyDeserializedDAG.from_dag(dag) for dag in (producer, *consumers)]
        update_dag_parsing_results_in_db("dags", None, dags, {}, None, set(), session)
        session.execute(update(DagModel).values(is_paused=False))
        SchedulerJobRunner(Job())._update_asset_orphanage(session=session)  # type: ignore[no-untyped-call]
        assert {asset.uri for asset in session.scalars(select(AssetModel))} == set(TABLES)
        assert {asset.uri for asset in session.scalars(select(AssetActive))} == set(TABLES)
        assert list(session.scalars(select(DagWarning.message))) == []
        for asset in session.scalars(select(AssetModel)):
            asset_manager.register_asset_change(asset=asset, extra={}, session=session)
        session.flush()
        started = set(session.scalars(select(AssetDagRunQueue.target_dag_id)))
        assert started == {dag.dag_id for dag in consumers}
