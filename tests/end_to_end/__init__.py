"""Tests on whole systems: a cluster, Spark Connect, GPUs of Spark's scheduler."""
