"""Turn texts, words and images into micro-batches."""
