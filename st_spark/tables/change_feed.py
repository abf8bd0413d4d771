"""The Change Data Feed of a Delta table: the rows that have changed after a version, and the ids that were deleted."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as sf

from st_spark.errors import InputError, StSparkError
from st_spark.spark.filesystem import files_of
from st_spark.tables.catalog import describe
from st_spark.tables.changes import ID
from st_spark.tables.columns import RESERVED, check_columns, quoted_column
from st_spark.tables.names import parse_name

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_RANK = f"{RESERVED}rank"
_FEED_COLUMNS = ("_change_type", "_commit_version", "_commit_timestamp")


@dataclass(frozen=True)
class DeltaSource:
    """A Delta table with its Change Data Feed on, as it is at its newest version.

    Attributes:
        where: Path or name of the table.
        id: Identifies the table: another one can lie at the same path later.
        version: The newest version.
        by_name: Whether it is a catalog table.
    """

    spark: "SparkSession"
    where: str
    id: str
    version: int
    by_name: bool

    def read(self) -> "DataFrame":
        """Return all rows."""
        return self._load(versionAsOf=self.version)

    def changes(self, since: int, id_column: str) -> "tuple[DataFrame, DataFrame]":
        """Return the rows that have changed after a version, as they are now, and the ID of each row that was deleted.

        Raises:
            InputError: There is no such version, or the feed does not reach back to it.
        """
        if since > self.version:
            raise InputError(
                f"{self.where} has no version {since}: its newest is {self.version}.",
                "give an older version, or leave out --since-version to merge all rows once.",
            )
        if since == self.version:
            rows = self.read().where(sf.lit(False))
            check_columns(rows.schema, self.where, (), (id_column,))
            return rows, rows.select(quoted_column(id_column).alias(ID))
        try:
            feed = self._load(readChangeFeed="true", startingVersion=since + 1, endingVersion=self.version)
            check_columns(feed.schema, self.where, (), (id_column,))
            feed.agg(sf.count(quoted_column(id_column))).collect()  # VACUUM has perhaps deleted its files
        except StSparkError:
            raise
        except Exception as error:
            raise InputError(
                f"The Change Data Feed of {self.where} does not reach back to version {since}: "
                f"{str(error).splitlines()[0]}",
                "leave out --since-version to merge all rows once; later merges can go on from there.",
            ) from error
        # A commit can delete a row and insert it again. An update can give a row another ID: then the old one is gone.
        gone = sf.col("_change_type").isin("delete", "update_preimage")
        newest = Window.partitionBy(quoted_column(id_column)).orderBy(sf.col("_commit_version").desc(), gone)
        last = feed.withColumn(_RANK, sf.rank().over(newest)).where(sf.col(_RANK) == 1)
        rows = last.where(~gone).drop(_RANK, *_FEED_COLUMNS)
        return rows, last.where(gone).select(quoted_column(id_column).alias(ID)).distinct()

    def _load(self, **options: str | int) -> "DataFrame":
        reader = self.spark.read.format("delta").options(**options)
        return reader.table(str(parse_name(self.where))) if self.by_name else reader.load(self.where)


def open_source(spark: "SparkSession", where: str, table_format: str, *, needed: bool) -> DeltaSource | None:
    """Open a table to read its changes; None if it has no Change Data Feed.

    Args:
        spark: The session.
        where: Path or name of the table.
        table_format: One of choices.FORMATS_IN.
        needed: Whether to raise InputError in place of None.
    """
    name = parse_name(where) if table_format == "table" else None
    found = describe(spark, name) if name else None
    if table_format != "delta" and (found is None or found.provider != "delta"):
        if needed:
            raise InputError(f"{where} is no Delta table, so it has no changes to read.", "leave out --since-version.")
        return None
    shown = str(name) if name else f"delta.`{files_of(spark).absolute(where)}`"
    detail = spark.sql(f"DESCRIBE DETAIL {shown}").collect()[0]
    if detail["properties"].get("delta.enableChangeDataFeed", "false").lower() != "true":
        if needed:
            raise InputError(
                f"{where} has no Change Data Feed.",
                f"turn it on: ALTER TABLE {shown} SET TBLPROPERTIES (delta.enableChangeDataFeed = true). It keeps the "
                "changes from then on.",
            )
        return None
    version = spark.sql(f"DESCRIBE HISTORY {shown} LIMIT 1").collect()[0]["version"]
    return DeltaSource(spark, where, detail["id"], int(version), name is not None)
