"""Bitext mining: find sentences of two tables that translate each other."""
