"""What spark-submit is given: the script to run, and st_spark itself as a zip for --py-files.

So a cluster needs only the third-party packages, and each job runs with the version of st_spark that is installed
where Airflow runs. Neither file is executed here, and no heavy library is needed to make them.
"""

import hashlib
import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import st_spark
from st_spark.errors import PlatformError

# The first moment that a zip can name; a fixed one makes equal contents equal files.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Shipment:
    """Two files.

    Attributes:
        script: The application.
        package: The zip of st_spark.
    """

    script: Path
    package: Path


def folder() -> Path:
    """A folder on this machine for this user alone.

    Raises:
        PlatformError: It belongs to somebody else.
    """
    found = Path(tempfile.gettempdir(), f"st-spark-airflow-{os.getuid()}")
    found.mkdir(mode=0o700, exist_ok=True)
    if found.is_symlink() or found.stat().st_uid != os.getuid():
        raise PlatformError(f"{found} belongs to another user.", "remove it, or set TMPDIR to a folder of your own.")
    return found


def build() -> Shipment:
    """Makes both files, or finds those that were made of the same sources."""
    sources = _sources()
    key = hashlib.sha256(b"".join(name.encode() + b"\0" + content for name, content in sources)).hexdigest()[:16]
    place = folder() / f"{st_spark.__version__}-{key}"
    shipment = Shipment(place / "submit.py", place / "st_spark.zip")
    if not shipment.package.exists() or not shipment.script.exists():
        place.mkdir(exist_ok=True)
        _put(shipment.script, dict(sources)["st_spark/cli/spark_submit.py"])
        partial = place / f".{os.getpid()}.zip"
        with zipfile.ZipFile(partial, "w") as archive:
            for name, content in sources:
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
        partial.replace(shipment.package)
    return shipment


def _sources() -> list[tuple[str, bytes]]:
    root = Path(str(st_spark.__file__)).parent
    files = sorted(path for path in root.rglob("*.py"))
    return [(f"st_spark/{path.relative_to(root).as_posix()}", path.read_bytes()) for path in files]


def _put(path: Path, content: bytes) -> None:
    """Whole or not at all: several tasks may start at once."""
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    partial.write_bytes(content)
    partial.replace(path)
