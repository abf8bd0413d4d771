"""A checkpoint on disk to vectors: knows torch and transformers, never Spark."""
