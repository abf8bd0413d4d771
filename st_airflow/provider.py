"""The description of this provider. Every Airflow process reads it, so it imports nothing."""

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the description; the entry point `apache_airflow_provider` calls this."""
    return {
        "package-name": "st-spark",
        "name": "st-spark",
        "description": "Sentence-Transformers models on Spark: embeddings, labels, joins, clusters, near-duplicates.",
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
                            "Folder for the results of jobs: the JSON files that operators return. The Airflow workers "
                            "and the Spark driver must reach it under the same name. The default is a folder on the "
                            "worker, which works if the driver runs on the worker."
                        ),
                        "type": "string",
                        "version_added": "0.1.0",
                        "example": "s3a://warehouse/st-spark-results",
                        "default": None,
                    },
                    "report_url": {
                        "description": (
                            "Address of the page of a Spark application, with {application} in place of its id: the "
                            "target of the link Report of each task. The default is the result file."
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
