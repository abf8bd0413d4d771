"""Similarity of embeddings, by the function that a model names."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from st_spark.errors import InputError

if TYPE_CHECKING:
    import torch

    Vectors = npt.NDArray[np.floating] | torch.Tensor | list[list[float]]

FUNCTIONS = ("cosine", "dot", "euclidean", "manhattan")


def similarity(a: "Vectors", b: "Vectors", function: str = "cosine") -> "torch.Tensor":
    """Scores every row of a against every row of b; larger is more alike.

    Args:
        a: [n, d] or [d].
        b: [m, d] or [d].
        function: cosine (a zero vector scores 0), dot, euclidean or manhattan (both as negative distances).

    Returns:
        A float32 tensor [n, m].

    Raises:
        InputError: An unknown function, or vectors of different dimensions.
    """
    import torch

    x, y = _rows(a), _rows(b)
    if x.shape[1] != y.shape[1]:
        raise InputError(
            f"vectors of {x.shape[1]} and of {y.shape[1]} dimensions cannot be compared.", "embed both with one model."
        )
    if function == "cosine":
        return torch.nn.functional.normalize(x, dim=1) @ torch.nn.functional.normalize(y, dim=1).T
    if function == "dot":
        return x @ y.T
    if function in FUNCTIONS:
        return -torch.cdist(x, y, p=2.0 if function == "euclidean" else 1.0)
    raise InputError(f"similarity function {function!r} is unknown.", f"choose one of {', '.join(FUNCTIONS)}.")


def _rows(vectors: "Vectors") -> "torch.Tensor":
    import torch

    rows = torch.as_tensor(np.asarray(vectors) if isinstance(vectors, list) else vectors).float()
    return rows[None, :] if rows.ndim == 1 else rows
