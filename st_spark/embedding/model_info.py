"""Load a job's model on the executors before the work, and report its size, precision and device there.

A model that cannot be loaded then fails the job in its first seconds, and the result reports the precision that was
used, not only the one that was requested. The workers keep the model for the work, so it is loaded once.
"""

from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean
from typing import TYPE_CHECKING, Any

from st_spark.embedding.arrow_encode import EncodeOptions
from st_spark.embedding.encode import prepare
from st_spark.embedding.send_model import send
from st_spark.embedding.udf import worker_function
from st_spark.model.checkpoint import checkpoint, hub
from st_spark.model.inputs import prompts

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from st_spark.specs.fields import VectorInput
    from st_spark.specs.row_jobs import ClassifyJob, EmbedJob


def describe(spark: "SparkSession", job: "EmbedJob | ClassifyJob | VectorInput", tasks: int) -> dict[str, Any]:
    """Load the model of a job and describe it.

    Args:
        spark: The session.
        job: The job.
        tasks: Number of tasks that load the model, each in its worker.

    Returns:
        name, revision (a commit on the hub or None), content (a hash of all its files), dim, dtype and device (a list
        if executors differ), similarity, prompt (the text, "" for none), and max_seq_length if the job gives it.
    """
    snapshot = hub.resolve(str(job.model), job.revision)
    description = checkpoint.read(snapshot.folder)
    bundle = send(spark, snapshot)
    options = job.encoding
    stored, default = prompts.with_defaults(description.prompts), description.default_prompt_name
    warm_up = {"truncate_dim": options.get("truncate_dim"), "task": options.get("task")}
    payload = {"model": vars(bundle), "dtype": job.dtype, **warm_up}
    load = worker_function("load_model", payload)
    one_each = spark.range(tasks, numPartitions=tasks)
    loaded = one_each.mapInArrow(load, "dim int, dtype string, device string").distinct().collect()
    return {
        "name": snapshot.name,
        "revision": snapshot.revision,
        "content": bundle.fingerprint,
        "dim": loaded[0]["dim"],
        "dtype": _one_or_all([row["dtype"] for row in loaded]),
        "device": _one_or_all([row["device"] for row in loaded]),
        "similarity": description.similarity,
        "prompt": prompts.resolve(stored, default, job.prompt, options.get("prompt_name")) or "",
        **({} if job.max_seq_length is None else {"max_seq_length": job.max_seq_length}),
    }


def seconds_per_row(spark: "SparkSession", job: "EmbedJob", sample: Sequence[Sequence[Any]], tasks: int) -> float:
    """Return the seconds in which a task encodes a row of a job, while as many tasks run.

    Args:
        spark: The session.
        job: The job.
        sample: Some rows: the values of the text columns.
        tasks: Number of tasks that run at once.
    """
    snapshot, options = prepare(str(job.model), EncodeOptions(**job.encoding), job.revision, job.dtype)
    payload = {"model": vars(send(spark, snapshot)), "options": asdict(options), "dtype": job.dtype}
    columns = [list(column) for column in zip(*sample, strict=True)]
    measure = worker_function("measure_speed", payload | {"sample": columns})
    measured = spark.range(tasks, numPartitions=tasks).mapInArrow(measure, "seconds double").collect()
    return fmean(row["seconds"] for row in measured)


def _one_or_all(values: list[str]) -> str | list[str]:
    different = sorted(set(values))
    return different[0] if len(different) == 1 else different
