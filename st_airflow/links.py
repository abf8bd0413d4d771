"""The link from a task to what its job has told."""

from typing import Any

from airflow.sdk import BaseOperatorLink


class ReportLink(BaseOperatorLink):
    """Leads to the Spark application, or to the result file: see the option `report_url` in the section st_spark."""

    name = "Report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ANN401  (types of Airflow's own workers)
        """The address; asked for where the task has just run."""
        return str(getattr(operator, "report", ""))
