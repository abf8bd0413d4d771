"""The operators: one for each kind of job."""

from typing import ClassVar

from st_airflow.base import JobOperator
from st_spark.specs.base import Job
from st_spark.specs.jobs import ClassifyJob, DedupJob, EmbedJob, JoinJob, MineJob


class EmbedOperator(JobOperator):
    """Embeds a column of texts or images (or a pair of text columns), and writes all columns and the vectors."""

    kind: ClassVar[type[Job]] = EmbedJob


class ClassifyOperator(JobOperator):
    """Gives each text or image of a table the most similar of some labels, without training (zero-shot)."""

    kind: ClassVar[type[Job]] = ClassifyJob


class SimilarityJoinOperator(JobOperator):
    """Joins two tables, or one with itself, by the similarity of their vectors or texts."""

    kind: ClassVar[type[Job]] = JoinJob


class NearDuplicatesOperator(JobOperator):
    """Groups the rows of a table that are about the same, and says which row stands for each group."""

    kind: ClassVar[type[Job]] = DedupJob


class BitextMiningOperator(JobOperator):
    """Finds the sentences of two tables that translate each other, by the margin of their vectors' similarity."""

    kind: ClassVar[type[Job]] = MineJob
