"""One runner for each job of the command line."""
