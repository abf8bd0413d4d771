"""The dedup job: a table of vectors or texts in, a table of the groups of its near-duplicates out."""

from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as sf

from st_spark.jobs.vector_input import Source, opened
from st_spark.join import near_duplicates
from st_spark.join.options import Request
from st_spark.spark.progress import follow
from st_spark.tables import io

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from st_spark.jobs.timings import Phases
    from st_spark.join.near_duplicates import DuplicateGroups
    from st_spark.specs.jobs import DedupJob


def run(spark: "SparkSession", job: "DedupJob", phases: "Phases") -> dict[str, Any]:
    """Runs a dedup job.

    Returns:
        input: path, rows, kept (those in the output), set_aside (the others, by reason) and dimension;
        groups: all, those of several rows, and the size of the largest; duplicates: rows that another one stands for;
        copies: those of them whose vector is that of another row bit by bit;
        method, score, threshold, linkage; with keys null_keys: rows that are alone because one is null; and what else
            is known of how it was done, such as the recall of "ivf";
        model: what made the vectors, as far as it is known; output: where, in which format, and the version of a Delta
            table.
    """
    there = io.prepare(spark, job.output, job.output_format)
    if there and job.mode == "error":
        io.refuse_existing(job.output)
    needed = (job.id_column, *job.keys)
    text = job.text_column
    with opened(spark, job, phases, job.input, job.input_format, names=needed, column=job.column, text=text) as source:
        with phases("survey", "Counting rows and copies"):
            found = _found(job, source)
        if there and job.mode == "append":
            io.check_append(spark, found.groups.schema, job.output, job.output_format, "score")
        counts = Observation("st_spark")
        out = found.groups.observe(counts, *_counted())
        told = f"Comparing {found.stats.kept - found.copies:,} rows"
        with phases("group_and_write", told), follow(spark, found.stats.kept, found.facts.get("tasks", 1)):
            version = io.write(out, job.output, job.output_format, job.mode)
    seen = {name: value or 0 for name, value in counts.get.items()}
    return {
        "input": source.told(found.stats),
        "groups": {name: seen[name] for name in ("all", "of_several", "largest")},
        "duplicates": seen["rows"] - seen["all"],
        "copies": found.copies,
        **found.facts,
        "model": source.model,
        "output": {"path": job.output, "format": job.output_format, "mode": job.mode, "version": version},
    }


def _found(job: "DedupJob", source: Source) -> "DuplicateGroups":
    request = Request(None, job.threshold, source.score(job.score), job.method, job.recall, job.max_pairs)
    return near_duplicates.find_groups(
        source.df, request, job.linkage, id_column=job.id_column, vector=source.vector, on=job.keys, where=job.input
    )


def _counted() -> "list[Any]":
    return [
        sf.count(sf.lit(1)).alias("rows"),
        sf.count_if("representative").alias("all"),
        sf.count_if(sf.col("representative") & (sf.col("size") > 1)).alias("of_several"),
        sf.max("size").alias("largest"),
    ]
