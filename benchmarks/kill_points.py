"""Kill embed jobs at random moments, run them again, and compare each table with the one of an undisturbed run.

    python -m benchmarks.kill_points [--runs 200] [--rows 12000] [--seed 0]

Formats and modes take turns. Each run kills the driver, its JVM and its workers by SIGKILL; each tenth run kills one
Python worker first. Every other kill comes soon after the first slice is finished, the others at any moment. The old
table is read without Spark. Vectors are compared bit by bit: those of the tiny LSTM model do not depend on the other
texts of a batch. A job keeps slices of a second here (by default of a minute), and they are small beside its work, as
in real jobs.
"""

import hashlib
import json
import os
import random
import select
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from benchmarks.race import parser, scratch
from tests.support.checkpoints import WORDS
from tests.support.processes import end
from tests.support.short_spark import JAVA

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CASES = [
    *(("parquet", "overwrite"), ("delta", "merge"), ("parquet", "append")),
    *(("delta", "overwrite"), ("parquet", "merge"), ("delta", "append")),
]
_SLICES = ".*resume*/*/part-*.parquet"
_DAEMON = "st_spark.steps.model_daemon"
Row = tuple[int, str, bytes]


@dataclass
class Case:
    """A format and a mode, with the tables before and after an undisturbed run."""

    job: dict[str, Any]
    seconds: float
    before: Counter[Row]
    after: Counter[Row]
    seen: Counter[str] = field(default_factory=Counter)


def main(argv: list[str] | None = None) -> int:
    """Run the loop and print the table; 1 if a table is wrong, or no rerun took over a row."""
    given = parser(__doc__)
    for name, default in (("runs", 200), ("rows", 12_000), ("seed", 0)):
        given.add_argument(f"--{name}", type=int, default=default)
    given.add_argument("--victim", action="store_true", help="run one job of standard input, to be killed")
    options = given.parse_args(argv)
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--conf spark.python.daemon.module={_DAEMON} pyspark-shell"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("JAVA_TOOL_OPTIONS", JAVA)
    if options.victim:
        _run_as_victim()
        return 0
    random_, folder, spark = random.Random(options.seed), scratch(), _start()
    _write_inputs(folder, options.rows, random_)
    cases = {case: _undisturbed(spark, folder, *case) for case in CASES[: options.runs]}
    victim = _victim(folder / "local")
    try:
        for number in range(options.runs):
            case, current = cases[CASES[number % len(CASES)]], victim
            after_slice = (number + number // len(CASES)) % 2 == 1
            _kill(current, case, random_, worker=number % 10 == 9, after_slice=after_slice)
            victim = _victim(folder / "local") if number + 1 < options.runs else current
            _check(spark, case)
            print(f"{number + 1} of {options.runs} kills: {dict(case.seen)}", file=sys.stderr, flush=True)
    finally:
        end(victim)
    return _report(cases)


def _start() -> "SparkSession":
    from st_spark.spark import session

    spark = session.start(delta=True)
    spark.sparkContext.setLogLevel("OFF")
    return spark


def _write_inputs(folder: Path, rows: int, random_: random.Random) -> None:
    """Write a model, the input of the old table (a quarter of the rows) and the new input, which overlap."""
    from tests.support.word_checkpoints import write_lstm

    write_lstm(folder / "model")

    def texts(name: str, ids: range) -> None:
        words = [" ".join(random_.choices(WORDS, k=random_.randint(60, 180))) for _ in ids]
        pq.write_table(pa.table({"id": list(ids), "text": [f"{i} {text}" for i, text in enumerate(words)]}), name)

    texts(str(folder / "old.parquet"), range(rows // 4))
    texts(str(folder / "new.parquet"), range(rows // 8, rows + rows // 8))


def _undisturbed(spark: "SparkSession", folder: Path, table_format: str, mode: str) -> Case:
    from st_spark.jobs import runner
    from st_spark.specs.row_jobs import EmbedJob

    calm, old = folder / f"{table_format}-{mode}", folder / f"{table_format}-old"
    job: dict[str, Any] = {"input": str(folder / "new.parquet"), "model": str(folder / "model"), "text_column": "text"}
    job |= {"id_column": "id", "output_format": table_format, "dtype": "float32"}
    if not old.exists():
        runner.run(EmbedJob.from_fields(job | {"input": str(folder / "old.parquet"), "output": str(old)}), spark)
    shutil.copytree(old, calm)
    job |= {"mode": mode, "slice_seconds": 1}
    start = time.monotonic()
    runner.run(EmbedJob.from_fields(job | {"output": str(calm)}), spark)
    seconds, output = time.monotonic() - start, str(folder / "run" / old.name)
    return Case(job | {"output": output, "old": str(old)}, seconds, _table(old), _table(calm))


def _victim(local: Path) -> "subprocess.Popen[bytes]":
    """Start a process that waits for a job with a warm Spark, whose temporary files go into a folder."""
    command = [sys.executable, "-m", "benchmarks.kill_points", "--victim"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    shutil.rmtree(local, ignore_errors=True)  # a killed driver leaves Delta's jars there: 88 MB
    return subprocess.Popen(command, start_new_session=True, env=os.environ | {"SPARK_LOCAL_DIRS": str(local)}, **pipes)


def _run_as_victim() -> None:
    from st_spark.jobs import runner
    from st_spark.specs.row_jobs import EmbedJob

    spark = _start()
    spark.range(2, numPartitions=2).mapInArrow(lambda batches: batches, "id bigint").collect()  # starts workers
    print("ready", flush=True)
    job = EmbedJob.from_fields(json.loads(sys.stdin.readline()))
    print("started", flush=True)
    runner.run(job, spark)
    print("done", flush=True)


def _kill(
    victim: "subprocess.Popen[bytes]", case: Case, random_: random.Random, *, worker: bool, after_slice: bool
) -> None:
    """Give a job to the victim, and kill it at a random moment. With `worker` its job may fail, or survive."""
    assert victim.stdin
    assert victim.stdout
    output = Path(case.job["output"])
    shutil.rmtree(output.parent, ignore_errors=True)
    shutil.copytree(case.job["old"], output)
    assert victim.stdout.readline() == b"ready\n", "the victim did not start"
    job = {name: value for name, value in case.job.items() if name != "old"}
    victim.stdin.write(json.dumps(job).encode() + b"\n")
    victim.stdin.flush()
    victim.stdout.readline()
    if after_slice:
        _await_slice(victim, output.parent)
    time.sleep(random_.random() * case.seconds * (0.1 if after_slice else 1))
    if worker:
        daemons = [each for each in psutil.Process(victim.pid).children(recursive=True) if _is_daemon(each)]
        workers = [child for daemon in daemons for child in daemon.children()]
        if workers:
            random_.choice(workers).kill()
            time.sleep(random_.random())
        case.seen["worker killed"] += 1
    end(victim)


def _await_slice(victim: "subprocess.Popen[bytes]", folder: Path) -> None:
    """Wait until the job of a victim has kept a slice, or is done: on a busy machine either takes its time."""
    assert victim.stdout
    while not any(folder.glob(_SLICES)) and not select.select([victim.stdout], [], [], 0.02)[0]:
        pass


def _is_daemon(process: psutil.Process) -> bool:
    """Return whether Spark forks Python workers from a process. A worker that has just ended has no command line."""
    try:
        return _DAEMON in process.cmdline()
    except psutil.Error:
        return False


def _check(spark: "SparkSession", case: Case) -> None:
    """Compare the table after a kill and after a rerun, and count what the rerun did again."""
    from st_spark.jobs import runner
    from st_spark.specs.row_jobs import EmbedJob

    output = Path(case.job["output"])
    case.seen["runs"] += 1
    state = _state(output, case)
    case.seen[state] += 1
    case.seconds *= 0.7 if state == "new" else 1.05  # so that most kills come while a job runs, on any machine
    kept = [pq.ParquetFile(path).metadata.num_rows for path in output.parent.glob(_SLICES)]
    if state == "new" and case.job["mode"] == "append":
        return  # it is complete: a rerun would add its rows again
    result = runner.run(EmbedJob.from_fields({name: case.job[name] for name in case.job if name != "old"}), spark)
    if state != "new":  # else a merge has nothing to embed, and an overwrite starts anew
        case.seen["rows"] += (case.after - case.before).total()
        case.seen["finished rows"] += sum(kept)
        case.seen["resumed rows"] += result["rows"]["resumed"]
    case.seen["largest slice"] = max([case.seen["largest slice"], *kept])
    case.seen["equal"] += _table(output) == case.after
    case.seen["rerun"] += 1
    case.seen["left files"] += len(list(output.parent.glob(".*")))


def _state(output: Path, case: Case) -> str:
    """Return what readers see after a kill."""
    old = output.with_name(f".{output.name}.st-spark-old")
    if not output.exists() and old.exists():
        return "between" if _table(old) == case.before else "WRONG"
    found = _table(output)
    if found == case.before:
        return "old"
    if found == case.after:
        return "new"
    partly = case.job["mode"] == "append" and case.before < found < case.after
    return "between" if partly and output.with_name(f".{output.name}.st-spark-append").exists() else "WRONG"


def _table(folder: Path) -> Counter[Row]:
    """Return the rows of a table, read without Spark."""
    if (folder / "_delta_log").is_dir():
        from deltalake import DeltaTable

        table = pa.table(DeltaTable(str(folder)).to_pyarrow_table())
    else:
        table = ds.dataset(folder, format="parquet").to_table()
    columns = (table[name].to_pylist() for name in ("id", "text", "embedding"))
    return Counter(
        (key, text, hashlib.sha256(pa.array(vector, pa.float32()).buffers()[1].to_pybytes()).digest())
        for key, text, vector in zip(*columns, strict=True)
    )


def _report(cases: dict[tuple[str, str], Case]) -> int:
    """Print what happened in each case; return 1 if a table was wrong, or no rerun took over a row."""
    columns = "table, mode, kills, worker killed first, old table whole, new table whole, in between, wrong, reruns"
    columns += ", equal, rows to embed, not finished at the kill, embedded by the rerun, largest slice (of a job)"
    print(f"| {columns.replace(', ', ' | ')} |\n{'|---' * 14}|")
    wrong = resumed = 0
    for (table_format, mode), case in cases.items():
        seen, rows = case.seen, (case.after - case.before).total()
        names = ("runs", "worker killed", "old", "new", "between", "WRONG", "rerun", "equal", "rows")
        left, again = (1 - seen[name] / max(seen["rows"], 1) for name in ("finished rows", "resumed rows"))
        shares = f"{left:.1%} | {again:.1%} | {seen['largest slice'] / rows:.1%}"
        print(f"| {table_format} | {mode} | {' | '.join(str(seen[name]) for name in names)} | {shares} |")
        lost = seen["finished rows"] - seen["resumed rows"]
        wrong += seen["WRONG"] + seen["rerun"] - seen["equal"] + seen["left files"] + max(lost, 0)
        resumed += seen["resumed rows"]
    if not resumed:
        print("No rerun took over a row: resuming is not proven.")
    return int(wrong > 0 or resumed == 0)


if __name__ == "__main__":
    sys.exit(main())
