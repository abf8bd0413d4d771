"""Open the table that a job writes: find what lies there, refuse what must not be written, and lock it.

All of it happens before the work; docs/operations/writing_tables.md explains it.
"""

import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from st_spark.errors import TableError
from st_spark.spark.filesystem import files_of, is_object_store
from st_spark.tables import io
from st_spark.tables.atomic_write import Folder
from st_spark.tables.catalog import TRANSACTIONAL, CatalogTable, Description, describe, table_exists
from st_spark.tables.folder_contents import Contents, is_delta, look
from st_spark.tables.lock import locked
from st_spark.tables.names import TableName, parse_name
from st_spark.tables.overlap import check_apart
from st_spark.tables.partitions import check_same_partitions
from st_spark.tables.transactional_writer import TransactionalWriter
from st_spark.tables.writers import CatalogWriter, FolderWriter, Writer

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_OTHER = "name another table."
_DATABRICKS = "spark.databricks.clusterUsageTags.clusterId"


@contextmanager
def open_output(
    spark: "SparkSession",
    where: str,
    table_format: str | None,
    mode: str,
    inputs: Iterable[tuple[str, str | None]] = (),
    partition_by: tuple[str, ...] = (),
    provider: str | None = None,
) -> Iterator[Writer]:
    """Open the output of a job, and clean up at the end if the job fails.

    Args:
        spark: The session.
        where: Path, or name of a catalog table.
        table_format: One of choices.FORMATS_OUT, by default the format of the table that exists, else Parquet.
        mode: One of choices.EMBED_MODES.
        inputs: (path or name, format) of each table that the job reads.
        partition_by: The partition columns; if the output exists, it must have them. To overwrite it is then to replace
            only the partitions that the new rows have.
        provider: The format of a new catalog table, by default the session's.

    Raises:
        TableError: The output exists and mode is "error"; it is no table that this job may write; or it contains an
            input, or lies in one.
        BusyError: Another job writes it.
    """
    run = uuid.uuid4().hex[:12]
    name = _catalog_name(spark, where, table_format)
    check_apart(spark, where, "table" if name else "path", inputs)
    with ExitStack() as stack:
        if name:
            writer = _open_catalog(spark, stack, where, name, mode, run, provider)
        else:
            writer = _open_path(spark, stack, where, table_format, mode, run)
        if writer.exists and mode == "error":
            raise _exists(where)
        yield _partitioned(writer, partition_by) if partition_by else writer


def _partitioned(writer: Writer, partition_by: tuple[str, ...]) -> Writer:
    if writer.exists:
        check_same_partitions(writer.where, writer.partitions, partition_by)
    changes: dict[str, Any] = {"partitions": partition_by, "partition_by": partition_by}
    if isinstance(writer, CatalogWriter):
        changes["description"] = replace(writer.description, partitions=partition_by)
    writer = replace(writer, **changes)
    if isinstance(writer, TransactionalWriter) and writer.replaces_partitions and writer.provider != "delta":
        raise TableError(f"Partitions of a table in {writer.provider} cannot be replaced.", "leave out --partition-by.")
    return writer


def _catalog_name(spark: "SparkSession", where: str, table_format: str | None) -> TableName | None:
    """Return the name of the output if it is a catalog table."""
    name = parse_name(where)
    if table_format == "table":
        if name is None:
            raise TableError(
                f"{where} is not a valid name of a catalog table.", "name it table, schema.table or `quoted name`."
            )
        return name
    if table_format is not None or name is None or files_of(spark).exists(where):
        return None
    return name if table_exists(spark, name) else None


def _open_catalog(
    spark: "SparkSession", stack: ExitStack, where: str, name: TableName, mode: str, run: str, default: str | None
) -> Writer:
    new = Description(default or str(spark.conf.get("spark.sql.sources.default", "parquet")).lower())
    found = describe(spark, name)
    provider = (found or new).provider
    if provider in TRANSACTIONAL:
        if provider != "delta" and found and mode == "merge":
            raise TableError(f"{where} is a table in {provider}, and merge cannot write those.", "append or overwrite.")
        if found and provider == "delta" and _needs_lock(spark, found.location):
            folder = Folder(files_of(spark), found.location, run)
            stack.enter_context(locked(folder, where, run, _application(spark)))
        partitions = found.partitions if found else ()
        return TransactionalWriter(spark, where, "table", mode, found is not None, partitions, str(name), provider)
    if found and found.kind == "VIEW":
        raise TableError(f"{where} is a view.", _OTHER)
    if found and found.kind == "EXTERNAL" and mode in ("overwrite", "merge"):
        raise TableError(
            f"{where} is an external table of the format {provider}, which cannot be overwritten in one step.",
            "append to it, drop it first, or write a managed or a Delta table.",
        )
    table = CatalogTable(spark, name, run)
    lock = stack.enter_context(locked(table, where, run, _application(spark)))
    found = describe(spark, name)  # again: the table of a run that has failed can be back
    if found:
        _check_renames(where, found.location, mode)
    partitions = found.partitions if found else ()
    return CatalogWriter(spark, where, "table", mode, found is not None, partitions, found or new, table, lock)


def _open_path(spark: "SparkSession", stack: ExitStack, where: str, asked: str | None, mode: str, run: str) -> Writer:
    files = files_of(spark)
    folder = Folder(files, where, run)
    if is_delta(files, folder.path) and not _needs_lock(spark, folder.path):
        lock = None
    else:  # a first commit of Delta has the lock, too: it must be alone in its folder
        lock = stack.enter_context(locked(folder, where, run, _application(spark)))
    contents = look(files, folder.path)
    _check_contents(where, contents, asked, mode)
    if lock is None or (contents.format or asked) == "delta":
        return _open_delta(spark, stack, where, mode, folder, contents)
    if contents.exists:
        _check_renames(where, folder.path, mode)
    if contents.exists and mode == "append":
        folder.check_writable(where)
    return FolderWriter(spark, where, "parquet", mode, contents.exists, contents.partitions, folder, lock)


def _open_delta(
    spark: "SparkSession", stack: ExitStack, where: str, mode: str, folder: Folder, contents: Contents
) -> Writer:
    partitions: tuple[str, ...] = ()
    _check_delta(spark, where, folder.path)
    if contents.exists:
        folder.check_writable(where)
        detail = spark.sql(f"DESCRIBE DETAIL delta.`{folder.path}`").collect()[0]
        partitions = tuple(detail["partitionColumns"])
    elif not folder.files.exists(folder.path):
        stack.push(lambda kind, *_: folder.remove_failed_delta() if kind else None)
    return TransactionalWriter(spark, where, "delta", mode, contents.exists, partitions, folder.path)


def _needs_lock(spark: "SparkSession", place: str) -> bool:
    """Return whether Delta cannot keep two drivers apart: on S3 with its default log store, except on Databricks."""
    scheme = place.partition(":")[0]
    keys = (f"spark.delta.logStore.{scheme}.impl", "spark.delta.logStore.class", _DATABRICKS)
    return scheme in ("s3", "s3a", "s3n") and not any(spark.conf.get(key, None) for key in keys)


def _check_delta(spark: "SparkSession", where: str, path: str) -> None:
    """Check that the session has Delta; it would else be missed after the work."""
    try:
        _ = spark.read.format("delta").load(path).schema
    except Exception as error:
        if "DATA_SOURCE_NOT_FOUND" in str(error):
            raise io.table_error(error, where, "delta") from error


def _application(spark: "SparkSession") -> str:
    return str(spark.conf.get("spark.app.id", None) or spark.conf.get("spark.app.name", ""))


def _exists(where: str) -> TableError:
    return TableError(f"The output {where} exists.", "overwrite it (--mode overwrite), or name another table.")


def _check_renames(where: str, place: str, mode: str) -> None:
    """Check that a table without transactions can be replaced whole: that its folder can be renamed in one step."""
    if mode in ("overwrite", "merge") and is_object_store(place):
        raise TableError(
            f"Cannot {mode} {where} as a whole: files of {place.partition(':')[0]} are replaced one by one, so readers "
            "would see a part of the table.",
            "write Delta to a new place (--output-format delta), append, or delete this table before the job.",
        )


def _check_contents(where: str, contents: Contents, asked: str | None, mode: str) -> None:
    """Check that a job may write to what lies at a path."""
    if mode == "error" and contents.exists:
        raise _exists(where)
    if contents.foreign:
        names = ", ".join(contents.foreign[:3])
        more = f" and {len(contents.foreign) - 3} more" if len(contents.foreign) > 3 else ""
        raise TableError(f"{where} is no table: it holds {names}{more}.", _OTHER)
    if asked and contents.format and asked != contents.format:
        raise TableError(
            f"{where} holds a table in the format {contents.format}, not {asked}.",
            "leave out --output-format, or name another table.",
        )
    if mode in ("append", "merge") and len(contents.layouts) > 1:
        raise TableError(
            f"Cannot add to {where}: some files lie in folders of {', '.join(contents.partitions)}, others do not.",
            "overwrite the table.",
        )
