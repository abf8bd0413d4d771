"""The README and the pages of docs/, without running them: options, settings, links and navigation."""

import re
from pathlib import Path

import pytest

from st_spark.model.catalog import find
from st_spark.specs.jobs import JOBS
from tests.support import cli_reference, models_page
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


def test_the_page_of_models_is_written_from_the_catalog() -> None:
    text = models_page.PAGE.read_text(encoding="utf-8")
    assert text.partition(models_page.MARK)[2] == models_page.tables(), "Fix: run `make docs`."


@pytest.mark.parametrize("page", ["docs/models/choose.md", "docs/models/languages.md"])
def test_pages_about_models_name_known_models_and_their_sizes(page: str) -> None:
    rows = [line.strip("| ").split(" | ") for line in (ROOT / page).read_text(encoding="utf-8").splitlines()]
    found = [(model, cells) for cells in rows if len(cells) == 6 and (model := find(cells[0].strip("*")))]
    for model, cells in found:
        assert cells[3:] == [f"{model.max_length:,}", f"{model.dim:,}", f"{model.size_mb:,}"], model.name
    assert len(found) >= (9 if "languages" in page else 0)


def test_the_page_of_commands_lists_every_option() -> None:
    text = cli_reference.PAGE.read_text(encoding="utf-8")
    options = [line.rpartition(" | ")[0].split(" | ")[0] for job in JOBS.values() for line in cli_reference.rows(job)]
    assert [option for option in options if option not in text] == [], "Fix: run `make docs`."
