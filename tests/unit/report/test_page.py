"""The page of a report: it loads nothing, escapes all texts, and opens in a browser."""

import re
from pathlib import Path

import numpy as np
import pytest

from st_spark.report import page, plots
from st_spark.report.page import Html
from tests.support.browser import open_page

SCRIPT = "<script>alert('x')</script> & \"more\""


@pytest.mark.parametrize(
    "made",
    [
        page.text(SCRIPT),
        page.paragraph(SCRIPT),
        page.heading(SCRIPT),
        page.table(("a", SCRIPT), [(1, SCRIPT)]),
        page.facts({SCRIPT: SCRIPT}),
        page.bars(SCRIPT, SCRIPT, {SCRIPT: 1}),
        page.figure("data:,", SCRIPT),
        page.details(SCRIPT, SCRIPT),
        page.section(SCRIPT, []),
        Html(page.page(SCRIPT, SCRIPT, [])),
    ],
)
def test_every_text_is_escaped(made: Html) -> None:
    assert "<script" not in made
    assert '"more"' not in made
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &quot;more&quot;" in made


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234, "1,234"),
        (0.5, "0.5000"),
        (True, "True"),
        (None, "None"),
        (" two\n lines ", "two lines"),
        ("a" * 300, "a" * 300),
        ("a" * 301, "a" * 299 + "…"),
        (Html("<b>"), "<b>"),
    ],
)
def test_a_value_is_one_short_line(value: object, shown: str) -> None:
    assert page.text(value) == shown


def test_numbers_are_set_to_the_right_with_their_heading() -> None:
    made = page.table(("id", "rows", "share", "score", "text"), [("a1", 1200, "5.0%", -0.5, "1 b")])
    kinds = re.findall(r"<t[hd]( [^>]*)>", made)
    right, free = ' class="number"', ' dir="auto"'
    assert kinds == [free, right, right, right, free] * 2
    assert "None." in page.table(("id",), [])


def test_bars_show_shares_of_the_sum() -> None:
    made = page.bars("stage", "seconds", {"read": 1.0, "write": 3.0})
    assert re.findall(r"width:([\d.]+)%", made) == ["25.0", "75.0"]
    assert ">3.0</td>" in made
    assert "0.0%" in page.bars("stage", "seconds", {"read": 0.0})


def test_facts_leave_out_what_is_unknown() -> None:
    assert "Model" not in page.facts({"Model": None, "Format": "", "Job": "embed"})


@pytest.mark.slow
def test_a_page_opens_in_a_browser_and_loads_nothing(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pictures = [
        plots.score_plot({90: 3, 91: 5}, 0.01, 0.905, "score", "pairs"),
        plots.length_plot(random.integers(3, 90, 200), 64),
        plots.speed_plot([(0.0, 1.0, 10.0), (1.0, 2.0, 30.0)], 20.0),
        plots.map_plot(random.normal(size=(60, 2)), np.arange(60) % 3),
    ]
    figures = [page.figure(each, f"figure {number}") for number, each in enumerate(pictures)]
    table = page.table(("id", "text"), [(1, SCRIPT), (2, "日本語"), (3, "نص")])
    made = page.page("A report", SCRIPT, [page.section("Plots", figures), page.section("Texts", [table])])
    assert set(re.findall(r"\b(?:src|href)=\"(\w+:)", made)) == {"data:"}
    assert "http://" not in made and "https://" not in made and "url(" not in made
    (tmp_path / "r.html").write_text(made, encoding="utf-8")
    shown = open_page(f"file://{tmp_path / 'r.html'}", tmp_path / "r.png", "--window-size=900,2600")
    assert shown.count("<img ") == 4
    assert "<script" not in shown and "alert('x')&lt;/script&gt;" in shown
    assert (tmp_path / "r.png").stat().st_size > 50_000  # a page without its figures has a third
