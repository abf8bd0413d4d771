"""The values that an option may have: one closed list for each, used by specs, functions and errors alike."""

FORMATS_IN = ("csv", "json", "parquet", "delta", "table", "binaryFile")
FORMATS_OUT = ("parquet", "delta", "table")
MODES = ("error", "overwrite", "append")

DTYPES = ("auto", "float32", "bfloat16", "float16")
PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")
# The precisions that need the range of each dimension.
RANGED = ("int8", "uint8")

# A model may name any of these for its vectors; joins take the first three.
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")
SCORES = ("cosine", "dot", "euclidean")
METHODS = ("exact", "ivf")
OVERFLOWS = ("error", "best")
LINKAGES = ("components", "leader")
# Why a vector is not joined.
REASONS = ("null", "dimension", "not finite", "zero")

MARGINS = ("absolute", "distance", "ratio")
RETRIEVALS = ("forward", "backward", "intersect", "max", "union")
CANDIDATES = ("best", "all")

# How a model reaches the executors.
TRANSPORTS = ("auto", "broadcast", "artifact", "path", "hub")
