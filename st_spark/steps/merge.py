"""Bring an embedded table up to date: embed only the texts that are new or have changed.

The table keeps its texts, so these say which vectors are still right. docs/how_to/update.md explains the mode.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import reduce
from typing import TYPE_CHECKING, Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from st_spark.embedding import udf
from st_spark.errors import InputError
from st_spark.spark.progress import follow
from st_spark.steps import bad_rows as bad_row_limit
from st_spark.steps.chunks import mark_dropped
from st_spark.steps.resume import RESULT, RESUMED
from st_spark.tables import bad_rows
from st_spark.tables.bad_rows import CORRUPT_ROW, PROBLEM, PROBLEM_TYPE
from st_spark.tables.changes import (
    CHANGED,
    DELETED,
    DROPPED,
    ID,
    MISSING,
    NEW,
    STATUS,
    TEXT_HASH,
    UPDATED,
    check_unique,
    compare,
    count_statuses,
    text_hash,
)
from st_spark.tables.columns import CORRUPT, RESERVED, quoted_column, readable
from st_spark.tables.decoding import NOT_UTF8, is_undecodable
from st_spark.tables.row_counts import count_rows

if TYPE_CHECKING:
    from pyspark.sql import Column

    from st_spark.specs.row_jobs import EmbedJob
    from st_spark.steps.new_column import ColumnBuilder
    from st_spark.steps.output_table import OutputTable
    from st_spark.steps.resume import Resume
    from st_spark.steps.timings import Timings

# Conditions that a merge counts for all rows.
_OF_ROWS = ("null", "corrupt", "duplicates", "resumed")
# Temporary columns: a vector, and how many rows have a text.
_VECTOR, _ROWS = f"{RESERVED}vector", f"{RESERVED}rows"


class Merge:
    """A merge of the input of a job into its output.

    Args:
        job: The job.
        df: Its input, with unique ids.
        rows: How many rows the input has.
        output: Its output, a table that exists.
        timings: Measures the phases.
        deleted: ID of each row that has left the input, if `df` has changed rows alone; None if it has all rows.
    """

    def __init__(
        self,
        job: "EmbedJob",
        df: DataFrame,
        rows: int,
        output: "OutputTable",
        timings: "Timings",
        deleted: DataFrame | None = None,
    ) -> None:
        self._job, self._read, self._output, self._timings = job, rows, output, timings
        self._texts_of_file, self._df = CORRUPT in df.columns, df.where(readable(df)).drop(CORRUPT)
        self._names = [name for name in self._df.columns if not name.startswith(RESERVED)]
        self._corrupt = df.where(~readable(df)).withColumn(PROBLEM, bad_rows.problem(CORRUPT_ROW, None))
        self._table, self._id, self._text_id = output.writer.read_as(df.schema), str(job.row_id), str(job.id_column)
        self._only_changes, self._part = deleted is not None, self._table
        if deleted is not None:
            ids = self._text_ids().unionAll(deleted)
            self._part = self._table.join(ids, quoted_column(self._text_id) == sf.col(ID), "left_semi")

    def run(
        self,
        builder: "ColumnBuilder",
        conditions: Mapping[str, "Column"],
        resume: "Resume",
        mark: Callable[[DataFrame], DataFrame],
    ) -> tuple[dict[str, int], dict[str, Any]]:
        """Compare both tables, embed what is needed, and write if anything has changed.

        Args:
            builder: Makes the vectors.
            conditions: The conditions by which rows with a new vector are counted.
            resume: Finds and keeps the vectors of killed runs.
            mark: Adds the column PROBLEM.

        Returns:
            in, corrupt; out: rows of the table at the end; new, changed, updated, unchanged, and missing (or deleted);
            in tables of chunks dropped (chunks that their texts no longer have); null; a count for each condition; bad;
            tokens; resumed; duplicates: rows whose text was embedded for another row. And what the result says of
            rejected rows.

        Raises:
            InputError: An id of the table is null or not unique; rows are to be deleted, and some cannot be read; or
                there are too many bad rows.
        """
        job, conditions = self._job, {name: conditions[name] for name in conditions if name not in _OF_ROWS}
        quarantine = self._output.rejected is not None
        with ExitStack() as stack:
            with self._timings("compare", f"Comparing {job.input} with {job.output}"):
                check_unique(self._part, job.output, self._id)
                keys = _held(stack, self._compare())
                counts, nulls = count_statuses(keys)
                corrupt = self._read - (sum(counts.values()) - counts[MISSING] - counts[DROPPED])
                self._check_all_readable(corrupt)
            wanted = counts[NEW] + counts[CHANGED]
            deleted = counts[DROPPED] + (counts[MISSING] if job.delete_missing else 0)
            with self._timings("encode_and_write", f"Embedding the texts of {wanted:,} new or changed rows"):
                rows = self._rows(keys, NEW, CHANGED)
                totals = dict.fromkeys(("texts", "tokens", "resumed", *conditions), 0)
                if wanted:
                    rows, totals = self._embed(stack, builder, conditions, rows, resume, mark)
                bad, rejected = self._find_bad(rows if wanted else None, corrupt)
                out = (self._table.count() + counts[NEW] if self._only_changes else sum(counts.values())) - deleted
                if quarantine:
                    rejected = _held(stack, self._with_earlier(rejected))
                    keys, rows = self._without_bad(keys, rows, bad)
                    out -= bad[NEW]
                    counts |= {name: counts[name] - bad[name] for name in bad}
                parts = [rows] if counts[NEW] + counts[CHANGED] else []
                parts += [self._updated(keys)] if counts[UPDATED] else []
                kept = rejected.count() if quarantine else 0
                counts["deleted" if job.delete_missing else MISSING] = counts.pop(MISSING)
                if not job.writes_chunks:
                    del counts[DROPPED]
                totals["duplicates"] = wanted - nulls - totals.pop("texts")
                totals |= {"bad": corrupt + sum(bad.values())} if job.finds_bad_rows else {}
                totals = {"in": self._read, "out": out, **counts, "null": nulls, "corrupt": corrupt, **totals}
                if parts or deleted:
                    self._write(keys, parts, totals)
                return totals, self._output.write_rejected(rejected, kept)

    def _compare(self) -> DataFrame:
        """Return the columns of compare(); chunks that their texts have no longer are DROPPED."""
        job = self._job
        keys = compare(self._part, self._df.select(*map(quoted_column, self._names)), self._id, job.text_columns)
        return mark_dropped(keys, self._part, self._df, self._text_id) if job.writes_chunks else keys

    def _text_ids(self) -> DataFrame:
        """Return the ID of each row of the input; of chunks, the one of its text."""
        return self._df.select(quoted_column(self._text_id).alias(ID))

    def _find_bad(self, rows: DataFrame | None, corrupt: int) -> tuple[dict[str, int], DataFrame]:
        """Return how many of the rows with a new vector are bad, by STATUS; and all bad rows of the input."""
        job, names = self._job, self._names
        bad, rejected = dict.fromkeys((NEW, CHANGED), 0), bad_rows.rejected(self._corrupt, names)
        if rows is not None and job.finds_bad_rows:
            found = rows.where(sf.col(PROBLEM).isNotNull())
            bad |= {row[0]: row[1] for row in found.groupBy(STATUS).count().collect()}
            rejected = _union(rejected, bad_rows.rejected(found, names))
        counts = {CORRUPT_ROW: corrupt, "without a valid vector": sum(bad.values())}
        bad_row_limit.check(job, job.input, self._read, counts, lambda: bad_rows.name_some(rejected, self._id))
        return bad, rejected

    def _without_bad(self, keys: DataFrame, rows: DataFrame, bad: Mapping[str, int]) -> tuple[DataFrame, DataFrame]:
        """Return the keys and the rows without bad rows. If the table has old versions of them, these stay."""
        if not any(bad.values()):
            return keys, rows
        ids = rows.where(sf.col(PROBLEM).isNotNull()).select(quoted_column(self._id).alias(ID))
        return keys.join(ids, ID, "left_anti"), rows.where(sf.col(PROBLEM).isNull())

    def _with_earlier(self, rejected: DataFrame) -> DataFrame:
        """Return the rejected rows, and the ones of earlier runs whose ids are not in this input.

        The id of a corrupt row cannot be trusted, so of these only the ones of this run stay.
        """
        writer = self._output.rejected
        if writer is None or not writer.exists:
            return rejected
        ids = self._text_ids()
        earlier = writer.read().where(sf.col(bad_rows.REASON) != CORRUPT_ROW)
        return _union(rejected, earlier.join(ids, quoted_column(self._id) == sf.col(ID), "left_anti"))

    def _check_all_readable(self, corrupt: int) -> None:
        if self._job.delete_missing and corrupt == self._read and not self._only_changes:
            raise InputError(
                f"{self._job.input} has no row that can be read, so --delete-missing would delete all rows.",
                "check the input, or leave out --delete-missing.",
            )
        if corrupt and self._job.delete_missing:
            raise InputError(
                f"{corrupt:,} rows of {self._job.input} cannot be read, so --delete-missing could delete them.",
                "mend these rows, or leave out --delete-missing.",
            )

    def check_rebuild(self) -> None:
        """Check that a table that is made anew loses no rows; InputError if it would."""
        if self._job.delete_missing:
            return
        lost = self._table.join(self._text_ids(), quoted_column(self._text_id) == sf.col(ID), "left_anti").count()
        if lost:
            raise InputError(
                f"{lost:,} rows of {self._job.output} are not in {self._job.input}. A rebuild would delete them.",
                "give all rows, or add --delete-missing.",
            )

    def _rows(self, keys: DataFrame, *statuses: str) -> DataFrame:
        """Return the rows of the input with one of the statuses, with TEXT_HASH and STATUS."""
        chosen = keys.where(sf.col(STATUS).isin(*statuses)).select(ID, TEXT_HASH, STATUS)
        rows = self._df.join(chosen, quoted_column(self._id) == sf.col(ID)).drop(ID)
        if NOT_UTF8 not in self._df.columns:
            return rows
        # A text that can be decoded can have the same chunk.
        bad = sf.concat(TEXT_HASH, sf.lit(NOT_UTF8))
        return rows.withColumn(TEXT_HASH, sf.when(sf.col(NOT_UTF8), bad).otherwise(sf.col(TEXT_HASH)))

    def _embed(
        self,
        stack: ExitStack,
        builder: "ColumnBuilder",
        conditions: Mapping[str, "Column"],
        rows: DataFrame,
        resume: "Resume",
        mark: Callable[[DataFrame], DataFrame],
    ) -> tuple[DataFrame, dict[str, int]]:
        """Return the rows with their vectors and PROBLEM, and the counts. Each text is embedded once."""
        names = self._job.text_columns
        firsts = [sf.first(quoted_column(name)).alias(name) for name in (*names, NOT_UTF8) if name in self._df.columns]
        by_text = rows.where(sf.col(TEXT_HASH).isNotNull()).groupBy(TEXT_HASH)
        texts = _held(stack, by_text.agg(*firsts, sf.count(sf.lit(1)).alias(_ROWS)))
        known = _held(stack, self._known(texts))
        fresh = _held(stack, texts.join(known, TEXT_HASH, "left_anti"))
        size, columns = count_rows(fresh), [quoted_column(name) for name in names]
        encoded = resume.encode(fresh, size, columns, builder.function)
        if encoded is None:
            call = udf.call(builder.function, columns, struct=True)
            encoded = _held(stack, mark(size.repartition(fresh).withColumns({RESULT: call, RESUMED: sf.lit(False)})))
        else:
            encoded = mark(encoded)
        conditions = {**conditions, "resumed": sf.col(RESUMED)}
        counted = [sf.sum(sf.when(condition, sf.col(_ROWS))).alias(name) for name, condition in conditions.items()]
        tokens = sf.sum(sf.when(~sf.col(RESUMED), sf.col(f"{RESULT}.n_tokens"))).alias("tokens")
        with follow(self._df.sparkSession, size.rows, size.tasks):
            totals = encoded.agg(sf.count(sf.lit(1)).alias("texts"), tokens, *counted).collect()[0].asDict()
        totals = {name: value or 0 for name, value in totals.items()}
        if self._texts_of_file:
            totals["undecodable"] = rows.where(is_undecodable(rows, self._names)).count()
        made = encoded.select(TEXT_HASH, builder.value.alias(_VECTOR), PROBLEM)
        known = known.withColumn(PROBLEM, sf.lit(None).cast(PROBLEM_TYPE))
        return rows.join(made.unionAll(known), TEXT_HASH, "left"), totals

    def _known(self, texts: DataFrame) -> DataFrame:
        """Return TEXT_HASH and the vector of the texts that another row of the table has.

        A job that looks for bad rows embeds a text again whose stored vector has a NaN or an infinity.
        """
        vector = quoted_column(self._job.output_column).alias(_VECTOR)
        stored = self._table.select(text_hash(self._job.text_columns).alias(TEXT_HASH), vector)
        if self._job.finds_bad_rows:
            stored = stored.where(sf.forall(_VECTOR, lambda each: sf.abs(each) < float("inf")))
        stored = stored.where(sf.col(_VECTOR).isNotNull()).join(texts, TEXT_HASH, "left_semi")
        return stored.groupBy(TEXT_HASH).agg(sf.first(_VECTOR).alias(_VECTOR))

    def _updated(self, keys: DataFrame) -> DataFrame:
        """Return the rows of which only other columns have changed, with the vectors of the table."""
        vector = quoted_column(self._job.output_column).alias(_VECTOR)
        stored = self._table.select(quoted_column(self._id).alias(ID), vector)
        return self._rows(keys, UPDATED).join(stored, quoted_column(self._id) == sf.col(ID)).drop(ID)

    def _write(self, keys: DataFrame, parts: Iterable[DataFrame], counts: Mapping[str, int]) -> None:
        """Write the new versions of rows, and take the old ones out."""
        columns = [quoted_column(name) for name in self._names]
        vector = sf.col(_VECTOR).alias(self._job.output_column)
        empty = self._table.where(sf.lit(False))
        added = reduce(DataFrame.unionByName, (part.select(*columns, vector) for part in parts), empty)
        gone = (DROPPED, *([MISSING] if self._job.delete_missing else []))
        old = keys.where(sf.col(STATUS).isin(CHANGED, UPDATED, *gone))
        old = old.select(ID, sf.col(STATUS).isin(*gone).alias(DELETED))
        self._output.merge(added, old, self._id, counts["out"], counts)


def _held(stack: ExitStack, df: DataFrame) -> DataFrame:
    """Return the rows, which the executors keep on their disks as long as the stack is open."""
    stack.callback(df.unpersist)
    return df.persist(StorageLevel.DISK_ONLY)


def _union(one: DataFrame, other: DataFrame) -> DataFrame:
    return one.unionByName(other, allowMissingColumns=True)
