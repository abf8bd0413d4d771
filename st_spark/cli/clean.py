"""`st-spark clean`: delete what killed jobs have left beside a table."""

import re
import sys
from collections.abc import Sequence

from st_spark.choices import FORMATS_OUT
from st_spark.errors import SpecError, check_no_secret
from st_spark.specs.base import Parser

SUMMARY = "delete what killed jobs have left beside a table, if nobody runs them again"
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def main(argv: Sequence[str]) -> int:
    """Clean up beside a table and return the exit code."""
    parser = Parser(prog="st-spark clean", description=SUMMARY, allow_abbrev=False)
    parser.add_argument("output", metavar="OUTPUT", help="path or catalog name of the table")
    parser.add_argument(
        "--output-format", choices=FORMATS_OUT, help="table, if the output is a name in the catalog whose table is gone"
    )
    parser.add_argument("--older-than", metavar="AGE", help="keep what is younger: 30m, 12h, 7d (default: 0s)")
    given = parser.parse(argv)
    check_no_secret("output", given["output"])
    seconds = 0 if given["older_than"] is None else _seconds(given["older_than"])
    from st_spark.jobs.clean import clean
    from st_spark.jobs.start import is_delta
    from st_spark.spark import session

    spark = session.start(delta=is_delta(given["output"], given["output_format"]))
    runs = clean(spark, given["output"], given["output_format"], seconds)
    sys.stdout.write(f"Deleted the finished rows of {runs:,} killed runs beside {given['output']}.\n")
    return 0


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if found is None:
        raise SpecError(f"older_than is {text!r}.", "give a number and a unit: 30m, 12h or 7d.")
    return int(found[1]) * _UNITS[found[2]]
