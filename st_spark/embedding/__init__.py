"""Use a model as a Spark function: send it to the workers, encode and classify columns."""
