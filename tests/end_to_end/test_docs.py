"""The README and the pages of docs/: every block runs, every link leads somewhere."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.paths import ROOT
from tests.support.doc_blocks import PAGES, RUN, Block, blocks, problems

# Most blocks that may be exempt from running, of all pages together. Raise it only with a reason beside the block.
MOST_NOT_RUN = 20


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
    pages = [page for page in PAGES if any(block.language in RUN and block.reason is None for block in blocks(page))]
    command = [sys.executable, "-m", "tests.support.run_doc_blocks", str(folder), *pages]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    lines = [line.removeprefix("BLOCK ") for line in ran.stdout.splitlines() if line.startswith("BLOCK ")]
    assert lines, ran.stderr[-3000:]
    found = [json.loads(line) for line in lines]
    return {(each["page"], each["line"]): each for each in found}


def masked(text: str) -> list[str]:
    """Return the lines of an output without what differs from one machine to another: numbers and widths."""
    lines = [re.sub(r"[-+]{3,}", "-", re.sub(r"-?\d[\d.,e-]*", "0", line)) for line in text.strip().splitlines()]
    return [re.sub(r"\s+", " ", line).strip() for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_every_block_runs_and_prints_what_the_page_shows(
    page: str, done: dict[tuple[str, int], dict[str, Any]]
) -> None:
    for block in blocks(page):
        if block.language not in RUN or block.reason is not None:
            continue
        found = done[page, block.line]
        assert found["error"] is None, f"{block}\n{block.code}\n{found['error']}"
        if block.output is not None:
            assert masked(found["output"]) == masked(block.output), f"{block} prints\n{found['output']}"


@pytest.mark.parametrize("page", PAGES)
def test_blocks_name_options_and_settings_that_exist(page: str) -> None:
    assert [problem for block in blocks(page) for problem in problems(block)] == []


def test_few_blocks_are_exempt_from_running() -> None:
    exempt = [block for page in PAGES for block in blocks(page) if block.reason is not None]
    assert len(exempt) <= MOST_NOT_RUN, "\n".join(map(str, exempt))


def test_a_broken_block_is_found() -> None:
    flag = Block("page.md", 1, "bash", "st-spark embed --no-such-flag", None, None)
    setting = Block("page.md", 1, "bash", "spark-submit --conf sparc.task.cpus=2 st_spark_job.py search x --table t", "", None)
    assert "has no option --no-such-flag" in problems(flag)[0]
    assert "no setting of Spark" in problems(setting)[0]


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_lead_somewhere(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_the_navigation_lists_every_page_once() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    listed = re.findall(r"[\w/-]+\.md", json.dumps(nav))
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in Path(ROOT, "docs").glob("**/*.md")]
    assert sorted(listed) == sorted(pages)
