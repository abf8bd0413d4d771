"""Aligned text for a terminal. A wide character such as 日 takes two cells, a combining accent none."""

import unicodedata
from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """Return aligned columns. The last column is cut so that no line is wider than `width`."""
    sizes = [max(cells(row[i]) for row in (head, *rows)) for i in range(len(head) - 1)]
    lines = []
    for row in (head, *rows):
        start = "".join(f"{text}{' ' * (size - cells(text))}  " for text, size in zip(row, sizes, strict=False))
        lines.append(start + cut(row[-1], max(width - cells(start), 10)))
    return "".join(line.rstrip() + "\n" for line in lines)


def cut(text: str, width: int) -> str:
    """Return the text, or its beginning and "…" if it needs more than `width` cells."""
    if cells(text) <= width:
        return text
    used, end = 0, 0
    for end, sign in enumerate(text):  # noqa: B007
        used += cells(sign)
        if used > width - 1:
            break
    return text[:end] + "…"


def cells(text: str) -> int:
    """Return the number of terminal cells that a text takes."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )
