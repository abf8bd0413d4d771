"""Similarity joins of vectors: exact and approximate neighbours, pairs above a threshold, groups of near-duplicates."""
