"""The mining job: find the rows of two tables of vectors or texts that translate each other."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark import StorageLevel
from pyspark.sql import Observation
from pyspark.sql import functions as sf

from st_spark.bitext import export, mining
from st_spark.bitext.corpus import Corpus
from st_spark.bitext.retrieval import SCORE, SOURCE, TARGET, Rule
from st_spark.bitext.text_filters import TextFilters
from st_spark.errors import InputError
from st_spark.report import scores
from st_spark.spark.progress import follow
from st_spark.steps import bad_vectors, output_table
from st_spark.steps.result_file import check_outside
from st_spark.steps.vector_input import Source, VectorTable, open_tables, types_of_second
from st_spark.tables import io
from st_spark.tables.metadata import add_metadata, check_comparable, vector_metadata
from st_spark.tables.vector_types import is_vector_type

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from st_spark.specs.pair_jobs import MineJob
    from st_spark.steps.timings import Timings

# The model that encodes texts if the job names none.
MODEL = "LaBSE"


def run(spark: "SparkSession", job: "MineJob", timings: "Timings") -> dict[str, Any]:
    """Run a mining job.

    Returns:
        source, target: path, rows, kept (mined rows), set_aside (other rows, by reason) and dimension;
        refused: pairs of neighbours that the filters rejected, by reason;
        pairs: rows of the output; pairs_per_second;
        method, k, margin, retrieval, candidates, threshold, and with "ivf" the recall of each direction (missed
            neighbours make scores too high);
        model: the model that made the vectors, if known;
        output: path and format, and the version of a Delta table;
        files: the TSV and TMX files; report: the Scores of all pairs, which runner.run() writes to the page.
    """
    files = _files(job)
    with ExitStack() as stack:
        output = stack.enter_context(output_table.opened(spark, job))
        source, target = _open(spark, job, timings, stack)
        with timings("survey", "Counting rows and copies"):
            mined = _mine(job, source, target)
            stack.callback(mined.close)
        all_pairs = mined.pairs.persist(StorageLevel.DISK_ONLY)
        stack.callback(all_pairs.unpersist)
        facts = mined.facts | {"threshold": job.threshold}
        pairs = mining.with_metadata(all_pairs.where(sf.col(SCORE) > job.threshold), facts)
        out = pairs if job.texts else pairs.drop("source_text", "target_text")
        origin = {"source": vector_metadata(source.metadata), "target": vector_metadata(target.metadata)}
        out = add_metadata(out, SCORE, {**origin, "document_column": job.document_column})
        output.writer.check(out.schema, SCORE)
        stats = mined.stats
        assert stats.right is not None
        sides = [(source, stats.left, job.id_column), (target, stats.right, job.target_id_column or job.id_column)]
        rejected = stack.enter_context(bad_vectors.found(job, sides, "cosine"))
        output.check_rejected(rejected)
        rows, tasks = stats.left.kept, facts.get("tasks", 1)
        text = f"Mining {rows:,} rows and {stats.right.kept:,}"
        counts = Observation("st_spark")
        out = out.observe(counts, sf.count(sf.lit(1)).alias("pairs"))
        more: Mapping[str, Any] = {}
        if files or job.report:  # first: after an append nothing may fail, because a retry would append again
            with timings("mine_and_write", text), follow(spark, rows, tasks):
                all_pairs.count()
            more = _write_files(job, pairs, all_pairs, files, timings)
        count = output.write(out, counts, "pairs", timings, "mine_and_write", text, rows, tasks)["pairs"]
        more = {**more, **output.write_rejected(rejected)}
    return {
        "source": source.describe(stats.left),
        "target": target.describe(stats.right),
        "refused": mined.rejected,
        "pairs": count,
        "pairs_per_second": timings.rate(count, "mine_and_write"),
        **facts,
        "model": source.model,
        "output": output.describe(),
        **more,
    }


def _mine(job: "MineJob", source: VectorTable, target: VectorTable) -> mining.Mined:
    check_comparable(source.metadata, target.metadata, (source.where, target.where))
    languages = (job.source_language, job.target_language) if job.language_column else (None, None)
    texts = (job.text_column, job.target_text_column or job.text_column)
    ids = (job.id_column, job.target_id_column or job.id_column)
    one, other = (
        Corpus(table.df, name, table.vector, text, job.language_column, language)
        for table, name, text, language in zip((source, target), ids, texts, languages, strict=True)
    )
    # The report also shows pairs below the threshold.
    threshold = float("-inf") if job.report else job.threshold
    return mining.mine(
        one,
        other,
        Rule(job.k, job.margin, job.retrieval, job.candidates, threshold),
        filters=TextFilters(job.min_chars, job.max_chars, job.max_symbols, job.max_ratio, job.max_alike),
        texts=job.text_column is not None and bool(job.texts or job.tsv or job.tmx or job.report),
        document_id=job.document_column,
        method=job.method,
        recall=job.recall,
    )


def _open(
    spark: "SparkSession", job: "MineJob", timings: "Timings", stack: ExitStack
) -> tuple[VectorTable, VectorTable]:
    target_id, target_text = job.target_id_column or job.id_column, job.target_text_column or job.text_column
    target_types = types_of_second(spark, job, job.target, job.target_format, job.target_schema)
    sides = (
        (job.source, job.source_format, job.id_column, job.column, job.text_column, job.schema),
        (job.target, job.target_format, target_id, job.target_column, target_text, target_types),
    )
    sources = []
    unused = [name for name, value in job.encoding.items() if value is not None]
    for where, table_format, id_column, column, text, types in sides:
        needed = (id_column, text, job.document_column, job.language_column)
        names = [name for name in dict.fromkeys(needed) if name is not None]
        encoded = text if _needs_encoding(spark, job, where, table_format, column, text) else None
        unused = [] if encoded else unused
        sources.append(Source(where, table_format, names, column, encoded, types))
    if unused:
        raise InputError(
            f"{unused[0]} is given, and no text is embedded: both tables have vectors, or no text column is named.",
            "give --model, or leave the option out.",
        )
    with_model = replace(job, model=job.model or MODEL) if any(source.text for source in sources) else job
    source, target = open_tables(spark, with_model, timings, sources, stack)
    return source, target


def _needs_encoding(
    spark: "SparkSession", job: "MineJob", where: str, table_format: str | None, column: str | None, text: str | None
) -> bool:
    """Return whether the job encodes the texts of a table: if a model is given, or the table has no vectors."""
    if job.model is not None or column is not None or text is None:
        return job.model is not None
    schema = io.read(spark, where, table_format, job.input_encoding).schema
    return not any(is_vector_type(field.dataType) for field in schema.fields)


def _files(job: "MineJob") -> list[export.TsvFile | export.TmxFile]:
    """Return the TSV and TMX files to write; check before the work that their folders exist."""
    files: list[export.TsvFile | export.TmxFile] = []
    if job.tsv:
        files.append(export.TsvFile(Path(job.tsv)))
    if job.tmx:
        assert job.source_language is not None
        assert job.target_language is not None
        files.append(export.TmxFile(Path(job.tmx), job.source_language, job.target_language))
    for path, flag in ((job.tsv, "--tsv"), (job.tmx, "--tmx")):
        if path:
            check_outside(path, flag, [where for where, _ in job.tables()])
    for file in files:
        if not file.path.absolute().parent.is_dir():
            raise InputError(f"There is no folder for {file.path}.", "make it, or name another file.")
    return files


def _write_files(
    job: "MineJob",
    pairs: "DataFrame",
    all_pairs: "DataFrame",
    files: list[export.TsvFile | export.TmxFile],
    timings: "Timings",
) -> "Mapping[str, Any]":
    """Write the TSV and TMX files, and collect the scores for the report; return what the result says of them."""
    written: dict[str, Any] = {}
    if files:
        with timings("files", f"Writing {' and '.join(str(file.path) for file in files)}"):
            rows = pairs.orderBy(sf.col(SCORE).desc(), SOURCE, TARGET).toLocalIterator()
            export.write((row.asDict() for row in rows), files)
        written["files"] = [str(file.path) for file in files]
    if job.report:
        with timings("report", "Counting scores"):
            written["report"] = scores.collect(all_pairs, (SOURCE, TARGET), job.threshold)
    return written
