"""What Airflow learns of this provider; it asks in each of its processes, so nothing is imported."""

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """The answer to the entry point `apache_airflow_provider`."""
    return {
        "package-name": "st-spark",
        "name": "st-spark",
        "description": "Sentence-Transformers models on Spark: embeddings, labels, joins, near-duplicates, bitexts.",
        "integrations": [
            {
                "integration-name": "st-spark",
                "external-doc-url": "https://www.sbert.net",
                "tags": ["software"],
            }
        ],
        "operators": [{"integration-name": "st-spark", "python-modules": ["st_airflow.operators"]}],
        "extra-links": ["st_airflow.links.ReportLink"],
        "config": {
            "st_spark": {
                "description": "Options of the operators of st-spark.",
                "options": {
                    "results": {
                        "description": (
                            "Folder where jobs write their results, the JSON files that operators return: seen from "
                            "the workers of Airflow and from the Spark driver under this one name. The default is a "
                            "folder of the worker's own, which serves where the driver runs on the worker."
                        ),
                        "type": "string",
                        "version_added": "0.1.0",
                        "example": "s3a://warehouse/st-spark-results",
                        "default": None,
                    },
                    "report_url": {
                        "description": (
                            "Address of the page that shows a Spark application, {application} standing for its id: "
                            "the target of the link Report of each task. By default that is the result file."
                        ),
                        "type": "string",
                        "version_added": "0.1.0",
                        "example": "http://spark-history:18080/history/{application}",
                        "default": None,
                    },
                },
            }
        },
    }
