"""Run the jobs of the command line: one module for each kind of job."""
