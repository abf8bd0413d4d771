"""Vectors of length 1 for joins: clustered random ones, and embeddings of real sentences."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from benchmarks.encoders import MODEL

Vectors = npt.NDArray[np.float32]

CLUSTERS, NOISE, WIDTH = 1000, 0.7, 384
DATA = Path(__file__).parents[2] / "shared" / "data"
# Sentences that are embedded: two tables of 60,000 rows.
SENTENCES = 120_000
CACHE = Path(__file__).parents[1] / "build" / "benchmarks" / "real_vectors.npy"


class Tables(Protocol):
    """Two tables of vectors, numbered 1 and 2. It can be pickled and makes the vectors where they are needed."""

    @property
    def rows(self) -> int:
        """Rows of each table."""

    @property
    def width(self) -> int:
        """Values of a vector."""

    def __call__(self, number: int) -> Vectors:
        """Return the [rows, width] vectors of a table."""


@dataclass(frozen=True)
class Clustered:
    """Random vectors: 1,000 directions, and around each of them noise of `noise` times its length."""

    rows: int
    noise: float = NOISE
    width: int = WIDTH

    def __call__(self, number: int) -> Vectors:
        """Return a table; the tables share the directions."""
        centers = np.random.default_rng(0).standard_normal((CLUSTERS, self.width), dtype=np.float32)
        rng = np.random.default_rng(number)
        rows = centers[rng.integers(0, CLUSTERS, self.rows)]
        return unit(rows + self.noise * rng.standard_normal((self.rows, self.width), dtype=np.float32))


@dataclass(frozen=True)
class Real:
    """Embeddings of real sentences, drawn at random without overlap; see embed_sentences()."""

    rows: int
    width: int = WIDTH

    def __call__(self, number: int) -> Vectors:
        """Return a table."""
        order = np.random.default_rng(0).permutation(SENTENCES)
        places = np.sort(order[(number - 1) * self.rows : number * self.rows])
        return np.asarray(np.load(CACHE, mmap_mode="r")[places])


def unit(rows: Vectors) -> Vectors:
    """Return the rows with length 1."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def embed_sentences(data: Path) -> None:
    """Embed the sentences with all-MiniLM-L6-v2 in float32, unless an earlier run did: minutes on two cores.

    Args:
        data: A folder with sts.parquet (sentence1, sentence2) and tatoeba.parquet (english, sentence).
    """
    if CACHE.exists():
        return
    from st_spark import SentenceTransformer

    texts = sentences(data, SENTENCES)
    print(f"Embedding {len(texts):,} sentences, once", flush=True)
    found = SentenceTransformer(MODEL, device="cpu", dtype="float32", threads=2).encode(texts)
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    partial = CACHE.with_suffix(".partial.npy")
    np.save(partial, unit(found))
    partial.replace(CACHE)


def sentences(data: Path, count: int) -> list[str]:
    """Return distinct sentences of a folder with sts.parquet (sentence1, sentence2) and tatoeba.parquet."""
    missing = [str(data / name) for name in ("sts.parquet", "tatoeba.parquet") if not (data / name).exists()]
    if missing:
        sys.exit(f"There is no {' and no '.join(missing)}. Fix: name the folder of these files with --data.")
    found = list(islice(dict.fromkeys(_sentences(data)), count))
    assert len(found) == count
    return found


def _sentences(data: Path) -> Iterator[str]:
    """Yield the English sentences, then sentences of other languages in Latin script, which the model can read."""
    sts, tatoeba = pq.read_table(data / "sts.parquet"), pq.read_table(data / "tatoeba.parquet")
    for column in (sts.column("sentence1"), sts.column("sentence2"), tatoeba.column("english")):
        yield from column.to_pylist()
    yield from (text for text in tatoeba.column("sentence").to_pylist() if max(text, default="") < "\u0250")
