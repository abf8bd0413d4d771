"""Compare a table with a new version of its rows, by their ids: what is new, changed, unchanged or missing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as sf

from st_spark.errors import InputError
from st_spark.tables.columns import RESERVED, quoted_column

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

# The columns of compare().
ID, STATUS, TEXT_HASH = f"{RESERVED}id", f"{RESERVED}status", f"{RESERVED}text_hash"
# CHANGED: the text differs. UPDATED: only other columns do. DROPPED: a chunk that its text has no longer.
NEW, CHANGED, UPDATED, UNCHANGED, MISSING = "new", "changed", "updated", "unchanged", "missing"
DROPPED = "dropped"
STATUSES = (NEW, CHANGED, UPDATED, UNCHANGED, MISSING, DROPPED)
# Of the rows to take out of a table: whether they have no new version.
DELETED = f"{RESERVED}deleted"
# Spark writes times in milliseconds by default.
_EXACT = {f"timestamp{kind}Format": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS" for kind in ("", "NTZ")}
_ROW_HASH, _HERE, _THERE = f"{RESERVED}row_hash", f"{RESERVED}here", f"{RESERVED}there"


def compare(table: "DataFrame", new: "DataFrame", id_column: str, texts: Sequence[str]) -> "DataFrame":
    """Compare a table with a new version of its rows.

    Args:
        table: The rows that are stored. It has all columns of `new`, and can have more.
        new: The new version. Its ids are unique, as are the ids of the table.
        id_column: Identifies a row.
        texts: The columns that the vectors were made of.

    Returns:
        A row for each id of either side: ID; STATUS, one of NEW, CHANGED (in its texts), UPDATED (in other columns),
        UNCHANGED and MISSING (in `new`); TEXT_HASH of the new texts.
    """
    ours, theirs = (_hashes(df, new, id_column, texts) for df in (new, table))
    theirs = theirs.withColumnsRenamed({name: f"{name}_there" for name in (TEXT_HASH, _ROW_HASH)})
    both = ours.withColumn(_HERE, sf.lit(True)).join(theirs.withColumn(_THERE, sf.lit(True)), ID, "full_outer")
    status = (
        sf.when(sf.col(_THERE).isNull(), NEW)
        .when(sf.col(_HERE).isNull(), MISSING)
        .when(~sf.col(TEXT_HASH).eqNullSafe(sf.col(f"{TEXT_HASH}_there")), CHANGED)
        .when(sf.col(_ROW_HASH) != sf.col(f"{_ROW_HASH}_there"), UPDATED)
        .otherwise(UNCHANGED)
    )
    return both.select(ID, status.alias(STATUS), TEXT_HASH)


def count_statuses(keys: "DataFrame") -> tuple[dict[str, int], int]:
    """Return how many rows have each status, and how many new or changed rows have no text."""
    counts, nulls = dict.fromkeys(STATUSES, 0), 0
    for row in keys.groupBy(STATUS, sf.col(TEXT_HASH).isNull().alias("null")).count().collect():
        counts[row[STATUS]] += row["count"]
        nulls += row["count"] if row["null"] and row[STATUS] in (NEW, CHANGED) else 0
    return counts, nulls


def text_hash(texts: Sequence[str]) -> "Column":
    """Return the SHA-256 of the texts, or of the bytes of an image; null if one of them is null."""
    hashes = [sf.sha2(quoted_column(name).cast("binary"), 256) for name in texts]
    return hashes[0] if len(hashes) == 1 else sf.sha2(sf.concat(*hashes).cast("binary"), 256)


def _hashes(df: "DataFrame", like: "DataFrame", id_column: str, texts: Sequence[str]) -> "DataFrame":
    """Return ID, TEXT_HASH and a hash of the other columns. Spark can guess other types for partition columns."""
    columns = {field.name: quoted_column(field.name).cast(field.dataType) for field in like.schema.fields}
    others = [name for name in like.columns if name not in (id_column, *texts)]
    # Spark's hash skips nulls, also inside of structs, and knows no maps.
    nested = {name for name in others if "<" in like.schema[name].dataType.simpleString()}
    values = [sf.to_json(sf.struct(columns[name]), _EXACT) if name in nested else columns[name] for name in others]
    row_hash = sf.xxhash64(*values, *(value.isNull() for value in values)) if values else sf.lit(0)
    return df.select(columns[id_column].alias(ID), text_hash(texts).alias(TEXT_HASH), row_hash.alias(_ROW_HASH))


def check_unique(df: "DataFrame", where: str, id_column: str) -> None:
    """Check that every row has an id of its own; InputError if not."""
    ids = df.groupBy(quoted_column(id_column).alias(ID)).count().where(f"count > 1 OR {ID} IS NULL")
    found = ids.orderBy(ID).limit(4).collect()
    if not found:
        return
    if found[0][ID] is None:
        raise InputError(f"{where} has {found[0]['count']:,} rows without an id in {id_column!r}.", "give them ids.")
    shown = ", ".join(str(row[ID]) for row in found[:3]) + (", ..." if len(found) > 3 else "")
    raise InputError(f"Duplicate ids in {where}: {shown}.", "a merge needs one row for each id: remove the others.")
