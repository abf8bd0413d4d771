"""merge_embeddings(): merge the rows of a DataFrame, or of a micro-batch of a stream, into an embedded table."""

import uuid
from typing import TYPE_CHECKING, Any

from pyspark import StorageLevel

from st_spark.errors import InputError
from st_spark.jobs import runner
from st_spark.spark.hold import check_batch
from st_spark.specs.row_jobs import EmbedJob
from st_spark.tables.columns import RESERVED

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# merge_embeddings() sets these options itself, or they say where rows come from.
_OWN = ("mode", "input", "input_format", "input_encoding", "schema", "since_version")


def merge_embeddings(
    df: "DataFrame",
    output: str,
    *,
    model: str,
    text_column: str | tuple[str, str] = "text",
    id_column: str = "id",
    **options: Any,  # noqa: ANN401 (the fields of EmbedJob)
) -> dict[str, Any]:
    """Bring an embedded table up to date with the rows of a DataFrame: embed only texts that are new or have changed.

    A row of the DataFrame replaces the row of the table with the same id. Other rows of the table stay. The same rows
    give the same table again, so a micro-batch that Spark repeats does no harm:

        stream.writeStream.foreachBatch(lambda df, batch: merge_embeddings(df, "embedded", model="..."))

    Args:
        df: The rows, with unique ids.
        output: Path or catalog name of the table. It is made if it does not exist.
        model: Hub name, folder, or package:NAME.
        text_column: The text column, or two for text pairs.
        id_column: The column that identifies a row.
        options: Other options of `st-spark embed`, such as output_format, prompt or precision; not delete_missing and
            mode, and none that say where the rows come from.

    Returns:
        The result of the job; see jobs.runner.run(). rows has new, changed, updated, unchanged and
        missing, and with chunks dropped.

    Raises:
        InputError: df is a stream and not one of its micro-batches, or an option is given that it does not take.
        StSparkError: The rows do not fit the table; the message has the reason and a fix. The table is as it was, here
            and if Spark itself fails.
    """
    check_batch(df, "df")
    if options.get("delete_missing"):
        fix = "merge the whole table with `st-spark embed --mode merge --delete-missing`."
        raise InputError("delete_missing would delete all rows that are not in this DataFrame.", fix)
    for name in _OWN:
        if name in options:
            raise InputError(
                f"{name} is given, and merge_embeddings() merges the rows of a DataFrame.", f"leave {name} out."
            )
    spark, view = df.sparkSession, f"{RESERVED}rows_{uuid.uuid4().hex[:8]}"
    fields = {"model": model, "text_column": text_column, "id_column": id_column, "mode": "merge", **options}
    job = EmbedJob.from_fields({"input": view, "input_format": "table", "output": output, **fields})
    held = df.storageLevel != StorageLevel.NONE
    rows = df if held else df.persist(StorageLevel.DISK_ONLY)  # a merge reads its input several times
    try:
        # To drop a view of `rows` itself would drop their cache.
        rows.where("true").createOrReplaceTempView(view)
        return runner.run(job, spark)
    finally:
        spark.catalog.dropTempView(view)
        if not held:
            rows.unpersist()
