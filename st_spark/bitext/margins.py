"""The margin of a pair: its cosine compared with the cosines of both rows and their nearest neighbours. No Spark.

Artetxe and Schwenk, "Margin-based Parallel Corpus Mining with Multilingual Sentence Embeddings" (2019).
"""

import numpy as np

from st_spark.topk.scores import Places, Scores


def margins(name: str, cosine: Scores, source_mean: Scores, target_mean: Scores) -> Scores:
    """Return the scores of pairs.

    Args:
        name: "absolute": the cosine; "distance": cosine - b; "ratio": cosine / b. b is the average of both means.
        cosine: [pairs].
        source_mean: [pairs] mean cosine of the source row and its k nearest target rows.
        target_mean: [pairs] mean cosine of the target row and its k nearest source rows.

    Returns:
        [pairs]; NaN for a ratio of 0 to 0. Never -0.0.
    """
    if name == "absolute":
        return cosine + 0.0
    middle = (source_mean + target_mean) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((cosine - middle if name == "distance" else cosine / middle) + 0.0)


def means(row: Places, cosine: Scores, rows: int) -> Scores:
    """Return the mean cosine of each row and its neighbours.

    Args:
        row: [neighbours] the row, from 0.
        cosine: [neighbours] descending for each row. They are added in this order, so blocks do not change the sum.
        rows: Number of rows.

    Returns:
        [rows]; NaN for a row without neighbours.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(np.bincount(row, cosine, rows) / np.bincount(row, minlength=rows))
