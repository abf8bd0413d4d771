"""A job whose disk gets full leaves the old table whole. Run again with more space, it goes on where it stopped."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.checkpoints import WORDS
from tests.support.paths import ROOT
from tests.support.word_checkpoints import write_lstm

ROWS = 12_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk in memory, of a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"no small disk can be mounted: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def embed(folder: Path, name: str, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "st_spark.cli", "embed", f"--input={folder / name}", "--text-column=text"]
    command += [f"--output={folder / 'disk' / 'out'}", f"--model={folder / 'model'}", "--id-column=id"]
    command += [f"--result={folder / 'result.json'}", "--dtype=float32", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def write(path: Path, ids: range) -> None:
    random_ = random.Random(ids.start)
    texts = [" ".join(random_.choices(WORDS, k=random_.randint(60, 180))) for _ in ids]
    pq.write_table(pa.table({"id": list(ids), "text": texts}), path)


def rows(folder: Path) -> list[dict[str, Any]]:
    return pq.read_table(folder).sort_by("id").to_pylist()


def test_a_full_disk_leaves_the_old_table_and_a_rerun_goes_on(disk: Path, tmp_path: Path) -> None:
    write_lstm(tmp_path / "model")
    write(tmp_path / "old.parquet", range(100))
    write(tmp_path / "new.parquet", range(100, ROWS))
    first = embed(tmp_path, "old.parquet")
    assert first.returncode == 0, first.stderr
    before = rows(disk / "out")

    failed = embed(tmp_path, "new.parquet", "--mode=overwrite", "--slice-seconds=1")
    assert "The disk is full" in failed.stderr, failed.stderr
    assert rows(disk / "out") == before

    subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
    again = embed(tmp_path, "new.parquet", "--mode=overwrite", "--slice-seconds=1")
    assert again.returncode == 0, again.stderr
    counts = json.loads((tmp_path / "result.json").read_text())["rows"]
    after = rows(disk / "out")
    assert [row["id"] for row in after] == list(range(100, ROWS))
    assert all(row["embedding"] for row in after)
    assert 0 < counts["resumed"] < ROWS - 100
    assert [path.name for path in disk.iterdir()] == ["out"]
