"""The process that Spark forks Python workers from. It loads their libraries, so no worker has to.

After each task Spark collects garbage among all objects, and torch and Arrow have 250,000. Frozen objects are left out.
"""

import gc

import pandas as pd  # noqa: F401
import pyarrow as pa  # noqa: F401
import scipy.sparse.csgraph  # noqa: F401
import torch  # noqa: F401
from pyspark.daemon import manager

import st_spark.bitext.mining
import st_spark.embedding.encode
import st_spark.embedding.worker  # noqa: F401

if __name__ == "__main__":
    gc.freeze()
    manager()
