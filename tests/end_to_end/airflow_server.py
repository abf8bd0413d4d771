"""A real Airflow on this machine: api-server, scheduler and dag-processor."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.end_to_end.postgres import postgres
from tests.support.processes import end

PARTS = ("api-server", "scheduler", "dag-processor")
_BIN = Path(sys.executable).parent
_ENDED = ("success", "failed")
_SECONDS = 500


@dataclass(frozen=True)
class Airflow:
    """A running Airflow.

    Attributes:
        url: The address of its api-server.
        env: The environment variables of its parts.
        logs: The folder with the output of its parts.
    """

    url: str
    env: Mapping[str, str]
    logs: Path

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Call the REST API and return the JSON of the answer. `path` follows /api/v2/."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if "api/v2" in path or not path.startswith("auth"):
            headers["Authorization"] = f"Bearer {self.token()}"
            path = f"api/v2/{path}"
        request = urllib.request.Request(f"{self.url}/{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()[:500]}") from None

    def token(self) -> str:
        """Return an access token; here every user is an administrator."""
        with urllib.request.urlopen(f"{self.url}/auth/token", timeout=60) as answer:
            return str(json.loads(answer.read())["access_token"])

    def unpause(self, dag: str) -> None:
        """Unpause a DAG after Airflow has read it."""
        wait(lambda: any(each["dag_id"] == dag for each in self.call("GET", "dags?limit=100")["dags"]), f"no {dag}")
        self.call("PATCH", f"dags/{dag}", {"is_paused": False})

    def trigger(self, dag: str, **conf: Any) -> str:
        """Start a run of a DAG and return its id."""
        self.unpause(dag)
        return str(self.call("POST", f"dags/{dag}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"])

    def first_run(self, dag: str) -> str:
        """Wait for the first run of a DAG and return its id."""
        found: list[str] = []

        def look() -> bool:
            found[:] = [each["dag_run_id"] for each in self.call("GET", f"dags/{dag}/dagRuns")["dag_runs"]]
            return bool(found)

        wait(look, f"no run of {dag}")
        return found[0]

    def clear(self, dag: str, run: str, task: str) -> None:
        """Clear a task, so that it runs again."""
        body = {"dry_run": False, "dag_run_id": run, "task_ids": [task], "only_failed": False}
        self.call("POST", f"dags/{dag}/clearTaskInstances", body)

    def finished(self, dag: str, run: str) -> str:
        """Wait for the end of a run and return its state."""
        wait(lambda: self.call("GET", f"dags/{dag}/dagRuns/{run}")["state"] in _ENDED, f"{dag} {run} does not end")
        return str(self.call("GET", f"dags/{dag}/dagRuns/{run}")["state"])

    def task(self, dag: str, run: str, task: str) -> dict[str, Any]:
        """Return a task instance."""
        return dict(self.call("GET", f"dags/{dag}/dagRuns/{run}/taskInstances/{task}"))

    def xcom(self, dag: str, run: str, task: str, key: str = "return_value") -> Any:
        """Return the return value of a task."""
        path = f"dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/{key}?deserialize=true"
        return self.call("GET", path)["value"]

    def log(self, dag: str, run: str, task: str, attempt: int = 1) -> list[dict[str, Any]]:
        """Return the entries of a task's log."""
        path = f"dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{attempt}?full_content=true"
        return list(self.call("GET", path)["content"])


def wait(done: Callable[[], bool], problem: str, seconds: float = _SECONDS) -> None:
    """Wait until a condition is true; raise a TimeoutError with the problem if it stays false."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(problem)
        time.sleep(0.5)


@contextmanager
def airflow(folder: Path, dags: Path, **more: str) -> Iterator[Airflow]:
    """Start Airflow, on PostgreSQL if it is installed, else on SQLite, and end it afterwards.

    Args:
        folder: An empty folder for its home, its database and its logs.
        dags: The folder of the DAGs.
        more: More environment variables, such as connections.
    """
    logs = folder / "parts"
    logs.mkdir(parents=True)
    started: list[subprocess.Popen[bytes]] = []
    with ExitStack() as stack:
        port = free_port()
        env = {**os.environ, **settings(folder, dags, port, stack.enter_context(postgres())), **more}
        try:
            _run(env, "db", "migrate")
            for part in PARTS:
                arguments = ("--port", str(port), "--workers", "1") if part == "api-server" else ()
                with (logs / f"{part}.log").open("wb") as log:
                    command = [str(_BIN / "airflow"), part, *arguments]
                    started.append(
                        subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
                    )
            running = Airflow(f"http://127.0.0.1:{port}", env, logs)
            wait(lambda: healthy(running, started), "Airflow is not healthy; see its logs")
            yield running
        finally:
            for process in started:
                end(process)


def settings(folder: Path, dags: Path, port: int, database: str | None) -> dict[str, str]:
    """Return the configuration: every user is an administrator, and intervals are short."""
    url = f"http://127.0.0.1:{port}"
    options = {
        "CORE__DAGS_FOLDER": str(dags),
        "CORE__LOAD_EXAMPLES": "false",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "2",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "true",
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "API__BASE_URL": url,
        "API__HOST": "127.0.0.1",
        "API__SECRET_KEY": "for this test",
        "API_AUTH__JWT_SECRET": "for this test, and long enough for the digest that signs",
        "DATABASE__SQL_ALCHEMY_CONN": database or f"sqlite:///{folder}/airflow.db",
        "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        # On a busy machine a heartbeat may be late by minutes. That should not fail a task.
        "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "600",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "600",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
        "USAGE_DATA_COLLECTION__ENABLED": "false",
    }
    plain = {
        "AIRFLOW_HOME": str(folder / "home"),
        "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}",  # has spark-submit
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    return {f"AIRFLOW__{name}": value for name, value in options.items()} | plain


def spark_settings(folder: Path) -> Path:
    """Write the defaults of spark-submit for a small machine, and return their folder."""
    folder.mkdir()
    settings: dict[str, object] = {
        "spark.sql.shuffle.partitions": 2,
        "spark.executor.memory": "512m",
        "spark.cores.max": 1,  # one executor; test_cluster.py has several
        "spark.ui.enabled": "false",
        "spark.network.timeout": "600s",
    }
    lines = [f"{name} {value}" for name, value in settings.items()]
    (folder / "spark-defaults.conf").write_text("\n".join(lines), encoding="utf-8")
    return folder


def healthy(running: Airflow, parts: list[subprocess.Popen[bytes]]) -> bool:
    """Return whether all parts are healthy."""
    for name, part in zip(PARTS, parts, strict=True):
        assert part.poll() is None, (running.logs / f"{name}.log").read_text()[-3000:]
    try:
        with urllib.request.urlopen(f"{running.url}/api/v2/monitor/health", timeout=10) as answer:
            found = json.loads(answer.read())
    except OSError:
        return False
    return all(found[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _run(env: Mapping[str, str], *argv: str) -> None:
    done = subprocess.run([str(_BIN / "airflow"), *argv], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
