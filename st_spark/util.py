"""Scores between vectors, at the place where scripts written for Sentence-Transformers import them from."""

from st_spark.model.similarity import cos_sim, dot_score, euclidean_sim, manhattan_sim, semantic_search

__all__ = ["cos_sim", "dot_score", "euclidean_sim", "manhattan_sim", "semantic_search"]
