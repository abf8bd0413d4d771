"""The files for spark-submit: the script to run, and st_spark as a zip for --py-files.

The cluster needs only the third-party packages, and each job runs with the version of st_spark that Airflow has.
"""

import hashlib
import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import st_spark
from st_spark.errors import PlatformError

# The earliest time that a zip can hold. With a fixed time, equal sources give equal files.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Package:
    """The script (spark-submit's application) and the zip of st_spark."""

    script: Path
    package: Path


def folder() -> Path:
    """Return a folder on this machine that only this user can read.

    Raises:
        PlatformError: It belongs to another user.
    """
    found = Path(tempfile.gettempdir(), f"st-spark-airflow-{os.getuid()}")
    found.mkdir(mode=0o700, exist_ok=True)
    if found.is_symlink() or found.stat().st_uid != os.getuid():
        raise PlatformError(f"{found} belongs to another user.", "remove it, or set TMPDIR to a folder of yours.")
    return found


def build() -> Package:
    """Write both files, unless they exist for the same sources."""
    root = Path(str(st_spark.__file__)).parent
    sources = {f"st_spark/{path.relative_to(root).as_posix()}": path.read_bytes() for path in root.rglob("*.py")}
    sources = dict(sorted(sources.items()))
    key = hashlib.sha256(b"".join(name.encode() + b"\0" + content for name, content in sources.items())).hexdigest()
    place = folder() / f"{st_spark.__version__}-{key[:16]}"
    built = Package(place / "submit.py", place / "st_spark.zip")
    if not built.package.exists() or not built.script.exists():
        place.mkdir(exist_ok=True)
        partial = place / f".{os.getpid()}"  # renamed when complete: several tasks may start at once
        partial.write_bytes(sources["st_spark/cli/spark_submit.py"])
        partial.replace(built.script)
        with zipfile.ZipFile(partial, "w") as archive:
            for name, content in sources.items():
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
        partial.replace(built.package)
    return built
