"""Tests of st_spark.join."""
