"""A real standalone cluster on this machine: one master, and workers with separate folders. It always shuts down."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyspark

from tests.support.paths import ROOT
from tests.support.processes import end

_SPARK = Path(pyspark.__file__).parent
_SECONDS = 60


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes:
        master: Its spark:// address.
        scratch: For each worker ("node") the folder that its executors use as local storage.
        logs: Folder with the output of master and workers.
    """

    master: str
    scratch: tuple[Path, ...]
    logs: Path

    def executors(self) -> list[psutil.Process]:
        """Return the executors' Java processes."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            line = process.info["cmdline"] or []
            if "org.apache.spark.executor.CoarseGrainedExecutorBackend" in line and self._owns(line):
                found.append(process)
        return found

    def workers(self) -> list[psutil.Process]:
        """Return the Java processes of the workers: the "nodes"."""
        found = psutil.process_iter(["cmdline"])
        lines = ((process, process.info["cmdline"] or []) for process in found)
        return [each for each, line in lines if "org.apache.spark.deploy.worker.Worker" in line and self.master in line]

    def python_workers(self) -> list[psutil.Process]:
        """Return the Python workers that tasks run in: children of each executor's daemon."""
        daemons = [child for executor in self.executors() for child in executor.children()]
        return [worker for daemon in daemons for worker in daemon.children()]

    def _owns(self, line: list[str]) -> bool:
        """Return whether an executor belongs to this cluster: its command line has the address of its worker."""
        return any(name in " ".join(line) for name in self._worker_urls())

    def _worker_urls(self) -> list[str]:
        text = "".join(path.read_text() for path in self.logs.glob("worker*.log"))
        return [f"{host}:{port}" for host, port in re.findall(r"Starting Spark worker ([\d.]+):(\d+)", text)]


@contextmanager
def cluster(folder: Path, workers: int = 2, options: tuple[str, ...] = ()) -> Iterator[Cluster]:
    """Start a master and workers of one core each on loopback, and end all their processes afterwards.

    Args:
        folder: An empty folder for scratch space and logs.
        workers: Number of workers. Each acts as a node.
        options: More arguments of each worker.
    """
    logs = folder / "logs"
    logs.mkdir(parents=True)
    scratch = tuple(folder / f"node{number}" for number in range(workers))
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(_start(logs / "master.log", [], "master.Master", "--port", "0", "--webui-port", "0"))
        master = _wait_for(logs / "master.log", r"Starting Spark master at (spark://\S+)")
        for number, local in enumerate(scratch):
            local.mkdir()
            arguments = ("--cores", "1", "--memory", "1g", "--webui-port", "0", "--work-dir", str(local / "work"))
            log = logs / f"worker{number}.log"
            started.append(_start(log, [f"SPARK_LOCAL_DIRS={local}"], "worker.Worker", *arguments, *options, master))
        for number in range(workers):
            _wait_for(logs / f"worker{number}.log", "Successfully registered with master")
        yield Cluster(master, scratch, logs)
    finally:
        for process in reversed(started):
            end(process)


def _start(log: Path, settings: list[str], name: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start one of Spark's daemons in its own process group."""
    environment = {
        **os.environ,
        **dict(setting.split("=", 1) for setting in settings),
        "PYTHONPATH": str(ROOT),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "256m",
    }
    command = [
        str(_SPARK / "bin" / "spark-class"),
        f"org.apache.spark.deploy.{name}",
        "--host",
        "127.0.0.1",
        *arguments,
    ]
    with log.open("wb") as output:
        return subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )


def _wait_for(log: Path, pattern: str) -> str:
    """Wait until a log has the pattern, and return its last group."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        match = re.search(pattern, log.read_text())
        if match:
            return match[match.lastindex or 0]
        time.sleep(0.1)
    raise TimeoutError(f"no {pattern!r} in {log}: {log.read_text()[-2000:]}")
