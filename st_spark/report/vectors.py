"""What a report says of an embedded table: token lengths and a map of a sample, and the longest texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from pyspark.sql import functions as sf
from pyspark.sql.types import BinaryType

from st_spark.model.checkpoint import checkpoint, hub
from st_spark.model.inputs.tokenizer import NO_LIMIT
from st_spark.model.modules.registry import Assembly
from st_spark.model.quantization import Form
from st_spark.report import page, plots
from st_spark.report.page import Html
from st_spark.tables.columns import quoted_column
from st_spark.tables.metadata import field_metadata, ranges_from_metadata
from st_spark.tables.vector_types import vector_values
from st_spark.topk.kmeans import list_centroids, nearest

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Row

    from st_spark.specs.row_jobs import EmbedJob

# Rows of the sample, numbers of all its vectors, and characters that are read of a text.
_ROWS, _NUMBERS, _CHARACTERS = 2_000, 2_000_000, 20_000
_GROUPS, _LEAST_ROWS, _LONGEST = 8, 20, 8
# Token counts are shown up to this multiple of the model's limit.
_BEYOND = 4


@dataclass(frozen=True)
class Sample:
    """Some rows of an embedded table that have a vector.

    Attributes:
        texts: Of each row a text, or a pair; its id if it is an image.
        vectors: [n, d].
        images: Whether the rows are images.
    """

    texts: Sequence[Any]
    vectors: npt.NDArray[np.float64]
    images: bool


def take(df: "DataFrame", column: str, texts: Sequence[str], id_column: str | None) -> Sample:
    """Take a sample; the same one each time from the same files.

    Args:
        df: The table.
        column: The vector column.
        texts: The text columns, or the image column.
        id_column: The id column, if there is one.
    """
    metadata = field_metadata(df.schema, column)
    dim = int(metadata.get("dim", 1))
    most = max(min(_ROWS, _NUMBERS // dim), _LEAST_ROWS)
    images = isinstance(df.schema[texts[0]].dataType, BinaryType)
    shown = _ids(id_column) if images else [sf.substring(quoted_column(name), 1, _CHARACTERS) for name in texts]
    named = [each.alias(f"t{place}") for place, each in enumerate(shown)]
    rows = df.where(quoted_column(column).isNotNull()).select(*named, vector_values(df.schema, column).alias("v"))
    count = rows.count()
    if count > most:
        rows = rows.sample(min(1.1 * most / count, 1.0), seed=0)
    found = rows.limit(most).collect()
    form = form_of(metadata)
    fits = [row for row in found if len(row["v"]) == form.width]
    vectors = floats([row["v"] for row in fits], form)
    return Sample([row[0] if len(shown) == 1 else tuple(row)[:-1] for row in fits], vectors, images)


def form_of(metadata: Mapping[str, Any]) -> Form:
    """Return how a column with this metadata stores its vectors."""
    ranges = ranges_from_metadata(metadata)
    dim = len(ranges[0]) if ranges else int(metadata.get("dim", 1))
    return Form(metadata.get("precision", "float32"), dim, ranges)


def floats(stored: Sequence[Sequence[float]], form: Form) -> npt.NDArray[np.float64]:
    """Return stored vectors of one size as floats, [n, d]."""
    if form.precision == "float32":
        return np.array(stored, np.float64).reshape(len(stored), -1)
    return form.floats(np.array(stored).reshape(len(stored), form.width)).astype(np.float64)


def token_parts(texts: Sequence[Any], job: "EmbedJob", prompt: str, truncated: int) -> list[Html]:
    """Return the plot of the token lengths; `truncated` is how many texts the job has cut."""
    lengths, limit = token_lengths(texts, job, prompt)
    if not len(lengths):
        return [page.paragraph("There is no text.")]
    middle, high = np.percentile(lengths, [50, 95]).astype(int).tolist()
    about = f"Of {len(lengths):,} sampled texts, half have at most {middle:,} tokens, and 95% at most {high:,}."
    if limit is not None:
        about += f" The model reads at most {limit:,} tokens of a text: {truncated:,} texts of this run were cut."
    if limit is not None and lengths.max() >= _BEYOND * limit:
        about += f" Texts with more than {_BEYOND * limit:,} tokens are counted there."
    return [page.paragraph(about), page.figure(plots.length_plot(lengths, limit), "Tokens of sampled texts.")]


def token_lengths(texts: Sequence[Any], job: "EmbedJob", prompt: str) -> tuple[npt.NDArray[np.int64], int | None]:
    """Return the tokens of each text, prompt and special tokens included, and where the job cuts texts.

    The model's modules are loaded without their weights, as the check before a job does it.
    """
    description = checkpoint.read(hub.resolve(job.model, job.revision).folder)
    reader = Assembly(description.modules, "", torch.float32, torch.device("meta")).pipeline(job.task).input
    limit = job.max_seq_length or reader.max_length
    limit = None if limit == NO_LIMIT else limit
    if limit is not None:
        reader.max_length = _BEYOND * limit
    return reader.prepare(texts, prompt or None).lengths, limit


def map_parts(sample: Sample, similarity: str) -> list[Html]:
    """Return the map of the sample, with a list of its groups."""
    good = np.flatnonzero(np.isfinite(sample.vectors).all(axis=1) & sample.vectors.any(axis=1))
    if len(good) < _LEAST_ROWS:
        return [page.paragraph(f"A map needs {_LEAST_ROWS} vectors; the sample has {len(good)}.")]
    vectors = sample.vectors[good]
    if similarity == "cosine":
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    points, share = project(vectors)
    groups, centres = group(vectors)
    rows = [
        (number, f"{(groups == number - 1).mean():.0%}", " | ".join([each] if isinstance(each, str) else each))
        for number, each in enumerate((sample.texts[good[place]] for place in centres), 1)
    ]
    caption = f"{len(good):,} sampled vectors, by their first two principal components. Each dot is a row; each colour "
    caption += "is a group (k-means); a number is at the middle of its group."
    note = f"The two axes show {share:.0%} of the variance, so rows that overlap here can be far apart."
    head = ("group", "rows", "id in the middle" if sample.images else "text in the middle")
    return [page.figure(plots.map_plot(points, groups), caption), page.paragraph(note), page.table(head, rows)]


def project(vectors: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float]:
    """Return the first two principal components, [n, 2], and their share of the variance."""
    left, sizes, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    points = np.zeros((len(vectors), 2))
    points[:, : len(sizes[:2])] = left[:, :2] * sizes[:2]
    total = float((sizes**2).sum())
    return points, float((sizes[:2] ** 2).sum()) / total if total else 1.0


def group(vectors: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], list[int]]:
    """Return the group of each row, the largest group first, and the row nearest to the centroid of each group."""
    rows = vectors.astype(np.float32)
    centroids = list_centroids(rows, min(_GROUPS, len(rows) // 10), "euclidean")
    found = nearest(torch.from_numpy(rows), torch.from_numpy(centroids))
    numbers, sizes = np.unique(found, return_counts=True)
    order = numbers[np.argsort(-sizes, kind="stable")]
    distances = np.linalg.norm(rows - centroids[found], axis=1)
    centres = [int(np.where(found == number, distances, np.inf).argmin()) for number in order]
    return np.argsort(order)[np.searchsorted(np.sort(order), found)], centres


def longest(df: "DataFrame", texts: Sequence[str], id_column: str | None) -> "list[Row]":
    """Return the id, the number of characters and the start of the longest texts."""
    joined = sf.concat_ws(" | ", *map(quoted_column, texts))
    size = sum((sf.length(quoted_column(name)) for name in texts[1:]), sf.length(quoted_column(texts[0])))
    start = sf.substring(joined, 1, page.MOST_CHARACTERS + 1).alias("text")
    rows = df.select(*(each.alias("id") for each in _ids(id_column)), size.alias("characters"), start)
    return rows.where("characters > 0").orderBy(sf.col("characters").desc(), "id").limit(_LONGEST).collect()


def _ids(id_column: str | None) -> "list[Column]":
    return [sf.coalesce(quoted_column(id_column).cast("string"), sf.lit("")) if id_column else sf.lit("")]
