"""The mining job: two tables of vectors or texts in, a table of the pairs that translate each other out."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark import StorageLevel
from pyspark.sql import functions as sf

from st_spark.bitext import export, mining, report
from st_spark.bitext.corpus import Corpus
from st_spark.bitext.retrieval import SCORE, SOURCE, TARGET, Rule
from st_spark.bitext.text_filters import TextFilters
from st_spark.errors import InputError
from st_spark.jobs.vector_input import Source, check_same_model, opened
from st_spark.spark.progress import follow
from st_spark.tables import io

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame, SparkSession

    from st_spark.jobs.timings import Phases
    from st_spark.specs.jobs import MineJob

MODEL = "LaBSE"


def run(spark: "SparkSession", job: "MineJob", phases: "Phases") -> dict[str, Any]:
    """Runs a mining job.

    Returns:
        source, target: path, rows, kept (those that were mined), set_aside (the others, by reason) and dimension;
        refused: neighbours whose texts cannot be translations, by reason; pairs: rows of the output;
        pairs_per_second; method, k, margin, retrieval, candidates, threshold, and with "ivf" the recall of each
            direction (a missed neighbour makes scores too high);
        model: what made the vectors, as far as it is known; output: where, in which format, and the version of a Delta
            table; files: those written beside it; report: its path, and how many pairs there are above each threshold.
    """
    there = io.prepare(spark, job.output, job.output_format)
    if there and job.mode == "error":
        io.refuse_existing(job.output)
    files = _files(job)
    if job.report:
        report.check(Path(job.report))
    with ExitStack() as stack:
        source, target = _sources(spark, job, phases, stack)
        with phases("survey", "Counting rows and copies"):
            found = _mined(job, source, target)
            stack.callback(found.close)
        every = found.pairs.persist(StorageLevel.DISK_ONLY)
        stack.callback(every.unpersist)
        facts = found.facts | {"threshold": job.threshold}
        pairs = mining.with_metadata(every.where(sf.col(SCORE) > job.threshold), facts)
        out = pairs if job.texts else pairs.drop("source_text", "target_text")
        if there and job.mode == "append":
            io.check_append(spark, out.schema, job.output, job.output_format, SCORE)
        assert found.stats.right is not None
        sizes = found.stats.left.kept, found.stats.right.kept
        told = f"Mining {sizes[0]:,} rows and {sizes[1]:,}"
        with phases("mine_and_write", told), follow(spark, sizes[0], facts.get("meetings", 1)):
            version = io.write(out, job.output, job.output_format, job.mode)
            count = pairs.count()
        more = _beside(job, pairs, every, files, phases)
    seconds = phases.seconds["mine_and_write"]
    return {
        "source": source.told(found.stats.left),
        "target": target.told(found.stats.right),
        "refused": found.rejected,
        "pairs": count,
        "pairs_per_second": round(count / seconds, 1) if seconds else 0.0,
        **facts,
        "model": source.model,
        "output": {"path": job.output, "format": job.output_format, "mode": job.mode, "version": version},
        **more,
    }


def _mined(job: "MineJob", source: Source, target: Source) -> mining.Mined:
    check_same_model(source, target)
    languages = (job.source_language, job.target_language) if job.language_column else (None, None)
    texts = (job.text_column, job.target_text_column or job.text_column)
    ids = (job.id_column, job.target_id_column or job.id_column)
    one, other = (
        Corpus(side.df, name, side.vector, text, job.language_column, language)
        for side, name, text, language in zip((source, target), ids, texts, languages, strict=True)
    )
    # The report shows pairs below the threshold, too.
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


def _sources(spark: "SparkSession", job: "MineJob", phases: "Phases", stack: ExitStack) -> tuple[Source, Source]:
    sides = (
        (job.source, job.source_format, job.id_column, job.column, job.text_column),
        (
            job.target,
            job.target_format,
            job.target_id_column or job.id_column,
            job.target_column,
            job.target_text_column or job.text_column,
        ),
    )
    found = []
    for where, table_format, id_column, column, text in sides:
        needed = dict.fromkeys((id_column, text, job.document_column, job.language_column))
        names = [name for name in needed if name is not None]
        encoded = text if _has_no_vectors(spark, job, where, table_format, column, text) else None
        asked = replace(job, model=job.model or MODEL) if encoded else job
        found.append(
            stack.enter_context(
                opened(spark, asked, phases, where, table_format, names=names, column=column, text=encoded)
            )
        )
    return found[0], found[1]


def _has_no_vectors(
    spark: "SparkSession", job: "MineJob", where: str, table_format: str | None, column: str | None, text: str | None
) -> bool:
    """Whether the texts of a table are to be embedded."""
    if job.model is not None or column is not None or text is None:
        return job.model is not None
    schema = io.read(spark, where, table_format).schema
    return not any(each.dataType.typeName() == "array" for each in schema.fields)


def _files(job: "MineJob") -> list[export.TsvFile | export.TmxFile]:
    """The files beside the table, checked before any work."""
    files: list[export.TsvFile | export.TmxFile] = []
    if job.tsv:
        files.append(export.TsvFile(Path(job.tsv)))
    if job.tmx:
        assert job.source_language is not None
        assert job.target_language is not None
        files.append(export.TmxFile(Path(job.tmx), job.source_language, job.target_language))
    for each in files:
        if not each.path.absolute().parent.is_dir():
            raise InputError(f"There is no folder for {each.path}.", "make it, or name another file.")
    return files


def _beside(
    job: "MineJob",
    pairs: "DataFrame",
    every: "DataFrame",
    files: list[export.TsvFile | export.TmxFile],
    phases: "Phases",
) -> "Mapping[str, Any]":
    """Writes what is wanted beside the table."""
    made: dict[str, Any] = {}
    if files:
        with phases("files", f"Writing {' and '.join(str(each.path) for each in files)}"):
            rows = pairs.orderBy(sf.col(SCORE).desc(), SOURCE, TARGET).toLocalIterator()
            export.write((row.asDict() for row in rows), files)
        made["files"] = [str(each.path) for each in files]
    if job.report:
        with phases("report", f"Writing {job.report}"):
            made["report"] = report.write(every, job.threshold, job.margin, Path(job.report))
    return made
