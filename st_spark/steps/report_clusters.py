"""The sections of a report on a cluster job."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from st_spark.report import clusters, page
from st_spark.report.clusters import ClusterSample
from st_spark.report.page import Html
from st_spark.steps.report_pairs import inputs


def sections(result: Mapping[str, Any], sample: ClusterSample) -> Iterator[tuple[str, Callable[[], list[Html]]]]:
    """Yield the title of each section, and the function that makes it."""
    yield "Inputs", lambda: inputs(result)
    yield "Sizes", lambda: clusters.size_parts(sample.lines, result["clusters"], result["input"]["kept"])
    if "silhouettes" in result:
        rows = result["silhouettes"].items()
        yield "Number of clusters", lambda: [page.table(("clusters", "silhouette"), rows)]
    if sample.images:
        yield "Images", lambda: clusters.sheet_parts(sample.images)
    yield "Map", lambda: clusters.map_parts(sample, result["score"])
    yield "Largest clusters", lambda: clusters.table_parts(sample.lines)
