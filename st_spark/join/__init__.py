"""Plan similarity joins and run them on Spark."""
