"""The cost of a merge: the table of a full run, then the same with 1% changed, 1% new and 1% deleted, then unchanged.

    python -m benchmarks.merge [--data FOLDER] [--rows 100000] [--sentences 1]

Sentences are real ones (vectors.sentences). A text has one, or as many as --sentences says, drawn at random. Each job
is a `st-spark embed` with its own Spark, like a nightly run.
Processor seconds are of the job and its workers. The clock says little on a machine that others use.
"""

import json
import os
import random
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.encoders import MODEL
from benchmarks.race import parser, scratch
from benchmarks.vectors import DATA, sentences

SHARE = 0.01
FILES = 4


@dataclass(frozen=True)
class Cost:
    """What a job has cost."""

    tokens: int
    processor: float
    clock: float
    rows: dict[str, int]


def write(folder: Path, rows: dict[int, str]) -> None:
    """Write a table of id and text."""
    folder.mkdir()
    ids = sorted(rows)
    for number in range(FILES):
        part = ids[number::FILES]
        table = pa.table({"id": part, "text": [rows[key] for key in part]})
        pq.write_table(table, folder / f"{number}.parquet")


def embed(source: Path, folder: Path, *options: str) -> Cost:
    """Run a job, and return its cost."""
    result = folder / "result.json"
    command = [sys.executable, "-m", "st_spark.cli", "embed", f"--input={source}", f"--output={folder / 'out'}"]
    command += [f"--model={MODEL}", "--text-column=text", "--id-column=id", f"--result={result}", *options]
    before, start = _processor(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"PYSPARK_PYTHON": sys.executable})
    clock = time.perf_counter() - start
    found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return Cost(found["tokens"], _processor() - before, clock, found["rows"])


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print the costs, and how many times less they are than the full run's."""
    options = parser(__doc__)
    options.add_argument("--data", type=Path, default=DATA, help="folder with the sentences")
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--sentences", type=int, default=1, help="sentences of a text (default: 1)")
    given = options.parse_args()
    part, folder = round(given.rows * SHARE), scratch()
    texts = sentences(given.data, given.rows + 2 * part)
    if given.sentences > 1:
        draw = random.Random(0)
        texts = [" ".join([text, *draw.sample(texts, given.sentences - 1)]) for text in texts]
    old = dict(enumerate(texts[: given.rows]))
    new = {key: text for key, text in old.items() if key >= part}
    new |= {part + key: text for key, text in enumerate(texts[given.rows : given.rows + part])}
    new |= {given.rows + key: text for key, text in enumerate(texts[given.rows + part :])}
    write(folder / "old", old)
    write(folder / "new", new)
    merge = ("--mode=merge", "--delete-missing")
    costs = {"full run": embed(folder / "old", folder, *merge), "1% changed": embed(folder / "new", folder, *merge)}
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "out").iterdir()}
    costs["unchanged"] = embed(folder / "new", folder, *merge)
    assert before == {path.name: path.stat().st_mtime_ns for path in (folder / "out").iterdir()}, (
        "the table was written"
    )
    full = costs["full run"]
    print(f"{'':12}{'tokens':>12}{'':>8}{'processor s':>14}{'':>8}{'clock s':>10}{'':>8}  rows")
    for name, cost in costs.items():
        rows = {key: cost.rows[key] for key in ("new", "changed", "deleted", "unchanged") if key in cost.rows}
        ratios = [full.tokens / max(cost.tokens, 1), full.processor / cost.processor, full.clock / cost.clock]
        first, second, third = (f"{ratio:.1f}x" if cost.tokens else "" for ratio in ratios)
        print(
            f"{name:12}{cost.tokens:12,}{first:>8}{cost.processor:14.1f}{second:>8}{cost.clock:10.1f}{third:>8}  {rows}"
        )


if __name__ == "__main__":
    main()
