"""The files of a model folder: which are read, links, fingerprints."""

import os
import shutil
from pathlib import Path

import pytest

from st_spark.errors import ModelError
from st_spark.model.checkpoint import checkpoint
from tests.support.model_folders import kinds, put, refusal


def snapshot(tmp_path: Path, folder: Path) -> Path:
    """Copy a folder to the layout of the hub's cache: links to blobs beside the snapshots."""
    store = tmp_path / "hub" / "models--org--name"
    top = store / "snapshots" / "c0ffee"
    (store / "blobs").mkdir(parents=True)
    for number, file in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
        shutil.copy(file, store / "blobs" / str(number))
        link = top / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(store / "blobs" / str(number), link.parent))
    return top


@pytest.mark.parametrize("shared", [False, True])
def test_links_of_the_hub_cache_are_followed(tmp_path: Path, folder: Path, shared: bool) -> None:
    cached = snapshot(tmp_path, folder)
    if shared:  # version 2 of huggingface_hub: one store for all repositories of the cache
        for blob in (cached.parent.parent / "blobs").iterdir():
            store = tmp_path / "hub" / "blobs" / "ab" / blob.name
            store.parent.mkdir(parents=True, exist_ok=True)
            blob.rename(store)
            blob.symlink_to(os.path.relpath(store, blob.parent))
    assert kinds(checkpoint.read(cached)) == ["Transformer", "Pooling"]
    assert checkpoint.fingerprint(cached) == checkpoint.fingerprint(folder)


def test_model_folder_may_be_a_link(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "current").symlink_to(folder)
    (folder / "vocab.txt").write_text("a")
    (folder / "words.txt").symlink_to("vocab.txt")
    assert checkpoint.read(tmp_path / "current").folder == folder
    assert Path("words.txt") in checkpoint.model_files(tmp_path / "current")


@pytest.mark.parametrize("layout", ["folder", "cache"])
@pytest.mark.parametrize("name", ["vocab.txt", "1_Pooling/config.json", "2_Normalize"])
def test_link_that_leaves_the_model_is_rejected(tmp_path: Path, folder: Path, layout: str, name: str) -> None:
    outside = tmp_path / "hub" / "secret"
    put(outside / "file", "secret")
    model = folder if layout == "folder" else snapshot(tmp_path, folder)
    (model / name).unlink(missing_ok=True)
    (model / name).symlink_to(outside if name == "2_Normalize" else outside / "file")
    assert "link" in refusal(model) and "cp -rL" in refusal(model)
    with pytest.raises(ModelError, match="link"):
        checkpoint.fingerprint(model)


def test_dangling_link_is_rejected(folder: Path) -> None:
    (folder / "vocab.txt").symlink_to("missing.txt")
    assert "vocab.txt' is not a file" in refusal(folder)


def test_model_files_leave_out_what_loading_never_reads(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    for name in [
        "onnx/model.onnx",
        "openvino/x.bin",
        "tf_model.h5",
        "flax_model.msgpack",
        "rust_model.ot",
        "README.md",
    ]:
        put(folder / name, "x")
    for name in [
        ".git/config",
        ".gitattributes",
        "custom.py",
        "2_Dense/pytorch_model.bin",
        "pytorch_model.bin",
        "v.txt",
    ]:
        put(folder / name, "x")
    kept = {path.as_posix() for path in checkpoint.model_files(folder)}
    own = {"config.json", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json", "v.txt"}
    assert kept == own | {"2_Dense/pytorch_model.bin", "pytorch_model.bin"}
    put(folder / "model.safetensors", "x")
    kept = {path.as_posix() for path in checkpoint.model_files(folder)}
    assert kept == own | {"2_Dense/pytorch_model.bin", "model.safetensors"}


def test_fingerprint_depends_on_content_not_on_path_or_time(tmp_path: Path, folder: Path) -> None:
    put(folder / "model.safetensors", "weights")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    os.utime(copy / "model.safetensors", (1, 1))
    put(copy / "README.md", "words")
    key = checkpoint.fingerprint(folder)
    assert checkpoint.fingerprint(copy) == key and len(key) == 32 and int(key, 16) >= 0


@pytest.mark.parametrize("change", ["content", "name", "more", "moved bytes"])
def test_fingerprint_changes_with_every_model_file(folder: Path, change: str) -> None:
    put(folder / "model.safetensors", "weights")
    before = checkpoint.fingerprint(folder)
    if change == "content":
        put(folder / "model.safetensors", "WEIGHTS")
        os.utime(folder / "model.safetensors", (1, 1))
    elif change == "name":
        (folder / "model.safetensors").rename(folder / "other.safetensors")
    elif change == "more":
        put(folder / "vocab.txt", "")
    else:
        put(folder / "model.safetensors", "weigh")
        put(folder / "vocab.txt", "ts")
    assert checkpoint.fingerprint(folder) != before


def test_second_fingerprint_reads_no_file_again(folder: Path) -> None:
    put(folder / "model.safetensors", "weights")
    key = checkpoint.fingerprint(folder)
    times = (folder / "model.safetensors").stat()
    put(folder / "model.safetensors", "WEIGHTS")
    os.utime(folder / "model.safetensors", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert checkpoint.fingerprint(folder) == key  # same size, same time: taken for the same file
