"""Run `python -m st_spark.cli`."""

import sys

from st_spark.cli.main import program

sys.exit(program())
