"""`st-spark doctor`: check what jobs need. Each line says what was found and, if it is not ok, the fix."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from st_spark.errors import PlatformError, StSparkError
from st_spark.specs.base import Parser

SUMMARY = "check Java, PySpark, the workers' Python, the processor, GPUs, memory, disk, Delta and a model"
_LEAST = 2  # GB of memory, and of disk space
_CAUSE = "find the cause of this error."
_NO_SPARK = "pip install 'st-spark[spark]'. A node of a cluster needs nothing: Spark brings it."
# Run by the workers' Python, which may not have st_spark.
_WORKER = """
import importlib, json, sys
found, missing = {}, {}
for name in ("numpy", "pyarrow", "tokenizers", "transformers", "torch", "st_spark"):
    try:
        found[name] = getattr(importlib.import_module(name), "__version__", "")
    except Exception as error:
        missing[name] = f"{type(error).__name__}: {error}"
json.dump({"python": list(sys.version_info[:2]), "found": found, "missing": missing}, sys.stdout)
"""


@dataclass(frozen=True)
class Check:
    """A line of the doctor's table.

    Attributes:
        name: What was checked.
        ok: Whether jobs can run with it.
        found: What was found.
        fix: What to do if it is not ok, else empty.
    """

    name: str
    ok: bool
    found: str
    fix: str = ""


def main(argv: Sequence[str]) -> int:
    """Print all checks and return the exit code: 1 if one is not ok."""
    parser = Parser(prog="st-spark doctor", description=SUMMARY, allow_abbrev=False)
    parser.add_argument("--model", help="also check this model: hub name, folder or package:NAME")
    parser.add_argument("--revision", help="revision of --model")
    given = parser.parse(argv)
    checks = examine(given["model"], given["revision"])
    for each in checks:
        sys.stdout.write(f"{'ok    ' if each.ok else 'NOT OK'}  {each.name:<14} {each.found}\n")
        if not each.ok:
            sys.stdout.write(f"{'':24}fix: {each.fix}\n")
    return 0 if all(each.ok for each in checks) else 1


def examine(model: str | None = None, revision: str | None = None) -> list[Check]:
    """Run all checks.

    Args:
        model: A model to check as well.
        revision: The revision of that model.
    """
    checks: dict[str, Callable[[], str]] = {
        "Java": java,
        "PySpark": pyspark,
        "worker Python": worker_python,
        "processor": processor,
        "GPU": gpu,
        "memory": memory,
        "disk": disk,
        "Delta": delta,
    }
    done = [check(name, look) for name, look in checks.items()]
    return done if model is None else done + model_checks(model, revision)


def check(name: str, look: Callable[[], str]) -> Check:
    """Run one check: a function that returns what it found, or raises a StSparkError with the fix."""
    try:
        return Check(name, True, look())
    except StSparkError as error:
        return Check(name, False, error.problem, error.fix)
    except Exception as error:  # noqa: BLE001  (the other checks should still run)
        return Check(name, False, f"{type(error).__name__}: {error}".splitlines()[0], _CAUSE)


def java() -> str:
    """Find a Java that Spark can run on."""
    from st_spark.spark import session

    return session.check_java()


def pyspark() -> str:
    """Find PySpark, and a pandas that works with it."""
    try:
        found = version("pyspark")
    except PackageNotFoundError:
        raise PlatformError("not installed", _NO_SPARK) from None
    pandas = version("pandas")
    if int(pandas.partition(".")[0]) > 2:
        raise PlatformError(f"{found} with pandas {pandas}", "pip install 'pandas<3'.")
    return f"{found}, pandas {pandas}"


def worker_python() -> str:
    """Ask the Python of Spark's workers for its version and its packages."""
    python = os.environ.get("PYSPARK_PYTHON", sys.executable)
    fix = f"set PYSPARK_PYTHON={sys.executable}."
    try:
        done = subprocess.run([python, "-c", _WORKER], capture_output=True, text=True, check=False, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PlatformError(f"{python} does not run: {error}", fix) from None
    if done.returncode:
        reason = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise PlatformError(f"{python} does not run: {reason}", fix)
    answer = json.loads(done.stdout)
    if answer["missing"]:
        missing = "; ".join(f"{name} ({reason})" for name, reason in answer["missing"].items())
        raise PlatformError(f"{python} lacks {missing}", f"install st-spark in it, or {fix}")
    if tuple(answer["python"]) != sys.version_info[:2]:
        ours, theirs = (".".join(map(str, each)) for each in (sys.version_info[:2], answer["python"]))
        raise PlatformError(f"{python} is Python {theirs}, this one is {ours}", fix)
    return f"{python}: " + ", ".join(f"{name} {answer['found'][name]}" for name in ("torch", "transformers", "pyarrow"))


def processor() -> str:
    """Measure how fast the processor multiplies, and find the dtype of "auto"."""
    import torch

    from st_spark.hardware import gemm_rates
    from st_spark.model import precision

    chosen = str(precision.choose("auto", torch.device("cpu"))).removeprefix("torch.")
    rates = ", ".join(f"{name} {rate:,.0f}" for name, rate in gemm_rates().items())
    return f"{os.cpu_count()} cores, GFLOP/s of one: {rates}; dtype auto is {chosen}"


def gpu() -> str:
    """Find the GPUs that torch can use. A machine without a GPU is ok."""
    import torch

    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    if shutil.which("nvidia-smi") and subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False).stdout:
        raise PlatformError(
            f"torch {torch.__version__} cannot use the GPU", "install a CUDA build of torch that fits the driver."
        )
    return "none, the processor is used"


def memory() -> str:
    """Find the free memory."""
    info = Path("/proc/meminfo")
    if not info.exists():
        return "unknown on this system"
    line = next(line for line in info.read_text(encoding="utf-8").splitlines() if line.startswith("MemAvailable"))
    return _enough(int(line.split()[1]) / 1024**2, "", "close other programs")


def disk() -> str:
    """Find the free space in the folder for Spark's temporary files and for unpacked models."""
    folder = os.environ.get("SPARK_LOCAL_DIRS", tempfile.gettempdir()).split(",")[0]
    fix = "free space, or set SPARK_LOCAL_DIRS and TMPDIR to a larger disk"
    return _enough(shutil.disk_usage(folder).free / 1024**3, f" in {folder}", fix)


def _enough(free: float, where: str, fix: str) -> str:
    if free < _LEAST:
        raise PlatformError(f"{free:.1f} GB free{where}", f"{fix}: {_LEAST} GB are needed.")
    return f"{free:.1f} GB free{where}"


def delta() -> str:
    """Find Delta's jars: among Spark's own, in the local cache, or at Maven Central."""
    from urllib.request import Request, urlopen

    from st_spark.spark import session

    try:
        package = session.delta_package()
    except ModuleNotFoundError:
        raise PlatformError("unknown without PySpark", _NO_SPARK) from None
    if package is None:
        return "among Spark's jars"
    group, artifact, wanted = package.split(":")
    if any(Path.home().glob(f".ivy2*/jars/io.delta_{artifact}-{wanted}.jar")):
        return f"{package}, downloaded"
    path = f"{group.replace('.', '/')}/{artifact}/{wanted}/{artifact}-{wanted}.pom"
    try:
        urlopen(Request(f"https://repo1.maven.org/maven2/{path}", method="HEAD"), timeout=10).close()
        return f"{package}, will be downloaded when first needed"
    except OSError as error:
        raise PlatformError(
            f"{package} is not downloaded, and Maven Central cannot be reached: {error}",
            "only Delta tables need it: name a reachable repository (spark.jars.repositories) in spark-defaults.conf.",
        ) from None


def model_checks(model: str, revision: str | None) -> list[Check]:
    """Find a model, check all of its files, and describe it; a line for each thing that is wrong."""
    from st_spark.model import check as model_check
    from st_spark.model.checkpoint import hub

    try:
        snapshot = hub.resolve(model, revision)
        report = model_check.examine(snapshot.folder)
    except StSparkError as error:
        return [Check("model", False, error.problem, error.fix)]
    except Exception as error:  # noqa: BLE001  (the other checks should still be shown)
        return [Check("model", False, f"{type(error).__name__}: {error}".splitlines()[0], _CAUSE)]
    commit = f" at {snapshot.revision}" if snapshot.revision else ""
    found = {"model": f"{snapshot.name}{commit}, {snapshot.folder}", **report.found}
    lines = [Check(name, True, value) for name, value in found.items()]
    if report.faults:
        return lines + [Check("model", False, fault.problem, fault.fix) for fault in report.faults]
    return [*lines, *trial_checks(snapshot.folder)]


def trial_checks(folder: Path) -> list[Check]:
    """Encode some texts, to say how fast the model is here and how exact its fast format is."""
    from st_spark.model import trial

    done = trial.run(folder)
    rates = ", ".join(f"{rate:,.0f} in {dtype}" for dtype, rate in done.rates.items())
    exact = f"cosine to float32 at least {done.cosine:.5f}"
    fix = f"use dtype='float32' (--dtype float32): this model loses more than {1 - trial.CLOSE:.4f} in the fast format."
    return [
        Check("speed", True, f"short texts per second: {rates}"),
        Check("dtype auto", done.cosine >= trial.CLOSE, exact, fix),
    ]
