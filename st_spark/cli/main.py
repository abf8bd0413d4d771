"""The command line: st-spark embed | classify | search | join | dedup | cluster | mine | describe | clean | ..."""

import atexit
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from st_spark._version import __version__
from st_spark.cli import clean, doctor, models
from st_spark.cli.summaries import SUMMARIES, report_line
from st_spark.errors import SpecError, StSparkError, check_no_secret
from st_spark.specs.base import Job, Parser
from st_spark.specs.jobs import JOBS
from st_spark.steps import result_file

_FAILED, _WRONG, _INTERRUPTED = 1, 2, 130
_OTHERS: Mapping[str, Any] = {"clean": clean, "models": models, "doctor": doctor}


def program() -> int:
    """Run main() as a whole process, which ends without freeing each object: with torch loaded, that takes seconds."""
    code = _FAILED

    def end() -> None:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # closed by the other end of a pipe, or by us
                stream.flush()
        os._exit(code)

    atexit.register(end)  # the first to be registered runs last
    code = main()
    return code


def main(argv: Sequence[str] | None = None, failed: Callable[[StSparkError], None] | None = None) -> int:
    """Run a command and return the exit code.

    It is 0, 2 for an error that st-spark can explain, 130 if the user stops it, and 1 for any other failure.

    Args:
        argv: The arguments after `st-spark`; by default sys.argv[1:].
        failed: Called with the error if the command fails.
    """
    try:
        return _command(list(sys.argv[1:] if argv is None else argv))
    except SystemExit as end:  # --help and --version
        return int(end.code or 0)
    except KeyboardInterrupt:
        _print_error("stopped; each output table is as it was, or complete.")
        return _INTERRUPTED
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _FAILED
    except Exception as error:  # noqa: BLE001  (a user should see no traceback; the log has it)
        return _explain(error, failed)


def _command(argv: list[str]) -> int:
    name = argv[0] if argv else "--help"
    if name in _OTHERS:
        return _OTHERS[name].main(argv[1:])
    if name in JOBS:
        return _job(JOBS[name], argv[1:])
    parser = Parser(prog="st-spark", description="Sentence embeddings of tables on Spark.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"st-spark {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for job in JOBS.values():
        commands.add_parser(job.kind, help=job.headline())
    for other, module in _OTHERS.items():
        commands.add_parser(other, help=module.SUMMARY)
    parser.parse(argv or ["--help"])
    return _WRONG  # not reached: every command was handled above


def _job(kind: type[Job], argv: list[str]) -> int:
    parser = kind.parser()
    parser.add_argument("--spec", help="JSON file with these options; flags on the command line override it")
    parser.add_argument("--result", help="file for the result as JSON; - for standard output")
    given = parser.parse(argv)
    spec, result = given.pop("spec"), given.pop("result")
    for name, path in (("spec", spec), ("result", result)):
        check_no_secret(name, path or "")
    job = kind.from_json(_read_spec(spec), **given) if spec else kind.from_fields(given)
    if result not in (None, "-"):
        result_file.prepare(result, [where for where, _ in job.tables()])
    _start_log()
    from st_spark.jobs import runner

    done = runner.run(job)
    if result not in (None, "-"):
        result_file.write(result, done)
    as_json = result == "-" or getattr(job, "json", False)
    summary = SUMMARIES[job.kind](done) + report_line(done)
    sys.stdout.write(json.dumps(done, indent=2, default=str) + "\n" if as_json else summary)
    return 0


def _read_spec(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"Cannot read the spec {path}: {error}.", "name a readable JSON file: --spec.") from None


def _start_log() -> None:
    """Send our log lines to standard error, and hide the warnings of libraries."""
    own = logging.getLogger("st_spark")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s" if sys.stderr.isatty() else "%(asctime)s %(message)s"))
    own.handlers, own.propagate = [handler], False
    own.setLevel(logging.INFO)
    logging.getLogger().addHandler(logging.NullHandler())
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    for name in ("DataFrameQueryContextLogger", "SQLQueryContextLogger", "py4j"):  # PySpark's; they print JSON
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _explain(error: Exception, failed: Callable[[StSparkError], None] | None) -> int:
    from st_spark.spark import failures, session

    known = failures.explain(error)
    if failed is not None:
        failed(known)
    log = None if known is error else session.keep_log()
    if log:
        with log.open("a", encoding="utf-8") as file:
            traceback.print_exception(error, file=file)
    elif isinstance(known, failures.JobError):  # the driver's standard error is the log then
        traceback.print_exception(error)
    _print_error(f"{known}{f' Log: {log}' if log else ''}")
    return _FAILED if isinstance(known, failures.JobError) else _WRONG


def _print_error(text: str) -> None:
    sys.stderr.write(f"st-spark: error: {' '.join(text.split())}\n")
