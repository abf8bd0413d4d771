"""The classify job: add to a table of texts or images the most similar label of each row."""

from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as sf

from st_spark.embedding.arrow_classify import Labels
from st_spark.embedding.arrow_encode import EncodeOptions
from st_spark.embedding.classify import classifier
from st_spark.errors import InputError
from st_spark.model.checkpoint import hub
from st_spark.model.checkpoint.files import fingerprint
from st_spark.steps import add_column
from st_spark.steps.new_column import ColumnBuilder
from st_spark.steps.resume import RESULT
from st_spark.tables import io
from st_spark.tables.columns import check_columns, check_new_column, quoted_column
from st_spark.tables.decoding import REPLACEMENT

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from st_spark.specs.row_jobs import ClassifyJob
    from st_spark.steps.timings import Timings


def run(spark: "SparkSession", job: "ClassifyJob", timings: "Timings") -> dict[str, Any]:
    """Run a classify job.

    Returns:
        The same as embed.run(), but without resumed, chunk, overlap, pooling and precision. rows has undecided (vectors
        of zeros, or with NaN or infinities, which get no label) instead of zero and nan; labels are the labels in the
        order of the scores; label_rows, if the labels come from a table, are its rows: in, null and duplicate.
    """
    names, label_rows = job.label_names, dict[str, int]()
    if job.labels_table is not None:
        with timings("labels", f"Reading {job.labels_table}"):
            names, label_rows = _read_labels(spark, job.labels_table, job.label_column, job.input_encoding)
    labels = Labels(names, job.template)
    result = add_column.run(spark, job, timings, lambda df, _output: _builder(spark, job, labels, df))
    return result | {"labels": list(names)} | ({"label_rows": label_rows} if label_rows else {})


def _read_labels(
    spark: "SparkSession", where: str, column: str, encoding: str | None
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Return the different labels of a table in alphabetical order, and the counts of its rows."""
    df = io.read(spark, where, encoding=encoding)
    check_columns(df.schema, where, (column,))
    values = [row[0] for row in df.select(quoted_column(column)).collect()]
    names = sorted({name for name in values if name is not None})
    if not names:
        raise InputError(f"{where} has no label in its column {column!r}.", "name the column: --label-column.")
    if lost := [name for name in names if REPLACEMENT in name]:
        raise InputError(
            f"{where} has the label {lost[0]!r}, with a character that could not be decoded.",
            "give the encoding of the file: --input-encoding.",
        )
    null = values.count(None)
    return tuple(names), {"in": len(values), "null": null, "duplicate": len(values) - null - len(names)}


def _builder(spark: "SparkSession", job: "ClassifyJob", labels: Labels, df: "DataFrame") -> ColumnBuilder:
    names = [f"{job.output_column}_{column}" for column in labels.columns] if job.wide else []
    for name in names:
        check_new_column(df, job.input, name, "choose another name for all of them: --output-column.")
    options = EncodeOptions(**job.encoding, counts=True)
    label, score, scores = (sf.col(f"{RESULT}.{name}") for name in ("label", "score", "scores"))
    value = sf.struct(label.alias("label"), score.alias("score"), scores.alias("scores"))
    return ColumnBuilder(
        function=classifier(
            spark, job.model, labels, options, label_model=job.label_model, revision=job.revision, dtype=job.dtype
        ),
        value=sf.when(sf.col(RESULT).isNotNull(), value),
        conditions={"undecided": label.isNull() & score.isNotNull()},
        not_finite=sf.isnan(score),
        more={name: scores[place] for place, name in enumerate(names)},
        metadata={"labels": list(labels.names), "template": job.template, **_label_model(job)},
    )


def _label_model(job: "ClassifyJob") -> dict[str, str]:
    """Return the model of the labels, if it is another one, and a hash of its files."""
    if job.label_model is None:
        return {}
    return {"label_model": job.label_model, "label_content": fingerprint(hub.resolve(job.label_model).folder)}
