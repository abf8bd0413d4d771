"""What embed and classify jobs share: a table in, the same table with one more column that a model made out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import Observation
from pyspark.sql import functions as sf
from pyspark.sql.types import BinaryType, StructType

from st_spark.embedding import model_info, udf
from st_spark.errors import InputError
from st_spark.spark.progress import follow
from st_spark.tables import io
from st_spark.tables.columns import CORRUPT, FACTS, check_columns, exact
from st_spark.tables.row_counts import Survey, count_ids, survey

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql._typing import UserDefinedFunctionLike

    from st_spark.jobs.timings import Phases
    from st_spark.specs.jobs import ClassifyJob, EmbedJob

# The struct that the function gives, with counts; it is not written.
MADE = "_st_spark_made"


@dataclass(frozen=True)
class Recipe:
    """How a job makes its column.

    Attributes:
        function: Of the text columns, to a struct with the counts n_tokens, truncated, duplicate (and problem).
        value: The column to write, from the struct MADE.
        odd: Further conditions to count rows by.
        facts: What the written column tells of how it was made, beside what the model tells.
    """

    function: "UserDefinedFunctionLike"
    value: "Column"
    odd: Mapping[str, "Column"]
    facts: Mapping[str, Any]


def run(
    spark: "SparkSession", job: "EmbedJob | ClassifyJob", phases: "Phases", cook: "Callable[[DataFrame, bool], Recipe]"
) -> dict[str, Any]:
    """Runs a job; see `embed.run` and `classify_job.run` for what it returns.

    Args:
        spark: The session.
        job: The job.
        phases: Where the seconds go.
        cook: Makes the recipe, which ships the model, from the input and whether the output exists.
    """
    with phases("read", f"Reading {job.input}"):
        there = io.prepare(spark, job.output, job.output_format)
        if there and job.mode == "error":
            io.refuse_existing(job.output)
        table_format = job.input_format or io.find_format(spark, job.input)
        df = _input(spark, job, table_format)
        found, ids = survey(df), count_ids(df, job.id_column)
    with phases("load", f"Loading {job.model}"):
        recipe = cook(df, there)
        made = _made(df, job, recipe, found)
        model = model_info.describe(spark, job, min(found.cores, found.wanted))
    conditions = {**_conditions(made, job), **recipe.odd}
    counts = Observation("st_spark")
    out = _output(made, job, recipe, model, counts, conditions)
    if there and job.mode == "append":
        io.check_append(spark, out.schema, job.output, job.output_format, job.output_column)
    told = f"Encoding {found.rows:,} rows on {model['device']} in {model['dtype']}"
    with phases("encode_and_write", told), follow(spark, found.rows, _tasks(found)):
        version = io.write(out, job.output, job.output_format, job.mode)
    seen = {name: value or 0 for name, value in counts.get.items()}  # a sum over no row is null
    seconds = phases.seconds["encode_and_write"]
    rows = {"in": seen["in"], "out": seen["in"] - seen["corrupt"]}
    rows |= {name: seen[name] for name in conditions if name != "duplicates"} | ids
    return {
        "rows": rows,
        "rows_per_second": round(rows["out"] / seconds, 1) if seconds else 0.0,
        "duplicates": seen["duplicates"],
        "tokens": seen["tokens"],
        "model": model,
        "input": {"path": job.input, "format": table_format},
        "output": {
            "path": job.output,
            "format": job.output_format,
            "mode": job.mode,
            "column": job.output_column,
            "version": version,
        },
    }


def _input(spark: "SparkSession", job: "EmbedJob | ClassifyJob", table_format: str) -> "DataFrame":
    df = io.read(spark, job.input, table_format)
    check_columns(df.schema, job.input, job.text_columns, (job.id_column,) if job.id_column else (), images=True)
    if job.output_column in df.columns:
        raise InputError(
            f"{job.input} has a column {job.output_column!r} already.", "name the new column: --output-column."
        )
    return df


def _tasks(found: Survey) -> int:
    return len(found.partitions) if found.fits else found.wanted


def _made(df: "DataFrame", job: "EmbedJob | ClassifyJob", recipe: Recipe, found: Survey) -> "DataFrame":
    """The input, cut into tasks that keep every core busy, with one more column: what the function gives."""
    texts = [exact(name) for name in job.text_columns]
    if CORRUPT in df.columns:
        texts = [sf.when(exact(CORRUPT).isNull(), text) for text in texts]
    cut = df if found.fits else df.repartition(found.wanted)
    made = cut.withColumn(MADE, udf.call(recipe.function, texts, struct=True))
    # Strings give images to no model, but files need one that reads them.
    check_columns(df.schema, job.input, job.text_columns, images=_reads_images(made))
    return made


def _reads_images(made: "DataFrame") -> bool:
    kind = made.schema[MADE].dataType
    return isinstance(kind, StructType) and "problem" in kind.names


def _output(
    made: "DataFrame",
    job: "EmbedJob | ClassifyJob",
    recipe: Recipe,
    model: Mapping[str, Any],
    counts: Observation,
    conditions: Mapping[str, "Column"],
) -> "DataFrame":
    """The table to write. Its rows are counted in the stage that writes them: a task run twice counts once."""
    kept = [name for name in made.columns if name not in (MADE, CORRUPT)]
    counted = [sf.count_if(condition).alias(name) for name, condition in conditions.items()]
    observed = made.observe(
        counts, sf.count(sf.lit(1)).alias("in"), sf.sum(f"{MADE}.n_tokens").alias("tokens"), *counted
    )
    if CORRUPT in made.columns:
        observed = observed.where(exact(CORRUPT).isNull())
    told = ("revision", "content", "dim", "dtype", "similarity", "prompt")
    facts = {**{name: model[name] for name in told}, **recipe.facts, "model": job.model}
    facts |= {"text_columns": list(job.text_columns), "id_column": job.id_column}
    said = {name: value for name, value in facts.items() if value is not None}
    return observed.select(*map(exact, kept), recipe.value.alias(job.output_column, metadata={FACTS: said}))


def _conditions(made: "DataFrame", job: "EmbedJob | ClassifyJob") -> dict[str, "Column"]:
    """What rows are counted by, in every such job."""
    sound = exact(CORRUPT).isNull() if CORRUPT in made.columns else sf.lit(True)
    null, empty = sf.lit(False), sf.lit(True)
    for name in job.text_columns:
        text = exact(name)
        files = isinstance(made.schema[name].dataType, BinaryType)
        null, empty = null | text.isNull(), empty & (sf.length(text) == 0 if files else sf.trim(text) == "")
    conditions = {
        "null": sound & null,
        "empty": sound & empty,
        "truncated": sf.col(f"{MADE}.truncated"),
        "corrupt": ~sound,
        "duplicates": sf.col(f"{MADE}.duplicate"),
    }
    unread = {"unreadable": sf.col(f"{MADE}.problem").isNotNull()} if _reads_images(made) else {}
    return conditions | unread
