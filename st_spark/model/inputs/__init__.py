"""Texts, words and images to micro-batches."""
