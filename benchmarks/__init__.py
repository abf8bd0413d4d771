"""Benchmarks: each module runs by `python -m benchmarks.NAME` and prints one table, ratios measured in one run."""
