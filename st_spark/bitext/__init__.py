"""Bitext mining: sentences of two tables that translate each other."""
