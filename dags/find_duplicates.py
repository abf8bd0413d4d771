"""Find near-duplicates in the whole corpus after each new day of it."""

from airflow.sdk import DAG, Asset, Param

from st_airflow import NearDuplicatesOperator

with DAG(
    "find_duplicates",
    schedule=[Asset("embedded_corpus")],  # updated by embed_corpus
    catchup=False,
    max_active_runs=1,
    tags=["st-spark"],
    doc_md=__doc__,
    params={
        "input": Param("/data/corpus_embedded", type="string", description="Output of embed_corpus"),
        "output": Param("/data/duplicates", type="string", description="id, group, size, representative, score"),
        "id_column": Param("id", type="string"),
        "threshold": Param(0.95, type="number", minimum=0, maximum=1, description="Lowest cosine of duplicates"),
    },
):
    NearDuplicatesOperator(
        task_id="find_duplicates",
        input="{{ params.input }}",
        output="{{ params.output }}",
        mode="overwrite",
        id_column="{{ params.id_column }}",
        threshold="{{ params.threshold }}",
        # A group with half of all rows means that the threshold is too low.
        fail_if={"largest": "> 50%"},
        outlets=[Asset("duplicates")],
        retries=2,
    )
