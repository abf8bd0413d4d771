"""Write a table as a whole or not at all: what all writers do, Parquet folders, and catalog tables."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pyspark.sql import functions as sf
from pyspark.sql.types import StructField, StructType

from st_spark.errors import PlatformError, TableError
from st_spark.spark.filesystem import is_object_store
from st_spark.tables import io
from st_spark.tables.append_check import check_append
from st_spark.tables.changes import ID
from st_spark.tables.column_types import fit
from st_spark.tables.columns import quoted_column
from st_spark.tables.partitions import check_partition_columns, check_spelling, new_partitions, partitions_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, DataFrameWriter, SparkSession

    from st_spark.tables.atomic_write import Folder
    from st_spark.tables.catalog import CatalogTable, Description
    from st_spark.tables.lock import Lock

# Object stores copy what is renamed. So a task renames its file once, and the end of Spark's job renames no more.
_FEW_COPIES = {"mapreduce.fileoutputcommitter.algorithm.version": "2"}


@dataclass(frozen=True)
class Writer(ABC):
    """An output that is checked, and can be written.

    Attributes:
        where: Path or name of the table, as the user spells it.
        format: One of choices.FORMATS_OUT.
        mode: One of choices.EMBED_MODES; or "rebuild", a merge that replaces all rows.
        exists: Whether there is a table.
        partitions: The partition columns of the table.
        partition_by: The same if the job names them, else (): then a table that is overwritten is replaced whole.
    """

    spark: "SparkSession"
    where: str
    format: str
    mode: str
    exists: bool
    partitions: tuple[str, ...]
    partition_by: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def provider(self) -> str:
        """The format of the files; for a catalog table, the format that the catalog says."""
        return self.format

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
        return self.appends or self.merges or self.replaces_partitions

    @property
    def replaces_partitions(self) -> bool:
        """Whether the job replaces partitions of a table that exists, and keeps the other ones."""
        return self.exists and self.mode == "overwrite" and bool(self.partition_by)

    @property
    def _guessed(self) -> tuple[str, ...]:
        """Columns whose types Spark guesses, from the names of folders."""
        return self.partitions if self.format == "parquet" else ()

    def fit(self, df: "DataFrame", source: str) -> "DataFrame":
        """Return the rows of an input with the types of the table that they are added to; see column_types.fit()."""
        return fit(df, self.read().schema, source, self.where, self._guessed) if self.keeps_rows else df

    def count_partitions(self, df: "DataFrame", source: str) -> dict[str, int]:
        """Check the partition columns of an input, and count the partitions that it replaces; {} if it replaces none.

        Returns:
            replaced, added and kept partitions.
        """
        if not self.partition_by and not set(self.partitions) <= set(df.columns):
            return {}  # a table that is overwritten with other columns
        check_partition_columns(df, self.partitions, source)
        new = new_partitions(df, self.partitions, source) if self.partition_by else set()
        if not self.replaces_partitions:
            return {}
        old = partitions_of(self.read_as(df.schema), self.partitions)
        return {"replaced": len(new & old), "added": len(new - old), "kept": len(old - new)}

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
        """See Writer. Spark guesses the types of partition columns: it would read the zip code 01067 as 1067.

        Raises:
            TableError: The name of a partition is no value of the type that other rows have.
        """
        fields = [
            schema[each.name] if each.name in self.partitions and each.name in schema.names else each
            for each in self.read().schema.fields
        ]
        path = io.reader_path(self.spark, self.where)
        try:
            return self.spark.read.schema(StructType(fields)).parquet(path)
        except Exception as error:
            if "INVALID_PARTITION_VALUE" in str(error):
                raise self._other_type(fields, error) from error
            raise

    def _other_type(self, fields: list[StructField], error: Exception) -> TableError:
        """Return the error of a partition whose name is no value of the type that the new rows have."""
        found = re.search(r"cast value '?(.*?)'? to data type \S+ for partition column `?(.+?)`?\.", str(error))
        value, column = (found[1], found[2]) if found else ("", "")
        kind = next((each.dataType.simpleString() for each in fields if each.name == column), "another type")
        return TableError(
            f"{self.where} has the partition {column}={value}, and in the new rows {column!r} is {kind}.",
            f"cast {column!r} to string in the input, or name another --output.",
        )

    def write(self, df: "DataFrame", rows: Callable[[], int]) -> None:
        """See Writer."""
        on_object_store = is_object_store(self.folder.path)
        partitioned(df.write.options(**_FEW_COPIES if on_object_store else {}), self.partitions, df).parquet(
            self.folder.new
        )
        staged = self.spark.read.schema(df.schema).parquet(io.reader_path(self.spark, self.folder.new))
        check_rows(self.where, staged, rows())
        self.lock.check()
        if not self.exists:
            self.folder.check_absent(self.where)
        if self.appends:
            self.folder.append()
        elif on_object_store:
            self.folder.add_first()
        elif self.replaces_partitions:
            self.folder.replace_partitions()
        else:
            self.folder.replace()

    def check(self, schema: StructType, column: str) -> None:
        """See Writer."""
        super().check(schema, column)
        if self.replaces_partitions:
            check_spelling(self.where, self.folder.partitions(), schema)


@dataclass(frozen=True)
class CatalogWriter(Writer):
    """A catalog table whose format has no transactions."""

    description: "Description"
    table: "CatalogTable"
    lock: "Lock"

    @property
    def sql_name(self) -> str:
        """The table's name in Spark SQL."""
        return str(self.table.name)

    @property
    def provider(self) -> str:
        """See Writer."""
        return self.description.provider

    def check(self, schema: StructType, column: str) -> None:
        """See Writer. A table that is overwritten keeps its partitions and buckets, so it needs their columns."""
        super().check(schema, column)
        for name in (*self.partitions, *self.description.bucket_columns, *self.description.sort_columns):
            if name not in schema.names:
                raise TableError(
                    f"{self.where} is partitioned or bucketed by {name!r}, and the new rows have no such column.",
                    "drop the table first, or name another --output.",
                )
        if self.replaces_partitions:
            self._check_partitions(schema)

    def _check_partitions(self, schema: StructType) -> None:
        """Check that the partitions of the table can be replaced one by one."""
        if self.description.buckets or self.description.provider == "hive":
            kind = "has buckets" if self.description.buckets else "is a table in Hive's format"
            raise TableError(f"{self.where} {kind}, so its partitions cannot be replaced.", "leave out --partition-by.")
        folder = self.table.folder(self.description)
        for place in sorted({file.rpartition("/")[0] for file in self.spark.table(self.sql_name).inputFiles()}):
            if not folder.files.absolute(unquote(place)).startswith(f"{folder.path}/"):
                raise TableError(
                    f"{self.where} has a partition in {place}, which is not in the folder of the table.",
                    "leave out --partition-by.",
                )
        check_spelling(self.where, folder.partitions(), schema)

    def write(self, df: "DataFrame", rows: Callable[[], int]) -> None:
        """See Writer."""
        if self.appends:
            self.table.append(df)
            return
        if self.replaces_partitions:
            self._replace_partitions(df, rows)
            return
        self.table.stage(df, self.description)
        check_rows(self.where, self.spark.table(str(self.table.new)), rows())
        self.lock.check()
        self.table.replace()

    def _replace_partitions(self, df: "DataFrame", rows: Callable[[], int]) -> None:
        folder, provider = self.table.folder(self.description), self.description.provider
        columns = map(quoted_column, self.spark.table(self.sql_name).columns)
        partitioned(df.select(*columns).write.format(provider), self.partitions, df).save(folder.new)
        staged = self.spark.read.format(provider).schema(df.schema)
        check_rows(self.where, staged.load(io.reader_path(self.spark, folder.new)), rows())
        self.lock.check()
        folder.replace_partitions(self.table.find_partitions)
        self.spark.sql(f"REFRESH TABLE {self.sql_name}")


def partitioned(writer: "DataFrameWriter", names: Iterable[str], df: "DataFrame") -> "DataFrameWriter":
    """Return a writer that partitions a table by the columns that the rows have."""
    kept = [name for name in names if name in df.columns]
    return writer.partitionBy(*kept) if kept else writer


def check_rows(where: str, staged: "DataFrame", rows: int) -> None:
    """Check that all rows are in the staged table. Spark counts them in the footers of the files."""
    count = staged.count()
    if count != rows:
        raise PlatformError(
            f"{count:,} of {rows:,} rows were written for {where}. The old table is unchanged.", "run the job again."
        )
