"""What a report says of clusters: sizes, a map, words, and a contact sheet of images."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pyspark.sql import functions as sf

from st_spark.errors import StSparkError
from st_spark.model.inputs.images import open_image
from st_spark.report import page, plots
from st_spark.report.page import Html
from st_spark.report.vectors import floats, form_of, project
from st_spark.tables.columns import quoted_column
from st_spark.tables.metadata import field_metadata
from st_spark.tables.vector_types import vector_values

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

# Rows of the map, and clusters that have a colour, a bar, a line of the table, and a picture.
_ROWS = 1_000
_COLOURS, _BARS, _LINES, _PICTURES = 10, 20, 50, 60
# Bytes of the largest image that is read, and pixels of a side of its small copy.
_IMAGE_BYTES, _SIDE = 20_000_000, 128


ClusterImage = tuple[int, int, bytes | None]


@dataclass(frozen=True)
class ClusterSample:
    """What the report shows of clusters.

    Attributes:
        vectors: [n, d] of some rows.
        cluster: [n] their clusters, -1 for none.
        lines: The largest clusters: rows of cluster_summary().
        images: The images of representatives: cluster, its size, and the bytes of the file; None for too many bytes.
    """

    vectors: npt.NDArray[np.float64]
    cluster: npt.NDArray[np.int64]
    lines: Sequence["Row"]
    images: Sequence["ClusterImage"] = ()


def take(clusters: "DataFrame", table: "DataFrame", id_column: str, vector: str, summary: "DataFrame") -> ClusterSample:
    """Take a sample: the rows whose ids have the smallest hashes.

    Args:
        clusters: The written result of cluster().
        table: The rows that were clustered.
        id_column: Its id column.
        vector: Its vector column.
        summary: The summary of the clusters.
    """
    few = clusters.select("id", "cluster").orderBy(sf.xxhash64("id")).limit(_ROWS)
    rows = table.select(quoted_column(id_column).alias("id"), vector_values(table.schema, vector).alias("v"))
    found = rows.join(sf.broadcast(few), "id").orderBy("id").select("v", sf.coalesce("cluster", sf.lit(-1))).collect()
    vectors = floats([row[0] for row in found], form_of(field_metadata(table.schema, vector)))
    cluster = np.array([row[1] for row in found], np.int64)
    return ClusterSample(vectors, cluster, summary.orderBy("cluster").limit(_LINES).collect())


def size_parts(lines: Sequence["Row"], counts: Mapping[str, int], rows: int) -> list[Html]:
    """Return a bar for each of the largest clusters, and for all other rows."""
    bars = {f"cluster {line['cluster']}": line["size"] for line in lines[:_BARS]}
    others = counts["all"] - len(bars)
    if others > 0:
        bars[f"{others:,} others"] = rows - counts["unclustered"] - sum(bars.values())
    if counts["unclustered"]:
        bars["in no cluster"] = counts["unclustered"]
    return [page.bars("cluster", "rows", bars)]


def map_parts(sample: ClusterSample, score: str) -> list[Html]:
    """Return the map of the sample; by cosine, of the directions of the vectors."""
    vectors = sample.vectors
    if len(vectors) < 3:
        return [page.paragraph(f"A map needs 3 rows; the sample has {len(vectors)}.")]
    if score == "cosine":
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    points, share = project(vectors)
    caption = (
        f"{len(points):,} sampled vectors, by their first two principal components. Each dot is a row. The largest "
    )
    caption += "clusters have a colour, and their number is at their middle; all other rows are grey."
    note = f"The two axes show {share:.0%} of the variance, so rows that overlap here can be far apart."
    groups = np.where(sample.cluster < _COLOURS, sample.cluster, -1)
    return [page.figure(plots.map_plot(points, groups, first=0), caption), page.paragraph(note)]


def table_parts(lines: Sequence["Row"]) -> list[Html]:
    """Return the largest clusters: size, representative and words."""
    rows = [
        (line["cluster"], line["size"], line["mean_score"], _named(line), ", ".join(line["words"])) for line in lines
    ]
    return [page.table(("cluster", "rows", "mean score", "representative", "words"), rows)]


def sheet_parts(images: Sequence[ClusterImage]) -> list[Html]:
    """Return small copies of the images of the representatives."""
    shown = [(thumbnail(content), f"cluster {cluster}: {size:,} rows") for cluster, size, content in images]
    return [page.sheet(shown)]


def representatives(lines: Sequence["Row"], df: "DataFrame", id_column: str, image: str) -> list[ClusterImage]:
    """Read the images of the representatives of the largest clusters."""
    known = {line["representative"]: (line["cluster"], line["size"]) for line in lines[:_PICTURES]}
    content = sf.when(sf.length(quoted_column(image)) <= _IMAGE_BYTES, quoted_column(image)).alias("content")
    found = df.where(quoted_column(id_column).isin(list(known))).select(quoted_column(id_column).alias("id"), content)
    return sorted(((*known[row["id"]], row["content"]) for row in found.collect()), key=lambda each: each[0])


def thumbnail(content: bytes | None) -> str | None:
    """Return a small copy of an image as a data URI; None if it cannot be read."""
    if content is None:
        return None
    try:
        picture = open_image(content)
    except StSparkError:
        return None
    picture.thumbnail((_SIDE, _SIDE))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


def _named(line: "Row") -> str:
    key, text = str(line["representative"]), line["text"]
    return key if text is None else f"{key}: {text}"
