"""The modules that a model is a sequence of: transformer, pooling, dense, ..."""
