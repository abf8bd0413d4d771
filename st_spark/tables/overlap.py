"""Check that an output and an input do not lie inside each other: to replace one would delete the other."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import unquote

from st_spark.errors import TableError
from st_spark.spark.filesystem import files_of
from st_spark.tables import io
from st_spark.tables.catalog import describe
from st_spark.tables.names import parse_name

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from st_spark.spark.filesystem import Files


def check_apart(
    spark: "SparkSession", output: str, output_format: str, inputs: Iterable[tuple[str, str | None]]
) -> None:
    """Check that no input lies inside the output, or the other way round. An input may be the output itself.

    Args:
        spark: The session.
        output: Path or name of the output.
        output_format: Its format.
        inputs: (path or name, format) of each input; without a format it is found as io.read() finds it.

    Raises:
        TableError: One lies inside the other.
    """
    files = files_of(spark)
    targets = _places(spark, files, output, output_format)
    for where, table_format in inputs if targets else ():
        for place in _places(spark, files, where, table_format or io.find_format(spark, where)):
            for target in targets:
                if is_inside(place, target) and place != target:
                    raise TableError(
                        f"The output {output} contains the input {where}.", "write to a folder beside the input."
                    )
                if is_inside(target, place) and place != target:
                    raise TableError(
                        f"The output {output} lies inside the input {where}.", "write to a folder beside the input."
                    )


def is_inside(path: str, folder: str) -> bool:
    """Return whether a path is a folder, or lies in it. Both are spelled as Files.real() does."""
    return f"{path.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")


def _places(spark: "SparkSession", files: "Files", where: str, table_format: str) -> set[str]:
    """Return where the files of a table lie, each place in one spelling."""
    if table_format == "table":
        paths = _locations(spark, where)
    else:
        paths = [where, *(files.glob(where) if io.is_pattern(files, where) else ())]
    return {re.sub(r"^s3[an]?://", "s3://", files.real(path)) for path in paths}


def _locations(spark: "SparkSession", where: str) -> list[str]:
    """Return the location of a catalog table, or the folders that a view reads."""
    name = parse_name(where)
    found = describe(spark, name) if name else None
    if found is None or found.location:
        return [found.location] if found else []
    return sorted({unquote(path).rpartition("/")[0] for path in spark.table(str(name)).inputFiles()})
