"""Embed a million short rows by a static model, and watch the memory of the job's processes.

    python -m benchmarks.flat_memory [--rows 250000 1000000] [--plot FILE]

Each number of rows is one `st-spark embed`, on all cores: Parquet to Parquet, 256 dimensions, random weights of the
size of potion-base-8M. Memory is PSS: pages that processes share count once. The job's result gives the seconds,
without the start of Spark. Memory is flat if it does not grow with the rows, nor in the second half of a job.
"""

import json
import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.model_speed import SHAPES
from benchmarks.model_speed import write as write_model
from benchmarks.race import parser, scratch, table
from tests.support.checkpoints import WORDS

FILE_ROWS = 125_000


@dataclass(frozen=True)
class Job:
    """A job that was watched.

    Attributes:
        seconds: Of the job, without the start of Spark.
        samples: Seconds since the start, MB of the JVM, and MB of all Python processes.
    """

    rows: int
    seconds: float
    samples: list[tuple[float, float, float]]

    def peak(self, place: int, *, late: bool) -> float:
        """Return the largest sample of the JVM (1) or of Python (2), in the first or in the second half of the job."""
        middle = self.samples[-1][0] - self.seconds / 2
        return max(sample[place] for sample in self.samples if (sample[0] > middle) == late)


def main() -> None:
    """Print a line for each number of rows."""
    options = parser(__doc__)
    options.add_argument("--rows", type=int, nargs="+", default=[250_000, 1_000_000])
    options.add_argument("--plot", type=Path, help="PNG file for a plot")
    given = options.parse_args()
    folder = scratch()
    (folder / "model").mkdir()
    write_model(folder / "model", *SHAPES["static"])
    jobs = [embed(folder, rows) for rows in given.rows]
    names = ("rows", "seconds", "rows/s", "MB of Python, first half", "second half", "MB of the JVM, first half")
    lines = []
    for job in jobs:
        peaks = (f"{job.peak(place, late=late):,.0f}" for place in (2, 1) for late in (False, True))
        lines.append((f"{job.rows:,}", f"{job.seconds:.1f}", f"{job.rows / job.seconds:,.0f}", *peaks))
    print(table((*names, "second half"), lines))
    if given.plot:
        plot(jobs, given.plot)


def write_rows(folder: Path, rows: int) -> None:
    """Write different texts of 2 to 12 words."""
    draw = random.Random(rows)
    folder.mkdir()
    for first in range(0, rows, FILE_ROWS):
        ids = range(first, min(first + FILE_ROWS, rows))
        texts = [f"{number} {' '.join(draw.choices(WORDS, k=draw.randint(2, 12)))}" for number in ids]
        pq.write_table(pa.table({"id": list(ids), "text": texts}), folder / f"{first}.parquet")


def embed(folder: Path, rows: int) -> Job:
    """Run a job and watch it."""
    source, result = folder / f"rows{rows}", folder / "result.json"
    write_rows(source, rows)
    command = [sys.executable, "-m", "st_spark.cli", "embed", f"--input={source}", f"--output={folder / f'out{rows}'}"]
    command += [f"--model={folder / 'model'}", "--text-column=text", "--id-column=id", f"--result={result}"]
    environment = os.environ | {"PYSPARK_PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    start, samples = time.monotonic(), []
    with subprocess.Popen(command, env=environment) as process:
        while process.poll() is None:
            samples.append((time.monotonic() - start, *_memory(process.pid)))
            time.sleep(1)
    if process.returncode:
        sys.exit(f"The job failed: {process.returncode}.")
    phases = json.loads(result.read_text(encoding="utf-8"))["seconds"]
    return Job(rows, phases["total"] - phases["start"], samples)


def _memory(pid: int) -> tuple[float, float]:
    """Return the MB of the JVM, and of all Python processes."""
    java = python = 0.0
    with suppress(psutil.Error):
        for process in (top := psutil.Process(pid), *top.children(recursive=True)):
            with suppress(psutil.Error):
                used = process.memory_full_info().pss / 1e6
                java, python = (java + used, python) if process.name() == "java" else (java, python + used)
    return java, python


def plot(jobs: list[Job], path: Path) -> None:
    """Draw the memory over time of the largest job."""
    import matplotlib.figure as mf

    job = max(jobs, key=lambda each: each.rows)
    figure = mf.Figure(figsize=(7, 3), dpi=110, layout="constrained")
    axes = figure.subplots()
    seconds = [sample[0] for sample in job.samples]
    for place, name in ((2, "Python"), (1, "JVM")):
        axes.plot(seconds, [sample[place] for sample in job.samples], label=name)
    axes.set(xlabel="seconds", ylabel="MB", ylim=(0, None), title=f"Embedding {job.rows:,} rows by a static model")
    axes.legend(frameon=False)
    figure.savefig(path)


if __name__ == "__main__":
    main()
