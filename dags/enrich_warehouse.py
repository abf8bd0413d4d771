"""Enrich a fact table: embed its texts, label them, and match each to a row of a dimension table.

No model is trained. A text gets the label with the most similar name, and the dimension row with the most similar text.
"""

from airflow.sdk import DAG, Asset, Param

from st_airflow import ClassifyOperator, EmbedOperator, SimilarityJoinOperator

with DAG(
    "enrich_warehouse",
    schedule=None,  # started by hand, or by the DAG that loads the facts
    catchup=False,
    max_active_runs=1,
    tags=["st-spark"],
    doc_md=__doc__,
    default_args={"model": "{{ params.model }}", "mode": "overwrite", "retries": 2},
    params={
        "facts": Param("/data/tickets", type="string", description="Table with the columns id and text"),
        "dimension": Param("/data/products", type="string", description="Table with the columns id and text"),
        "output": Param("/data/enriched", type="string", description="Folder for the output tables"),
        "labels": Param("complaint, question, praise", type="string", description="Labels, separated by commas"),
        "model": Param("all-MiniLM-L6-v2", type="string", description="Hub name, folder, or package:NAME"),
    },
):
    facts = EmbedOperator(
        task_id="embed_facts", input="{{ params.facts }}", output="{{ params.output }}/facts", text_column="text"
    )
    dimension = EmbedOperator(
        task_id="embed_dimension",
        input="{{ params.dimension }}",
        output="{{ params.output }}/dimension",
        text_column="text",
    )
    label = ClassifyOperator(
        task_id="label",
        input="{{ params.output }}/facts",
        output="{{ params.output }}/labelled",
        text_column="text",
        labels="{{ params.labels }}",
        fail_if={"undecided": "> 10%"},
    )
    # The join reads the vectors of both tables. model=None overrides the model of default_args.
    match = SimilarityJoinOperator(
        task_id="match",
        left="{{ params.output }}/labelled",
        right="{{ params.output }}/dimension",
        output="{{ params.output }}/matches",
        k=1,
        model=None,
        outlets=[Asset("enriched_warehouse")],
    )
    facts >> label >> match
    dimension >> match
