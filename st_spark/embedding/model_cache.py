"""The models that a Spark Python worker has loaded. A worker lives as long as its executor and serves many queries."""

import logging
import os
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from st_spark.choices import MAX_IMAGE_PIXELS
from st_spark.embedding.receive_model import receive
from st_spark.embedding.send_model import ModelBundle
from st_spark.spark.task_resources import check_device, set_threads, task_device, task_threads

if TYPE_CHECKING:
    from st_spark.model.chunker import Chunker
    from st_spark.model.encoder import Encoded, SentenceTransformer

MODELS_KEPT = 4

_log = logging.getLogger(__name__)
_models: "OrderedDict[tuple[str, str, str | None], SentenceTransformer]" = OrderedDict()
_chunkers: "OrderedDict[tuple[Any, ...], Chunker]" = OrderedDict()
_loads = 0


@dataclass(frozen=True)
class LazyModel:
    """A model that is loaded when the first text comes. An empty partition loads none."""

    bundle: ModelBundle
    dtype: str
    max_image_pixels: int = MAX_IMAGE_PIXELS
    max_seq_length: int | None = None

    def embed(self, texts: list[Any], **options: Any) -> "Encoded":  # noqa: ANN401  (options of the model)
        """Encode texts; see SentenceTransformer.embed()."""
        model = open_model(self.bundle, self.dtype)
        model.set_max_image_pixels(self.max_image_pixels)  # other jobs of this worker may have other limits
        model.max_seq_length = self.max_seq_length
        return model.embed(texts, **options)


def open_model(bundle: ModelBundle, dtype: str) -> "SentenceTransformer":
    """Return the model. Load it if this process does not have it yet in this precision and on this device."""
    global _loads  # noqa: PLW0603  (a worker is one process with one cache)
    threads, device = task_threads(), task_device()
    check_device(device)
    key = (bundle.fingerprint, dtype, device)
    if key in _models:
        _models.move_to_end(key)
        set_threads(threads)
        return _models[key]
    os.environ.setdefault("RAYON_NUM_THREADS", str(threads or 1))  # threads of the tokenizer, which reads it once
    from st_spark.model.encoder import SentenceTransformer

    start = time.perf_counter()
    while len(_models) >= MODELS_KEPT:  # before the load, so that memory never holds one more
        _models.popitem(last=False)
    model = SentenceTransformer(receive(bundle), device=device, dtype=dtype, threads=threads, name=bundle.name)
    _loads += 1
    _models[key] = model
    seconds = time.perf_counter() - start
    _log.info("loaded %s (%s) as %s on %s in %.1f s", bundle.name, key[0], model.dtype, model.device, seconds)
    return model


def cached_chunker(bundle: ModelBundle, options: Mapping[str, Any]) -> "Chunker":
    """Return a chunker of the model with these fields of ChunkOptions. This process keeps the last ones."""
    from st_spark.model.chunker import ChunkOptions, open_chunker

    key = (bundle.fingerprint, *options.values())
    if key not in _chunkers:
        while len(_chunkers) >= MODELS_KEPT:
            _chunkers.popitem(last=False)
        _chunkers[key] = open_chunker(receive(bundle), ChunkOptions(**options))
    _chunkers.move_to_end(key)
    return _chunkers[key]


def loads() -> int:
    """Return how many times this process has loaded a model."""
    return _loads
