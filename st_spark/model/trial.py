"""Try a model on this host: how fast it encodes, and how close the vectors of "auto" are to float32."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from st_spark.model.encoder import SentenceTransformer
from st_spark.model.inputs.sample_texts import TEXTS

# The cosine to float32 that dtype "auto" promises.
CLOSE = 0.9999
_SECONDS = 1.0


@dataclass(frozen=True)
class Trial:
    """What a trial has measured.

    Attributes:
        rates: Texts per second of each number format, with all cores.
        cosine: The smallest cosine between a vector of "auto" and the float32 vector of the same text.
    """

    rates: dict[str, float]
    cosine: float


def run(folder: Path) -> Trial:
    """Encode a few short texts in float32, and in the format of dtype "auto" if it is another one."""
    rates, vectors = {}, {}
    for dtype in ("float32", "auto"):
        model = SentenceTransformer(folder, device="cpu", dtype=dtype)
        if model.dtype not in rates:
            vectors[dtype], rates[model.dtype] = _encode(model)
    exact, fast = vectors["float32"], vectors.get("auto", vectors["float32"])
    lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(fast, axis=1)
    cosines = (exact * fast).sum(1)[lengths > 0] / lengths[lengths > 0]  # a text without known words has a zero vector
    return Trial(rates, float(cosines.min(initial=1.0)))


def _encode(model: SentenceTransformer) -> tuple[np.ndarray, float]:
    """Return the vectors of the texts, [n, d], and how many texts are encoded in a second."""
    texts = [*TEXTS] * 4
    vectors = model.encode(texts)  # the first call prepares the weights
    start, done = time.perf_counter(), 0
    while (seconds := time.perf_counter() - start) < _SECONDS:
        model.encode(texts)
        done += len(texts)
    return vectors, done / seconds
