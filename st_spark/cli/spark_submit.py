"""The application for spark-submit: a job of the command line that also writes its error to the file of --result.

With the driver on the cluster, nobody reads what it prints.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress

from st_spark.cli.main import main as run
from st_spark.errors import ModelError, StSparkError
from st_spark.spark import session
from st_spark.steps import result_file

_FLAG = "--result="


def main(argv: Sequence[str] | None = None) -> int:
    """Run `st-spark` with these arguments and return the exit code. --result=PATH, if given, is the last one."""
    words = list(sys.argv[1:] if argv is None else argv)
    path = words[-1].removeprefix(_FLAG) if words and words[-1].startswith(_FLAG) else None

    def write_error(error: StSparkError) -> None:
        if path is not None and path != "-":
            with suppress(Exception):  # the error is printed anyway
                if "://" in path and isinstance(error, ModelError):
                    session.start()  # Spark writes there, and models are checked before it starts
                result_file.write(path, result_file.failure(words[0], error))

    return run(words, write_error)


if __name__ == "__main__":
    sys.exit(main())
