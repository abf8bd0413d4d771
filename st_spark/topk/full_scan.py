"""The full scan: all pairs, tile by tile. One product serves the rows and the columns."""

from collections.abc import Iterator

import numpy as np

from st_spark.topk.candidates import RowMapping, TopKCollector
from st_spark.topk.pairs import Pairs
from st_spark.topk.quantized import QuantizedMatrix, quantize_both
from st_spark.topk.scores import Matrix, Rescorer, Scores, chunks
from st_spark.topk.settings import Settings
from st_spark.topk.tiles import Tiles


def top_k(
    left: Matrix, right: Matrix, k: int, score: str, thresholds: Scores, settings: Settings, *, both: bool = False
) -> tuple[Pairs, Pairs]:
    """Find the k best columns of each row and all that tie with the last one; if asked, also the best rows of columns.

    Args:
        left: [n, d] rows, all different, not empty.
        right: [m, d] columns, all different, not empty.
        k: How many.
        score: One of "cosine", "dot" and "euclidean".
        thresholds: [n] lowest value that is wanted of a row.
        settings: See Settings.
        both: Whether the k best rows of each column are wanted, too.

    Returns:
        Pairs of rows and columns, and pairs of columns and rows (none unless `both`); unsorted, with exact values.
    """
    height, width = settings.tile_shape()
    ours, theirs = _quantized(left, right, score, settings)
    rescore, tiles = Rescorer(left, right, score), Tiles(ours, theirs, row_numbers=ours.order if both else None)
    column_topk = None
    if both:
        mapping = RowMapping(rescore, theirs.order, np.arange(len(left)), swapped=True)
        column_topk = TopKCollector(k, np.full(len(right), -np.inf), mapping, settings.max_held)
    found, spans = [], chunks(len(right), width)
    for number, rows in enumerate(chunks(len(left), height), 1):
        block = ours.order[rows]
        row_topk = TopKCollector(k, thresholds[block], RowMapping(rescore, block, theirs.order), settings.max_held)
        for step, columns in enumerate(spans, 1):
            tiles.collect(rows, columns, row_topk, np.arange(len(block)), column_topk)
            if _is_power_of_3(step) and step < len(spans):
                row_topk.raise_thresholds()
        found.append(row_topk.result())
        if column_topk is not None and _is_power_of_3(number):
            column_topk.raise_thresholds()
    return Pairs.concat(found), column_topk.result() if column_topk is not None else Pairs.concat([])


def above(
    left: Matrix, right: Matrix, threshold: float, score: str, settings: Settings, *, self_join: bool
) -> Iterator[Pairs]:
    """Find all pairs whose value may reach a threshold, tile by tile, with exact values.

    Args:
        left: [n, d] rows, all different, not empty.
        right: [m, d] columns, all different, not empty.
        threshold: Lowest value that is wanted.
        score: One of "cosine", "dot" and "euclidean".
        settings: See Settings.
        self_join: Whether both sides are the same rows, and one of (a, b) and (b, a) is enough.
    """
    height, width = settings.tile_shape()
    ours, theirs = _quantized(left, right, score, settings)
    rescore, tiles = Rescorer(left, right, score), Tiles(ours, theirs)
    for rows in chunks(len(left), height):
        for span in chunks(len(right), width):
            columns = slice(max(span.start, rows.start), span.stop) if self_join else span
            if columns.start < columns.stop:
                found = tiles.reaching(rows, columns, threshold)
                pair = ours.order[rows][found.rows], theirs.order[columns][found.columns]
                yield Pairs(*pair, rescore(*pair))


def _quantized(left: Matrix, right: Matrix, score: str, settings: Settings) -> tuple[QuantizedMatrix, QuantizedMatrix]:
    blocks = [np.arange(0, len(side), size) for side, size in zip((left, right), settings.tile_shape(), strict=True)]
    return quantize_both(left, right, score, settings.format(), blocks)


def _is_power_of_3(number: int) -> bool:
    while number % 3 == 0:
        number //= 3
    return number == 1
