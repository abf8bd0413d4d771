"""Keep with a table which version of which source the last merge has read: in a hidden file, or a table property."""

from st_spark.tables.catalog import properties, set_properties
from st_spark.tables.transactional_writer import TransactionalWriter
from st_spark.tables.writers import CatalogWriter, FolderWriter, Writer

_FILE, _PROPERTY = "_st-spark-source", "st_spark.source"


def last_version(writer: Writer, source: str) -> int | None:
    """Return the version of a source that the last merge has read; None if it is unknown."""
    found, _, version = (_note(writer) if writer.exists else "").partition(" ")
    return int(version) if found == source else None


def keep_version(writer: Writer, source: str | None, version: int | None = None) -> None:
    """Keep the version of a source that a merge has read; None: forget what was kept."""
    note, before = f"{source} {version}" if source else "", _note(writer)
    if note == before:
        return
    if isinstance(writer, FolderWriter):
        path = f"{writer.folder.path}/{_FILE}"
        writer.folder.files.write(path, note) if note else writer.folder.files.delete(path)
    elif note:
        set_properties(writer.spark, _name(writer), {_PROPERTY: note})
    else:
        writer.spark.sql(f"ALTER TABLE {_name(writer)} UNSET TBLPROPERTIES ('{_PROPERTY}')")


def _note(writer: Writer) -> str:
    if isinstance(writer, FolderWriter):
        path = f"{writer.folder.path}/{_FILE}"
        return writer.folder.files.read(path) if writer.folder.files.exists(path) else ""
    return properties(writer.spark, _name(writer)).get(_PROPERTY, "")


def _name(writer: Writer) -> str:
    assert isinstance(writer, CatalogWriter | TransactionalWriter)
    return writer.sql_name
