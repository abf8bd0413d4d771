"""The data of the demo is complete, small and free to share."""

import json
import re

import pytest

from tests.support.paths import ROOT

FOLDER = ROOT / "demo"
DATA = FOLDER / "jargon.jsonl"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    return [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]


def test_every_row_has_an_id_and_a_text_of_at_least_eight_words(rows: list[dict[str, str]]) -> None:
    assert 1_000 <= len(rows) <= 5_000
    for row in rows:
        assert list(row) == ["id", "text"]
        assert row["id"].strip() == row["id"] != ""
        assert len(row["text"].split()) >= 8
        assert " ".join(row["text"].split()) == row["text"]


def test_ids_and_texts_are_unique(rows: list[dict[str, str]]) -> None:
    assert len({row["id"] for row in rows}) == len(rows)
    assert len({row["text"] for row in rows}) == len(rows)


def test_no_text_is_a_fragment_or_holds_an_address(rows: list[dict[str, str]]) -> None:
    for row in rows:
        assert re.match(r"[A-Z0-9“‘(]", row["text"]), row
        assert row["text"].count("[") == row["text"].count("]"), row
        assert not re.search(r"@|https?:|www\.|\xad", row["text"]), row


def test_the_file_is_smaller_than_a_megabyte() -> None:
    assert DATA.stat().st_size < 1_000_000


def test_the_note_beside_the_data_gives_licence_source_and_the_number_of_rows(rows: list[dict[str, str]]) -> None:
    note = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "public domain" in note
    assert "Jargon File, version 4.4.7, 29 Dec 2003" in note
    assert f"{len(rows):,} entries" in note
