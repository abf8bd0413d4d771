"""What runs inside a Spark Python worker: its models, its device, its threads."""

import logging
import os
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from st_spark.embedding.arrow_classify import Classifier, Labels, classify_arrays
from st_spark.embedding.arrow_encode import EncodeOptions, encode_arrays
from st_spark.embedding.receive_model import arrive
from st_spark.embedding.send_model import Shipment
from st_spark.spark.task_resources import check_device, set_threads, task_device, task_threads

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
        set_threads(threads)
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
