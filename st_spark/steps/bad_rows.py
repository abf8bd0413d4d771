"""Stop a job that has too many bad rows, before it writes anything."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from st_spark.errors import InputError

if TYPE_CHECKING:
    from st_spark.specs.fields import BadRows


def check(job: "BadRows", where: str, rows: int, bad: Mapping[str, int], first: Callable[[], str]) -> None:
    """Check that a table has no more bad rows than the job allows; InputError if it has.

    Args:
        job: The job.
        where: The table.
        rows: Its rows.
        bad: Its bad rows, by reason.
        first: Names the first of them.
    """
    count = sum(bad.values())
    if not job.limits_bad_rows or count <= job.allowed(rows):
        return
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in bad.items() if number)
    limit = "--on-error fail allows none" if job.on_error == "fail" else f"--max-bad allows {job.max_bad}"
    raise InputError(
        f"{count:,} of {rows:,} rows of {where} are bad ({reasons}), and {limit}: {first()}. Nothing was written.",
        "mend these rows, or allow them: --max-bad in place of --on-error fail, or a larger --max-bad.",
    )
