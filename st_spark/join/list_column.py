"""Sort the rows of a table by inverted list, so that a reader of some lists skips the rest of the files."""

from collections.abc import Iterator
from types import GenericAlias
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as sf
from pyspark.sql.pandas import functions as vectorized
from pyspark.sql.pandas.types import from_arrow_type

from st_spark.join.shuffle import repartition_tasks
from st_spark.join.tasks.blocks import TASK
from st_spark.join.tasks.list_assignment import Weights, partition_lists
from st_spark.join.tasks.row_lists import FILE, KIND, LIST, RowLists
from st_spark.tables.columns import RESERVED, quoted_column
from st_spark.tables.vector_types import vector_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame

    from st_spark.topk.coarse_quantizer import CoarseQuantizer

_FOUND = f"{RESERVED}list"
# Bytes of the vectors of a file.
_FILE_BYTES = 1 << 28
# Why the rows are sorted and not in a folder for each list: thousands of lists would be thousands of small files, and
# each append would add as many. In a sorted file a list is one stretch, and Parquet keeps the lowest and the highest
# list of each stretch: of each row group, and of each page in it. By default a row group has 128 MB, which is hundreds
# of lists, and a page of the column of lists 20,000 rows. So both are made smaller here. Delta skips whole files, too.
_ROW_GROUP_BYTES, _PAGE_ROWS = 1 << 24, 256
FINE_FILES = {"parquet.block.size": str(_ROW_GROUP_BYTES), "parquet.page.row.count.limit": str(_PAGE_ROWS)}

# Java compiles no method of more than 8,000 bytes of code, and Spark puts all steps of a stage into one method, also
# the copy of the vectors. A condition of more ranges than this could leave that copy without compilation.
_SHORT = 8


def file_of_lists(rows: Weights, dimension: int) -> "np.ndarray":
    """Return the file of each list, [lists], from about how many rows the lists have."""
    files = max(float(rows.sum()) * 4 * dimension / _FILE_BYTES, 1.0)
    return partition_lists(rows, np.zeros(len(rows)), max(float(rows.sum()), 1.0) / files, np.inf).partition


def sorted_by_list(
    df: "DataFrame", vector: str, quantizer: "CoarseQuantizer", file: "np.ndarray", metadata: "Mapping[str, Any]"
) -> "DataFrame":
    """Return the rows that have a vector to compare, with LIST as their last column: a partition for each file.

    Args:
        df: The rows.
        vector: Their vector column.
        quantizer: Knows the lists.
        file: The file of each list.
        metadata: Metadata of the new column.
    """
    found = df.withColumn(_FOUND, _lists(RowLists(quantizer, file))(vector_values(df.schema, vector)))
    found = found.where(sf.col(f"{_FOUND}.{LIST}").isNotNull())
    columns = [quoted_column(name) for name in df.columns]
    number = sf.col(f"{_FOUND}.{LIST}").alias(LIST, metadata=dict(metadata))
    rows = found.select(*columns, number, sf.col(f"{_FOUND}.{FILE}").alias(TASK))
    return repartition_tasks(rows, int(file.max()) + 1).sortWithinPartitions(LIST).drop(TASK)


def in_ranges(ranges: list[tuple[int, int]]) -> "Column":
    """Return the condition that a row is in one of some ranges of lists. Spark gives it to the readers of files."""
    condition = sf.lit(False)
    for place, (first, last) in enumerate(ranges):
        inside = sf.col(LIST) == first if first == last else (sf.col(LIST) >= first) & (sf.col(LIST) <= last)
        condition = condition | inside if place else inside
    if len(ranges) > _SHORT:  # Spark cannot compile exists(), so it keeps this condition out of the method
        condition &= sf.exists(sf.array(LIST), lambda number: number >= 0)
    return condition


def _lists(work: RowLists) -> Any:  # noqa: ANN401  (PySpark's types do not cover functions whose kind is found late)
    """Return the function of Spark that finds LIST and FILE. Non-deterministic: else Spark may compute it twice."""
    kind = from_arrow_type(KIND)
    build: Any  # PySpark's types do not cover functions whose kind comes from annotations
    if hasattr(vectorized, "arrow_udf"):  # PySpark 4.1

        def of_arrow(columns: Iterator[pa.Array]) -> Iterator[pa.Array]:
            from st_spark.spark.task_resources import use_granted

            use_granted()
            yield from work(columns)

        of_arrow.__annotations__, build = _types(pa.Array, pa.Array), vectorized.arrow_udf
        return build(of_arrow, kind).asNondeterministic()

    import pandas as pd

    def of_pandas(columns: "Iterator[pd.Series]") -> "Iterator[pd.DataFrame]":
        from st_spark.spark.task_resources import use_granted

        use_granted()
        for found in work(pa.array(column) for column in columns):
            lists = found.field(LIST).to_numpy(zero_copy_only=False), found.field(FILE).to_numpy(zero_copy_only=False)
            yield pd.DataFrame(dict(zip((LIST, FILE), lists, strict=True))).where(found.is_valid().to_pandas())

    of_pandas.__annotations__, build = _types(pd.Series, pd.DataFrame), vectorized.pandas_udf
    return build(of_pandas, kind).asNondeterministic()


def _types(taken: Any, given: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"columns": GenericAlias(Iterator, (taken,)), "return": GenericAlias(Iterator, (given,))}
