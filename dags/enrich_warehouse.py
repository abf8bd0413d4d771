"""Enriches a table of the warehouse: embeds its texts, labels them, and finds the row of a dimension for each.

No model is trained: a label is the one whose name is most similar to the text, and the row of the dimension is the one
whose description is nearest.
"""

from airflow.sdk import DAG, Asset, Param

from st_airflow import ClassifyOperator, EmbedOperator, SimilarityJoinOperator

with DAG(
    "enrich_warehouse",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    tags=["st-spark"],
    doc_md=__doc__,
    default_args={"model": "{{ params.model }}", "mode": "overwrite", "retries": 2},
    params={
        "facts": Param("/data/tickets", type="string", description="Table with the columns id and text"),
        "dimension": Param("/data/products", type="string", description="Table with the columns id and text"),
        "output": Param("/data/enriched", type="string", description="Folder of the tables that are made"),
        "labels": Param("complaint, question, praise", type="string", description="With commas between them"),
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
    # The join compares vectors that are there, so it takes no model: None keeps it from taking the others'.
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
