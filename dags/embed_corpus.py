"""Embed the new rows of each day.

Each day is a folder in the input and in the output. A run overwrites its folder, so a second run leaves no duplicates.
"""

from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, Param

from st_airflow import EmbedOperator

with DAG(
    "embed_corpus",
    # Runs after a day has ended, with that day as its data interval. In Airflow 3, "@daily" alone has no such interval:
    # its run at midnight has the date of the day that begins, whose folder is still empty.
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["st-spark"],
    doc_md=__doc__,
    params={
        "input": Param(
            "/data/corpus", type="string", description="Folder with a subfolder day=YYYY-MM-DD for each day"
        ),
        "output": Param("/data/corpus_embedded", type="string", description="Folder for the same subfolders"),
        "text_column": Param("text", type="string"),
        "id_column": Param("id", type="string"),
        "model": Param("all-MiniLM-L6-v2", type="string", description="Hub name, folder, or package:NAME"),
        "day": Param(None, type=["null", "string"], format="date", description="Default: the day of the data interval"),
        "most_truncated": Param("20%", type="string", description="The task fails if more texts are truncated"),
    },
):
    DAY = "day={{ params.day or (data_interval_start | ds) }}"
    EmbedOperator(
        task_id="embed",
        input="{{ params.input }}/" + DAY,
        output="{{ params.output }}/" + DAY,
        mode="overwrite",
        text_column="{{ params.text_column }}",
        id_column="{{ params.id_column }}",
        model="{{ params.model }}",
        fail_if={"truncated": "> {{ params.most_truncated }}", "null_id": "> 0", "duplicate_id": "> 0"},
        outlets=[Asset("embedded_corpus")],
        retries=2,
    )
