"""Read the HTML report of a job."""

import html
import re
from pathlib import Path


def sections(path: str | Path | None) -> dict[str, str]:
    """Return the text of each section of a report by its title, without tags. No section may have failed."""
    page = Path(str(path)).read_text(encoding="utf-8")
    found = re.findall(r"<section><h2>(.*?)</h2>(.*?)</section>", page, re.DOTALL)
    assert "could not be made" not in page
    assert "<script" not in page
    return {title: html.unescape(re.sub("<[^>]*>", " ", body)) for title, body in found}
