"""Write the options of each command into docs/reference/cli.md. `make docs` calls this, so the page matches --help.

python -m tests.support.cli_reference
"""

from dataclasses import MISSING, Field, fields
from typing import Any

from st_spark.specs.base import Job
from st_spark.specs.jobs import JOBS
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "reference" / "cli.md"
MARK = "<!-- What follows is written by `make docs`. -->\n"


def main() -> None:
    """Replace the part of the page below MARK."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text[: text.index(MARK)] + MARK + "".join(map(section, JOBS.values())), encoding="utf-8")


def section(job: type[Job]) -> str:
    """Return the heading, the summary and the table of options of a command."""
    summary = (job.__doc__ or "").splitlines()[0]
    head = ["| option | meaning | default |", "|---|---|---|"]
    return "\n".join([f"\n## {job.kind}\n", summary, "", *head, *rows(job), ""])


def rows(job: type[Job]) -> list[str]:
    """Return the lines of the table of options."""
    return [f"| {_flag(each)} | {_meaning(each)} | {_default(each)} |" for each in fields(job)]


def _flag(option: Field[Any]) -> str:
    name = "--" + option.name.replace("_", "-")
    short = option.metadata["short"]
    if short == "-":
        return f"`{option.name.upper()}`"
    return f"`{short}`, `{name}`" if short else f"`{name}`"


def _meaning(option: Field[Any]) -> str:
    choices = ", ".join(f"`{choice}`" for choice in option.metadata["choices"])
    return option.metadata["help"].replace("|", "\\|") + (f": {choices}" if choices else "")


def _default(option: Field[Any]) -> str:
    if option.default is MISSING:
        return "needed"
    return "" if option.default in (None, False) else f"`{option.default}`"


if __name__ == "__main__":
    main()
