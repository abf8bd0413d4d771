"""Clusters of a table: k-means, or communities around central rows; and what sets a cluster apart."""
