"""Embeds the rows that came in during a day, every day.

The day is a folder of its own in the input and in the output, and is overwritten as a whole: to run a day again, or to
clear its task, leaves one table without doubles.
"""

from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, Param

from st_airflow import EmbedOperator

with DAG(
    "embed_corpus",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["st-spark"],
    doc_md=__doc__,
    params={
        "input": Param("/data/corpus", type="string", description="Folder with one folder day=YYYY-MM-DD for each day"),
        "output": Param("/data/corpus_embedded", type="string", description="Folder for the same days with vectors"),
        "text_column": Param("text", type="string"),
        "id_column": Param("id", type="string"),
        "model": Param("all-MiniLM-L6-v2", type="string", description="Hub name, folder, or package:NAME"),
        "day": Param(None, type=["null", "string"], format="date", description="By default the day of the run"),
        "most_truncated": Param("20%", type="string", description="More texts longer than the model reads fail it"),
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
