"""The link from a task to its report."""

from typing import Any

from airflow.sdk import BaseOperatorLink


class ReportLink(BaseOperatorLink):
    """A link to the Spark application (option `report_url` of the section st_spark), or else to the result file."""

    name = "Report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ANN401  (types of Airflow's own workers)
        """Return the address. Airflow calls this where the task has run."""
        return str(getattr(operator, "report", ""))
