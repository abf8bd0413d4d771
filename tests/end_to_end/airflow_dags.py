"""DAGs for the Airflow tests. Environment variables name the data folder and the model."""

import os
from datetime import timedelta

from airflow.sdk import DAG

from st_airflow import EmbedOperator

DATA, MODEL = os.environ["ST_SPARK_TEST_DATA"], os.environ["ST_SPARK_TEST_MODEL"]
EMBED = {"model": MODEL, "text_column": "text"}

with DAG("failing", schedule=None, catchup=False, default_args={**EMBED, "retries": 3}):
    EmbedOperator(task_id="no_connection", input=f"{DATA}/many", output=f"{DATA}/no_connection", conn_id="nobody")
    EmbedOperator(task_id="no_column", input=f"{DATA}/many", output=f"{DATA}/no_column", text_column="nothing")

with DAG("disturbed", schedule=None, catchup=False, default_args=EMBED):
    EmbedOperator(
        task_id="embed",
        conn_id="spark_cluster",
        input=f"{DATA}/many",
        output="{{ params.output }}",
        id_column="id",
        mode="append",
        retries=1,
        retry_delay=timedelta(seconds=1),
        params={"output": f"{DATA}/many_embedded"},
    )
