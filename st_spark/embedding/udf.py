"""Build Spark user-defined functions that run a model on the workers: with Arrow, or with pandas before PySpark 4.1."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import GenericAlias
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as sf
from pyspark.sql.pandas import functions as vectorized
from pyspark.sql.pandas.types import from_arrow_type

from st_spark.spark.failures import MISSING_MODULE

if TYPE_CHECKING:
    from pyspark.sql._typing import UserDefinedFunctionLike


def make(payload: Mapping[str, Any], kind: pa.DataType, work: str = "encode") -> "UserDefinedFunctionLike":
    """Return a Spark function of one or two columns that encodes, classifies or cuts them.

    Spark treats it as non-deterministic. Otherwise Spark can compute a vector twice for a filter (SPARK-47672).

    Args:
        payload: What to do; see worker.encode_arrow(). It holds plain values only, see worker_function().
        kind: The type of the output.
        work: "encode" for worker.encode_arrow() and encode_pandas(), "chunk" for chunk_arrow() and chunk_pandas().
    """
    build: Any  # PySpark's types do not cover functions whose kind comes from annotations
    if flavour() == "arrow":
        build, function = vectorized.arrow_udf, worker_function(f"{work}_arrow", payload)
        taken = given = pa.Array
    else:
        import pandas as pd

        build, function = vectorized.pandas_udf, worker_function(f"{work}_pandas", payload)
        taken, given = pd.Series, pd.DataFrame if pa.types.is_struct(kind) else pd.Series
    # Spark reads the kind of function from these.
    function.__annotations__ = {"batches": GenericAlias(Iterator, (taken,)), "return": GenericAlias(Iterator, (given,))}
    return build(function, from_arrow_type(kind)).asNondeterministic()


def call(function: "UserDefinedFunctionLike", columns: Sequence[str | Column], struct: bool) -> Column:
    """Apply the function to columns. A pandas UDF cannot return a null struct, so Spark makes it."""
    column = function(*columns)
    if flavour() == "arrow" or not struct:
        return column
    present = [(sf.col(name) if isinstance(name, str) else name).isNotNull() for name in columns]
    return sf.when(present[0] & present[-1], column)


def flavour() -> str:
    """Return "arrow" for PySpark 4.1 and later, else "pandas". Arrow UDFs move vectors many times faster."""
    return "arrow" if hasattr(vectorized, "arrow_udf") else "pandas"


def worker_function(name: str, payload: Mapping[str, Any]) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Return a function that calls a function of st_spark.embedding.worker on a Spark worker.

    It is nested, so Spark sends its code, not a reference to this module. A worker without st-spark can then say what
    is missing, instead of failing with a bare ModuleNotFoundError.
    """
    missing = MISSING_MODULE

    def run(batches: Iterator[Any]) -> Iterator[Any]:
        import sys

        try:
            from st_spark.embedding import worker

            yield from getattr(worker, name)(payload, batches)
        except ModuleNotFoundError as error:
            module = str(error.name).partition(".")[0]
            raise RuntimeError(missing.format(python=sys.executable, module=module)) from error

    return run
