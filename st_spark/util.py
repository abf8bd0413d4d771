"""Score functions under the import path that scripts for Sentence-Transformers use."""

from st_spark.model.similarity import cos_sim, dot_score, euclidean_sim, manhattan_sim, semantic_search

__all__ = ["cos_sim", "dot_score", "euclidean_sim", "manhattan_sim", "semantic_search"]
