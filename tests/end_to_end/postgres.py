"""A PostgreSQL server for a test, if PostgreSQL is installed."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_DEBIAN = Path("/usr/lib/postgresql")


@contextmanager
def postgres() -> Iterator[str | None]:
    """Start a database server and yield its address for SQLAlchemy; None if PostgreSQL is not installed."""
    programs = find()
    if programs is None:
        yield None
        return
    with TemporaryDirectory(prefix="st-spark-postgres-") as folder:
        yield from _serve(programs, Path(folder))


def _serve(programs: Path, data: Path) -> Iterator[str]:
    account = "postgres" if os.getuid() == 0 else None  # the server refuses to run as root
    if account:
        shutil.chown(data, account, account)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]

    def run(*argv: str) -> None:
        command = [str(programs / argv[0]), *argv[1:]]
        done = subprocess.run(command, user=account, cwd="/", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    run("initdb", "--pgdata", str(data), "--username", "airflow", "--auth", "trust", "--no-sync", "--encoding", "UTF8")
    options = f"-p {port} -h 127.0.0.1 -k {data} -F"
    log = str(data / "log")
    run("pg_ctl", "--pgdata", str(data), "--log", log, "--options", options, "--wait", "start")
    try:
        run("createdb", "--host", "127.0.0.1", "--port", str(port), "--username", "airflow", "airflow")
        yield f"postgresql+psycopg2://airflow@127.0.0.1:{port}/airflow"
    finally:
        run("pg_ctl", "--pgdata", str(data), "--mode", "immediate", "stop")


def find() -> Path | None:
    """Return the folder of PostgreSQL's programs: Debian's newest version, else the one on the PATH."""
    found = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    here = shutil.which("initdb")
    return found[-1].parent if found else Path(here).parent if here else None
