"""Where a folder can be renamed in one step."""

import pytest

from st_spark.spark.filesystem import is_object_store


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("file:/data/x", False),
        ("/data/s3:/x", False),
        ("hdfs://host:9000/x", False),
        ("viewfs://cluster/x", False),
        ("abfss://box@account.dfs.core.windows.net/x", False),
        ("s3://bucket/x", True),
        ("s3a://bucket/x", True),
        ("S3A://bucket/x", True),
        ("gs://bucket/x", True),
        ("wasbs://box@account.blob.core.windows.net/x", True),
        ("dbfs:/mnt/x", True),
    ],
)
def test_object_stores_are_known_by_their_scheme(path: str, wanted: bool) -> None:
    assert is_object_store(path) == wanted
