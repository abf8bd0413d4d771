"""Types of CSV and JSON columns, and casts to the types of a table: no value changes without a word."""

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as sf

from st_spark.errors import InputError, TableError
from st_spark.tables import io
from st_spark.tables.column_types import fit
from st_spark.tables.columns import CORRUPT

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow
CSV = """id,text,day,price,big,flag,at,ratio
10,007,2026-11-26,1.50,9007199254740993,true,2026-11-26 10:00:00,0.5
 9 ,"a, b",,"",,,,
"""
TYPES = "id INT, day DATE, price DECIMAL(10,2), big BIGINT, flag BOOLEAN, at TIMESTAMP, ratio DOUBLE"


def test_columns_get_the_types_of_the_schema_and_others_stay_strings(spark: "SparkSession", tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(CSV, encoding="utf-8")
    df = io.read(spark, str(tmp_path / "in.csv"), types=TYPES).orderBy("id")
    kinds = dict(df.drop(CORRUPT).dtypes)
    given = TYPES.lower().replace("(10,2)", "(10#2)").split(", ")
    assert kinds == {"text": "string", **{name: kind.replace("#", ",") for name, kind in map(str.split, given)}}
    first, second = (tuple(row) for row in df.collect())
    assert first == (9, "a, b", None, None, None, None, None, None, None)
    at = datetime(2026, 11, 26, 10)
    assert second == (10, "007", date(2026, 11, 26), Decimal("1.50"), 9007199254740993, True, at, 0.5, None)


# Values of each type that are read, and values that are not of the type.
VALUES: dict[str, tuple[list[str], list[str]]] = {
    "INT": (["007", " 7", "-1"], ["1.7", "1e3", "2147483648", "x", "N/A"]),
    "BIGINT": (["9223372036854775807"], ["9223372036854775808"]),
    "DECIMAL(4,2)": (["1.5", "1.500", "99.99"], ["1.999", "100", "x"]),
    "DOUBLE": (["1e3", "-inf", "NaN"], ["1e400", "1,5"]),
    "DATE": (["2026-11-26"], ["2026", "26.11.2026", "2026-11-26T10:00", "2026-02-30", "today"]),
    "TIMESTAMP": (["2026-11-26", "2026-11-26T10:00:00Z"], ["10:00", "now", "epoch"]),
    "BOOLEAN": (["true", "FALSE"], ["maybe"]),
}


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_value_of_another_type_makes_a_row_that_cannot_be_read(
    spark: "SparkSession", tmp_path: Path, suffix: str
) -> None:
    path, lines = tmp_path / f"in.{suffix}", []
    cases = [(kind, value, ok) for kind, both in VALUES.items() for ok in (True, False) for value in both[not ok]]
    for n, (kind, value, _) in enumerate(cases):
        values = {"n": str(n)} | {name: value if name == kind else "" for name in VALUES}
        lines.append(json.dumps(values) if suffix == "jsonl" else ",".join(f'"{each}"' for each in values.values()))
    head = ["n," + ",".join(f'"{kind}"' for kind in VALUES)]
    path.write_text("\n".join((head if suffix == "csv" else []) + lines), encoding="utf-8")
    types = ", ".join(f"`{kind}` {kind}" for kind in VALUES)
    rows = io.read(spark, str(path), types=types).orderBy(sf.col("n").cast("int")).collect()
    for row, (kind, value, ok) in zip(rows, cases, strict=True):
        assert row[CORRUPT] == (None if ok else f"{kind}: {value} is no {kind}")
        assert (row[kind] is not None) or not ok, (kind, value)


def test_json_numbers_keep_their_digits_and_nested_values_their_fields(spark: "SparkSession", tmp_path: Path) -> None:
    line = '{"id": 7, "big": 123456789012345678901, "code": 1.10, "on": true, "of": {"a": 1}}\n'
    (tmp_path / "in.jsonl").write_text(line, encoding="utf-8")
    types = "id SMALLINT, big DECIMAL(38,0), code STRING, on BOOLEAN, of STRUCT<a: BIGINT>"
    df = io.read(spark, str(tmp_path / "in.jsonl"), types=types)
    row = df.select("id", "big", "code", "on", "of.a").collect()[0]
    assert tuple(row) == (7, Decimal("123456789012345678901"), "1.10", True, 1)


@pytest.mark.parametrize(
    ("name", "types", "message"),
    [
        ("in.csv", "idd INT", r"has no column 'idd'.*did you mean 'id'"),
        ("in.csv", "id INTT", r"The schema 'id INTT' cannot be read: .*Unsupported data type.*Fix: write names"),
        ("in.csv", "id ARRAY<INT>", "A CSV file has no values of the type array<int> of 'id'"),
        ("t", "id INT", r"A schema is given, and .*t \(parquet\) has types of its own"),
    ],
)
def test_a_schema_that_does_not_fit_is_an_error(
    spark: "SparkSession", tmp_path: Path, name: str, types: str, message: str
) -> None:
    (tmp_path / "in.csv").write_text("id,text\n1,a\n", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        io.read(spark, str(tmp_path / name), types=types)


# Values of an input, their type, the type of the table, and the value that does not fit it.
CASTS = [
    (["1", "-20", None], "string", "bigint", None),
    (["1", "007"], "string", "bigint", "007"),
    (["1", ""], "string", "int", ""),
    (["2026-11-26"], "string", "date", None),
    (["26.11.2026"], "string", "date", "26.11.2026"),
    ([1, 2], "int", "bigint", None),
    ([1, 2**40], "bigint", "int", "1099511627776"),
    ([1, 2**53], "bigint", "double", None),
    ([2**53 + 1], "bigint", "double", "9007199254740993"),
    ([0.1], "double", "float", "0.1"),
    ([0.5, float("nan")], "double", "float", None),
    ([7], "int", "string", None),
    ([datetime(2026, 11, 26)], "timestamp", "date", None),
    ([datetime(2026, 11, 26, 1)], "timestamp", "date", "2026-11-26 01:00:00"),
    ([Decimal("1.50")], "decimal(9,2)", "decimal(9,1)", None),
    ([Decimal("1.55")], "decimal(9,2)", "decimal(9,1)", "1.55"),
]


@pytest.mark.parametrize(("values", "kind", "wanted", "lost"), CASTS)
def test_rows_are_cast_to_the_types_of_their_table_if_no_value_changes(
    spark: "SparkSession", values: list[Any], kind: str, wanted: str, lost: str | None
) -> None:
    df = spark.createDataFrame([(value,) for value in values], f"`a b` {kind}")
    table = spark.createDataFrame([], f"`a b` {wanted}, other int").schema
    if lost is None:
        cast = fit(df, table, "in.csv", "out")
        assert cast.schema["a b"].dataType == table["a b"].dataType
        back = fit(cast, df.schema, "out", "in.csv").collect()
        assert list(map(str, (row[0] for row in back))) == list(map(str, values))
        return
    with pytest.raises(TableError) as error:
        fit(df, table, "in.csv", "out")
    assert f"in.csv has a b {lost!r} ({kind.upper()}), and out has {wanted.upper()} there" in str(error.value)
    assert f'--schema "`a b` {wanted.upper()}"' in str(error.value)


def test_types_that_cannot_be_cast_without_a_choice_are_left_alone(spark: "SparkSession") -> None:
    df = spark.createDataFrame(
        [], "a array<int>, b struct<x: int, y: int>, c int, d string, f int, g date, h timestamp"
    )
    kinds = "a array<bigint>, b struct<y: int, x: int>, e int, d int, f date, g boolean, h boolean"
    table = spark.createDataFrame([], kinds).schema
    assert fit(df, table, "in", "out", skip=("d",)).schema == df.schema
