"""The quality check of a job's result: fail_if={"truncated": "> 5%", "recall": "< 0.9"}."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from st_spark.errors import SpecError, StSparkError, did_you_mean
from st_spark.specs.base import Job

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_CHUNKS = "rows.chunks"
_CONDITION = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*")


class GateError(StSparkError):
    """A result that meets a condition of fail_if."""


@dataclass(frozen=True)
class Metric:
    """A number in a job's result.

    Attributes:
        place: Where it is in the result: keys, joined by dots. If it is a table of numbers, they are added.
        rows: Where the number of rows for percentages is; "" if a percentage makes no sense. A job that cuts no texts
            has no number of chunks, and counts rows of the input in its place.
        needs: The field of the job that the metric needs; "" if it needs none.
        absent: The value if the result does not have it.
    """

    place: str
    rows: str = ""
    needs: str = ""
    absent: float = 0.0


@dataclass(frozen=True)
class Condition:
    """An entry of fail_if: the check fails if `metric sign limit` is true."""

    name: str
    metric: Metric
    text: str
    sign: str
    limit: float
    percent: bool

    def problem(self, result: Mapping[str, Any]) -> str | None:
        """Return the problem if the result meets the condition, else None."""
        value = _number(result, self.metric.place, self.metric.absent)
        rows = _number(result, self.metric.rows, 0.0) if self.metric.rows else 0.0
        rows = rows or (_number(result, "rows.in", 0.0) if self.metric.rows == _CHUNKS else 0.0)
        share = 100 * value / rows if rows else 0.0
        if not _OPERATORS[self.sign](share if self.percent else value, self.limit):
            return None
        found = f"{value:,.6g} of {rows:,.0f} rows, {share:.3g}%" if self.metric.rows else f"{value:,.6g}"
        return f"{self.name} is {found} (fail_if: {self.text})"


def parse(fail_if: Mapping[str, str] | None, job: Job) -> tuple[Condition, ...]:
    """Return the conditions of fail_if. Called before the job starts.

    Raises:
        SpecError: A metric that the job does not have, or a condition without meaning.
    """
    if fail_if is not None and not isinstance(fail_if, Mapping):
        raise SpecError(f"fail_if is {fail_if!r}.", 'write {"truncated": "> 5%"}.')
    return tuple(_condition(name, str(text), job) for name, text in (fail_if or {}).items())


def check(conditions: Sequence[Condition], result: Mapping[str, Any]) -> None:
    """Check a result.

    Raises:
        GateError: The result meets a condition.
    """
    problems = [problem for problem in (each.problem(result) for each in conditions) if problem is not None]
    if problems:
        where = result.get("output", {}).get("path", "the output")
        raise GateError(
            f"Quality check failed: {'; '.join(problems)}. The table was written; the asset was not updated.",
            f"look at {where}, correct the input, the job or fail_if, and clear this task.",
        )


def _condition(name: str, text: str, job: Job) -> Condition:
    known = METRICS.get(job.kind, {})
    if name not in known:
        problem = f"fail_if has an unknown metric of {job.kind}: {name!r}{did_you_mean(name, known)}."
        raise SpecError(problem, f"choose {', '.join(known)}.")
    metric, found = known[name], _CONDITION.fullmatch(text)
    if found is None:
        raise SpecError(
            f"fail_if for {name} is {text!r}.", 'write a sign and a number, such as "> 100", ">= 0.5%" or "< 0.9".'
        )
    sign, number, percent = found.groups()
    if percent and not metric.rows:
        raise SpecError(
            f"fail_if for {name} is {text!r}, but {name} is not a number of rows.", "write a number without %."
        )
    if metric.needs and getattr(job, metric.needs, None) is None:
        raise SpecError(f"fail_if has {name}, which is not counted without {metric.needs}.", f"give {metric.needs}.")
    return Condition(name, metric, text, sign, float(number), bool(percent))


def _number(result: Mapping[str, Any], place: str, absent: float) -> float:
    value: Any = result
    for key in place.split("."):
        value = value.get(key, {}) if isinstance(value, Mapping) else {}
    if isinstance(value, Mapping):
        return float(sum(value.values())) if value else absent
    return absent if value is None else float(value)


def _counts(names: str, place: str, rows: str) -> dict[str, Metric]:
    return {name: Metric(f"{place}.{name}", rows) for name in names.split()}


_SECONDS = {"seconds": Metric("seconds.total")}
_IDS = {name: Metric(f"rows.{name}", "rows.in", needs="id_column") for name in ("null_id", "duplicate_id")}
_TABLE = _counts("in", "rows", "rows.in")
_TABLE |= _counts("out null empty truncated corrupt undecodable unreadable bad", "rows", _CHUNKS) | _IDS | _SECONDS
_TABLE |= {"duplicates": Metric("duplicates", _CHUNKS), "rows_per_second": Metric("rows_per_second")}
# Only "ivf" measures a recall; the exact method has 1.
_RECALL = {"recall": Metric("recall", absent=1.0), "recall_low": Metric("recall_low", absent=1.0)}

METRICS: Mapping[str, Mapping[str, Metric]] = {
    "embed": _TABLE | _counts("zero nan new changed updated unchanged missing deleted dropped", "rows", _CHUNKS),
    "classify": _TABLE | _counts("undecided", "rows", "rows.in"),
    "index": {
        **_counts("in out indexed", "rows", "rows.in"),
        "set_aside": Metric("set_aside", "rows.in"),
        "lists": Metric("lists"),
        "nprobe": Metric("nprobe"),
        "recall": Metric("recall"),
        "recall_low": Metric("recall_low"),
        "rebuild": Metric("rebuild"),
        **_SECONDS,
    },
    "search": {
        "pairs": Metric("pairs", needs="queries"),
        "without_hits": Metric("queries.without_hits", "queries.rows", needs="queries"),
        "queries_set_aside": Metric("queries.set_aside", "queries.rows", needs="queries"),
        **_SECONDS,
    },
    "join": {
        "pairs": Metric("pairs"),
        "left_set_aside": Metric("left.set_aside", "left.rows"),
        "right_set_aside": Metric("right.set_aside", "right.rows"),
        **_RECALL,
        **_SECONDS,
    },
    "dedup": {
        "duplicates": Metric("duplicates", "input.rows"),
        "copies": Metric("copies", "input.rows"),
        "known": Metric("known", "input.rows", needs="against"),
        "groups": Metric("groups.all"),
        "largest": Metric("groups.largest", "input.rows"),
        "set_aside": Metric("input.set_aside", "input.rows"),
        **_RECALL,
        **_SECONDS,
    },
    "cluster": {
        "clusters": Metric("clusters.all"),
        "largest": Metric("clusters.largest", "input.rows"),
        "unclustered": Metric("clusters.unclustered", "input.rows"),
        "set_aside": Metric("input.set_aside", "input.rows"),
        **_SECONDS,
    },
    "mine": {
        "pairs": Metric("pairs"),
        "refused": Metric("refused"),
        "source_set_aside": Metric("source.set_aside", "source.rows"),
        "target_set_aside": Metric("target.set_aside", "target.rows"),
        "recall_forward": Metric("recall_forward", absent=1.0),
        "recall_backward": Metric("recall_backward", absent=1.0),
        **_SECONDS,
    },
}
