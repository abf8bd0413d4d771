"""The approximate join: left rows are compared with right rows of some inverted lists, as many as the recall needs."""

from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as sf
from pyspark.sql.types import ArrayType, BinaryType, IntegerType, StructField, StructType

from st_spark.errors import InputError
from st_spark.join import exact
from st_spark.join.ivf_tuning import TunedIvf, tune
from st_spark.join.shuffle import ID, VECTOR, map_batches, run_tasks, to_sides, union_sides
from st_spark.join.tasks.blocks import TASK, BlockReader
from st_spark.join.tasks.list_assignment import LIST, PROBES, ROW_HASH, ListAssignment
from st_spark.join.tasks.results import IvfSearch

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from st_spark.join.input_stats import InputStats
    from st_spark.join.inputs import TablePair
    from st_spark.join.options import Request


def top_k(tables: "TablePair", stats: "InputStats", request: "Request") -> "tuple[DataFrame, dict[str, Any]]":
    """Return the k best right rows of each left row, in the lists that it probes.

    Returns:
        left_id, right_id, score, rank; and facts: recall (measured), recall_low and recall_high (its 95% interval),
        recall_asked, cells (the number of lists), nprobe. A join without rows has recall_asked alone. A left row has
        fewer than k neighbours also if the lists that it probes hold fewer.

    Raises:
        InputError: The request has no k.
    """
    if request.k is None:
        raise InputError("method='ivf' needs k.", "give k, or use method='exact'.")
    tuned = tune(tables, stats, request, request.k)
    if tuned is None:
        pairs, facts = exact.top_k(tables, stats, request, request.k)
        return pairs, {**facts, "recall_asked": request.recall}
    self_join = tables.right is None
    columns, everywhere = [*tables.keys, LIST, PROBES], sf.lit(True)
    rows = _assigned(tables.left, tables.keys, tuned, left=True, right=self_join)
    # In a self join all rows travel as left rows; LIST says which ones are right rows, too.
    rows = to_sides(rows, sf.col(TASK), columns, left=everywhere, right=sf.lit(False) if self_join else None)
    if tables.right is not None:
        right = _assigned(tables.right, tables.keys, tuned, left=False, right=True)
        rows = union_sides(rows, to_sides(right, sf.col(TASK), columns, right=everywhere))
    reader = BlockReader(stats.dimension, request.score, tables.keys, (LIST, PROBES))
    work = IvfSearch(request.k, request.score, request.threshold, self_join)
    tasks = int(tuned.list_tasks.first[-1])
    pairs = run_tasks(rows, tasks, reader, work, exact.list_schema(tables), request.settings.max_tasks)
    return exact.merge_tasks(pairs, tables, request.k), tuned.facts(request)


def _assigned(rows: "DataFrame", keys: tuple[str, ...], tuned: TunedIvf, *, left: bool, right: bool) -> "DataFrame":
    """Return each row once for each of its tasks, with TASK, LIST and PROBES."""
    assignment = ListAssignment(tuned.quantizer, tuned.list_tasks, tuned.nprobe, VECTOR, left, right)
    added = {TASK: IntegerType(), LIST: IntegerType(), PROBES: ArrayType(IntegerType()), VECTOR: BinaryType()}
    fields = [*(rows.schema[name] for name in (ID, *keys)), *(StructField(*each) for each in added.items())]
    rows = rows.select(ID, VECTOR, *keys, sf.xxhash64(ID).alias(ROW_HASH))
    return map_batches(rows, assignment, StructType(fields))
