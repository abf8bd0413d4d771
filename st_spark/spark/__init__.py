"""The Spark session, task resources, progress, failures, file systems."""
