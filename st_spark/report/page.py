"""Build a self-contained HTML page: it loads nothing, runs no script, and escapes every text."""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

# Longer texts are cut, so that one row cannot fill the page.
MOST_CHARACTERS = 300
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --soft: #59636e; --line: #d1d9e0; --bar: #1f77b4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --paper: #15181c; --soft: #a3adb8; --line: #3a424b; --bar: #5aa9e6; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0.5rem 0; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 0.5rem; padding-top: 0.8rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 0.4rem; }
p { margin: 0.5rem 0; }
.lead { font-size: 1.1rem; }
.note, figcaption, th { color: var(--soft); }
.scroll { overflow-x: auto; margin: 0.6rem 0; }
table { border-collapse: collapse; min-width: 50%; }
th { font-weight: 600; overflow-wrap: normal; }
th, td { text-align: start; vertical-align: top; padding: 0.3rem 0.9rem 0.3rem 0;
  border-bottom: 1px solid var(--line); }
td { min-width: 5rem; }
.number { text-align: right; min-width: 3.5rem; white-space: nowrap; font-variant-numeric: tabular-nums; }
.bar { min-width: 6rem; width: 40%; }
.bar div { background: var(--bar); height: 0.9rem; margin-top: 0.3rem; border-radius: 2px; min-width: 1px;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
figure { margin: 0.8rem 0; }
figure img { width: 100%; max-width: 46rem; height: auto; background: #fff; border-radius: 6px; padding: 0.4rem; }
.sheet { display: flex; flex-wrap: wrap; gap: 0.6rem; margin: 0.8rem 0; }
.sheet figure { margin: 0; width: 8rem; }
.sheet img { width: 8rem; height: 8rem; object-fit: contain; padding: 0; }
pre { white-space: pre-wrap; font-size: 0.85rem; }
summary { cursor: pointer; }
@media print {
  :root { color-scheme: light; --ink: #000; --paper: #fff; --soft: #444; --line: #bbb; --bar: #1f77b4; }
  body { max-width: none; font-size: 11pt; padding: 0; }
  figure, tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
}
"""


class Html(str):
    """A piece of a page. A plain str is a text, which is escaped."""

    __slots__ = ()


def text(value: object) -> Html:
    """Return a value as HTML: numbers with commas, texts on one line, cut and escaped."""
    if isinstance(value, Html):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Html(f"{value:,}")
    if isinstance(value, float):
        return Html(f"{value:.4f}")
    line = " ".join(str(value).split())
    return Html(escape(line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 1]}…"))


def paragraph(value: str, kind: str = "note") -> Html:
    """Return a paragraph; its kind is a class of the style."""
    return Html(f'<p class="{kind}">{text(value)}</p>')


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Html:
    """Return a table, or a note if it has no row. Numbers are set to the right."""
    cells = [[(_kind(value), text(value)) for value in row] for row in rows]
    if not cells:
        return paragraph("None.")
    kinds = [kind for kind, _ in cells[0]]
    first = "".join(f"<th{kind}>{text(name)}</th>" for kind, name in zip(kinds, head, strict=True))
    body = "".join(f"<tr>{''.join(f'<td{kind}>{shown}</td>' for kind, shown in row)}</tr>" for row in cells)
    return Html(f'<div class="scroll"><table><thead><tr>{first}</tr></thead><tbody>{body}</tbody></table></div>')


def facts(values: Mapping[str, Any]) -> Html:
    """Return a table of names and values, without those that are None or empty."""
    rows = "".join(
        f'<tr><th scope="row">{text(name)}</th><td dir="auto">{text(value)}</td></tr>'
        for name, value in values.items()
        if value is not None and value != ""
    )
    return Html(f'<div class="scroll"><table><tbody>{rows}</tbody></table></div>')


def bars(head: str, unit: str, values: Mapping[str, float]) -> Html:
    """Return a table with a bar for each number, and its share of the sum."""
    total = sum(values.values()) or 1
    rows = [
        (
            name,
            f"{value:,.1f}" if isinstance(value, float) else value,
            f"{value / total:.1%}",
            Html(f'<div style="width:{100 * value / total:.1f}%"></div>'),
        )
        for name, value in values.items()
    ]
    return table((head, unit, "share", ""), rows)


def figure(picture: str, description: str) -> Html:
    """Return a picture with its description, which is also read to people who do not see it."""
    said = text(description)
    return Html(f'<figure><img src="{picture}" alt="{said}"><figcaption>{said}</figcaption></figure>')


def sheet(pictures: Iterable[tuple[str | None, str]]) -> Html:
    """Return small pictures with their descriptions, side by side. One that is None has its description alone."""
    shown = []
    for picture, said in pictures:
        image = f'<img src="{picture}" alt="{text(said)}">' if picture else ""
        shown.append(f"<figure>{image}<figcaption>{text(said)}</figcaption></figure>")
    return Html(f'<div class="sheet">{"".join(shown)}</div>')


def details(title: str, content: str) -> Html:
    """Return a text of many lines that opens with a click."""
    return Html(f"<details><summary>{text(title)}</summary><pre>{escape(content)}</pre></details>")


def section(title: str, parts: Iterable[Html]) -> Html:
    """Return a part of the page with a heading."""
    return Html(f"<section><h2>{text(title)}</h2>{''.join(parts)}</section>")


def heading(title: str) -> Html:
    """Return a heading within a section."""
    return Html(f"<h3>{text(title)}</h3>")


def page(title: str, lead: str, sections: Iterable[Html]) -> str:
    """Return the page. Its policy forbids browsers to load anything."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{text(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style></head>\n<body><h1>{text(title)}</h1>{paragraph(lead, 'lead')}\n"
        f"{chr(10).join(sections)}\n</body></html>\n"
    )


def _kind(value: object) -> str:
    """Return the class of a cell."""
    if isinstance(value, Html):
        return ' class="bar"'
    return ' class="number"' if re.fullmatch(r"-?[\d.,]+%?", str(value)) else ' dir="auto"'
