"""What runs inside a Spark Python worker: its models, its device, its threads."""

import logging
import os
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from st_spark.arrival import arrive
from st_spark.encoding import EncodeOptions, encode_arrays
from st_spark.errors import PlatformError
from st_spark.shipping import Shipment
from st_spark.zero_shot import Classifier, Labels, classify_arrays

if TYPE_CHECKING:
    import pandas as pd

    from st_spark.model.encoder import Encoded, SentenceTransformer

# A worker lives as long as its executor and may serve many queries.
MODELS_KEPT = 4

_log = logging.getLogger(__name__)
_models: "OrderedDict[tuple[str, str, str | None], SentenceTransformer]" = OrderedDict()
_loads = 0


@dataclass(frozen=True)
class ShippedModel:
    """A model that loads when the first text comes: an empty partition or a column of numbers waits for none."""

    shipment: Shipment
    dtype: str

    def embed(self, texts: list[Any], **options: Any) -> "Encoded":  # noqa: ANN401  (those of a model)
        """SentenceTransformer.embed()."""
        return open_model(self.shipment, self.dtype).embed(texts, **options)


def encode_stream(order: Mapping[str, Any], batches: Iterator[Any]) -> Iterator[pa.Array]:
    """Encodes, or classifies, the Arrow batches of one task.

    Args:
        order: `shipment` and `options`, the fields of Shipment and EncodeOptions, and `dtype`. To classify also
            `labels`, the fields of Labels, and `label_shipment`, that of the model that encodes them, or None.
        batches: Arrow arrays of strings or images, or tuples of two.
    """
    model, options = ShippedModel(Shipment(**order["shipment"]), order["dtype"]), EncodeOptions(**order["options"])
    if "labels" not in order:
        return encode_arrays(model, batches, options)
    other = order["label_shipment"]
    label_model = None if other is None else ShippedModel(Shipment(**other), order["dtype"])
    return classify_arrays(Classifier(model, Labels(**order["labels"]), label_model), batches, options)


def encode_series(order: Mapping[str, Any], batches: "Iterator[Any]") -> "Iterator[pd.Series | pd.DataFrame]":
    """encode_stream() for a pandas UDF: Series in, Series of float32 arrays (or DataFrames of details) out."""
    import pandas as pd

    def arrays(batch: Any) -> Any:  # noqa: ANN401
        if isinstance(batch, tuple):
            return tuple(map(arrays, batch))
        return pa.array(batch, from_pandas=True)

    for array in encode_stream(order, map(arrays, batches)):
        if isinstance(array, pa.StructArray):
            fields = {field.name: array.field(place) for place, field in enumerate(array.type)}
            yield pd.DataFrame({name: field.to_pandas(integer_object_nulls=True) for name, field in fields.items()})
        else:
            yield array.to_pandas()


def open_model(shipment: Shipment, dtype: str) -> "SentenceTransformer":
    """The model, loaded at most once in this process for each content, precision and device.

    Raises:
        PlatformError: Spark gave this task a GPU that torch does not see.
        ModelError: The model did not arrive, or cannot be loaded.
    """
    global _loads  # noqa: PLW0603  (a worker is one process with one cache)
    threads, device = task_threads(), task_device()
    check_device(device)
    key = (shipment.fingerprint, dtype, device)
    if key in _models:
        _models.move_to_end(key)
        _set_threads(threads)
        return _models[key]
    os.environ.setdefault("RAYON_NUM_THREADS", str(threads or 1))  # the tokeniser's threads; read when it starts
    from st_spark.model.encoder import SentenceTransformer

    start = time.perf_counter()
    while len(_models) >= MODELS_KEPT:  # before the load, so that one more never has to fit
        _models.popitem(last=False)
    model = SentenceTransformer(arrive(shipment), device=device, dtype=dtype, threads=threads, name=shipment.name)
    _loads += 1
    _models[key] = model
    seconds = time.perf_counter() - start
    _log.info("loaded %s (%s) as %s on %s in %.1f s", shipment.name, key[0], model.dtype, model.device, seconds)
    return model


def loads() -> int:
    """How many times this process has loaded a model."""
    return _loads


def use_granted() -> None:
    """Makes torch use the threads and the GPU that Spark grants this task; PlatformError if torch lacks that GPU."""
    device = task_device()
    check_device(device)
    _set_threads(task_threads())
    if device is not None:
        import torch

        torch.cuda.set_device(device)


def task_threads() -> int | None:
    """Threads that Spark grants this task (spark.task.cpus), None outside of a task."""
    from pyspark import TaskContext

    context = TaskContext.get()
    return None if context is None else max(1, int(context.cpus()))


def task_device() -> str | None:
    """The device that Spark gave this task, None where it gave none: then the first GPU, if any, or the CPU."""
    from pyspark import TaskContext

    context = TaskContext.get()
    gpu = context.resources().get("gpu") if context is not None else None
    return None if gpu is None else device_of(gpu.addresses[0], os.environ.get("CUDA_VISIBLE_DEVICES"))


def device_of(address: str, visible: str | None) -> str:
    """Names for torch the GPU at an address of Spark's.

    Args:
        address: What the discovery script printed: nvidia-smi's index, or a UUID.
        visible: CUDA_VISIBLE_DEVICES. torch counts within it, nvidia-smi does not.

    Raises:
        PlatformError: A UUID that CUDA_VISIBLE_DEVICES does not list.
    """
    listed = [name.strip() for name in (visible or "").split(",")]
    if address in listed:
        return f"cuda:{listed.index(address)}"
    if address.isdigit():
        return f"cuda:{address}"
    raise PlatformError(
        f"Spark gave this task the GPU {address!r}, which is no index and not in CUDA_VISIBLE_DEVICES={visible!r}.",
        "let the discovery script print indices, as Spark's own getGpusResources.sh does",
    )


def check_device(device: str | None) -> None:
    """Refuses a GPU that torch does not have, before any work.

    Raises:
        PlatformError: torch sees fewer devices.
    """
    if device is None:
        return
    import torch

    count = torch.cuda.device_count()
    if int(device.removeprefix("cuda:")) >= count:
        raise PlatformError(
            f"Spark gave this task the device {device!r}, but torch {torch.__version__} sees {count} CUDA devices.",
            "install a CUDA build of torch and the driver on the workers, or do not ask for spark.task.resource.gpu",
        )


def _set_threads(threads: int | None) -> None:
    """Another stage may grant another number."""
    import torch

    if threads is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
