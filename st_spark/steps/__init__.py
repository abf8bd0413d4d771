"""What several jobs do: read and check the input, add a column, resume, merge, write, report."""
