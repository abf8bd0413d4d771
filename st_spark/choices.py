"""The allowed values of options, for specs, functions and errors."""

FORMATS_IN = ("csv", "json", "parquet", "delta", "table", "binaryFile")
FORMATS_OUT = ("parquet", "delta", "table")
MODES = ("error", "overwrite", "append")
# An embed job can also bring a table up to date: see steps.merge.
EMBED_MODES = (*MODES, "merge")
# What a merge does with a table whose vectors another model, or other options, made.
ON_NEW_RECIPE = ("error", "rebuild")

DTYPES = ("auto", "float32", "bfloat16", "float16", "int8")
# How the vectors of the chunks of a text become one; "none": each chunk keeps its own.
POOLINGS = ("none", "mean", "max")
CHUNK_COLUMNS = ("chunk_index", "chunk_start", "chunk_end", "chunk_tokens")
# The unique id of a chunk, which a table of chunks has if its texts have ids.
CHUNK_ID = "chunk_id"
PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")
# Precisions that need the range of each dimension.
RANGED = ("int8", "uint8")
# Precisions that keep the signs alone, a bit for each. They are compared by cosine.
BITS = ("binary", "ubinary")

# Models name one of SIMILARITIES; joins support SCORES.
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")
SCORES = ("cosine", "dot", "euclidean")
METHODS = ("exact", "ivf")
OVERFLOWS = ("error", "best")
LINKAGES = ("components", "leader")
# How rows are clustered, and the options of each method.
CLUSTER_OPTIONS = {
    "kmeans": ("k", "min_k", "max_k", "seed"),
    "communities": ("threshold", "min_community_size", "max_pairs"),
}
CLUSTER_METHODS = tuple(CLUSTER_OPTIONS)
# How hard negatives are chosen and written.
SAMPLING_STRATEGIES = ("top", "random")
NEGATIVE_FORMATS = ("triplet", "n-tuple")
# What a job does with bad rows. Jobs of pairs and groups write no row without a vector, so they have no "null".
ON_ERROR = ("fail", "null", "quarantine")
ON_BAD_VECTOR = ("fail", "quarantine")
# Why a join skips a vector.
REASONS = ("null", "dimension", "not finite", "zero")

MARGINS = ("absolute", "distance", "ratio")
RETRIEVALS = ("forward", "backward", "intersect", "max", "union")
CANDIDATES = ("best", "all")

# How a model is sent to the executors.
TRANSPORTS = ("auto", "broadcast", "artifact", "path", "hub")

# The default limit of images. A file of 20 KB can hold 180 million pixels, and to decode one takes about 8 bytes.
MAX_IMAGE_PIXELS = 50_000_000
