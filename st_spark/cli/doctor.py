"""Is everything there that a job needs? Each check says what it found and, where it is not ok, the fix."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from st_spark.errors import PlatformError, StSparkError

_GIGABYTE = 1024**3
_LEAST_MEMORY, _LEAST_DISK = 2, 2
# What a worker must be able to import, and what to say of it; run by the workers' Python, so nothing of ours is used.
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
    """One line of the doctor's table.

    Attributes:
        name: What was looked at.
        ok: Whether jobs can run with it.
        found: What was found.
        fix: What to do where it is not ok, else empty.
    """

    name: str
    ok: bool
    found: str
    fix: str = ""


def examine(model: str | None = None, revision: str | None = None) -> list[Check]:
    """All checks; those that fail do not stop the others.

    Args:
        model: A model that should be reachable; none is checked if None.
        revision: Its revision.
    """
    looks: list[tuple[str, Callable[[], Check]]] = [
        ("Java", java),
        ("PySpark", pyspark),
        ("worker Python", worker_python),
        ("processor", processor),
        ("GPU", gpu),
        ("memory", memory),
        ("disk", disk),
        ("Delta", delta),
    ]
    if model is not None:
        looks.append(("model", lambda: reachable(model, revision)))
    return [_safely(name, look) for name, look in looks]


def _safely(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except StSparkError as error:
        return Check(name, False, error.problem, error.fix)
    except Exception as error:  # noqa: BLE001  (a check that breaks is a finding, not the end of the doctor)
        return Check(name, False, f"{type(error).__name__}: {error}".splitlines()[0], "see what the line says.")


def java() -> Check:
    """A Java that Spark runs on, with the module that Spark 4 asks for."""
    from st_spark.spark import session

    return Check("Java", True, session.check_java())


def pyspark() -> Check:
    """PySpark here, and with what it works."""
    try:
        found = version("pyspark")
    except PackageNotFoundError:
        return Check("PySpark", False, "not installed", "pip install 'st-spark[spark]'.")
    pandas = version("pandas")
    if int(pandas.partition(".")[0]) > 2:
        return Check("PySpark", False, f"{found} with pandas {pandas}", "pip install 'pandas<3'.")
    return Check("PySpark", True, f"{found}, pandas {pandas}")


def worker_python() -> Check:
    """The Python that Spark's workers run here: its version, and the packages that encoding needs."""
    python = os.environ.get("PYSPARK_PYTHON", sys.executable)
    fix = f"install st-spark in it, or set PYSPARK_PYTHON={sys.executable}."
    try:
        done = subprocess.run([python, "-c", _WORKER], capture_output=True, text=True, check=False, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("worker Python", False, f"{python} does not run: {error}", fix)
    if done.returncode:
        said_last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        return Check("worker Python", False, f"{python} does not run: {said_last}", fix)
    said = json.loads(done.stdout)
    if said["missing"]:
        lost = "; ".join(f"{name} ({why})" for name, why in said["missing"].items())
        return Check("worker Python", False, f"{python} lacks {lost}", fix)
    if tuple(said["python"]) != sys.version_info[:2]:
        ours, theirs = (".".join(map(str, v)) for v in (sys.version_info[:2], said["python"]))
        return Check("worker Python", False, f"{python} is Python {theirs}, this one is {ours}", fix)
    packages = ", ".join(f"{name} {said['found'][name]}" for name in ("torch", "transformers", "pyarrow"))
    return Check("worker Python", True, f"{python}: {packages}")


def processor() -> Check:
    """Cores and what dtype auto means on them."""
    import torch

    from st_spark.hardware import cpu_flags
    from st_spark.model import precision

    chosen = str(precision.choose("auto", torch.device("cpu"))).removeprefix("torch.")
    known = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "bf16")
    flags = ", ".join(flag for flag in known if flag in cpu_flags()) or "no flags known"
    return Check("processor", True, f"{os.cpu_count()} cores, {flags}: dtype auto is {chosen}")


def gpu() -> Check:
    """GPUs that torch sees; a machine without one is ok."""
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return Check("GPU", True, ", ".join(names))
    if shutil.which("nvidia-smi") and subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False).stdout:
        fix = "install a CUDA build of torch that fits the driver."
        return Check("GPU", False, f"there is one, but torch {torch.__version__} does not see it", fix)
    return Check("GPU", True, "none, the processor is used")


def memory() -> Check:
    """Memory that is free now."""
    info = Path("/proc/meminfo")
    if not info.exists():
        return Check("memory", True, "not told by this system")
    line = next(line for line in info.read_text(encoding="utf-8").splitlines() if line.startswith("MemAvailable"))
    free = int(line.split()[1]) / 1024**2
    return Check("memory", free >= _LEAST_MEMORY, f"{free:.1f} GB free", "close other programs: 2 GB are needed.")


def disk() -> Check:
    """Space where Spark spills and models are unpacked."""
    folder = os.environ.get("SPARK_LOCAL_DIRS", tempfile.gettempdir()).split(",")[0]
    free = shutil.disk_usage(folder).free / _GIGABYTE
    fix = "free space, or point SPARK_LOCAL_DIRS and TMPDIR at a larger disk: 2 GB are needed."
    return Check("disk", free >= _LEAST_DISK, f"{free:.1f} GB free in {folder}", fix)


def delta() -> Check:
    """Delta's jars: among Spark's own, fetched before, or to be fetched when a job first touches Delta."""
    from st_spark.spark import session

    package = session.delta_package()
    if package is None:
        return Check("Delta", True, "among Spark's jars")
    _, artifact, wanted = package.split(":")
    homes = Path.home().glob(f".ivy2*/jars/io.delta_{artifact}-{wanted}.jar")
    if any(homes):
        return Check("Delta", True, f"{package}, fetched before")
    return _fetchable(package)


def _fetchable(package: str) -> Check:
    from urllib.error import URLError
    from urllib.request import Request, urlopen

    group, artifact, wanted = package.split(":")
    address = f"https://repo1.maven.org/maven2/{group.replace('.', '/')}/{artifact}/{wanted}/{artifact}-{wanted}.pom"
    try:
        with urlopen(Request(address, method="HEAD"), timeout=10):
            return Check("Delta", True, f"{package}, to be fetched when it is first needed")
    except (URLError, OSError) as error:
        fix = "only Delta tables need it: name a reachable repository (spark.jars.repositories) in spark-defaults.conf."
        return Check("Delta", False, f"{package} is not here and Maven Central cannot be reached: {error}", fix)


def reachable(model: str, revision: str | None) -> Check:
    """The model's files can be had and say what they are."""
    from st_spark.model.checkpoint import checkpoint, hub

    snapshot = hub.resolve(model, revision)
    kinds = " + ".join(module.kind for module in checkpoint.read(snapshot.folder).modules)
    if not kinds:
        raise PlatformError(f"{model} has no modules.", "name another model.")
    return Check("model", True, f"{snapshot.name}: {kinds}, {snapshot.folder}")
