"""Tables of Spark's catalog: what they are, and how to write those whose format has no transactions."""

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from st_spark.spark.filesystem import files_of
from st_spark.tables.atomic_write import Folder
from st_spark.tables.columns import quoted_column
from st_spark.tables.names import TableName

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

TRANSACTIONAL = ("delta", "iceberg", "hudi")
# Properties that the metastore keeps for itself, what last_source.py says of the rows, and the record of the run that
# wrote them: see provenance.py.
_INTERNAL = re.compile(
    r"spark\.sql\..*|st_spark\.source|st_spark\.run\..*|transient_lastDdlTime|EXTERNAL|bucketing_version|numFiles|numRows"
    r"|totalSize|rawDataSize|owner"
)
_OWNER, _TIME = "st_spark.owner", "st_spark.time"


@dataclass(frozen=True)
class Description:
    """What a catalog table is.

    Attributes:
        provider: Its format.
        kind: "MANAGED", "EXTERNAL" or "VIEW".
        location: Where its files lie, "" for a view.
        partitions: Its partition columns.
        buckets: The number of buckets, 0 for none, and the columns by which they are made and sorted.
        comment: Its comment.
        properties: Its properties, without the ones of the metastore.
    """

    provider: str
    kind: str = "MANAGED"
    location: str = ""
    partitions: tuple[str, ...] = ()
    buckets: int = 0
    bucket_columns: tuple[str, ...] = ()
    sort_columns: tuple[str, ...] = ()
    comment: str | None = None
    properties: dict[str, str] = field(default_factory=dict)


def table_exists(spark: "SparkSession", name: TableName) -> bool:
    """Return whether there is a catalog table. A relative path such as news.v2.parquet can look like a name."""
    try:
        return bool(spark.catalog.tableExists(str(name)))
    except Exception as error:
        if re.search("REQUIRES_SINGLE_PART_NAMESPACE|CATALOG_NOT_FOUND", str(error)):
            return False
        raise


def describe(spark: "SparkSession", name: TableName) -> Description | None:
    """Return what a catalog table is; None if it does not exist."""
    if not table_exists(spark, name):
        return None
    section, facts, partitions = "", dict[str, str](), []
    for row in spark.sql(f"DESCRIBE TABLE EXTENDED {name}").collect():
        if row[0].startswith("# ") and row[0] != "# col_name":
            section = row[0]
        elif section == "# Partition Information" and row[0] not in ("", "# col_name"):
            partitions.append(row[0])
        elif section == "# Detailed Table Information":  # not before: a column can be called "Provider"
            facts.setdefault(row[0], row[1])
    kind = facts.get("Type", "VIEW")  # of a temporary view Spark shows the columns alone
    rows = {} if kind == "VIEW" else properties(spark, name)
    return Description(
        facts.get("Provider", "").lower(),
        kind,
        facts.get("Location", ""),
        tuple(partitions),
        int(facts.get("Num Buckets", 0)),
        _names(facts.get("Bucket Columns", "")),
        _names(facts.get("Sort Columns", "")),
        facts.get("Comment"),
        {key: value for key, value in rows.items() if not _INTERNAL.fullmatch(key)},
    )


def properties(spark: "SparkSession", name: TableName | str) -> dict[str, str]:
    """Return all properties of a catalog table, or of a Delta folder as SQL names it."""
    return {row[0]: row[1] for row in spark.sql(f"SHOW TBLPROPERTIES {name}").collect()}


def set_properties(spark: "SparkSession", name: str, values: dict[str, str]) -> None:
    """Set properties of a catalog table, or of a Delta folder as SQL names it."""
    spark.sql(f"ALTER TABLE {name} SET TBLPROPERTIES ({_pairs(values)})")


def _names(text: str) -> tuple[str, ...]:
    """Return the names of a list as Spark shows it: [`a`, `b`]."""
    return tuple(name.replace("``", "`") for name in re.findall(r"`((?:[^`]|``)+)`", text))


class CatalogTable:
    """A catalog table whose format has no transactions. It is staged as a table beside it, and renamed."""

    def __init__(self, spark: "SparkSession", name: TableName, run: str) -> None:
        self._spark, self.name, self._run = spark, name, run
        self.new, self._old = name.beside(f"new_{run}"), name.beside("old")

    def stage(self, df: "DataFrame", like: Description) -> None:
        """Write the rows to a new table with the format, partitions, buckets, comment and properties of another one."""
        writer = df.write.format(like.provider)
        if like.partitions:
            writer = writer.partitionBy(*like.partitions)
        if like.buckets:
            writer = writer.bucketBy(like.buckets, *like.bucket_columns)
            writer = writer.sortBy(*like.sort_columns) if like.sort_columns else writer
        writer.saveAsTable(str(self.new))
        if like.comment:
            self._spark.sql(f"COMMENT ON TABLE {self.new} IS {_text(like.comment)}")
        if like.properties:
            self._spark.sql(f"ALTER TABLE {self.new} SET TBLPROPERTIES ({_pairs(like.properties)})")

    def append(self, df: "DataFrame") -> None:
        """Insert rows into the table's own partitions and buckets."""
        columns = self._spark.table(str(self.name)).columns
        df.select(*map(quoted_column, columns)).write.insertInto(str(self.name))

    def folder(self, description: Description) -> Folder:
        """Return the folder of the table."""
        return Folder(files_of(self._spark), description.location, self._run)

    def find_partitions(self) -> None:
        """Let the catalog find new partitions in the folder of the table, and forget the ones that are gone."""
        self._spark.sql(f"MSCK REPAIR TABLE {self.name} SYNC PARTITIONS")

    def replace(self) -> None:
        """Replace the table with the staged one."""
        if self._exists(self.name):
            self._rename(self.name, self._old)
        self._rename(self.new, self.name)
        self._drop(self._old)

    def recover(self) -> None:
        """Clean up what a failed run has left."""
        if self._exists(self._old) and not self._exists(self.name):
            self._rename(self._old, self.name)
        self._drop(self._old)
        found = describe(self._spark, self.name)
        if found and found.partitions and found.kind == "MANAGED" and self.folder(found).recover():
            self.find_partitions()
        schema = f" IN {TableName(self.name.parts[:-1])}" if len(self.name.parts) > 1 else ""
        staged = self.name.beside("new").parts[-1]
        for row in self._spark.sql(f"SHOW TABLES{schema}").collect():
            if row["tableName"].lower().startswith(staged.lower()) and not row["isTemporary"]:
                self._drop(TableName((*self.name.parts[:-1], row["tableName"])))

    def _exists(self, name: TableName) -> bool:
        return table_exists(self._spark, name)

    def _rename(self, source: TableName, target: TableName) -> None:
        """Rename a table. Spark's own catalog leaves its partitions where they were, so they are found again.

        Without that, to drop the old table would delete the partitions of the new one.
        """
        self._spark.sql(f"ALTER TABLE {source} RENAME TO {target.in_catalog}")
        found = describe(self._spark, target)
        if found and found.partitions:
            self._spark.sql(f"MSCK REPAIR TABLE {target} SYNC PARTITIONS")

    def _drop(self, name: TableName) -> None:
        self._spark.sql(f"DROP TABLE IF EXISTS {name}")

    def create(self, lock: str, text: str) -> bool:
        """See LockPlace."""
        name = self.name.beside(lock)
        try:
            self._spark.sql(f"CREATE TABLE {name} (owner STRING) USING parquet TBLPROPERTIES ({_lock(text)})")
        except Exception as error:
            if re.search("TABLE_OR_VIEW_ALREADY_EXISTS|AlreadyExistsException", str(error)):
                return False
            raise
        return True

    def read(self, lock: str) -> tuple[str, float] | None:
        """See LockPlace."""
        name = self.name.beside(lock)
        try:
            rows = properties(self._spark, name)
        except Exception:
            if self._exists(name):
                raise
            return None
        return bytes.fromhex(rows[_OWNER]).decode(), time.time() - float(rows[_TIME])

    def refresh(self, lock: str, text: str) -> None:
        """See LockPlace."""
        self._spark.sql(f"ALTER TABLE {self.name.beside(lock)} SET TBLPROPERTIES ({_lock(text)})")

    def remove(self, lock: str) -> None:
        """See LockPlace."""
        self._drop(self.name.beside(lock))


def _lock(text: str) -> str:
    # Spark hides values that look like secrets; a hexadecimal number never does.
    return _pairs({_OWNER: text.encode().hex(), _TIME: str(time.time())})


def _pairs(values: dict[str, str]) -> str:
    return ", ".join(f"{_text(key)} = {_text(value)}" for key, value in values.items())


def _text(value: str) -> str:
    """Return a string as Spark SQL writes it."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
