"""Sentence embeddings on Spark and Airflow: encode columns, join them by similarity, store them as tables."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from st_spark._version import __version__ as __version__

if TYPE_CHECKING:
    from st_spark import util
    from st_spark.bitext.mining import mine_bitext
    from st_spark.bitext.scoring import score_pairs
    from st_spark.bitext.text_filters import TextFilters
    from st_spark.clustering.cluster import cluster
    from st_spark.clustering.summary import cluster_summary
    from st_spark.embedding.calibrate import calibrate
    from st_spark.embedding.chunk import chunk
    from st_spark.embedding.classify import classify
    from st_spark.embedding.encode import encode, register
    from st_spark.jobs.build_index import build_index
    from st_spark.jobs.describe import describe
    from st_spark.jobs.merge_embeddings import merge_embeddings
    from st_spark.jobs.search_table import search
    from st_spark.join.hard_negatives import mine_hard_negatives
    from st_spark.join.near_duplicates import drop_near_duplicates, near_duplicates
    from st_spark.join.similarity_join import similarity_join
    from st_spark.model.encoder import SentenceTransformer
    from st_spark.model.similarity import SimilarityFunction

__all__ = [
    "SentenceTransformer",
    "SimilarityFunction",
    "TextFilters",
    "build_index",
    "calibrate",
    "chunk",
    "classify",
    "cluster",
    "cluster_summary",
    "describe",
    "drop_near_duplicates",
    "encode",
    "merge_embeddings",
    "mine_bitext",
    "mine_hard_negatives",
    "near_duplicates",
    "register",
    "score_pairs",
    "search",
    "similarity_join",
    "util",
]

# Imported on first use: torch and pyspark take seconds to import, which a DAG file or --help cannot afford.
_HOMES = {
    "SentenceTransformer": "st_spark.model.encoder",
    "SimilarityFunction": "st_spark.model.similarity",
    "build_index": "st_spark.jobs.build_index",
    "calibrate": "st_spark.embedding.calibrate",
    "chunk": "st_spark.embedding.chunk",
    "classify": "st_spark.embedding.classify",
    "cluster": "st_spark.clustering.cluster",
    "cluster_summary": "st_spark.clustering.summary",
    "describe": "st_spark.jobs.describe",
    "drop_near_duplicates": "st_spark.join.near_duplicates",
    "TextFilters": "st_spark.bitext.text_filters",
    "encode": "st_spark.embedding.encode",
    "merge_embeddings": "st_spark.jobs.merge_embeddings",
    "mine_bitext": "st_spark.bitext.mining",
    "mine_hard_negatives": "st_spark.join.hard_negatives",
    "near_duplicates": "st_spark.join.near_duplicates",
    "register": "st_spark.embedding.encode",
    "score_pairs": "st_spark.bitext.scoring",
    "search": "st_spark.jobs.search_table",
    "similarity_join": "st_spark.join.similarity_join",
    "util": "st_spark.util",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import a public name from its module, once."""
    if name not in _HOMES:
        raise AttributeError(f"module 'st_spark' has no attribute {name!r}; it has {', '.join(__all__)}")
    module = import_module(_HOMES[name])
    value = module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, imported or not."""
    return sorted({*globals(), *__all__})
