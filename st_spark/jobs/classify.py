"""The classify job: a table of texts or images in, the same table with the most similar label of each out."""

from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as sf

from st_spark.embedding.arrow_classify import Labels
from st_spark.embedding.arrow_encode import EncodeOptions
from st_spark.embedding.classify import classifier
from st_spark.errors import InputError
from st_spark.jobs import add_column
from st_spark.jobs.add_column import MADE, Recipe
from st_spark.tables import io
from st_spark.tables.columns import check_columns, exact

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from st_spark.jobs.timings import Phases
    from st_spark.specs.jobs import ClassifyJob


def run(spark: "SparkSession", job: "ClassifyJob", phases: "Phases") -> dict[str, Any]:
    """Runs a classify job.

    Returns:
        As `embed.run`, with in rows, instead of zero and nan, undecided: vectors of zeros or with NaN, which are like
        no label. labels: their names, in the order of the scores. label_rows, for labels of a table: in, and those
        passed over, null and duplicate.
    """
    names, seen = job.label_names, dict[str, int]()
    if job.labels_table is not None:
        with phases("labels", f"Reading {job.labels_table}"):
            names, seen = _read_labels(spark, job.labels_table, job.label_column)
    labels = Labels(names, job.template)
    done = add_column.run(spark, job, phases, lambda _df, _there: _recipe(spark, job, labels))
    return done | {"labels": list(names)} | ({"label_rows": seen} if seen else {})


def _read_labels(spark: "SparkSession", where: str, column: str) -> tuple[tuple[str, ...], dict[str, int]]:
    """The different labels of a table in alphabetical order, and the counts of its rows."""
    df = io.read(spark, where)
    check_columns(df.schema, where, (column,))
    found = [row[0] for row in df.select(exact(column)).collect()]
    names = sorted({name for name in found if name is not None})
    if not names:
        raise InputError(f"{where} has no label in its column {column!r}.", "name the column: --label-column.")
    null = found.count(None)
    return tuple(names), {"in": len(found), "null": null, "duplicate": len(found) - null - len(names)}


def _recipe(spark: "SparkSession", job: "ClassifyJob", labels: Labels) -> Recipe:
    options = EncodeOptions(prompt=job.prompt, counts=True)
    label, score, scores = (sf.col(f"{MADE}.{name}") for name in ("label", "score", "scores"))
    value = sf.struct(label.alias("label"), score.alias("score"), scores.alias("scores"))
    return Recipe(
        function=classifier(
            spark, job.model, labels, options, label_model=job.label_model, revision=job.revision, dtype=job.dtype
        ),
        value=sf.when(sf.col(MADE).isNotNull(), value),
        odd={"undecided": label.isNull() & score.isNotNull()},
        facts={"labels": list(labels.names), "template": job.template, "label_model": job.label_model},
    )
