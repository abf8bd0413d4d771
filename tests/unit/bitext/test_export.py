"""Files of pairs: TSV that any spreadsheet reads, TMX that any XML parser reads."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_spark.bitext.export import TmxFile, TsvFile, write
from st_spark.errors import InputError

PAIRS: list[dict[str, Any]] = [
    {
        "score": 1.25,
        "source_text": 'A <b>"bold"</b> & co',
        "target_text": "B\tC\nD",
        "source_id": 1,
        "target_id": "x&y",
    },
    {
        "score": 1.1,
        "source_text": "\x00\x0bzwölf\ud800",
        "target_text": "十二 \U0001f600 ]]>",
        "source_id": 2,
        "target_id": "<",
    },
]
LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def units(path: Path) -> list[Any]:
    root = ElementTree.parse(path).getroot()
    assert (root.tag, root.get("version")) == ("tmx", "1.4")
    header, body = root
    wanted = {"creationtool", "creationtoolversion", "segtype", "o-tmf", "adminlang", "srclang", "datatype"}
    assert (header.tag, body.tag, set(header.attrib)) == ("header", "body", wanted)
    return list(body)


def test_tmx_has_one_unit_per_pair_with_both_languages(tmp_path: Path) -> None:
    file = TmxFile(tmp_path / "out.tmx", "de", "zh-Hans")
    write(PAIRS, [file])
    found = [[(each.get(LANG), each.findtext("seg")) for each in unit.findall("tuv")] for unit in units(file.path)]
    assert found[0] == [("de", 'A <b>"bold"</b> & co'), ("zh-Hans", "B\tC\nD")]
    assert found[1] == [("de", "zwölf"), ("zh-Hans", "十二 \U0001f600 ]]>")]
    facts = {prop.get("type"): prop.text for prop in units(file.path)[0].findall("prop")}
    assert facts == {"x-score": "1.250000", "x-source-id": "1", "x-target-id": "x&y"}
    assert [path.name for path in tmp_path.iterdir()] == ["out.tmx"]


@given(text=st.text())
def test_any_text_stays_valid_xml(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = TmxFile(tmp_path_factory.getbasetemp() / "any.tmx", "de", "en")
    write([{**PAIRS[0], "source_text": text, "source_id": text}], [file])
    seg = units(file.path)[0].findtext("tuv/seg")
    assert seg is not None
    allowed = [sign for sign in text if sign in "\t\n\r" or (sign >= " " and sign not in "\ufffe\uffff")]
    assert seg == "".join(allowed).replace("\r\n", "\n").replace("\r", "\n").encode(errors="ignore").decode()


def test_tsv_has_one_line_per_pair(tmp_path: Path) -> None:
    file = TsvFile(tmp_path / "out.tsv")
    write(PAIRS, [file])
    lines = [line.split("\t") for line in file.path.read_text(encoding="utf-8").split("\n")]
    assert lines[0] == ["score", "source", "target", "source_id", "target_id"]
    assert lines[1] == ["1.250000", 'A <b>"bold"</b> & co', "B C D", "1", "x&y"]
    assert [len(line) for line in lines] == [5, 5, 5, 1]


def test_an_export_that_fails_half_way_keeps_the_old_file(tmp_path: Path) -> None:
    file = TsvFile(tmp_path / "out.tsv")
    write(PAIRS[:1], [file])
    before = file.path.read_bytes()
    with pytest.raises(KeyError):
        write([PAIRS[0], {}], [file])
    assert file.path.read_bytes() == before


def test_a_language_that_is_not_a_tag_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'de en' is not a language tag"):
        TmxFile(tmp_path / "out.tmx", "de en", "en")
