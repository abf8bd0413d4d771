"""The quality check: conditions, their errors before the job, and the check of a result."""

import operator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_airflow import quality_gate
from st_airflow.quality_gate import METRICS, GateError
from st_spark.errors import SpecError
from st_spark.specs.jobs import JOBS
from st_spark.specs.pair_jobs import DedupJob, JoinJob
from st_spark.specs.row_jobs import EmbedJob

EMBED = EmbedJob(input="/in", output="/out", model="m", text_column="text", id_column="id")
DEDUP = DedupJob(input="/in", output="/out")
JOIN = JoinJob(left="/left", output="/out", method="ivf")
SIGNS = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def embedded(**rows: int) -> dict[str, Any]:
    return {"rows": {"in": 1000, "out": 1000, **rows}, "output": {"path": "/out"}, "seconds": {"total": 9.0}}


@given(st.sampled_from(sorted(SIGNS)), st.integers(0, 999), st.integers(0, 999))
def test_count_is_compared_with_the_limit(sign: str, limit: int, count: int) -> None:
    conditions = quality_gate.parse({"truncated": f"{sign} {limit}"}, EMBED)
    assert (conditions[0].problem(embedded(truncated=count)) is not None) == SIGNS[sign](count, limit)


@given(st.sampled_from(sorted(SIGNS)), st.integers(0, 100), st.integers(0, 1000))
def test_percentage_is_a_share_of_the_input_rows(sign: str, percent: int, count: int) -> None:
    conditions = quality_gate.parse({"null": f"{sign}{percent}%"}, EMBED)
    assert (conditions[0].problem(embedded(null=count)) is not None) == SIGNS[sign](100 * count / 1000, percent)


@given(st.text(alphabet="<>=!%. 0123456789x", max_size=12))
def test_wrong_condition_is_an_error_with_an_example(text: str) -> None:
    try:
        quality_gate.parse({"truncated": text}, EMBED)
    except SpecError as error:
        assert "Fix: write" in str(error)  # noqa: PT017  (hypothesis also finds conditions that are sound)


@pytest.mark.parametrize(
    ("fail_if", "message"),
    [
        ({"trucated": "> 5%"}, "did you mean 'truncated'?"),
        ({"pairs": "> 5"}, "unknown metric of embed: 'pairs'"),
        ({"truncated": "5%"}, "write a sign and a number"),
        ({"truncated": "> five"}, "write a sign and a number"),
        ({"tokens_per": "> 1"}, "Fix: choose in, out,"),
        ({"rows_per_second": "< 5%"}, "rows_per_second is not a number of rows"),
        (["truncated > 5%"], 'write {"truncated": "> 5%"}'),
    ],
)
def test_wrong_fail_if_is_an_error_before_the_job(fail_if: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        quality_gate.parse(fail_if, EMBED)
    assert message in str(caught.value)


def test_id_metrics_need_an_id_column() -> None:
    without = EmbedJob(input="/in", output="/out", model="m", text_column="text")
    with pytest.raises(SpecError, match="not counted without id_column"):
        quality_gate.parse({"duplicate_id": "> 0"}, without)
    assert quality_gate.parse({"duplicate_id": "> 0"}, EMBED)


def test_failed_check_is_one_line_with_every_problem_and_a_fix() -> None:
    conditions = quality_gate.parse({"truncated": "> 5%", "null": "> 0", "empty": "> 50%"}, EMBED)
    with pytest.raises(GateError) as caught:
        quality_gate.check(conditions, embedded(truncated=130, null=2, empty=3))
    line = str(caught.value)
    assert "Quality check failed: truncated is 130 of 1,000 rows, 13% (fail_if: > 5%); " in line
    assert "null is 2 of 1,000 rows, 0.2% (fail_if: > 0). The table was written; the asset was not updated." in line
    assert "empty" not in line
    assert "Fix: look at /out" in line
    assert "\n" not in line


def test_recall_of_an_exact_result_is_one() -> None:
    conditions = quality_gate.parse({"recall": "< 0.9"}, JOIN)
    quality_gate.check(conditions, {"pairs": 5})
    quality_gate.check(conditions, {"recall": 0.95})
    with pytest.raises(GateError, match=r"recall is 0\.85 \(fail_if: < 0\.9\)"):
        quality_gate.check(conditions, {"recall": 0.85})


def test_set_aside_rows_are_added_over_the_reasons() -> None:
    conditions = quality_gate.parse({"set_aside": "> 10%", "largest": ">= 50%"}, DEDUP)
    result: dict[str, Any] = {"input": {"rows": 20, "set_aside": {}}, "groups": {"largest": 9}}
    quality_gate.check(conditions, result)
    result["input"]["set_aside"] = {"without a vector": 1, "with NaN": 2}
    with pytest.raises(GateError, match=r"set_aside is 3 of 20 rows, 15%"):
        quality_gate.check(conditions, result)


def test_percentage_of_no_rows_is_zero() -> None:
    quality_gate.check(quality_gate.parse({"truncated": "> 5%"}, EMBED), {"rows": {"in": 0, "truncated": 0}})


def test_each_operator_has_metrics() -> None:
    from st_airflow import operators
    from st_airflow.base import JobOperator

    kinds = {each.kind.kind for each in vars(operators).values() if _is_operator(each, JobOperator)}
    assert set(METRICS) == kinds <= set(JOBS)


def _is_operator(each: object, base: type) -> bool:
    return isinstance(each, type) and issubclass(each, base) and each is not base


def test_a_share_of_chunks_is_one_of_all_chunks() -> None:
    conditions = quality_gate.parse({"truncated": "> 5%"}, EMBED)
    quality_gate.check(conditions, {"rows": {"in": 1, "chunks": 100, "truncated": 4}})
    with pytest.raises(GateError, match=r"truncated is 6 of 100 rows, 6%"):
        quality_gate.check(conditions, {"rows": {"in": 1, "chunks": 100, "truncated": 6}})
