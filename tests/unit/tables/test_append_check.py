"""An append never mixes rows that were made in different ways."""

import pytest
from pyspark.sql.types import (
    ArrayType,
    ByteType,
    DataType,
    DateType,
    DoubleType,
    FloatType,
    IntegerType,
    StringType,
    StructField,
    StructType,
)

from st_spark.errors import TableError
from st_spark.tables.append_check import check_append
from st_spark.tables.metadata import column_metadata, vector_metadata

MODEL = {"model": "m", "content": "abc", "prompt": "", "normalize_embeddings": False}
PAIRS = {"method": "exact", "score": "cosine", "k": 5, "threshold": None, "left": MODEL, "right": MODEL}
GROUPS = {"method": "exact", "score": "cosine", "threshold": 0.9, "linkage": "components", "vectors": MODEL}
MINED = {"method": "exact", "margin": "ratio", "retrieval": "max", "k": 4, "threshold": 1.06}
LABELS = {**MODEL, "labels": ["a", "b"], "template": "{}"}


def embedded(element: DataType | None = None, **values: object) -> StructType:
    vectors = ArrayType(element or FloatType())
    return StructType(
        [StructField("id", IntegerType()), StructField("embedding", vectors, metadata=column_metadata(values))]
    )


def scored(**values: object) -> StructType:
    return StructType([StructField("score", DoubleType(), metadata=column_metadata(values))])


@pytest.mark.parametrize(
    ("before", "change"),
    [
        (MODEL, {"model": "the same files under another name", "revision": "main", "dtype": "bfloat16"}),
        (MODEL, {"prompt": None, "normalize_embeddings": None}),  # an option that is off, and one that is not given
        (PAIRS, {"left": {**MODEL, "model": "n"}, "expected_pairs": 7, "best_per_row": 3}),
        (PAIRS, {"recall": 0.97, "recall_low": 0.9, "nprobe": 3, "cells": 10, "recall_forward": 0.9}),
        (GROUPS, {"null_keys": 3}),
    ],
)
def test_what_a_job_measures_may_differ(before: dict[str, object], change: dict[str, object]) -> None:
    check_append(scored(**before), scored(**{**before, **change}), "out", "score")


@pytest.mark.parametrize(
    ("before", "change", "message"),
    [
        (MODEL, {"dtype": "int8"}, "made with dtype None; this job uses dtype 'int8'"),
        (MODEL, {"content": "xyz", "model": "n"}, r"content 'abc'; this job uses content 'xyz' \(models 'm' and 'n'\)"),
        (MODEL, {"prompt": "q: "}, "made with prompt None; this job uses prompt 'q: '"),
        (MODEL, {"text_columns": ["title"]}, r"this job uses text_columns \['title'\]"),
        (LABELS, {"labels": ["a", "c"]}, r"labels \['a', 'b'\]; this job uses labels \['a', 'c'\]"),
        (LABELS, {"template": "a {}"}, "template"),
        (PAIRS, {"score": "euclidean", "k": 9}, "made with k 5, score 'cosine'; this job uses k 9, score 'euclidean'"),
        (PAIRS, {"threshold": 0.0}, "threshold None; this job uses threshold 0.0"),
        (
            PAIRS,
            {"method": "ivf", "recall_asked": 0.9},
            "method 'exact', recall_asked None; this job uses method 'ivf'",
        ),
        (PAIRS, {"left": {**MODEL, "content": "xyz"}}, "left.content 'abc'; this job uses left.content 'xyz'"),
        (PAIRS, {"right": {**MODEL, "prompt": "q: "}}, "right.prompt None; this job uses right.prompt 'q: '"),
        (PAIRS, {"right": None}, "right.content 'abc'; this job uses right.content None"),
        (PAIRS, {"on": ["day"]}, r"on None; this job uses on \['day'\]"),
        (GROUPS, {"linkage": "leader"}, "linkage 'components'; this job uses linkage 'leader'"),
        (GROUPS, {"threshold": 0.8}, "threshold 0.9; this job uses threshold 0.8"),
        (GROUPS, {"vectors": {**MODEL, "content": "xyz"}}, "vectors.content"),
        (MINED, {"margin": "distance", "retrieval": "union"}, "margin 'ratio', retrieval 'max'"),
        (MODEL, {"labels": ["a long label"] * 99}, r"labels \['a long label', .*\.\.\. Fix"),
    ],
)
def test_rows_made_in_another_way_are_refused(
    before: dict[str, object], change: dict[str, object], message: str
) -> None:
    with pytest.raises(TableError, match=f"Cannot add to out: its column 'score' was .*{message}"):
        check_append(scored(**before), scored(**{**before, **change}), "out", "score")


def test_a_table_without_metadata_accepts_all_rows() -> None:
    check_append(scored(), scored(**PAIRS), "out", "score")
    assert vector_metadata({}) is None


@pytest.mark.parametrize(
    ("table", "new", "message"),
    [
        (
            embedded(ByteType(), precision="int8"),
            embedded(ByteType(), precision="binary"),
            "with precision 'int8'; this job uses precision 'binary'",
        ),
        (
            embedded(ByteType(), precision="int8"),
            embedded(),
            r"the columns differ: embedding \(array<tinyint> there, array<float> here\)",
        ),
        (
            embedded(),
            StructType([StructField("key", IntegerType()), *embedded().fields[1:]]),
            r"the columns differ: id \(int there, missing here\), key \(missing there, int here\)",
        ),
    ],
)
def test_other_columns_cannot_be_appended(table: StructType, new: StructType, message: str) -> None:
    with pytest.raises(TableError, match=message):
        check_append(table, new, "out", "embedding")


def test_the_type_of_a_partition_column_is_a_guess() -> None:
    guessed = StructType([*scored().fields, StructField("day", DateType())])
    new = StructType([*scored().fields, StructField("day", StringType())])
    check_append(guessed, new, "out", "score", ("day",))
    with pytest.raises(TableError, match=r"day \(date there, string here\)"):
        check_append(guessed, new, "out", "score")
    with pytest.raises(TableError, match=r"day \(date there, missing here\)"):
        check_append(guessed, scored(), "out", "score", ("day",))
