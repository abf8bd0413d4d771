"""The parts of an HTML report: page, plots, scores, vectors. jobs.report chooses the parts for a job."""
