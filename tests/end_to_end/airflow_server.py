"""A real Airflow on this machine: api-server, scheduler, dag-processor and triggerer, always taken down again."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.end_to_end.postgres import postgres

PARTS = ("api-server", "scheduler", "dag-processor", "triggerer")
_BIN = Path(sys.executable).parent
_ENDED = ("success", "failed")
_SECONDS = 500


@dataclass(frozen=True)
class Airflow:
    """A running Airflow.

    Attributes:
        url: Of its api-server.
        env: The environment that its parts run in.
        logs: Folder with the output of its parts.
    """

    url: str
    env: Mapping[str, str]
    logs: Path

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Asks the REST API; path is what follows /api/v2/. Gives the JSON of the answer."""
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
        """A token of the administrator that everybody is here."""
        with urllib.request.urlopen(f"{self.url}/auth/token", timeout=60) as answer:
            return str(json.loads(answer.read())["access_token"])

    def cli(self, *argv: str) -> str:
        """What `airflow` prints."""
        command = [str(_BIN / "airflow"), *argv]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def unpause(self, dag: str) -> None:
        """Lets a DAG's runs begin, as soon as the DAG has been read."""
        wait(lambda: any(each["dag_id"] == dag for each in self.call("GET", "dags?limit=100")["dags"]), f"no {dag}")
        self.call("PATCH", f"dags/{dag}", {"is_paused": False})

    def trigger(self, dag: str, **conf: Any) -> str:
        """Starts a run of a DAG and gives its id."""
        self.unpause(dag)
        return str(self.call("POST", f"dags/{dag}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"])

    def first_run(self, dag: str) -> str:
        """The id of the first run of a DAG, once there is one."""
        found: list[str] = []

        def look() -> bool:
            found[:] = [each["dag_run_id"] for each in self.call("GET", f"dags/{dag}/dagRuns")["dag_runs"]]
            return bool(found)

        wait(look, f"no run of {dag}")
        return found[0]

    def finished(self, dag: str, run: str) -> str:
        """Waits for the end of a run and gives its state."""
        wait(lambda: self.call("GET", f"dags/{dag}/dagRuns/{run}")["state"] in _ENDED, f"{dag} {run} does not end")
        return str(self.call("GET", f"dags/{dag}/dagRuns/{run}")["state"])

    def task(self, dag: str, run: str, task: str) -> dict[str, Any]:
        """A task instance."""
        return dict(self.call("GET", f"dags/{dag}/dagRuns/{run}/taskInstances/{task}"))

    def xcom(self, dag: str, run: str, task: str, key: str = "return_value") -> Any:
        """What a task has given back."""
        path = f"dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/{key}?deserialize=true"
        return self.call("GET", path)["value"]

    def log(self, dag: str, run: str, task: str, attempt: int = 1) -> list[dict[str, Any]]:
        """The entries of a task's log, in the order of the page that shows them."""
        path = f"dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{attempt}?full_content=true"
        return list(self.call("GET", path)["content"])


def wait(done: Callable[[], bool], said: str, seconds: float = _SECONDS) -> None:
    """Waits until something holds; TimeoutError says what does not."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(said)
        time.sleep(0.5)


@contextmanager
def airflow(folder: Path, dags: Path, **more: str) -> Iterator[Airflow]:
    """Starts Airflow, on PostgreSQL where that is installed, else on SQLite.

    Args:
        folder: An empty folder for its home, its database and its logs.
        dags: The folder of the DAGs.
        more: Further environment variables, connections for instance.
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
    """The configuration: everybody is an administrator, and everything looks around often."""
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
        # A machine that was busy or asleep for a minute is no reason to take a task from its worker.
        "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "600",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "600",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
        "USAGE_DATA_COLLECTION__ENABLED": "false",
    }
    plain = {
        "AIRFLOW_HOME": str(folder / "home"),
        "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}",  # spark-submit's
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    return {f"AIRFLOW__{name}": value for name, value in options.items()} | plain


def spark_settings(folder: Path) -> Path:
    """Defaults of spark-submit for a small machine."""
    folder.mkdir()
    settings: dict[str, object] = {
        "spark.sql.shuffle.partitions": 2,
        "spark.executor.memory": "512m",
        "spark.cores.max": 1,  # one executor: tests/end_to_end/test_cluster.py has several
        "spark.ui.enabled": "false",
        "spark.network.timeout": "600s",
    }
    lines = [f"{name} {value}" for name, value in settings.items()]
    (folder / "spark-defaults.conf").write_text("\n".join(lines), encoding="utf-8")
    return folder


def healthy(running: Airflow, parts: list[subprocess.Popen[bytes]]) -> bool:
    """Whether all parts say that they are well."""
    for name, part in zip(PARTS, parts, strict=True):
        assert part.poll() is None, (running.logs / f"{name}.log").read_text()[-3000:]
    try:
        with urllib.request.urlopen(f"{running.url}/api/v2/monitor/health", timeout=10) as answer:
            found = json.loads(answer.read())
    except OSError:
        return False
    return all(
        found[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor", "triggerer")
    )


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and all that it started."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _run(env: Mapping[str, str], *argv: str) -> None:
    done = subprocess.run([str(_BIN / "airflow"), *argv], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def chromium() -> str | None:
    """The program of a Chromium, None where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
