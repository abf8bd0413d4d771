"""Moving and deleting folders where Spark's data lies: the few things that no DataFrame can do."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class Files(Protocol):
    """A file system; all paths are those that Spark is given, local or URIs."""

    def exists(self, path: str) -> bool:
        """Whether a file or folder lies there."""
        ...

    def absolute(self, path: str) -> str:
        """The path from the root of its file system."""
        ...

    def names(self, folder: str) -> list[str]:
        """The names of the files and folders in a folder, sorted."""
        ...

    def make(self, folder: str) -> None:
        """Makes a folder, with its parents."""
        ...

    def move(self, source: str, target: str) -> None:
        """Renames; the target must not exist. OSError if the file system refuses."""
        ...

    def delete(self, path: str) -> None:
        """Deletes a file, or a folder with all in it; nothing there is no error."""
        ...

    def write(self, path: str, text: str) -> None:
        """Writes a small text file, over one that is there."""
        ...


def files_of(spark: "SparkSession") -> Files:
    """The files as this session sees them.

    Classic Spark brings Hadoop's file systems with its own credentials and its default file system. A Spark Connect
    client has no JVM: it uses Arrow's, so it must see the same paths as the server does.
    """
    return ArrowFiles() if is_connect(spark) else HadoopFiles(spark)


def is_connect(spark: "SparkSession") -> bool:
    """Whether this is a Spark Connect session."""
    return ".connect." in type(spark).__module__


class HadoopFiles:
    """Hadoop's file systems, through the driver's JVM."""

    def __init__(self, spark: "SparkSession") -> None:
        classic: Any = spark
        self._path: Any = classic._jvm.org.apache.hadoop.fs.Path
        self._conf: Any = classic._jsparkSession.sessionState().newHadoopConf()

    def _open(self, path: str) -> tuple[Any, Any]:
        place = self._path(path)
        return place.getFileSystem(self._conf), place

    def exists(self, path: str) -> bool:
        """See Files."""
        system, place = self._open(path)
        return bool(system.exists(place))

    def absolute(self, path: str) -> str:
        """See Files."""
        system, place = self._open(path)
        return str(system.makeQualified(place).toString())

    def names(self, folder: str) -> list[str]:
        """See Files."""
        system, place = self._open(folder)
        return sorted(status.getPath().getName() for status in system.listStatus(place))

    def make(self, folder: str) -> None:
        """See Files."""
        system, place = self._open(folder)
        system.mkdirs(place)

    def move(self, source: str, target: str) -> None:
        """See Files."""
        system, place = self._open(source)
        if not system.rename(place, self._path(target)):
            raise OSError(f"could not rename {source} to {target}")

    def delete(self, path: str) -> None:
        """See Files."""
        system, place = self._open(path)
        system.delete(place, True)

    def write(self, path: str, text: str) -> None:
        """See Files."""
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
        if "://" in path:
            system, place = FileSystem.from_uri(path)
        else:
            system, place = FileSystem.from_uri(str(Path(path).absolute()))
        return system, place

    def exists(self, path: str) -> bool:
        """See Files."""
        from pyarrow.fs import FileType

        system, place = self._open(path)
        return bool(system.get_file_info(place).type != FileType.NotFound)

    def absolute(self, path: str) -> str:
        """See Files."""
        return path if ":" in path else str(Path(path).absolute())

    def names(self, folder: str) -> list[str]:
        """See Files."""
        from pyarrow.fs import FileSelector

        system, place = self._open(folder)
        return sorted(info.base_name for info in system.get_file_info(FileSelector(place)))

    def make(self, folder: str) -> None:
        """See Files."""
        system, place = self._open(folder)
        system.create_dir(place, recursive=True)

    def move(self, source: str, target: str) -> None:
        """See Files."""
        system, place = self._open(source)
        system.move(place, self._open(target)[1])

    def delete(self, path: str) -> None:
        """See Files."""
        from pyarrow.fs import FileType

        system, place = self._open(path)
        kind = system.get_file_info(place).type
        if kind == FileType.Directory:
            system.delete_dir(place)
        elif kind != FileType.NotFound:
            system.delete_file(place)

    def write(self, path: str, text: str) -> None:
        """See Files."""
        system, place = self._open(path)
        with system.open_output_stream(place) as stream:
            stream.write(text.encode())
