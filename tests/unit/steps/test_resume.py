"""Which jobs keep slices, how large these are, and which job may use them."""

from typing import Any

import pytest

from st_spark.specs.row_jobs import EmbedJob
from st_spark.steps.resume import key, slice_rows
from st_spark.tables.row_counts import RowCounts

JOB: dict[str, Any] = {"input": "docs", "text_column": "text", "model": "m", "output": "out"}
RECIPE: dict[str, Any] = {"content": "abc", "dim": 4, "dtype": "float32", "prompt": "", "precision": "float32"}


@pytest.mark.parametrize(
    ("rows", "seconds", "cost", "asked", "kept", "wanted"),
    [
        (100_000, 0.01, 4e-5, None, False, 6_000),  # 500 s on two cores
        (10_000, 0.01, 4e-5, None, False, 0),  # 50 s
        (10_000_000, 0.0005, 4e-5, None, False, 0),  # slices would take 8%
        (10_000_000, 0.001, 4e-5, None, False, 10_000),  # not more rows than a task has without slices
        (1_000, 90.0, 4e-5, None, False, 1),
        (10_000, 0.01, 4e-5, 5, False, 500),
        (10_000, 0.01, 4e-5, None, True, 6_000),  # an earlier run has kept some
    ],
)
def test_slices_are_kept_where_they_cost_little(
    rows: int, seconds: float, cost: float, asked: int | None, kept: bool, wanted: int
) -> None:
    assert slice_rows(RowCounts(rows, (rows,), 2), seconds, cost, asked, kept) == wanted


@pytest.mark.parametrize(
    ("change", "recipe", "types"),
    [
        ({"input": "other"}, {}, ["string"]),
        ({"max_image_pixels": 9}, {}, ["string"]),
        ({}, {"content": "abd"}, ["string"]),
        ({}, {"prompt": "q: "}, ["string"]),
        ({}, {"dtype": "bfloat16"}, ["string"]),
        ({}, {"precision": "int8", "ranges": {"low": [0.0], "high": [1.0]}}, ["string"]),
        ({}, {}, ["binary"]),
        ({}, {}, ["string", "string"]),
    ],
)
def test_a_job_that_makes_other_vectors_uses_no_slices(
    change: dict[str, Any], recipe: dict[str, Any], types: list[str]
) -> None:
    first = key(EmbedJob(**JOB), RECIPE, ["string"], "struct<>")
    assert (
        key(EmbedJob(**JOB | {"mode": "append", "batch_size": 8, "slice_seconds": 9}), RECIPE, ["string"], "struct<>")
        == first
    )
    assert key(EmbedJob(**JOB | change), RECIPE | recipe, types, "struct<>") != first


def test_a_micro_batch_finds_the_slices_of_its_first_try() -> None:
    views = [EmbedJob(**JOB | {"input": f"_st_spark_rows_{number}"}) for number in range(2)]
    assert len({key(job, RECIPE, ["string"], "struct<>") for job in views}) == 1
