"""What lies in a folder: Parquet, Delta, nothing, or what a job must not touch."""

from pathlib import Path

import pytest

from st_spark.spark.filesystem import ArrowFiles
from st_spark.tables.folder_contents import Contents, look

COMMIT = f"_delta_log/{0:020}.json"


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ([], Contents()),
        (["_SUCCESS", "._SUCCESS.crc", "_temporary/0/x", ".day=1.st-spark-lock"], Contents()),
        (["_st-spark-source", "._st-spark-source.0a1b.partial", "._st-spark-source.crc"], Contents()),
        (["day=1_$folder$", ".DS_Store", ".nfs0001", "_impala_insert_staging/x", ".hive-staging_1/x"], Contents()),
        ([".day=1.st-spark-old/p.parquet"], Contents(None, True, (), (".day=1.st-spark-old",))),
        (["_day=1/p.parquet"], Contents("parquet", True, ("_day=1/p.parquet",))),
        (["part-0.parquet", "_metadata"], Contents("parquet", True, ("part-0.parquet",))),
        (["k=1/a b=x/p.parquet"], Contents("parquet", True, ("k=1/a b=x/p.parquet",))),
        (["p.parquet", COMMIT], Contents("delta", True)),
        (["p.parquet", f"_delta_log/{10:020}.checkpoint.parquet"], Contents("delta", True)),
        (["p.parquet", "_delta_log/.s3-optimization-0"], Contents("delta")),
        (["p.parquet", "notes.txt"], Contents("parquet", True, ("p.parquet",), ("notes.txt",))),
        (["raw/p.parquet"], Contents(None, True, (), ("raw",))),
        (["k=1/p.parquet", "k=1/raw/x"], Contents("parquet", True, ("k=1/p.parquet",), ("k=1/raw",))),
        (["k=1/p.orc"], Contents(None, True, (), ("k=1/p.orc",))),
        (["p.parquet", "_spark_metadata/0"], Contents("parquet", True, ("p.parquet",), ("_spark_metadata",))),
        ([".git/config"], Contents(None, True, (), (".git",))),
        ([".hoodie/x"], Contents(None, True, (), (".hoodie",))),
    ],
)
def test_the_contents_of_a_folder(tmp_path: Path, names: list[str], wanted: Contents) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert look(ArrowFiles(), str(tmp_path)) == wanted


def test_a_plain_file_is_foreign(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    assert look(ArrowFiles(), str(tmp_path / "x")) == Contents(None, True, (), ("a file",))
    assert look(ArrowFiles(), str(tmp_path / "y")) == Contents()


@pytest.mark.parametrize(
    ("files", "partitions"),
    [
        (("p.parquet",), ()),
        (("k=1/a%20b=2/p.parquet", "k=2/a%20b=3/p.parquet"), ("k", "a b")),
        (("k=1/p.parquet", "p.parquet"), ("k",)),
    ],
)
def test_partition_columns_are_names_of_folders(files: tuple[str, ...], partitions: tuple[str, ...]) -> None:
    assert Contents("parquet", True, files).partitions == partitions
