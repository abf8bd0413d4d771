"""Find the passages that answer a table of questions, every morning.

The texts are read in full: each is cut into chunks, and each chunk has a vector. A merge embeds only what is new or has
changed. An index of the chunks lets the search read only what lies near the questions.
"""

from airflow.sdk import DAG, Asset, CronTriggerTimetable, Param

from st_airflow import EmbedOperator, IndexOperator, SearchOperator

with DAG(
    "answer_questions",
    schedule=CronTriggerTimetable("0 6 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["st-spark"],
    doc_md=__doc__,
    default_args={"mode": "overwrite", "retries": 2},
    params={
        "texts": Param("/data/texts", type="string", description="Table with the columns id and text"),
        "questions": Param("/data/questions", type="string", description="Table with the columns id and text"),
        "output": Param("/data/answers", type="string", description="Folder for the output tables"),
        "chunk": Param("auto", type="string", description="Longest chunk; auto: as long as the model reads"),
        "recall": Param(0.95, type="number", minimum=0.5, maximum=1, description="Share of the true hits to find"),
        "k": Param(5, type="integer", minimum=1, description="Passages for each question"),
        "model": Param("all-MiniLM-L6-v2", type="string", description="Hub name, folder, or package:NAME"),
    },
):
    embed = EmbedOperator(
        task_id="embed",
        input="{{ params.texts }}",
        output="{{ params.output }}/chunks",
        text_column="text",
        id_column="id",
        model="{{ params.model }}",
        chunk="{{ params.chunk }}",
        mode="merge",
        delete_missing=True,
        on_new_recipe="rebuild",
    )
    index = IndexOperator(
        task_id="index",
        table="{{ params.output }}/chunks",
        output="{{ params.output }}/index",
        recall="{{ params.recall }}",
    )
    search = SearchOperator(
        task_id="search",
        queries="{{ params.questions }}",
        table="{{ params.output }}/index",
        output="{{ params.output }}/hits",
        k="{{ params.k }}",
        columns="id,chunk_id,text",
        fail_if={"without_hits": "> 5%"},
        outlets=[Asset("answers")],
    )
    embed >> index >> search
