"""The HTML report of a job: what a page is made of. jobs.report decides which page a job gets."""
