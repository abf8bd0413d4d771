"""What runs inside a Python worker: one load per model, the task's GPU, the task's threads."""

import shutil
from pathlib import Path

import pytest
import torch

from st_spark.embedding import model_cache
from st_spark.embedding.send_model import Shipment
from st_spark.errors import PlatformError
from st_spark.model.checkpoint import checkpoint
from st_spark.spark import task_resources
from tests.support.checkpoints import write_json


def local(folder: Path) -> Shipment:
    """A model that lies where the worker can read it."""
    return Shipment("path", checkpoint.fingerprint(folder), str(folder))


def test_a_model_is_loaded_once_for_each_precision(tiny_model: Path) -> None:
    shipment, before = local(tiny_model), model_cache.loads()
    first = model_cache.open_model(shipment, "float32")
    assert model_cache.open_model(shipment, "float32") is first
    assert model_cache.loads() == before + 1
    assert model_cache.open_model(shipment, "bfloat16") is not first
    assert model_cache.loads() == before + 2


def test_equal_content_in_another_folder_is_the_same_model(tiny_model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    assert model_cache.open_model(local(copy), "float32") is model_cache.open_model(local(tiny_model), "float32")


def test_a_worker_that_serves_many_models_keeps_the_last_few(tiny_model: Path, tmp_path: Path) -> None:
    shipments = []
    for number in range(model_cache.MODELS_KEPT + 1):
        folder = shutil.copytree(tiny_model, tmp_path / str(number))
        write_json(folder / "config_sentence_transformers.json", {"prompts": {"query": f"{number}: "}})
        shipments.append(local(folder))
    models = [model_cache.open_model(shipment, "float32") for shipment in shipments]
    before = model_cache.loads()
    assert model_cache.open_model(shipments[-1], "float32") is models[-1]
    assert model_cache.loads() == before
    assert model_cache.open_model(shipments[0], "float32") is not models[0]
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
def test_an_address_is_counted_within_the_visible_devices(address: str, visible: str | None, device: str) -> None:
    assert task_resources.device_of(address, visible) == device


def test_an_address_that_torch_cannot_count_is_refused() -> None:
    with pytest.raises(PlatformError, match=r"GPU-x.*indices"):
        task_resources.device_of("GPU-x", None)


def test_a_gpu_that_torch_does_not_see_is_refused_before_any_work() -> None:
    count = torch.cuda.device_count()
    with pytest.raises(PlatformError, match=f"'cuda:{count}', but torch .* sees {count} CUDA devices"):
        task_resources.check_device(f"cuda:{count}")


def test_outside_of_a_task_there_is_no_gpu_and_no_limit_of_threads() -> None:
    assert task_resources.task_device() is None
    assert task_resources.task_threads() is None
