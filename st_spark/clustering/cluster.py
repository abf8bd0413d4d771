"""cluster: which rows of a table belong together, and which row represents each cluster."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as sf

from st_spark.choices import CLUSTER_METHODS, CLUSTER_OPTIONS, SCORES
from st_spark.clustering.communities import communities
from st_spark.clustering.kmeans import kmeans
from st_spark.clustering.training import counts_to_try
from st_spark.errors import InputError, check_choice, check_count
from st_spark.join.input_stats import TableStats, collect_stats
from st_spark.join.inputs import TablePair, select_columns
from st_spark.join.options import Request, check_reachable, described
from st_spark.join.shuffle import ID

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class ClusterRequest:
    """The options of cluster(), which has their meaning. None for the default of the method.

    Raises:
        InputError: A value that cannot work, or an option of the other method.
    """

    method: str = "kmeans"
    k: int | None = None
    min_k: int | None = None
    max_k: int | None = None
    seed: int | None = None
    threshold: float | None = None
    min_community_size: int | None = None
    max_pairs: int | None = None
    score: str = "cosine"

    def __post_init__(self) -> None:
        """Check the fields."""
        check_choice("method", self.method, CLUSTER_METHODS)
        check_choice("score", self.score, SCORES)
        for owner, names in CLUSTER_OPTIONS.items():
            for name in names:
                if owner != self.method and getattr(self, name) is not None:
                    raise InputError(
                        f"{name} is given, and the method is {self.method}.",
                        f"leave it out, or choose the method {owner}.",
                    )
        least = {"k": 1, "min_k": 2, "max_k": 2, "seed": 0, "min_community_size": 1, "max_pairs": 1}
        for name, smallest in least.items():
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), smallest)
        if self.k is not None and (self.min_k is not None or self.max_k is not None):
            raise InputError("k is given, and bounds for it, too.", "give k, or min_k and max_k.")
        if self.bounds[0] > self.bounds[1]:
            raise InputError(f"min_k is {self.bounds[0]}, and max_k is {self.bounds[1]}.", "give a larger max_k.")
        if self.method == "communities":
            self.pairs  # noqa: B018  (checks its options)

    @property
    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest number of clusters."""
        return (self.k, self.k) if self.k else (self.min_k or 2, self.max_k or max(50, self.min_k or 0))

    @property
    def pairs(self) -> Request:
        """The join that finds the pairs of communities."""
        if self.score == "dot":
            raise InputError(
                "Communities need a score by which each vector is most similar to itself, and score is 'dot'.",
                "choose the score cosine or euclidean.",
            )
        threshold = 0.75 if self.threshold is None else self.threshold
        if self.score == "euclidean" and self.threshold is None:
            raise InputError("No threshold is given for the score euclidean.", "give minus the largest distance.")
        request = Request(None, threshold, self.score, max_pairs=self.max_pairs or 100_000_000)
        check_reachable(threshold, self.score)
        return request


@dataclass(frozen=True)
class PlannedClusters:
    """Planned clusters, and facts about them."""

    clusters: "DataFrame"  # See cluster()
    stats: TableStats  # Counts of the table
    # How the clusters are made: method, score, k, threshold, ...; also in the metadata of the score column, without
    # the number of tasks
    facts: dict[str, Any]


def cluster(  # noqa: PLR0913  (a table with the names of its columns, and the options of two methods)
    df: "DataFrame",
    method: str = "kmeans",
    *,
    k: int | None = None,
    min_k: int | None = None,
    max_k: int | None = None,
    seed: int | None = None,
    threshold: float | None = None,
    min_community_size: int | None = None,
    max_pairs: int | None = None,
    id: str = "id",
    vector: str = "embedding",
    score: str = "cosine",
) -> "DataFrame":
    """Group the rows of a table by the similarity of their vectors.

    Args:
        df: A table of vectors. Vectors that Python computes are kept on the executors' disks; see similarity_join().
        method: "kmeans" puts every row into one of k clusters. "communities" finds groups of rows around a central row,
            as community_detection of sentence-transformers does; rows in no dense place are in none.
        k: For kmeans: the number of clusters. Without it, the number with the highest silhouette of a sample.
        min_k: For kmeans without k: the smallest number of clusters to try, by default 2.
        max_k: For kmeans without k: the largest one, by default 50, or min_k if that is larger (fewer in a
            table of fewer rows).
        seed: For kmeans: it chooses the first centroids, by default 0.
        threshold: For communities: the lowest score of a row with the central one. By default 0.75 for cosine.
            Euclidean has no default.
        min_community_size: For communities: smaller ones are left out. By default 10.
        max_pairs: For communities: the most pairs of rows that reach the threshold. One Spark task reads all of them,
            and needs 20 bytes for each. By default 100 million.
        id: Column of the ids: integers or strings, unique.
        vector: Column of the vectors, of any type that similarity_join() takes.
        score: "cosine" (k-means is spherical then), "euclidean": minus the distance (and so is the threshold), or for
            kmeans "dot", for which rows are clustered by distance.

    Returns:
        One row for each row with an id and a vector that can be joined; see similarity_join(). id; cluster, from 0, the
        largest first, null for a row in none; score with the centroid, or with the central row; is_representative: the
        row of a cluster that is nearest to its centroid, or the central row. Of equal ones the smallest id counts, so
        the result does not depend on partitions.

    Raises:
        InputError: A column or an option that cannot work, duplicate ids, k above the number of rows, or more than
            max_pairs pairs.
    """
    request = ClusterRequest(method, k, min_k, max_k, seed, threshold, min_community_size, max_pairs, score)
    return plan_clusters(df, request, id_column=id, vector=vector).clusters


def plan_clusters(
    df: "DataFrame", request: ClusterRequest, *, id_column: str, vector: str, where: str = "the table"
) -> PlannedClusters:
    """Plan cluster(). Spark counts the rows here and trains the centroids; the rest is done when they are read."""
    table = TablePair(select_columns(df, where, id_column, vector, ()), None, ())
    stats = collect_stats(table, request.score, (where, where))
    facts: dict[str, Any] = {"method": request.method, "score": request.score}
    if request.method == "kmeans":
        rows = table.left.where(sf.col(ID).isNotNull())
        seed = request.seed or 0
        clusters, more = kmeans(rows, stats.left, _counts(request, stats.left.kept, where), request.score, seed)
        facts |= {**more, "seed": seed}
    else:
        size = request.min_community_size or 10
        facts |= {"threshold": request.pairs.threshold, "min_community_size": size}
        clusters, more = communities(table, stats, request.pairs, size)
        facts |= more
    score = described(sf.col("score"), facts | {"silhouettes": None})  # these are in the result of a job
    clusters = clusters.select("id", "cluster", score, "is_representative")
    return PlannedClusters(clusters, stats.left, facts)


def _counts(request: ClusterRequest, rows: int, where: str) -> list[int]:
    """Return the numbers of clusters to try."""
    low, high = request.bounds
    if low > rows:
        name = "k" if request.k else "min_k"
        fix = f"give {name} of at most {rows}." if rows >= (1 if request.k else 2) else "cluster a table of more rows."
        raise InputError(f"{name} is {low}, and {where} has {rows:,} rows with a vector.", fix)
    return counts_to_try(low, min(high, rows))
