"""A model as a Spark function."""
