"""Move and delete folders on the file systems that Spark uses. DataFrames cannot do that."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from st_spark.spark.cluster import is_connect

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class HadoopFiles:
    """Hadoop's file systems, through the driver's JVM. Paths are written as for Spark: local paths or URIs."""

    def __init__(self, spark: "SparkSession") -> None:
        classic: Any = spark
        self._path: Any = classic._jvm.org.apache.hadoop.fs.Path
        self._conf: Any = classic._jsparkSession.sessionState().newHadoopConf()

    def _open(self, path: str) -> tuple[Any, Any]:
        place = self._path(path)
        return place.getFileSystem(self._conf), place

    def exists(self, path: str) -> bool:
        """Return whether there is a file or folder."""
        system, place = self._open(path)
        return bool(system.exists(place))

    def absolute(self, path: str) -> str:
        """Return the absolute path."""
        system, place = self._open(path)
        return str(system.makeQualified(place).toString())

    def names(self, folder: str) -> list[str]:
        """Return the names of the files and folders in a folder, sorted."""
        system, place = self._open(folder)
        return sorted(status.getPath().getName() for status in system.listStatus(place))

    def make(self, folder: str) -> None:
        """Make a folder and its parents."""
        system, place = self._open(folder)
        system.mkdirs(place)

    def move(self, source: str, target: str) -> None:
        """Rename a file or folder. The target must not exist. OSError if the file system refuses."""
        system, place = self._open(source)
        if not system.rename(place, self._path(target)):
            raise OSError(f"could not rename {source} to {target}")

    def delete(self, path: str) -> None:
        """Delete a file, or a folder and its contents. It is no error if nothing is there."""
        system, place = self._open(path)
        system.delete(place, True)

    def write(self, path: str, text: str) -> None:
        """Write a small text file, or overwrite it."""
        system, place = self._open(path)
        stream = system.create(place, True)
        try:
            stream.write(bytearray(text, "utf-8"))
        finally:
            stream.close()


class ArrowFiles:
    """Arrow's file systems: local paths, and s3, gs, abfs and hdfs URIs."""

    def _open(self, path: str) -> tuple[Any, str]:
        from pyarrow.fs import FileSystem

        if path.startswith("file:"):
            path = "/" + path.removeprefix("file:").lstrip("/")
        system, place = FileSystem.from_uri(path if "://" in path else str(Path(path).absolute()))
        return system, place

    def exists(self, path: str) -> bool:
        """See HadoopFiles."""
        from pyarrow.fs import FileType

        system, place = self._open(path)
        return bool(system.get_file_info(place).type != FileType.NotFound)

    def absolute(self, path: str) -> str:
        """See HadoopFiles."""
        return path if ":" in path else str(Path(path).absolute())

    def names(self, folder: str) -> list[str]:
        """See HadoopFiles."""
        from pyarrow.fs import FileSelector

        system, place = self._open(folder)
        return sorted(info.base_name for info in system.get_file_info(FileSelector(place)))

    def make(self, folder: str) -> None:
        """See HadoopFiles."""
        system, place = self._open(folder)
        system.create_dir(place, recursive=True)

    def move(self, source: str, target: str) -> None:
        """See HadoopFiles."""
        system, place = self._open(source)
        system.move(place, self._open(target)[1])

    def delete(self, path: str) -> None:
        """See HadoopFiles."""
        from pyarrow.fs import FileType

        system, place = self._open(path)
        kind = system.get_file_info(place).type
        if kind == FileType.Directory:
            system.delete_dir(place)
        elif kind != FileType.NotFound:
            system.delete_file(place)

    def write(self, path: str, text: str) -> None:
        """See HadoopFiles."""
        system, place = self._open(path)
        with system.open_output_stream(place) as stream:
            stream.write(text.encode())


Files = HadoopFiles | ArrowFiles


def files_of(spark: "SparkSession") -> Files:
    """Return the file system of a session.

    Classic Spark has Hadoop's file systems, with the session's credentials and default file system. A Spark Connect
    client has no JVM. It uses Arrow's file systems, so it must see the same paths as the server.
    """
    return ArrowFiles() if is_connect(spark) else HadoopFiles(spark)
