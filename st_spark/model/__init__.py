"""Load a checkpoint and turn texts, words and images into vectors, with torch and transformers, without Spark."""
