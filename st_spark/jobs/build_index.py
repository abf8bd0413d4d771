"""build_index(): make an index of an embedded table, or add new rows to one."""

from typing import Any

from st_spark.jobs import runner
from st_spark.specs.jobs import IndexJob


def build_index(
    table: str,
    output: str,
    *,
    recall: float | None = None,
    lists: int | None = None,
    mode: str = "error",
    id_column: str | None = None,
    column: str | None = None,
    score: str | None = None,
    output_format: str | None = None,
) -> dict[str, Any]:
    """Make an index of an embedded table: a table with the same rows, sorted into lists of near vectors.

    A search of the index reads only the lists near its queries. The index has the columns of the table and `list`
    (int); `OUTPUT__centroids` beside it has the centroid of each list. Both are ordinary Parquet or Delta tables.

    Args:
        table: Path or catalog name of a table with vectors of floats.
        output: Path or catalog name of the index.
        recall: The share of the true neighbours that a search should find; above 0, up to 1. By default 0.95; to
            append, the one that the index was built with.
        lists: The number of lists; by default as many as suit the rows.
        mode: What to do if the index exists: "error", "overwrite", or "append": add the rows of the table whose ids the
            index does not have, to the lists that it has.
        id_column: The column with the unique ids of the table; by default the one that it was embedded with, else "id".
        column: The vector column; by default the only one.
        score: "cosine", "dot" or "euclidean"; by default the model's, else cosine.
        output_format: "parquet", "delta" or "table"; by default the format of the index that is there, else Parquet.

    Returns:
        The result of the job; see jobs.index.run(). It has rows, lists, nprobe (how many lists a query probes), recall
        (as a sample measures it) and rebuild (whether the index should be built anew).

    Raises:
        InputError: A column or an option that cannot work; or rows of the index have changed or left the table, which
            an append cannot follow.
        StSparkError: The table cannot be read, or the index cannot be written.
    """
    options: dict[str, Any] = {"mode": mode, "id_column": id_column, "column": column, "score": score}
    options |= {"recall": recall, "lists": lists, "output_format": output_format}
    return runner.run(IndexJob(table=table, output=output, **options))
