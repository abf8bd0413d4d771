"""Write a table in a format with transactions: each write is one commit."""

import logging
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as sf

from st_spark.spark.failures import is_conflict
from st_spark.spark.hold import held
from st_spark.tables.changes import DELETED, ID
from st_spark.tables.columns import RESERVED, quoted_name
from st_spark.tables.writers import Writer, partitioned

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# How often Delta is asked to merge rows that are ready, when other writers change the table meanwhile.
_TRIES = 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TransactionalWriter(Writer):
    """A Delta folder, or a catalog table in Delta, Iceberg or Hudi: a write is one commit."""

    target: str
    provider: str = "delta"

    def write(self, df: "DataFrame", rows: Callable[[], int]) -> int | None:
        """See Writer."""
        if self.format == "table" and not self.keeps_rows:
            # Spark makes or replaces such a table in a query that observes nothing, so the rows are computed before.
            with held(df) as computed:
                computed.count()
                self._commit(computed)
        else:
            self._commit(df)
        return self._version()

    def _commit(self, df: "DataFrame") -> None:
        replaces = self.mode in ("overwrite", "rebuild")
        save_mode = "overwrite" if replaces else "append" if self.appends else "errorifexists"
        writer = df.write.format(self.provider).mode(save_mode)
        if self.replaces_partitions:
            writer = writer.option("partitionOverwriteMode", "dynamic")
        elif replaces:
            writer = writer.option("overwriteSchema", "true")  # for Delta; other formats always take the new columns
        if not self.keeps_rows:
            writer = partitioned(writer, self.partitions, df)
        if self.format == "table" and self.replaces_partitions:
            df.writeTo(self.target).overwritePartitions()
        elif self.format == "table":
            writer.saveAsTable(self.target)
        else:
            writer.save(self.target)

    def merge(self, added: "DataFrame", old: "DataFrame", id_column: str, rows: int) -> int | None:
        """See Writer. Delta rewrites only the files that have a row to change."""
        deleted = old.where(DELETED).withColumnRenamed(ID, id_column)
        source = added.withColumn(DELETED, sf.lit(False)).unionByName(deleted, allowMissingColumns=True)
        names = [quoted_name(name) for name in added.columns]
        key, values = quoted_name(id_column), [f"source.{name}" for name in names]
        view = f"{RESERVED}{uuid.uuid4().hex}"
        source.createOrReplaceTempView(view)
        statement = (
            f"MERGE INTO {self.sql_name} AS table USING {view} AS source ON table.{key} = source.{key} "
            f"WHEN MATCHED AND source.{DELETED} THEN DELETE "
            f"WHEN MATCHED THEN UPDATE SET {', '.join(map(' = '.join, zip(names, values, strict=True)))} "
            f"WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) VALUES ({', '.join(values)})"
        )
        try:
            for tries_left in reversed(range(_TRIES)):
                try:
                    self.spark.sql(statement)
                    break
                except Exception as error:
                    if not tries_left or not is_conflict(error):
                        raise
                    _log.warning("Another writer changed %s at the same time. Merging again.", self.where)
        finally:
            self.spark.catalog.dropTempView(view)
        return self._version()

    @property
    def sql_name(self) -> str:
        """The table's name in Spark SQL."""
        return self.target if self.format == "table" else f"delta.`{self.target}`"

    def _version(self) -> int | None:
        if self.provider == "delta":
            with suppress(Exception):  # the table is written, so the job must not fail now
                return int(self.spark.sql(f"DESCRIBE HISTORY {self.sql_name} LIMIT 1").collect()[0]["version"])
        return None
