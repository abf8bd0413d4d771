"""The README and the pages of docs/: every block runs, and prints what the page shows below it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import run_doc_blocks
from tests.support.doc_blocks import PAGES, Block, blocks, runs
from tests.support.paths import ROOT

# The first test waits for all blocks.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
RUNNING = [page for page in PAGES if any(map(runs, blocks(page)))]


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], dict[str, Any]]:
    """Return what each block did, by page and line."""
    folder = tmp_path_factory.mktemp("docs")
    tools = tmp_path_factory.mktemp("tools")
    environment = {
        **os.environ,
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
        "DOC_TOOLS": str(tools),
        "AIRFLOW_HOME": str(tools / "airflow"),
        "COLUMNS": "120",
    }
    command = [sys.executable, "-m", "tests.support.run_doc_blocks", str(folder), *RUNNING]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    lines = [line.removeprefix("BLOCK ") for line in ran.stdout.splitlines() if line.startswith("BLOCK ")]
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = [json.loads(line) for line in lines]
    return {(each["page"], each["line"]): each for each in found}


def masked(text: str) -> list[str]:
    """Return the lines of an output without what differs between machines: numbers, widths, the format of a model."""
    text = text.replace("bfloat16", "float32")
    lines = [re.sub(r"[-+]{3,}", "-", re.sub(r"-?\d[\d.,e-]*", "0", line)) for line in text.strip().splitlines()]
    # A processor rounds in its own way, so a number can have one digit less. Spark pads it on its left or its right.
    return [re.sub(r"\s*\|\s*", "|", re.sub(r"\s+", " ", line)).strip() for line in lines]


@pytest.mark.parametrize("page", RUNNING)
def test_every_block_runs_and_prints_what_the_page_shows(
    page: str, done: dict[tuple[str, int], dict[str, Any]]
) -> None:
    for block in filter(runs, blocks(page)):
        found = done[page, block.line]
        assert found["error"] is None, f"{block}\n{block.code}\n{found['error']}"
        if block.output is not None:
            assert masked(found["output"]) == masked(block.output), f"{block} prints\n{found['output']}"


def test_the_padding_of_a_shorter_number_is_no_difference() -> None:
    assert masked("|cooking|-0.0909| 0.328|0.3|") == masked("|cooking|-0.09096|0.32823 | 0.30|")


@pytest.mark.parametrize(
    ("language", "code", "says"),
    [
        ("python", "print(1)\nmissing_name\n", "NameError"),
        ("bash", "echo 1\nfalse\necho 2\n", "exit code 1"),
        ("bash", "echo 1\nst-spark embed\n", "embed needs input"),
    ],
)
def test_a_failing_block_is_reported(
    language: str, code: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOC_TOOLS", str(tmp_path))
    output, error = run_doc_blocks.run_block(None, Block("page.md", 1, language, code), {})
    assert output == "1\n"
    assert says in str(error)
