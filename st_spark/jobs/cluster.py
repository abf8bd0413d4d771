"""The cluster job: group the rows of a table of vectors, texts or images."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as sf
from pyspark.sql.types import BinaryType

from st_spark.clustering.cluster import ClusterRequest, plan_clusters
from st_spark.clustering.summary import cluster_summary
from st_spark.report.clusters import ClusterSample, representatives, take
from st_spark.spark.hold import freed
from st_spark.steps import bad_vectors, output_table
from st_spark.steps.vector_input import Source, VectorTable, open_tables
from st_spark.tables import io
from st_spark.tables.columns import RESERVED, check_columns, quoted_column
from st_spark.tables.metadata import add_metadata, vector_column, vector_metadata
from st_spark.tables.output import open_output

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from st_spark.specs.pair_jobs import ClusterJob
    from st_spark.steps.timings import Timings
    from st_spark.tables.writers import Writer

_TEXT = f"{RESERVED}text"


def run(spark: "SparkSession", job: "ClusterJob", timings: "Timings") -> dict[str, Any]:
    """Run a cluster job.

    Returns:
        input: path, rows, kept (rows in the output), set_aside (other rows, by reason) and dimension;
        clusters: all, largest (rows of the largest one) and unclustered (rows in none);
        method, score, and the options of the method; for kmeans k, sampled (rows that trained the centroids) and
            silhouettes (of each number of clusters that was tried); for communities copies (rows with the same vector
            as another one);
        model: the model that made the vectors, if known;
        output: path and format, and the version of a Delta table;
        summary: path, format, rows and version of the table of clusters, if the job writes one;
        rejected: path, format, rows and version of the table of rejected rows, if the job writes one;
        report: the sample that runner.run() writes to the page, if there is a report.
    """
    with ExitStack() as stack:
        output = stack.enter_context(output_table.opened(spark, job))
        summary = _open_summary(spark, job, output, stack)
        shown = _shown_columns(spark, job)
        names = list(dict.fromkeys((job.id_column, *shown.texts)))
        encoded = job.text_column if job.model else None
        source = Source(job.input, job.input_format, names, job.column, encoded, job.schema)
        [table] = open_tables(spark, job, timings, [source], stack)
        stack.enter_context(freed())
        with timings("plan", "Counting rows" + (" and training centroids" if job.method == "kmeans" else "")):
            request = _request(job, table.score(job.score))
            planned = plan_clusters(table.df, request, id_column=job.id_column, vector=table.vector, where=job.input)
        clusters = add_metadata(planned.clusters, "score", {"vectors": vector_metadata(table.metadata)})
        output.writer.check(clusters.schema, "score")
        sides = [(table, planned.stats, job.id_column)]
        rejected = stack.enter_context(bad_vectors.found(job, sides, request.score))
        output.check_rejected(rejected)
        counts = Observation("st_spark")
        clusters = clusters.observe(
            counts,
            sf.count(sf.lit(1)).alias("rows"),
            sf.count_if("is_representative").alias("all"),
            sf.count_if(sf.col("cluster") == 0).alias("largest"),
            sf.count_if(sf.col("cluster").isNull()).alias("unclustered"),
        )
        kept, tasks = planned.stats.kept, planned.facts.get("tasks", 1)
        text = f"Clustering {kept:,} rows"
        counted = output.write(clusters, counts, "rows", timings, "cluster_and_write", text, kept, tasks)
        more = output.write_rejected(rejected)
        if summary or job.report:
            more |= _describe(spark, job, output, summary, table, shown, counted["all"], timings)
    return {
        "input": table.describe(planned.stats),
        "clusters": {name: counted[name] for name in ("all", "largest", "unclustered")},
        **planned.facts,
        "model": table.model,
        "output": output.describe(),
        **more,
    }


def _request(job: "ClusterJob", score: str = "cosine") -> ClusterRequest:
    names = ("k", "min_k", "max_k", "seed", "threshold", "min_community_size", "max_pairs")
    return ClusterRequest(job.method, score=score, **{name: getattr(job, name) for name in names})


@dataclass(frozen=True)
class _Shown:
    """The columns of the input that show what a row is."""

    texts: Sequence[str]
    image: str | None


def _shown_columns(spark: "SparkSession", job: "ClusterJob") -> _Shown:
    """Return the text column of the job, or the columns that the vectors of the input were made from."""
    if job.text_column is None and job.summary is None and job.report is None:
        return _Shown((), None)
    schema = io.read(spark, job.input, job.input_format, job.input_encoding, job.schema).schema
    if job.text_column is not None:
        check_columns(schema, job.input, (job.text_column,), images=True)
        names = [job.text_column]
    else:
        made_from = vector_column(schema, job.input, job.column)[1].get("text_columns", [])
        names = [name for name in made_from if name in schema.names]
    images = [name for name in names if isinstance(schema[name].dataType, BinaryType)]
    return _Shown([name for name in names if name not in images], images[0] if images else None)


def _open_summary(
    spark: "SparkSession", job: "ClusterJob", output: output_table.OutputTable, stack: ExitStack
) -> "Writer | None":
    if job.summary is None:
        return None
    writer = output.writer
    others = [(job.input, job.input_format), (job.output, writer.format)]
    return stack.enter_context(
        open_output(spark, job.summary, writer.format, job.mode, others, provider=writer.provider)
    )


def _describe(
    spark: "SparkSession",
    job: "ClusterJob",
    output: output_table.OutputTable,
    writer: "Writer | None",
    table: VectorTable,
    shown: _Shown,
    count: int,
    timings: "Timings",
) -> dict[str, Any]:
    """Write the summary, and collect what the report shows; from the table that is written."""
    clusters, texts = io.read(spark, job.output, output.writer.format), None
    if shown.texts:
        joined = sf.concat_ws(" | ", *map(quoted_column, shown.texts)).alias("text")
        texts = table.df.select(quoted_column(job.id_column).alias("id"), joined)
    summary = cluster_summary(clusters, texts)
    found: dict[str, Any] = {}
    if writer is not None:
        with timings("summary", f"Writing {job.summary}"):
            found["summary"] = output.write_other(writer, summary, lambda: count, "summary")
        summary = io.read(spark, writer.where, writer.format)
    if job.report:
        with timings("report", "Taking a sample"):
            found["report"] = _sample(job, clusters, table, summary, shown.image)
    return found


def _sample(
    job: "ClusterJob", clusters: "DataFrame", table: VectorTable, summary: "DataFrame", image: str | None
) -> ClusterSample:
    sample = take(clusters, table.df, job.id_column, table.vector, summary)
    if image is None:
        return sample
    return replace(sample, images=representatives(sample.lines, table.rows, job.id_column, image))
