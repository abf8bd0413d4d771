"""Find, move and delete files on the file systems that Spark uses. DataFrames cannot do that."""

import os
import re
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from st_spark.errors import PlatformError
from st_spark.spark.cluster import is_connect

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_SCHEME = re.compile(r"[A-Za-z][\w+.-]*:/")
_S3 = re.compile(r"s3[an]?:/", re.IGNORECASE)
# Here to rename a folder is to copy its files one by one. Elsewhere (local disks, HDFS, abfss) it is one step.
_OBJECT_STORE = re.compile(r"(s3|s3a|s3n|gs|oss|cos|cosn|obs|oci|tos|wasb|wasbs|dbfs):/", re.IGNORECASE)
# Hadoop 3.4.2 and newer can create a file of S3 in one step.
_IF_ABSENT = "fs.option.create.conditional.overwrite"
_EXISTS = re.compile("Already(Exists|BeingCreated)Exception|PreconditionFailed|ConditionalRequestConflict")


class HadoopFiles:
    """Hadoop's file systems, through the driver's JVM. Paths are written as for Spark: local paths or URIs."""

    def __init__(self, spark: "SparkSession") -> None:
        classic: Any = spark
        self._jvm: Any = classic._jvm
        self._conf: Any = classic._jsparkSession.sessionState().newHadoopConf()

    def _open(self, path: str) -> tuple[Any, Any]:
        place = self._jvm.org.apache.hadoop.fs.Path(path)
        try:
            system = place.getFileSystem(self._conf)
        except Exception as error:
            raise self._no_file_system(path, error) from error
        return system, system.makeQualified(place)

    def _no_file_system(self, path: str, error: Exception) -> Exception:
        """Return the error of a scheme whose jars are missing; other errors as they are."""
        if not re.search("No FileSystem for scheme|ClassNotFoundException", str(error)):
            return error
        scheme, version = path.partition(":")[0], self._jvm.org.apache.hadoop.util.VersionInfo.getVersion()
        fix = f"add the jars of its file system to Spark, for Hadoop {version}."
        if _S3.match(path):
            fix = f"name the path s3a://..., and start Spark with --packages org.apache.hadoop:hadoop-aws:{version}."
        return PlatformError(f"Spark cannot open {path}: it has no file system for {scheme}.", fix)

    def _local(self, path: str) -> Path | None:
        """Return the path of the driver's machine; None on other file systems."""
        uri = self._open(path)[1].toUri()
        return Path(uri.getPath()) if uri.getScheme() == "file" else None

    def exists(self, path: str) -> bool:
        """Return whether there is a file or folder."""
        system, place = self._open(path)
        return bool(system.exists(place))

    def is_folder(self, path: str) -> bool:
        """Return whether there is a folder."""
        system, place = self._open(path)
        return bool(system.exists(place) and system.getFileStatus(place).isDirectory())

    def absolute(self, path: str) -> str:
        """Return the absolute path. If it ends in a link, the link is followed."""
        local = self._local(path)
        return str(self._open(path)[1].toString()) if local is None else _followed(local)

    def real(self, path: str) -> str:
        """Return the absolute path without links, so that one place has one spelling."""
        local = self._local(path)
        return str(self._open(path)[1].toString()) if local is None else f"file:{os.path.realpath(local)}"

    def entries(self, folder: str) -> dict[str, bool]:
        """Return the names in a folder, sorted, and whether each is a folder."""
        system, place = self._open(folder)
        return dict(sorted((each.getPath().getName(), each.isDirectory()) for each in system.listStatus(place)))

    def glob(self, pattern: str) -> list[str]:
        """Return the paths that match a pattern."""
        system, place = self._open(pattern)
        return [str(each.getPath().toString()) for each in system.globStatus(place) or ()]

    def make(self, folder: str) -> None:
        """Make a folder and its parents."""
        system, place = self._open(folder)
        system.mkdirs(place)

    def move(self, source: str, target: str) -> None:
        """Rename a file or folder. OSError if the target exists or the file system refuses."""
        system, place = self._open(source)
        # Hadoop would move the source into a folder that exists.
        if self.exists(target) or not system.rename(place, self._open(target)[1]):
            raise OSError(f"could not rename {source} to {target}")

    def delete(self, path: str) -> None:
        """Delete a file, or a folder and its contents. It is no error if nothing is there; OSError if it stays."""
        system, place = self._open(path)
        if not system.delete(place, True) and system.exists(place):
            raise OSError(f"could not delete {path}")

    def create(self, path: str, text: str) -> bool:
        """Write a small text file; False if there is one. It is one step, except on S3 before Hadoop 3.4.2."""
        if local := self._local(path):  # Hadoop's local files are not atomic
            return _create(local, text)
        try:
            self._put(path, text, overwrite=False)
        except Exception as error:
            if _EXISTS.search(str(error)):
                return False
            raise
        return True

    def write(self, path: str, text: str) -> None:
        """Write a small text file, or overwrite it."""
        if local := self._local(path):
            _replace(local, text)
        else:
            self._put(path, text, overwrite=True)

    def _put(self, path: str, text: str, *, overwrite: bool) -> None:
        system, place = self._open(path)
        if not overwrite and system.hasPathCapability(place, _IF_ABSENT):
            stream = system.createFile(place).must(_IF_ABSENT, True).build()
        else:
            stream = system.create(place, overwrite)
        try:
            stream.write(bytearray(text, "utf-8"))
        finally:
            stream.close()

    def read(self, path: str) -> str:
        """Return the text of a small file."""
        system, place = self._open(path)
        stream = system.open(place)
        try:
            return str(self._jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8"))
        finally:
            stream.close()

    def age(self, path: str) -> float:
        """Return the seconds since a file was written."""
        system, place = self._open(path)
        return time.time() - int(system.getFileStatus(place).getModificationTime()) / 1000


class ArrowFiles:
    """Arrow's file systems: local paths, and s3, gs, abfs and hdfs URIs."""

    def _local(self, path: str) -> Path | None:
        """See HadoopFiles."""
        if path.startswith("file:"):
            return Path("/" + path.removeprefix("file:").lstrip("/"))
        return None if _SCHEME.match(path) else Path(path)

    def _open(self, path: str) -> tuple[Any, str]:
        from pyarrow.fs import FileSystem

        local = self._local(path)
        system, place = FileSystem.from_uri(_S3.sub("s3:/", path) if local is None else str(local.absolute()))
        return system, place

    def _info(self, path: str) -> Any:  # noqa: ANN401  (pyarrow has no types)
        system, place = self._open(path)
        return system.get_file_info(place)

    def exists(self, path: str) -> bool:
        """See HadoopFiles."""
        return bool(self._info(path).type.name != "NotFound")

    def is_folder(self, path: str) -> bool:
        """See HadoopFiles."""
        return bool(self._info(path).type.name == "Directory")

    def absolute(self, path: str) -> str:
        """See HadoopFiles."""
        local = self._local(path)
        return path.rstrip("/") if local is None else _followed(local)

    def real(self, path: str) -> str:
        """See HadoopFiles."""
        local = self._local(path)
        return path.rstrip("/") if local is None else f"file:{os.path.realpath(local)}"

    def entries(self, folder: str) -> dict[str, bool]:
        """See HadoopFiles."""
        from pyarrow.fs import FileSelector

        system, place = self._open(folder)
        infos = system.get_file_info(FileSelector(place))
        return dict(sorted((info.base_name, info.type.name == "Directory") for info in infos))

    def glob(self, pattern: str) -> list[str]:
        """See HadoopFiles. Arrow has no patterns, so only local paths are found."""
        local = self._local(pattern)
        return [] if local is None else [f"file:{each}" for each in Path("/").glob(str(local.absolute())[1:])]

    def make(self, folder: str) -> None:
        """See HadoopFiles."""
        system, place = self._open(folder)
        system.create_dir(place, recursive=True)

    def move(self, source: str, target: str) -> None:
        """See HadoopFiles."""
        system, place = self._open(source)
        if self.exists(target):
            raise OSError(f"could not rename {source} to {target}")
        system.move(place, self._open(target)[1])

    def delete(self, path: str) -> None:
        """See HadoopFiles."""
        system, place = self._open(path)
        if self.is_folder(path):
            system.delete_dir(place)
        elif self.exists(path):
            system.delete_file(place)

    def create(self, path: str, text: str) -> bool:
        """See HadoopFiles. On object stores two processes that do this at the same time may both succeed."""
        if local := self._local(path):
            return _create(local, text)
        if self.exists(path):
            return False
        self.write(path, text)
        return True

    def write(self, path: str, text: str) -> None:
        """See HadoopFiles."""
        if local := self._local(path):
            _replace(local, text)
            return
        system, place = self._open(path)
        with system.open_output_stream(place) as stream:
            stream.write(text.encode())

    def read(self, path: str) -> str:
        """See HadoopFiles."""
        system, place = self._open(path)
        with system.open_input_stream(place) as stream:
            return bytes(stream.read()).decode()

    def age(self, path: str) -> float:
        """See HadoopFiles."""
        return time.time() - float(self._info(path).mtime.timestamp())


Files = HadoopFiles | ArrowFiles


def is_object_store(path: str) -> bool:
    """Return whether an absolute path is in a store where a folder cannot be renamed in one step."""
    return bool(_OBJECT_STORE.match(path))


def files_of(spark: "SparkSession") -> Files:
    """Return the file system of a session.

    Classic Spark has Hadoop's file systems, with the session's credentials and default file system. A Spark Connect
    client has no JVM. It uses Arrow's file systems, so it must see the same paths as the server.
    """
    return ArrowFiles() if is_connect(spark) else HadoopFiles(spark)


def _followed(path: Path) -> str:
    return f"file:{os.path.realpath(path) if path.is_symlink() else os.path.normpath(path.absolute())}"


def _create(path: Path, text: str) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        return False
    return True


def _replace(path: Path, text: str) -> None:
    """Write a file that readers see with all of its text, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
