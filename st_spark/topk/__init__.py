"""Exact and approximate top-k of two matrices. Needs numpy and torch only."""
