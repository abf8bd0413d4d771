"""One operator for each job."""

from typing import ClassVar

from st_airflow.base import JobOperator
from st_spark.specs.base import Job
from st_spark.specs.pair_jobs import ClusterJob, DedupJob, JoinJob, MineJob
from st_spark.specs.row_jobs import ClassifyJob, EmbedJob, IndexJob, SearchJob


class EmbedOperator(JobOperator):
    """Embed a column of texts or images (or a pair of text columns): write all columns and the vectors."""

    kind: ClassVar[type[Job]] = EmbedJob


class ClassifyOperator(JobOperator):
    """Label texts or images without training (zero-shot): each row gets the most similar label."""

    kind: ClassVar[type[Job]] = ClassifyJob


class IndexOperator(JobOperator):
    """Sort an embedded table into lists of near vectors, so that a search reads only the lists near its queries."""

    kind: ClassVar[type[Job]] = IndexJob


class SearchOperator(JobOperator):
    """Find the rows of an embedded table that are most similar to each query of a table, or to one query."""

    kind: ClassVar[type[Job]] = SearchJob


class SimilarityJoinOperator(JobOperator):
    """Join two tables, or one with itself, by the similarity of their vectors or texts."""

    kind: ClassVar[type[Job]] = JoinJob


class NearDuplicatesOperator(JobOperator):
    """Group near-duplicate rows by their vectors or texts, and choose one row to keep of each group."""

    kind: ClassVar[type[Job]] = DedupJob


class ClusterOperator(JobOperator):
    """Group rows by their vectors, texts or images: k-means, or communities around central rows."""

    kind: ClassVar[type[Job]] = ClusterJob


class BitextMiningOperator(JobOperator):
    """Find sentences of two tables that translate each other, by the margin of their similarity."""

    kind: ClassVar[type[Job]] = MineJob
