"""User-defined functions of Spark that take a model's work to the workers: Arrow, or pandas where Spark is older."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import GenericAlias
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as sf
from pyspark.sql.pandas import functions as vectorized
from pyspark.sql.types import DataType, StructType

if TYPE_CHECKING:
    from pyspark.sql._typing import UserDefinedFunctionLike


def make(order: Mapping[str, Any], kind: DataType) -> "UserDefinedFunctionLike":
    """A function of one or two columns that does what worker.encode_stream is ordered to.

    It is non-deterministic to Spark, which else may compute a vector twice where a filter needs it (SPARK-47672).

    Args:
        order: Plain values alone, so that nothing of st_spark is needed to unpack the function; see MISSING.
        kind: The type that it gives.
    """
    made: Any  # PySpark's own overloads know no function whose type comes from hints
    if flavour() == "arrow":
        made, function = vectorized.arrow_udf, _arrow_function(order)
    else:
        made, function = vectorized.pandas_udf, _pandas_function(order, isinstance(kind, StructType))
    return made(function, kind).asNondeterministic()


def call(function: "UserDefinedFunctionLike", columns: Sequence[str | Column], struct: bool) -> Column:
    """The function on its columns; a pandas UDF cannot give a null struct by itself."""
    column = function(*columns)
    if flavour() == "arrow" or not struct:
        return column
    present = [(sf.col(name) if isinstance(name, str) else name).isNotNull() for name in columns]
    return sf.when(present[0] & present[-1], column)


def flavour() -> str:
    """Arrow UDFs came with PySpark 4.1; they move vectors many times faster."""
    return "arrow" if hasattr(vectorized, "arrow_udf") else "pandas"


# The functions below are nested, so that they travel to the workers by value: a worker whose Python lacks st_spark
# can then say so, where unpacking a reference would end in a bare ModuleNotFoundError.
MISSING = (
    "The Python of the Spark workers, {python}, has no module {module!r}. Fix: install st-spark in it on every node, "
    "or point PYSPARK_PYTHON (spark.pyspark.python) at a Python that has it; `st-spark doctor` checks this."
)


def _arrow_function(order: Mapping[str, Any]) -> Callable[..., Any]:
    """The function of an Arrow iterator UDF. Spark reads its kind from the type hints."""
    missing = MISSING

    def encode(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        import sys

        try:
            from st_spark.embedding.model_cache import encode_stream

            yield from encode_stream(order, batches)
        except ModuleNotFoundError as error:
            module = str(error.name).partition(".")[0]
            raise RuntimeError(missing.format(python=sys.executable, module=module)) from error

    return encode


def _pandas_function(order: Mapping[str, Any], struct: bool) -> Callable[..., Any]:
    """The function of a pandas iterator UDF."""
    import pandas as pd

    missing = MISSING

    def encode(batches: Iterator[pd.Series]) -> Iterator[Any]:
        import sys

        try:
            from st_spark.embedding.model_cache import encode_series

            yield from encode_series(order, batches)
        except ModuleNotFoundError as error:
            module = str(error.name).partition(".")[0]
            raise RuntimeError(missing.format(python=sys.executable, module=module)) from error

    output = pd.DataFrame if struct else pd.Series
    encode.__annotations__["return"] = GenericAlias(Iterator, (output,))
    return encode
