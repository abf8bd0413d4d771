"""Write the tables of docs/models/all.md from the catalog. `make docs` calls this.

python -m tests.support.models_page
"""

from collections.abc import Iterable

from st_spark.cli.models import row
from st_spark.model.catalog import MODELS, TASKS, CatalogModel
from st_spark.model.catalog_table import MEASURED_ON
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "models" / "all.md"
MARK = "<!-- What follows is written by `make docs`. -->\n"
_HEAD = "model | made for | values | tokens | score | languages | MB | licence | passages a second | results (%)"


def main() -> None:
    """Replace the part of the page below MARK."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text[: text.index(MARK)] + MARK + tables(), encoding="utf-8")


def tables() -> str:
    """Return the tables of models and of purposes."""
    documented, community = ([each for each in MODELS if each.documented is which] for which in (True, False))
    purposes = _table("made for | meaning", TASKS.items())
    return (
        f"\nSpeed: {MEASURED_ON}.\n"
        f"\n## Models of the documentation\n\n{_models(documented)}"
        f"\n## Models of the community\n\n{_models(community)}"
        f"\n## What each is made for\n\n{purposes}"
    )


def _models(models: Iterable[CatalogModel]) -> str:
    return _table(_HEAD, map(row, models))


def _table(head: str, rows: Iterable[Iterable[str]]) -> str:
    lines = [f"| {head} |", "|---" * (head.count("|") + 1) + "|", *(f"| {' | '.join(cells)} |" for cells in rows)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
