"""The README and the pages of docs/, without running them: options, settings, links and navigation."""

import re
from pathlib import Path

import pytest

from st_spark.model.catalog import MODELS
from st_spark.specs.jobs import JOBS
from tests.support import cli_reference
from tests.support.doc_blocks import PAGES, Block, blocks, problems
from tests.support.paths import ROOT

# Most blocks that may be exempt from running, of all pages together. Raise it only with a reason beside the block.
MOST_NOT_RUN = 20


@pytest.mark.parametrize("page", PAGES)
def test_blocks_name_options_and_settings_that_exist(page: str) -> None:
    assert [problem for block in blocks(page) for problem in problems(block)] == []


def test_few_blocks_are_exempt_from_running() -> None:
    exempt = [block for page in PAGES for block in blocks(page) if block.reason is not None]
    assert len(exempt) <= MOST_NOT_RUN, "\n".join(map(str, exempt))


def test_a_broken_block_is_found() -> None:
    flag = Block("page.md", 1, "bash", "st-spark embed --no-such-flag")
    setting = Block("page.md", 1, "bash", "spark-submit --conf sparc.task.cpus=2 st_spark_job.py search x --table t")
    assert "has no option --no-such-flag" in problems(flag)[0]
    assert "no setting of Spark" in problems(setting)[0]


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_lead_somewhere(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_the_navigation_lists_every_page_once() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"[\w/]+\.md$", settings[settings.index("\nnav:") :], re.MULTILINE)
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in Path(ROOT, "docs").glob("**/*.md")]
    assert sorted(listed) == sorted(pages)


def test_the_page_of_models_matches_the_catalog() -> None:
    text = (ROOT / "docs" / "models" / "all.md").read_text(encoding="utf-8")
    rows = {cells[0].strip(): cells for line in text.splitlines() if len(cells := line.split("|")[1:]) > 5}
    for model in MODELS:
        dim, length = rows[model.name][2].strip(), rows[model.name][3].strip()
        assert dim == str(model.dim or "")
        assert length == ("any" if model.max_length == 1_000_000 else str(model.max_length or ""))


def test_the_page_of_commands_lists_every_option() -> None:
    text = cli_reference.PAGE.read_text(encoding="utf-8")
    options = [line.rpartition(" | ")[0].split(" | ")[0] for job in JOBS.values() for line in cli_reference.rows(job)]
    assert [option for option in options if option not in text] == [], "Fix: run `make docs`."
