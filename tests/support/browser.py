"""Open a page in Chromium, if it is installed."""

import shutil
import subprocess
from pathlib import Path

import pytest


def open_page(address: str, picture: Path, *options: str) -> str:
    """Return the DOM of a page and take a screenshot; skip the test if there is no Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    profile = f"--user-data-dir={picture.parent / 'profile'}"
    command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", profile, *options]
    done = subprocess.run([*command, "--dump-dom", address], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    subprocess.run([*command, f"--screenshot={picture}", address], capture_output=True, check=True, timeout=120)
    return done.stdout
