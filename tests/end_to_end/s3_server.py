"""An S3 server on this machine: versitygw, whose conditional writes are one step on the disk."""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.processes import end

BUCKET = "warehouse"
KEYS = {"AWS_ACCESS_KEY_ID": "st-spark", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_REGION": "us-east-1"}
# The jars that S3A needs of the AWS SDK. The bundle that hadoop-aws names has 600 MB.
_SDK = ("s3", "s3-transfer-manager", "apache-client", "netty-nio-client", "sts")


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """Run a server with an empty bucket inside `with`, and give its address."""
    gateway = shutil.which("versitygw")
    if gateway is None:
        pytest.skip("versitygw is not on the PATH: go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    (folder / BUCKET).mkdir(parents=True)
    command = [gateway, "--port", f"127.0.0.1:{port}", "--health", "/health", "posix", str(folder)]
    environment = {"ROOT_ACCESS_KEY": KEYS["AWS_ACCESS_KEY_ID"], "ROOT_SECRET_KEY": KEYS["AWS_SECRET_ACCESS_KEY"]}
    log = folder.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **environment}, start_new_session=True
        )
    try:
        _wait(process, address, log)
        yield address
    finally:
        end(process)


def _wait(process: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    """Wait until the server answers."""
    for _ in range(600):
        if process.poll() is not None:
            pytest.skip(f"no S3 server can be started: {log.read_text(encoding='utf-8')[-300:]}")
        try:
            urllib.request.urlopen(address, timeout=10).close()
        except urllib.error.HTTPError:  # it answers that it needs a key
            return
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(log.read_text(encoding="utf-8")[-3000:])


def spark_defaults(folder: Path, address: str, hadoop: str, sdk: str) -> Path:
    """Write the defaults of a Spark that opens s3a:// paths, and return their folder.

    Args:
        folder: The folder.
        address: The server.
        hadoop: The version of hadoop-aws.
        sdk: The version of the AWS SDK that it needs.
    """
    packages = [
        f"org.apache.hadoop:hadoop-aws:{hadoop}",
        *(f"software.amazon.awssdk:{name}:{sdk}" for name in _SDK),
    ]
    settings = {
        "spark.jars.packages": ",".join(packages),
        "spark.jars.excludes": "software.amazon.awssdk:bundle",
        "spark.hadoop.fs.s3a.endpoint": address,
        "spark.hadoop.fs.s3a.endpoint.region": KEYS["AWS_REGION"],
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.access.key": KEYS["AWS_ACCESS_KEY_ID"],
        "spark.hadoop.fs.s3a.secret.key": KEYS["AWS_SECRET_ACCESS_KEY"],
        "spark.sql.shuffle.partitions": "2",
    }
    folder.mkdir()
    lines = [f"{name} {value}" for name, value in settings.items()]
    (folder / "spark-defaults.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
