"""Write a table as a whole or not at all: Parquet folders, catalog tables, and formats with transactions."""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as sf
from pyspark.sql.types import StructType

from st_spark.errors import PlatformError, TableError
from st_spark.tables import io
from st_spark.tables.append_check import check_append
from st_spark.tables.changes import DELETED, ID
from st_spark.tables.column_types import fit
from st_spark.tables.columns import RESERVED, quoted_column, quoted_name

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from st_spark.tables.atomic_write import Folder
    from st_spark.tables.catalog import CatalogTable, Description
    from st_spark.tables.lock import Lock


@dataclass(frozen=True)
class Writer(ABC):
    """An output that is checked, and can be written.

    Attributes:
        where: Path or name of the table, as the user spells it.
        format: One of choices.FORMATS_OUT.
        mode: One of choices.EMBED_MODES; or "rebuild", a merge that replaces all rows.
        exists: Whether there is a table.
        partitions: The partition columns of the table.
    """

    spark: "SparkSession"
    where: str
    format: str
    mode: str
    exists: bool
    partitions: tuple[str, ...]

    @property
    def appends(self) -> bool:
        """Whether the job appends to a table that exists."""
        return self.exists and self.mode == "append"

    @property
    def merges(self) -> bool:
        """Whether the job brings a table that exists up to date."""
        return self.exists and self.mode == "merge"

    def read(self) -> "DataFrame":
        """Return the table that exists."""
        return io.read(self.spark, self.where, self.format)

    def read_as(self, schema: StructType) -> "DataFrame":
        """Return the table, with the types of other rows where Spark can only guess them."""
        return self.read()

    @property
    def keeps_rows(self) -> bool:
        """Whether rows of a table that exists stay, so that new ones must fit them."""
        return self.appends or self.merges

    @property
    def _guessed(self) -> tuple[str, ...]:
        """Columns whose types Spark guesses, from the names of folders."""
        return self.partitions if self.format == "parquet" else ()

    def fit(self, df: "DataFrame", source: str) -> "DataFrame":
        """Return the rows of an input with the types of the table that they are added to; see column_types.fit()."""
        return fit(df, self.read().schema, source, self.where, self._guessed) if self.keeps_rows else df

    def check(self, schema: StructType, column: str) -> None:
        """Check before the work that the new rows fit the table; `column` is the one that the job makes."""
        if self.keeps_rows:
            check_append(self.read().schema, schema, self.where, column, self._guessed, known=self.merges)

    @abstractmethod
    def write(self, df: "DataFrame", rows: Callable[[], int]) -> int | None:
        """Write the table. If this fails, the old table stays as it is.

        Args:
            df: The rows. They may be read from the table that they overwrite.
            rows: Called when the rows are staged; returns how many the job has made.

        Returns:
            The version of a Delta table, None for other formats.
        """

    def merge(self, added: "DataFrame", old: "DataFrame", id_column: str, rows: int) -> int | None:
        """Add rows to the table, and replace or delete others. If this fails, the old table stays as it is.

        Args:
            added: The rows to add, with the columns of the table.
            old: The rows to take out: ID, and DELETED: whether `added` has no new version of the row.
            id_column: Identifies a row of `added` and of the table.
            rows: How many rows the table will have.

        Returns:
            The version of a Delta table, None for other formats.
        """
        table = self.read_as(added.schema)
        merged = table.join(old, quoted_column(id_column) == sf.col(ID), "left_anti").unionByName(added)
        columns = [quoted_column(each.name).alias(each.name, metadata=each.metadata) for each in table.schema.fields]
        return self.write(merged.select(*columns), lambda: rows)


@dataclass(frozen=True)
class FolderWriter(Writer):
    """A folder of Parquet files."""

    folder: "Folder"
    lock: "Lock"

    def read_as(self, schema: StructType) -> "DataFrame":
        """See Writer. Spark guesses the types of partition columns: it would read the zip code 01067 as 1067."""
        fields = [
            schema[each.name] if each.name in self.partitions and each.name in schema.names else each
            for each in self.read().schema.fields
        ]
        path = io.reader_path(self.spark, self.where)
        return self.spark.read.schema(StructType(fields)).parquet(path)

    def write(self, df: "DataFrame", rows: Callable[[], int]) -> None:
        """See Writer."""
        kept = [] if self.mode == "overwrite" else [name for name in self.partitions if name in df.columns]
        writer = df.write.partitionBy(*kept) if kept else df.write
        writer.parquet(self.folder.new)
        staged = self.spark.read.schema(df.schema).parquet(io.reader_path(self.spark, self.folder.new))
        _check_rows(self.where, staged, rows())
        self.lock.check()
        if not self.exists:
            self.folder.check_absent(self.where)
        if self.appends:
            self.folder.append()
        else:
            self.folder.replace()


@dataclass(frozen=True)
class CatalogWriter(Writer):
    """A catalog table whose format has no transactions."""

    description: "Description"
    table: "CatalogTable"
    lock: "Lock"

    def check(self, schema: StructType, column: str) -> None:
        """See Writer. A table that is overwritten keeps its partitions and buckets, so it needs their columns."""
        super().check(schema, column)
        for name in (*self.partitions, *self.description.bucket_columns, *self.description.sort_columns):
            if name not in schema.names:
                raise TableError(
                    f"{self.where} is partitioned or bucketed by {name!r}, and the new rows have no such column.",
                    "drop the table first, or name another --output.",
                )

    def write(self, df: "DataFrame", rows: Callable[[], int]) -> None:
        """See Writer."""
        if self.appends:
            self.table.append(df)
            return
        self.table.stage(df, self.description)
        _check_rows(self.where, self.spark.table(str(self.table.new)), rows())
        self.lock.check()
        self.table.replace()


@dataclass(frozen=True)
class TransactionalWriter(Writer):
    """A Delta folder, or a catalog table in Delta, Iceberg or Hudi: a write is one commit."""

    target: str
    provider: str = "delta"

    def write(self, df: "DataFrame", rows: Callable[[], int]) -> int | None:
        """See Writer."""
        replaces = self.mode in ("overwrite", "rebuild")
        save_mode = "overwrite" if replaces else "append" if self.appends else "errorifexists"
        writer = df.write.format(self.provider).mode(save_mode)
        if replaces:
            writer = writer.option("overwriteSchema", "true")  # for Delta; other formats always take the new columns
            kept = [name for name in self.partitions if name in df.columns]
            writer = writer.partitionBy(*kept) if kept else writer
        if self.format == "table":
            writer.saveAsTable(self.target)
        else:
            writer.save(self.target)
        return self._version()

    def merge(self, added: "DataFrame", old: "DataFrame", id_column: str, rows: int) -> int | None:
        """See Writer. Delta rewrites only the files that have a row to change."""
        deleted = old.where(DELETED).withColumnRenamed(ID, id_column)
        source = added.withColumn(DELETED, sf.lit(False)).unionByName(deleted, allowMissingColumns=True)
        names = [quoted_name(name) for name in added.columns]
        key, values = quoted_name(id_column), [f"source.{name}" for name in names]
        view = f"{RESERVED}{uuid.uuid4().hex}"
        source.createOrReplaceTempView(view)
        try:
            self.spark.sql(
                f"MERGE INTO {self._name} AS table USING {view} AS source ON table.{key} = source.{key} "
                f"WHEN MATCHED AND source.{DELETED} THEN DELETE "
                f"WHEN MATCHED THEN UPDATE SET {', '.join(map(' = '.join, zip(names, values, strict=True)))} "
                f"WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) VALUES ({', '.join(values)})"
            )
        finally:
            self.spark.catalog.dropTempView(view)
        return self._version()

    @property
    def _name(self) -> str:
        return self.target if self.format == "table" else f"delta.`{self.target}`"

    def _version(self) -> int | None:
        if self.provider == "delta":
            with suppress(Exception):  # the table is written, so the job must not fail now
                return int(self.spark.sql(f"DESCRIBE HISTORY {self._name} LIMIT 1").collect()[0]["version"])
        return None


def _check_rows(where: str, staged: "DataFrame", rows: int) -> None:
    """Check that all rows are in the staged table. Spark counts them in the footers of the files."""
    count = staged.count()
    if count != rows:
        raise PlatformError(
            f"{count:,} of {rows:,} rows were written for {where}. The old table is unchanged.", "run the job again."
        )
