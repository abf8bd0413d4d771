"""The command line: st-spark embed | classify | join | dedup | mine | search | models | doctor."""

import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from st_spark._version import __version__
from st_spark.cli import doctor, summaries
from st_spark.errors import InputError, SpecError, StSparkError
from st_spark.jobs import result_file
from st_spark.model import catalog
from st_spark.specs.base import Job, Parser, read_fields
from st_spark.specs.jobs import JOBS

_MODELS = "list the documented models: task, dimension, longest text, score function, size, published results"
_DOCTOR = "check Java, the workers' Python, the processor, Delta and a model"
_FAILED, _WRONG, _INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None, failed: Callable[[StSparkError], None] | None = None) -> int:
    """Runs a command and gives the exit code: 0, 2 for what the user can put right, 1 for other failures.

    Args:
        argv: The command line after `st-spark`; by default this process's.
        failed: Is told the error that the command ends with.
    """
    try:
        return _command(list(sys.argv[1:] if argv is None else argv))
    except SystemExit as end:  # --help and --version
        return int(end.code or 0)
    except KeyboardInterrupt:
        summaries.error("stopped; what was there before is unchanged.")
        return _INTERRUPTED
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _FAILED
    except Exception as error:  # noqa: BLE001  (no user should see a traceback; the log has it)
        return _explained(error, failed)


def _command(argv: list[str]) -> int:
    name = argv[0] if argv else "--help"
    if name == "doctor":
        return _doctor(argv[1:])
    if name == "models":
        return _models(argv[1:])
    if name in JOBS:
        return _job(JOBS[name], argv[1:])
    parser = Parser(prog="st-spark", description="Sentence embeddings of tables on Spark.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"st-spark {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for job in JOBS.values():
        commands.add_parser(job.kind, help=_summary(job))
    commands.add_parser("models", help=_MODELS)
    commands.add_parser("doctor", help=_DOCTOR)
    parser.parse(argv or ["--help"])
    return _WRONG  # not reached: every command was handled above


def _job(kind: type[Job], argv: list[str]) -> int:
    parser = Parser(prog=f"st-spark {kind.kind}", description=_summary(kind), allow_abbrev=False)
    kind.add_flags(parser)
    parser.add_argument("--spec", help="a JSON file with these options; flags given beside it win")
    parser.add_argument("--result", help="write what happened to this file as JSON; - for standard output")
    given = parser.parse(argv)
    spec, result = given.pop("spec"), given.pop("result")
    fields = read_fields(_read_spec(spec), kind.kind) if spec else {}
    job = kind.from_fields({**fields, **given})
    if result not in (None, "-"):
        result_file.prepare(result)
    _start_log()
    from st_spark.jobs import runner

    done = runner.run(job)
    if result == "-":
        sys.stdout.write(json.dumps(done, indent=2, default=str) + "\n")
        return 0
    if result:
        result_file.write(result, done)
    sys.stdout.write(summaries.SUMMARIES[job.kind](done))
    return 0


def _doctor(argv: list[str]) -> int:
    parser = Parser(prog="st-spark doctor", description=_DOCTOR, allow_abbrev=False)
    parser.add_argument("--model", help="also check that this model can be had: hub name, folder or package:NAME")
    parser.add_argument("--revision", help="of that model")
    given = parser.parse(argv)
    checks = doctor.examine(given["model"], given["revision"])
    sys.stdout.write(summaries.checks(checks))
    return 0 if all(check.ok for check in checks) else _FAILED


def _models(argv: list[str]) -> int:
    parser = Parser(prog="st-spark models", description=_MODELS, allow_abbrev=False)
    parser.add_argument("name", nargs="?", metavar="NAME", help="all that is known of this one")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    given = parser.parse(argv)
    found = catalog.MODELS if given["name"] is None else (_model(given["name"]),)
    if given["json"]:
        sys.stdout.write(json.dumps([model.to_dict() for model in found], indent=2) + "\n")
    else:
        sys.stdout.write(summaries.models(found) if given["name"] is None else summaries.model(found[0]))
    return 0


def _model(name: str) -> catalog.CatalogModel:
    found = catalog.find(name)
    if found is None:
        near = catalog.close_matches(name)
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise InputError(
            f"No documented model is called {name!r}.",
            f"{hint}`st-spark models` lists them; any other hub name or folder can be given to --model all the same.",
        )
    return found


def _summary(kind: type[Job]) -> str:
    return (kind.__doc__ or "").splitlines()[0]


def _read_spec(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"The spec {path} cannot be read: {error}.", "check --spec.") from None


def _start_log() -> None:
    """Our own lines go to standard error; what libraries warn of goes to Spark's log or nowhere."""
    own = logging.getLogger("st_spark")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s" if sys.stderr.isatty() else "%(asctime)s %(message)s"))
    own.handlers, own.propagate = [handler], False
    own.setLevel(logging.INFO)
    logging.getLogger().addHandler(logging.NullHandler())
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    for name in ("DataFrameQueryContextLogger", "SQLQueryContextLogger", "py4j"):  # PySpark's, which print JSON
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _explained(error: Exception, failed: Callable[[StSparkError], None] | None) -> int:
    from st_spark.spark import failures, session

    told = failures.explain(error)
    if failed is not None:
        failed(told)
    known = isinstance(told, StSparkError) and not isinstance(told, failures.JobError)
    log = None if told is error else session.keep_log()
    summaries.error(f"{told}{f' Log: {log}' if log else ''}")
    return _WRONG if known else _FAILED
