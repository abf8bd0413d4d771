"""The application that a scheduler hands to spark-submit: a job of the command line whose failures are told as well.

Where the driver runs on the cluster, nobody reads what it prints: so the file of --result says why a job failed.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress

from st_spark.cli.main import main as run
from st_spark.errors import StSparkError
from st_spark.jobs import result_file

_FLAG = "--result="


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `st-spark` with these arguments; --result=PATH is the last of them. Gives the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    path = words[-1].removeprefix(_FLAG) if words and words[-1].startswith(_FLAG) else None

    def tell(error: StSparkError) -> None:
        if path is not None:
            with suppress(Exception):  # the error itself is printed, and matters more than where it could not be put
                result_file.write(path, result_file.failure(words[0], error))

    return run(words, tell)


if __name__ == "__main__":
    sys.exit(main())
