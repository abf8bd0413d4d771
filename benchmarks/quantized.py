"""Recall@10 of search in tables of each precision, against float32, and the bytes of a row.

    python -m benchmarks.quantized [--data ../shared/data] [--vectors rows.npy] [--rows 20000] [--queries 1000]

The vectors are embeddings of real sentences by all-MiniLM-L6-v2, or the rows of an .npy file. Some of them are queries,
which are not in the table. Below our rows are those of semantic_search_faiss of sentence-transformers.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.encoders import MODEL
from benchmarks.local_spark import start
from benchmarks.race import parser, scratch, table
from benchmarks.vectors import DATA, Vectors, sentences, unit
from st_spark.choices import BITS, PRECISIONS, RANGED
from st_spark.model.quantization import Ranges, quantise, ranges_of
from st_spark.tables.metadata import column_metadata, ranges_to_metadata

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

K = 10
# Rows whose ranges are taken, as calibrate() does.
_CALIBRATED = 2_000
_KINDS = {"float32": pa.float32(), "int8": pa.int8(), "binary": pa.int8(), "uint8": pa.int16(), "ubinary": pa.int16()}
_MULTIPLIERS = (2, 4, 10)

Found = npt.NDArray[np.int64]


def main() -> None:
    """Search each table, and print a line for each."""
    given = options().parse_args()
    vectors = embedded(given)
    queries, rows = vectors[: given.queries], vectors[given.queries :]
    true = np.argsort(-(queries @ rows.T), axis=1, kind="stable")[:, :K]
    lines = [*ours(queries, rows, true), *theirs(queries, rows, true)]
    print(table([f"{len(rows):,} rows", "queries", "bytes of a vector", "bytes on disk", f"recall@{K}"], lines))


def options() -> argparse.ArgumentParser:
    """Return the options."""
    made = parser(__doc__)
    made.add_argument("--data", type=Path, default=DATA, help="folder with sts.parquet and tatoeba.parquet")
    made.add_argument("--vectors", type=Path, help=".npy of vectors to use in place of the sentences")
    made.add_argument("--rows", type=int, default=20_000)
    made.add_argument("--queries", type=int, default=1_000)
    return made


def embedded(given: argparse.Namespace) -> Vectors:
    """Return the queries, then the rows of the table: in any order, of length 1."""
    count = given.rows + given.queries
    if given.vectors is not None:
        found = np.load(given.vectors, mmap_mode="r")
        if len(found) < count:
            sys.exit(f"{given.vectors} has {len(found):,} rows, not {count:,}. Fix: lower --rows or --queries.")
    else:
        from st_spark import SentenceTransformer

        texts = sentences(given.data, count)
        found = SentenceTransformer(MODEL, device="cpu", dtype="float32", threads=2).encode(texts)
    places = np.sort(np.random.default_rng(0).permutation(len(found))[:count])
    return unit(np.asarray(found[places], np.float32)[np.random.default_rng(1).permutation(count)])


def ours(queries: Vectors, rows: Vectors, true: Found) -> Iterator[list[str]]:
    """Yield the lines of search() by st-spark."""
    spark, folder, ranges = start(), scratch(), ranges_of(rows[:_CALIBRATED])
    for precision in PRECISIONS:
        stored, codes = folder / precision, quantise(rows, precision, ranges if precision in RANGED else None)
        write(stored, codes, precision)
        corpus = read(spark, stored, precision, rows.shape[1], ranges)
        disk = sum(file.stat().st_size for file in stored.glob("*.parquet")) / len(rows)
        for asked in ("float32", precision) if precision in BITS else ("float32",):
            write(folder / f"{precision}_{asked}", quantise(queries, asked), asked)
            df = read(spark, folder / f"{precision}_{asked}", asked, rows.shape[1], ranges)
            width = codes.nbytes // len(codes)
            yield [precision, asked, f"{width:,}", f"{disk:,.0f}", f"{recall(found(df, corpus), true):.4f}"]
    spark.stop()


def write(folder: Path, codes: npt.NDArray[Any], precision: str) -> None:
    """Write a table of id and embedding, with the types of `st-spark embed --precision`."""
    folder.mkdir(parents=True)
    offsets = pa.array(np.arange(len(codes) + 1) * codes.shape[1], pa.int32())
    lists = pa.ListArray.from_arrays(offsets, pa.array(codes.ravel()).cast(_KINDS[precision]))
    pq.write_table(pa.table({"id": np.arange(len(codes)), "embedding": lists}), folder / "0.parquet")


def read(spark: "SparkSession", folder: Path, precision: str, dim: int, ranges: Ranges) -> "DataFrame":
    """Read a table, with the metadata that the embed job writes."""
    made: dict[str, Any] = {"precision": precision, "dim": dim}
    made |= {"ranges": ranges_to_metadata(ranges.tolist())} if precision in RANGED else {}
    return spark.read.parquet(str(folder)).withMetadata("embedding", column_metadata(made))


def found(queries: "DataFrame", corpus: "DataFrame") -> Found:
    """Return the rows that search() finds, [queries, K]."""
    from st_spark import search

    answer = search(queries, corpus, K, columns=["id"], query_columns=["id"]).orderBy("query_id", "rank").collect()
    return np.array([row["id"] for row in answer]).reshape(-1, K)


def theirs(queries: Vectors, rows: Vectors, true: Found) -> Iterator[list[str]]:
    """Yield the lines of sentence-transformers with faiss."""
    from sentence_transformers.util.quantization import semantic_search_faiss

    for precision in ("uint8", "ubinary"):
        ranges = ranges_of(rows[:_CALIBRATED]) if precision in RANGED else None
        codes = quantise(rows, precision, ranges)
        for multiplier in (1, *_MULTIPLIERS):
            hits = semantic_search_faiss(
                queries,
                codes,
                corpus_precision=precision,
                top_k=K,
                ranges=ranges,
                rescore=multiplier > 1,
                rescore_multiplier=multiplier,
            )[0]
            ids = np.array([[hit["corpus_id"] for hit in each] for each in hits])
            asked = f"{precision}, rescored x {multiplier}" if multiplier > 1 else precision
            width = codes.nbytes // len(codes)
            yield [f"{precision} (faiss)", asked, f"{width:,}", "", f"{recall(ids, true):.4f}"]


def recall(ids: Found, true: Found) -> float:
    """Return the share of the true nearest rows that were found."""
    return float(np.mean([len(np.intersect1d(one, other)) / K for one, other in zip(ids, true, strict=True)]))


if __name__ == "__main__":
    main()
