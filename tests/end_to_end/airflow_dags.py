"""DAGs for the Airflow tests. Environment variables name the data folder and the model."""

import os
from datetime import timedelta

from airflow.sdk import DAG

from st_airflow import EmbedOperator

DATA, MODEL = os.environ["ST_SPARK_TEST_DATA"], os.environ["ST_SPARK_TEST_MODEL"]
SMALL = {"text_column": "text", "mode": "overwrite"}

with DAG("failing", schedule=None, catchup=False, default_args={"model": MODEL, **SMALL, "conn_id": "spark_local"}):
    EmbedOperator(task_id="no_connection", input=f"{DATA}/few", output=f"{DATA}/no_connection", conn_id="nobody")
    EmbedOperator(task_id="no_model", input=f"{DATA}/few", output=f"{DATA}/no_model", model=f"{DATA}/no-such-model")
    EmbedOperator(
        task_id="failed_check",
        input=f"{DATA}/few",
        output=f"{DATA}/failed_check",
        fail_if={"null": "> 5%"},
        retries=3,
    )

with DAG("disturbed", schedule=None, catchup=False, default_args={"model": MODEL, "text_column": "text"}):
    EmbedOperator(
        task_id="embed",
        input=f"{DATA}/many",
        output="{{ params.output }}",
        id_column="id",
        mode="append",
        retries=1,
        retry_delay=timedelta(seconds=1),
        params={"output": f"{DATA}/many_embedded"},
    )
