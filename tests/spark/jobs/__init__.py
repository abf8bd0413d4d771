"""Tests of jobs on Spark."""
