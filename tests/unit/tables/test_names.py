"""Names of catalog tables: parsed once, and always quoted for Spark."""

import pytest

from st_spark.tables.names import parse_name, table_beside


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


@pytest.mark.parametrize(
    ("output", "wanted"),
    [
        ("/lake/docs", "/lake/docs__rejected"),
        ("s3a://bucket/docs/", "s3a://bucket/docs__rejected"),
        ("lake.docs", "lake.docs__rejected"),
        ("lake.`my docs`", "lake.`my docs__rejected`"),
        ("lake.`a=b`", "lake.`a=b__rejected`"),
        ("/lake/docs/day=2026-11-26", "/lake/docs__rejected/day=2026-11-26"),
        ("docs/day=1/hour=2/", "docs__rejected/day=1/hour=2"),
        ("/lake/k=1/docs", "/lake/k=1/docs__rejected"),
        ("s3a://bucket/docs/day=1", "s3a://bucket/docs__rejected/day=1"),
        # Spark does not read a folder whose name starts with _ as a part of a table.
        ("s3a://bucket/day=1", "s3a://bucket/__rejected/day=1"),
        ("file:///day=1", "file:///__rejected/day=1"),
        ("/day=1", "/__rejected/day=1"),
        ("day=1", "__rejected/day=1"),
    ],
)
def test_a_second_table_lies_beside_the_table_of_a_partition(output: str, wanted: str) -> None:
    assert table_beside(output, "rejected") == wanted
