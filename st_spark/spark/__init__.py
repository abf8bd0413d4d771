"""The Spark session: start it, use its resources, show progress, explain failures, reach its file systems."""
