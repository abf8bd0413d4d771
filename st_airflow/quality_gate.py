"""The quality gate of a job: fail_if={"truncated": "> 5%", "recall": "< 0.9"}."""

import difflib
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from st_spark.errors import SpecError, StSparkError
from st_spark.specs.base import Job

_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_CONDITION = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*")


class GateError(StSparkError):
    """A job that is done, with a result that was said to be a failure."""


@dataclass(frozen=True)
class Metric:
    """A number of a job's result.

    Attributes:
        place: The keys that lead to it, with dots between them; numbers of a table there are added up.
        rows: The place of the rows that a percentage is a share of; "" where a percentage makes no sense.
        needs: A field of the job without which it is not counted.
        absent: What it is where the result has no such place.
    """

    place: str
    rows: str = ""
    needs: str = ""
    absent: float = 0.0


@dataclass(frozen=True)
class Condition:
    """One line of fail_if: the job has failed if `metric sign limit` holds."""

    name: str
    metric: Metric
    text: str
    sign: str
    limit: float
    percent: bool

    def broken(self, result: Mapping[str, Any]) -> str | None:
        """What is wrong with a result, None if nothing is."""
        value = _number(result, self.metric.place, self.metric.absent)
        rows = _number(result, self.metric.rows, 0.0) if self.metric.rows else 0.0
        share = 100 * value / rows if rows else 0.0
        if not _SIGNS[self.sign](share if self.percent else value, self.limit):
            return None
        told = f"{value:,.6g} of {rows:,.0f} rows ({share:.3g}%)" if self.metric.rows else f"{value:,.6g}"
        return f"{self.name} is {told}, and fail_if says {self.text!r}"


def parse(fail_if: Mapping[str, str] | None, job: Job) -> tuple[Condition, ...]:
    """The conditions of a gate, checked before the job starts.

    Raises:
        SpecError: No such metric of this kind of job, or a condition that cannot be understood or never holds.
    """
    if fail_if is not None and not isinstance(fail_if, Mapping):
        raise SpecError(f"fail_if is {fail_if!r}.", 'write {"truncated": "> 5%"}.')
    return tuple(_condition(name, str(text), job) for name, text in (fail_if or {}).items())


def check(conditions: Sequence[Condition], result: Mapping[str, Any]) -> None:
    """Holds a result against a gate.

    Raises:
        GateError: A condition holds.
    """
    broken = [said for said in (each.broken(result) for each in conditions) if said is not None]
    if broken:
        where = result.get("output", {}).get("path", "the output")
        raise GateError(
            f"The quality gate is closed: {'; '.join(broken)}.",
            f"look at {where}, which is written but not announced to other DAGs; then correct the input or the job, or "
            "loosen fail_if, and clear this task.",
        )


def _condition(name: str, text: str, job: Job) -> Condition:
    known = METRICS.get(job.kind, {})
    if name not in known:
        near = difflib.get_close_matches(name, list(known), n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        problem = f"fail_if names {name!r}{hint}, which {job.kind} does not count."
        raise SpecError(problem, f"choose {', '.join(known)}.")
    metric, found = known[name], _CONDITION.fullmatch(text)
    if found is None:
        raise SpecError(
            f"fail_if says {text!r} of {name}.", 'write a sign and a number, such as "> 100", ">= 0.5%" or "< 0.9".'
        )
    sign, number, percent = found.groups()
    if percent and not metric.rows:
        raise SpecError(f"fail_if says {text!r}, but {name} is no number of rows.", "write a number without %.")
    if metric.needs and getattr(job, metric.needs, None) is None:
        raise SpecError(f"fail_if names {name}, which is not counted without {metric.needs}.", f"give {metric.needs}.")
    return Condition(name, metric, text, sign, float(number), bool(percent))


def _number(result: Mapping[str, Any], place: str, absent: float) -> float:
    found: Any = result
    for key in place.split("."):
        found = found.get(key, {}) if isinstance(found, Mapping) else {}
    if isinstance(found, Mapping):
        return float(sum(found.values())) if found else absent
    return absent if found is None else float(found)


def _counts(names: str, place: str, rows: str) -> dict[str, Metric]:
    return {name: Metric(f"{place}.{name}", rows) for name in names.split()}


_SECONDS = {"seconds": Metric("seconds.total")}
_IDS = {name: Metric(f"rows.{name}", "rows.in", needs="id_column") for name in ("null_id", "duplicate_id")}
_TABLE = _counts("in out null empty truncated corrupt unreadable", "rows", "rows.in") | _IDS | _SECONDS
_TABLE |= {"duplicates": Metric("duplicates", "rows.in"), "rows_per_second": Metric("rows_per_second")}
# Where nothing measures a recall, the answer is exact.
_RECALL = {"recall": Metric("recall", absent=1.0), "recall_low": Metric("recall_low", absent=1.0)}

METRICS: Mapping[str, Mapping[str, Metric]] = {
    "embed": _TABLE | _counts("zero nan", "rows", "rows.in"),
    "classify": _TABLE | _counts("undecided", "rows", "rows.in"),
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
        "groups": Metric("groups.all"),
        "largest": Metric("groups.largest", "input.rows"),
        "set_aside": Metric("input.set_aside", "input.rows"),
        **_RECALL,
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
