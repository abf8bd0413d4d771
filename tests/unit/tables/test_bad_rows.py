"""Where rejected rows go: beside the table, never into it."""

import pytest

from st_spark.tables.bad_rows import rejected_name


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
def test_rejected_rows_lie_beside_the_table_of_a_partition(output: str, wanted: str) -> None:
    assert rejected_name(output) == wanted
