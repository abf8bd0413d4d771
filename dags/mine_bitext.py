"""Find sentences of the corpus that translate each other, after each new day of it.

The corpus needs a language column, and embed_corpus needs a multilingual model such as LaBSE.
"""

from airflow.sdk import DAG, Asset, Param

from st_airflow import BitextMiningOperator

with DAG(
    "mine_bitext",
    schedule=[Asset("embedded_corpus")],  # updated by embed_corpus
    catchup=False,
    max_active_runs=1,
    tags=["st-spark"],
    doc_md=__doc__,
    params={
        "input": Param("/data/corpus_embedded", type="string", description="Output of embed_corpus"),
        "output": Param("/data/bitext", type="string", description="source_id, target_id, score, cosine, direction"),
        "id_column": Param("id", type="string"),
        "text_column": Param("text", type="string", description="Used to skip texts that cannot be translations"),
        "language_column": Param("language", type="string"),
        "source_language": Param("de", type="string"),
        "target_language": Param("en", type="string"),
        "threshold": Param(1.06, type="number", description="Pairs need a margin above this"),
    },
):
    BitextMiningOperator(
        task_id="mine_bitext",
        source="{{ params.input }}",
        target="{{ params.input }}",
        output="{{ params.output }}",
        mode="overwrite",
        id_column="{{ params.id_column }}",
        text_column="{{ params.text_column }}",
        language_column="{{ params.language_column }}",
        source_language="{{ params.source_language }}",
        target_language="{{ params.target_language }}",
        threshold="{{ params.threshold }}",
        fail_if={"pairs": "== 0"},
        outlets=[Asset("bitext")],
        retries=2,
    )
