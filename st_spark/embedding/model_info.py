"""Loads a model on the executors before the work, and says what it is there: dimension, precision, device.

So a worker that cannot load it fails the job in its first seconds, and the result says what was used, not what was
asked for. The workers stay and serve the work: the model is not loaded twice.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from st_spark.embedding.send_model import ship
from st_spark.embedding.udf import MISSING
from st_spark.model.checkpoint import checkpoint, hub
from st_spark.model.inputs import prompts

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from st_spark.specs.jobs import ClassifyJob, DedupJob, EmbedJob, JoinJob, MineJob

_SCHEMA = "dim int, dtype string, device string"


def describe(
    spark: "SparkSession", job: "EmbedJob | ClassifyJob | DedupJob | JoinJob | MineJob", cores: int
) -> dict[str, Any]:
    """What a job's model is, as told by its files and by the executors that have loaded it.

    Args:
        spark: The session.
        job: The job.
        cores: Tasks that run at once; each loads the model in its worker.

    Returns:
        name, revision (a hub commit or None), content (a key of all its files), dim, dtype and device (a list where
        executors differ), similarity, prompt (the text, "" for none).
    """
    snapshot = hub.resolve(str(job.model), job.revision)
    known = checkpoint.read(snapshot.folder)
    stored = prompts.with_defaults(known.prompts)
    shipment = ship(spark, snapshot)
    order = {"shipment": vars(shipment), "dtype": job.dtype, "truncate_dim": job.truncate_dim, "task": job.task}
    function = _loader(order)
    found = spark.range(cores, numPartitions=cores).mapInArrow(function, _SCHEMA).distinct().collect()
    return {
        "name": snapshot.name,
        "revision": snapshot.revision,
        "content": shipment.fingerprint,
        "dim": found[0]["dim"],
        "dtype": _one([row["dtype"] for row in found]),
        "device": _one([row["device"] for row in found]),
        "similarity": known.similarity,
        "prompt": prompts.resolve(stored, known.default_prompt_name, job.prompt, job.prompt_name) or "",
    }


def _one(values: list[str]) -> str | list[str]:
    different = sorted(set(values))
    return different[0] if len(different) == 1 else different


def _loader(order: dict[str, Any]) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for mapInArrow; nested, so that it travels to the workers by value (see udf)."""
    missing = MISSING

    def load(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import sys

        import pyarrow as pa

        try:
            from st_spark.embedding.model_cache import open_model
            from st_spark.embedding.send_model import Shipment

            model = open_model(Shipment(**order["shipment"]), order["dtype"])
        except ModuleNotFoundError as error:
            raise RuntimeError(missing.format(python=sys.executable, module=error.name)) from error
        for _ in batches:
            vectors = model.embed(["warm up"], truncate_dim=order["truncate_dim"], task=order["task"]).vectors
            row = {
                "dim": vectors.shape[1],
                "dtype": model.dtype,
                "device": str(model.device).partition(":")[0],
            }
            kinds = pa.schema([("dim", pa.int32()), ("dtype", pa.string()), ("device", pa.string())])
            yield pa.RecordBatch.from_pylist([row], schema=kinds)

    return load
