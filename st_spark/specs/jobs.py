"""All jobs by the name of their command."""

from collections.abc import Mapping

from st_spark.specs.base import Job
from st_spark.specs.pair_jobs import ClusterJob, DedupJob, JoinJob, MineJob
from st_spark.specs.row_jobs import ClassifyJob, DescribeJob, EmbedJob, IndexJob, SearchJob

JOBS: Mapping[str, type[Job]] = {
    job.kind: job
    for job in (EmbedJob, ClassifyJob, IndexJob, SearchJob, JoinJob, DedupJob, ClusterJob, MineJob, DescribeJob)
}
