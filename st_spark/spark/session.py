"""Find the running Spark session, or start a local one. No other module starts sessions."""

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from st_spark.errors import PlatformError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

OLDEST_JAVA = 17
# Delta's release by Spark's major version, used if the package delta-spark is not installed.
_DELTA = {"3": "3.3.2", "4": "4.4.0"}
_GIGABYTE = 1024**3
_SHUFFLES_PER_CORE = 4
# Java compiles a method with its best compiler once it was called 5,000 times. While Spark starts and plans its first
# queries, that compiler takes as much time as all the rest. With 40 times Java's own limits it comes in time for the
# methods that read rows. The last option: Arrow does not check its bounds for each number that Spark writes.
_JAVA_OPTIONS = (
    "-XX:Tier4InvocationThreshold=200000 -XX:Tier4MinInvocationThreshold=24000 "
    "-XX:Tier4CompileThreshold=600000 -XX:Tier4BackEdgeThreshold=1600000 -Darrow.enable_unsafe_memory_access=true"
)
_log: Path | None = None


def start(delta: bool = False, python_daemon: str | None = None) -> "SparkSession":
    """Return the running session, or the one of spark-submit or SPARK_REMOTE; else start a local one.

    Args:
        delta: Whether the job uses Delta. Only then a new local session fetches Delta's jars.
        python_daemon: The module that a new local session forks its Python workers from; default Spark's own.

    Raises:
        PlatformError: Java or PySpark is missing, or the jars cannot be fetched.
    """
    try:
        from pyspark.sql import SparkSession
    except ModuleNotFoundError as error:
        raise PlatformError(f"The module {error.name!r} is not installed.", "pip install 'st-spark[spark]'.") from None
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        return SparkSession.builder.getOrCreate()  # keeps the name that spark-submit has set
    if "SPARK_REMOTE" in os.environ:
        return SparkSession.builder.appName("st-spark").getOrCreate()
    check_java()
    return _local(delta, python_daemon)


def is_own() -> bool:
    """Return whether start() has started a local session in this process."""
    return _log is not None


def keep_log() -> Path | None:
    """Return the path of the local session's log, and do not delete it at exit; None if Spark was not started here."""
    if _log is not None:
        atexit.unregister(_log.unlink)
    return _log


def check_java() -> str:
    """Return the version and path of the Java that Spark will run; PlatformError if it is missing or too old."""
    home = os.environ.get("JAVA_HOME")
    program = str(Path(home, "bin", "java")) if home else shutil.which("java")
    fix = f"{_install_line()}{', and unset JAVA_HOME or set it to that Java' if home else ''}."
    if program is None or not Path(program).exists():
        where = f"JAVA_HOME is {home}, which has no bin/java" if home else "There is no java on the PATH"
        raise PlatformError(f"{where}; Spark needs Java 17 or 21.", fix)
    output = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(?:1\.)?(\d+)[^"]*"', output)
    if found is None or int(found.group(1)) < OLDEST_JAVA:
        version = found.group(0) if found else output.strip()[:100]
        raise PlatformError(f"{program} is {version}; Spark needs Java 17 or 21.", fix)
    return f"{found.group(0)} ({program})"


def delta_package() -> str | None:
    """Return the Maven coordinates of Delta for this PySpark; None if its jar is in Spark's jars folder."""
    import pyspark

    if any(Path(_spark_home(), "jars").glob("delta-spark*.jar")):
        return None
    major, minor = pyspark.__version__.split(".")[:2]
    artifact = "delta-spark_2.12" if major == "3" else f"delta-spark_{major}.{minor}_2.13"
    return f"io.delta:{artifact}:{_installed_delta() or _DELTA[major]}"


def _spark_home() -> Path:
    import pyspark

    return Path(os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent)


def _installed_delta() -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("delta-spark")
    except PackageNotFoundError:
        return None


def _install_line() -> str:
    lines = {
        "apt-get": "sudo apt-get install -y openjdk-17-jre-headless",
        "dnf": "sudo dnf install -y java-17-openjdk-headless",
        "brew": "brew install openjdk@17",
        "conda": "conda install -y -c conda-forge openjdk=17",
    }
    return next(
        (line for tool, line in lines.items() if shutil.which(tool)), "install Java 17 from https://adoptium.net"
    )


def _local(delta: bool, python_daemon: str | None) -> "SparkSession":
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else the first python3 on the PATH
    builder = SparkSession.builder.master("local[*]").appName("st-spark")
    daemon = {"spark.python.daemon.module": python_daemon} if python_daemon else {}
    for key, value in (_settings(delta) | daemon).items():
        builder = builder.config(key, value)
    log = _open_log()
    try:
        with _errors_to(log):
            return builder.getOrCreate()
    except Exception as error:
        raise _not_started(error, log, delta) from error


def _settings(delta: bool) -> dict[str, str]:
    cores = os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4 // _GIGABYTE
    settings = {
        "spark.driver.memory": f"{min(max(memory, 1), 8)}g",
        # Java gets them before spark.driver.extraJavaOptions, which the user sets.
        "spark.driver.defaultJavaOptions": f"{_JAVA_OPTIONS} {_default('spark.driver.defaultJavaOptions')}".rstrip(),
        # Only this machine connects to the driver, and no host name has to resolve.
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Spark's default of 200 suits clusters. On a few cores it means 200 tiny tasks.
        "spark.sql.shuffle.partitions": str(_SHUFFLES_PER_CORE * cores),
        "spark.sql.execution.arrow.pyspark.enabled": "true",
    }
    if delta:
        settings |= {
            "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
            "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
            # By default Delta reads its log with 50 tasks, many times per command.
            "spark.databricks.delta.snapshotPartitions": str(cores),
        }
        if package := delta_package():
            packages = filter(None, (_default("spark.jars.packages"), package))
            settings["spark.jars.packages"] = ",".join(packages)
    return settings


def _default(setting: str) -> str:
    """Return a setting of Spark's defaults, "" if it has none: a session with a value of its own would not read it."""
    folder = os.environ.get("SPARK_CONF_DIR") or Path(_spark_home(), "conf")
    defaults = Path(folder, "spark-defaults.conf")
    text = defaults.read_text(encoding="utf-8") if defaults.is_file() else ""
    found = re.findall(rf"^[ \t]*{re.escape(setting)}[ \t=:]+(\S.*?)[ \t]*$", text, re.MULTILINE)
    return found[-1] if found else ""


def _open_log() -> Path:
    global _log  # noqa: PLW0603  (a process has one JVM)
    handle, name = tempfile.mkstemp(prefix="st-spark-", suffix=".log")
    os.close(handle)
    _log = Path(name)
    atexit.register(_log.unlink, missing_ok=True)
    return _log


@contextmanager
def _errors_to(log: Path) -> Iterator[None]:
    """Write the standard error of child processes to the log: the JVM and its Python workers inherit it."""
    sys.stderr.flush()
    before = os.dup(2)
    try:
        with log.open("ab") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def _not_started(error: Exception, log: Path, delta: bool) -> PlatformError:
    text = log.read_text(encoding="utf-8", errors="replace")
    if "unresolved dependency" in text or "UNRESOLVED DEPENDENCIES" in text:
        return _not_fetched(text, delta)
    lines = [line.strip() for line in f"{text}\n{error}".splitlines() if not line.lstrip().startswith("at ")]
    causes = [line for line in lines if re.search(r"(Error|Exception|error)\b.*:", line)]
    reason = causes[-1][:300] if causes else f"{type(error).__name__}: {str(error).splitlines()[0]}"
    fix = f"read its log, {keep_log()}; `st-spark doctor` checks the rest."
    full = next((line for line in lines if "No space left on device" in line), None)
    if full:
        reason = full[:300]
        fix = f"free space there, or set SPARK_LOCAL_DIRS to a folder with space. Log: {keep_log()}."
    return PlatformError(f"Spark did not start: {reason.rstrip('.')}.", fix)


def _not_fetched(text: str, delta: bool) -> PlatformError:
    """Return the error of packages that were not found. The log says `:: io.delta#delta-spark;4.0.0: not found`."""
    names = sorted({":".join(parts) for parts in re.findall(r":: ([^\s#]+)#([^\s;]+);(\S+): not found", text)})
    of_delta = delta and all(name.startswith("io.delta:") for name in names)
    lost = re.search(r"(Host \S+ not found|Connection \w+|Server access error[^\n]{0,120}|timed out)", text)
    what = f"Delta's jars ({delta_package()})" if of_delta else f"{', '.join(names)} of spark.jars.packages"
    places = "spark.jars.repositories or spark.jars.ivySettings in spark-defaults.conf"
    last = ", or choose --output-format parquet" if of_delta else ""
    return PlatformError(
        f"{what} cannot be fetched{f': {lost.group(1)}' if lost else ''}.",
        f"name a Maven repository that this machine can reach ({places}), or put the jars into Spark's jars "
        f"folder{last}.",
    )
