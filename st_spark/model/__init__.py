"""A checkpoint on disk to vectors. Knows torch and transformers, never Spark."""
