"""Names of catalog tables: parsed once, and always quoted for Spark."""

import pytest

from st_spark.tables.names import parse_name


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("t", ("t",)),
        ("db.t", ("db", "t")),
        ("spark_catalog.db.t", ("spark_catalog", "db", "t")),
        ("`my pairs`", ("my pairs",)),
        ("db.`with-hyphen`", ("db", "with-hyphen")),
        ("`a.b`.`c``d`", ("a.b", "c`d")),
        ("main.`dev-1`.`docs.v2`", ("main", "dev-1", "docs.v2")),
        ("`main`.`my schema`.docs", ("main", "my schema", "docs")),
    ],
)
def test_a_name_has_one_to_three_parts(text: str, parts: tuple[str, ...]) -> None:
    name = parse_name(text)
    assert name is not None
    assert name.parts == parts
    assert parse_name(str(name)) == name
    assert name.beside("old").parts == (*parts[:-1], f"{parts[-1]}__st_spark_old")


@pytest.mark.parametrize("text", ["", "a.b.c.d", "with-hyphen", "my pairs", "/a/b", "a/b", "`a", "a..b", "s3a://b/t"])
def test_other_texts_are_no_names(text: str) -> None:
    assert parse_name(text) is None
