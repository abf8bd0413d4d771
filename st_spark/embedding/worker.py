"""What Spark workers run: load a model, encode, classify or cut batches with it."""

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from st_spark.embedding.arrow_chunk import chunk_arrays
from st_spark.embedding.arrow_classify import Classifier, Labels, classify_arrays
from st_spark.embedding.arrow_encode import EncodeOptions, encode_arrays
from st_spark.embedding.model_cache import LazyModel, cached_chunker, open_model
from st_spark.embedding.pool_chunks import PooledModel
from st_spark.embedding.send_model import ModelBundle

if TYPE_CHECKING:
    import pandas as pd

_MEASURED_SECONDS = 0.2


def encode_arrow(payload: Mapping[str, Any], batches: Iterator[Any]) -> Iterator[pa.Array]:
    """Encode, or classify, the Arrow batches of one task.

    Args:
        payload: `model`, `options` and `dtype`: the fields of ModelBundle and of EncodeOptions, and the precision of
            the model. To classify also `labels` and `label_model`: the fields of Labels, and the ModelBundle of the
            model that encodes them or None.
        batches: Arrow arrays of strings or images, or tuples of two arrays.
    """
    options = EncodeOptions(**payload["options"])
    bundle, dtype = ModelBundle(**payload["model"]), payload["dtype"]
    model = LazyModel(bundle, dtype, options.max_image_pixels, options.max_seq_length)
    if options.pools:
        pooled = PooledModel(model, cached_chunker(bundle, options.chunking), options.pooling)
        return encode_arrays(pooled, batches, options)
    if "labels" not in payload:
        return encode_arrays(model, batches, options)
    other = payload["label_model"]
    label_model = LazyModel(bundle if other is None else ModelBundle(**other), dtype)  # labels are read in full
    return classify_arrays(Classifier(model, Labels(**payload["labels"]), label_model), batches, options)


def encode_pandas(payload: Mapping[str, Any], batches: Iterator[Any]) -> "Iterator[pd.Series | pd.DataFrame]":
    """Do the same as encode_arrow() for a pandas UDF: Series in, Series of arrays or DataFrames out."""
    import pandas as pd

    for array in encode_arrow(payload, map(_from_pandas, batches)):
        if isinstance(array, pa.StructArray):
            fields = {field.name: array.field(place) for place, field in enumerate(array.type)}
            yield pd.DataFrame({name: field.to_pandas(integer_object_nulls=True) for name, field in fields.items()})
        else:
            yield array.to_pandas()


def _from_pandas(batch: Any) -> Any:  # noqa: ANN401
    return tuple(map(_from_pandas, batch)) if isinstance(batch, tuple) else pa.array(batch, from_pandas=True)


def chunk_arrow(payload: Mapping[str, Any], batches: Iterator[Any]) -> Iterator[pa.Array]:
    """Cut the Arrow batches of one task into chunks.

    Args:
        payload: `model` and `options`: the fields of ModelBundle and of ChunkOptions.
        batches: Arrow arrays of strings.
    """
    return chunk_arrays(cached_chunker(ModelBundle(**payload["model"]), payload["options"]), batches)


def chunk_pandas(payload: Mapping[str, Any], batches: Iterator[Any]) -> "Iterator[pd.Series]":
    """Do the same as chunk_arrow() for a pandas UDF: Series in, Series of lists of dicts out."""
    for array in chunk_arrow(payload, map(_from_pandas, batches)):
        yield array.to_pandas()


def load_model(payload: Mapping[str, Any], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Load a model in this worker and return its size, precision and device, one row for each batch.

    Args:
        payload: `model` and `dtype` as for encode_arrow(), `truncate_dim` and `task`.
        batches: Any batches.
    """
    model = open_model(ModelBundle(**payload["model"]), payload["dtype"])
    for _ in batches:
        vectors = model.embed(["warm up"], truncate_dim=payload["truncate_dim"], task=payload["task"]).vectors
        row = {"dim": vectors.shape[1], "dtype": model.dtype, "device": str(model.device).partition(":")[0]}
        schema = pa.schema([("dim", pa.int32()), ("dtype", pa.string()), ("device", pa.string())])
        yield pa.RecordBatch.from_pylist([row], schema=schema)


def measure_speed(payload: Mapping[str, Any], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Return the seconds in which this worker encodes a row, one value for each batch.

    Args:
        payload: As for encode_arrow(), and `sample`: a list of texts for each column.
        batches: Any batches.
    """
    columns = [pa.array(texts) for texts in payload["sample"]]
    for _ in batches:
        rows, seconds = 1, 0.0
        while seconds < _MEASURED_SECONDS and rows <= len(columns[0]):  # a large model needs seconds for a row
            start = time.perf_counter()
            list(encode_arrow(payload, iter([tuple(column[:rows] for column in columns)])))
            rows, seconds = 2 * rows, time.perf_counter() - start
        yield pa.RecordBatch.from_pylist([{"seconds": 2 * seconds / rows}])
