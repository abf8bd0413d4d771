"""The margin of a pair: how much its cosine stands out among those of both rows with their nearest. No Spark.

Artetxe and Schwenk, "Margin-based Parallel Corpus Mining with Multilingual Sentence Embeddings" (2019).
"""

import numpy as np
import numpy.typing as npt

from st_spark.topk.scores import Places, Scores

Ranks = npt.NDArray[np.int32]


def margins(name: str, cosine: Scores, source_mean: Scores, target_mean: Scores) -> Scores:
    """The scores of pairs.

    Args:
        name: "absolute": the cosine; "distance": the cosine less b; "ratio": the cosine divided by b, where b is the
            middle of both means.
        cosine: [pairs].
        source_mean: [pairs] the mean cosine of the source row with its nearest target rows.
        target_mean: [pairs] that of the target row with its nearest source rows.

    Returns:
        [pairs]; NaN for a ratio of 0 to 0. No -0.0.
    """
    if name == "absolute":
        return cosine + 0.0
    middle = (source_mean + target_mean) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((cosine - middle if name == "distance" else cosine / middle) + 0.0)


def means(row: Places, rank: Ranks, cosine: Scores, rows: int) -> Scores:
    """The mean cosine of each row with its nearest: summed from the nearest on, so that it never depends on blocks.

    Args:
        row: [neighbours] the row, from 0.
        rank: [neighbours] from 1; each of a row once, without gaps.
        cosine: [neighbours].
        rows: How many rows there are.

    Returns:
        [rows]; NaN for a row without neighbours.
    """
    total, count = np.zeros(rows), np.bincount(row, minlength=rows)
    for each in range(1, int(rank.max(initial=0)) + 1):
        these = rank == each
        total[row[these]] += cosine[these]
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count)
