"""The process that Spark forks Python workers from, for sessions that a job starts (spark.python.daemon.module).

It loads the libraries that joins and mining need, so no worker has to, and all workers share their memory. After each
task Spark collects garbage among all objects, and these libraries have 250,000. Frozen objects are left out.
"""

import gc

import pandas  # noqa: F401
import pyspark.worker  # noqa: F401
import scipy.sparse.csgraph  # noqa: F401
import torch  # noqa: F401
from pyspark.daemon import manager

import st_spark.bitext.mining
import st_spark.join.similarity_join  # noqa: F401


def serve() -> None:
    """Fork workers until Spark ends."""
    gc.collect()
    gc.freeze()
    manager()


if __name__ == "__main__":
    serve()
