"""Benchmarks: `python -m benchmarks.NAME` prints one table. All ratios in a table were measured in the same run."""
