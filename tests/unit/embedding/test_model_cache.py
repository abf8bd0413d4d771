"""The models of a worker are loaded once; the task's GPU and threads are used."""

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from st_spark.choices import MAX_IMAGE_PIXELS
from st_spark.embedding import model_cache, worker
from st_spark.embedding.arrow_classify import Labels
from st_spark.embedding.arrow_encode import EncodeOptions
from st_spark.embedding.send_model import ModelBundle
from st_spark.errors import PlatformError
from st_spark.model.checkpoint import checkpoint
from st_spark.model.encoder import SentenceTransformer
from st_spark.spark import task_resources
from tests.support.checkpoints import write_json
from tests.support.clip_checkpoints import file_of, pictures


def local(folder: Path) -> ModelBundle:
    """A model in a folder that the worker can read."""
    return ModelBundle("path", checkpoint.fingerprint(folder), "m", folder=str(folder))


def test_a_model_is_loaded_once_for_each_precision(tiny_model: Path) -> None:
    bundle, before = local(tiny_model), model_cache.loads()
    first = model_cache.open_model(bundle, "float32")
    assert model_cache.open_model(bundle, "float32") is first
    assert model_cache.loads() == before + 1
    assert model_cache.open_model(bundle, "bfloat16") is not first
    assert model_cache.loads() == before + 2


def test_equal_content_in_another_folder_is_the_same_model(tiny_model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    assert model_cache.open_model(local(copy), "float32") is model_cache.open_model(local(tiny_model), "float32")


def test_the_limit_of_images_is_the_one_of_the_job(tiny_clip: Path) -> None:
    """Jobs of one worker share a model, and can have different limits."""
    image = file_of(pictures()["landscape"], "PNG")
    problems = []
    for limit in (10, MAX_IMAGE_PIXELS):
        model = model_cache.LazyModel(local(tiny_clip), "float32", limit)
        problems.append(model.embed([image]).problems)
    assert "more than 10 pixels" in problems[0][0]
    assert not problems[1]


def test_the_limit_of_tokens_is_the_one_of_the_job(tiny_model: Path) -> None:
    """Jobs of one worker share a model, and can have different limits; labels are read in full."""
    counts = []
    for limit in (5, None, 7):
        model = model_cache.LazyModel(local(tiny_model), "float32", max_seq_length=limit)
        counts.append(int(model.embed(["cat " * 100]).n_tokens[0]))
    assert counts == [5, 64, 7]


def test_labels_are_read_in_full_whatever_the_limit_of_texts(tiny_model: Path) -> None:
    names, text = ("cat sat mat river", "cat sat mat sun"), "cat sat mat river sun"
    options = asdict(EncodeOptions(max_seq_length=3))
    payload = {"model": vars(local(tiny_model)), "label_model": None, "labels": asdict(Labels(names))}
    found = next(worker.encode_arrow({**payload, "options": options, "dtype": "float32"}, iter([pa.array([text])])))
    model = SentenceTransformer(tiny_model, device="cpu", dtype="float32")
    labels = model.encode(list(names))
    model.max_seq_length = 3
    scores = model.similarity(model.encode([text]), labels)
    np.testing.assert_allclose(found.to_pylist()[0]["scores"], scores[0], atol=1e-6)


def test_a_worker_keeps_the_models_used_last(tiny_model: Path, tmp_path: Path) -> None:
    bundles = []
    for number in range(model_cache.MODELS_KEPT + 1):
        folder = shutil.copytree(tiny_model, tmp_path / str(number))
        write_json(folder / "config_sentence_transformers.json", {"prompts": {"query": f"{number}: "}})
        bundles.append(local(folder))
    models = [model_cache.open_model(bundle, "float32") for bundle in bundles]
    before = model_cache.loads()
    assert model_cache.open_model(bundles[-1], "float32") is models[-1]
    assert model_cache.loads() == before
    assert model_cache.open_model(bundles[0], "float32") is not models[0]
    assert model_cache.loads() == before + 1


@pytest.mark.parametrize(
    ("address", "visible", "device"),
    [
        ("0", None, "cuda:0"),
        ("1", None, "cuda:1"),
        ("3", "2,3", "cuda:1"),
        ("0", "2", "cuda:0"),
        ("GPU-b", "GPU-a, GPU-b", "cuda:1"),
    ],
)
def test_a_gpu_address_becomes_the_index_among_visible_devices(address: str, visible: str | None, device: str) -> None:
    assert task_resources.device_of(address, visible) == device


def test_a_uuid_that_is_not_visible_is_an_error() -> None:
    with pytest.raises(PlatformError, match=r"GPU-x.*indices"):
        task_resources.device_of("GPU-x", None)


def test_a_gpu_that_torch_does_not_see_is_an_error() -> None:
    count = torch.cuda.device_count()
    with pytest.raises(PlatformError, match=f"'cuda:{count}', but torch .* sees {count} CUDA devices"):
        task_resources.check_device(f"cuda:{count}")


def test_outside_a_task_there_is_no_gpu_and_no_thread_limit() -> None:
    assert task_resources.task_device() is None
    assert task_resources.task_threads() is None
