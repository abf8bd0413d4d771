"""The name or path of a model to a local folder; from the hub once per node, at a pinned revision, or offline."""

import contextlib
import glob
import json
import logging
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from st_spark.errors import ModelError
from st_spark.model.checkpoint import package
from st_spark.model.checkpoint.files import select

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

_PACKAGE = "package:"
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Names without an organisation that are models of their own on the hub; all others are sentence-transformers'.
_PLAIN = frozenset(
    """
    albert-base-v1 albert-base-v2 albert-large-v1 albert-large-v2 albert-xlarge-v1 albert-xlarge-v2 albert-xxlarge-v1
    albert-xxlarge-v2 bert-base-cased bert-base-cased-finetuned-mrpc bert-base-chinese bert-base-german-cased
    bert-base-german-dbmdz-cased bert-base-german-dbmdz-uncased bert-base-multilingual-cased
    bert-base-multilingual-uncased bert-base-uncased bert-large-cased bert-large-cased-whole-word-masking
    bert-large-cased-whole-word-masking-finetuned-squad bert-large-uncased bert-large-uncased-whole-word-masking
    bert-large-uncased-whole-word-masking-finetuned-squad camembert-base ctrl distilbert-base-cased
    distilbert-base-cased-distilled-squad distilbert-base-german-cased distilbert-base-multilingual-cased
    distilbert-base-uncased distilbert-base-uncased-distilled-squad distilbert-base-uncased-finetuned-sst-2-english
    distilgpt2 distilroberta-base gpt2 gpt2-large gpt2-medium gpt2-xl openai-gpt roberta-base
    roberta-base-openai-detector roberta-large roberta-large-mnli roberta-large-openai-detector t5-11b t5-3b t5-base
    t5-large t5-small transfo-xl-wt103 xlm-clm-ende-1024 xlm-clm-enfr-1024 xlm-mlm-100-1280 xlm-mlm-17-1280
    xlm-mlm-en-2048 xlm-mlm-ende-1024 xlm-mlm-enfr-1024 xlm-mlm-enro-1024 xlm-mlm-tlm-xnli15-1024
    xlm-mlm-xnli15-1024 xlm-roberta-base xlm-roberta-large xlm-roberta-large-finetuned-conll02-dutch
    xlm-roberta-large-finetuned-conll02-spanish xlm-roberta-large-finetuned-conll03-english
    xlm-roberta-large-finetuned-conll03-german xlnet-base-cased xlnet-large-cased
    """.split()
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """A model on the local disk.

    Attributes:
        folder: The absolute folder.
        name: The name on the hub with its organisation, or the path or "package:" name as it was given.
        revision: The commit on the hub (40 hexadecimal digits), None for a folder or a package.
    """

    folder: Path
    name: str
    revision: str | None


def resolve(model: str | os.PathLike[str], revision: str | None = None) -> Snapshot:
    """Finds a model, and downloads it where it is on the hub and not yet on this node.

    A commit that is complete in the hub's cache needs no network and no lock: resolve a branch once, and hand the
    commit to the other processes.

    Args:
        model: An existing folder; "package:IMPORT_NAME" for an installed package that carries a model; else a name on
            the Hugging Face Hub, where one without "/" belongs to sentence-transformers (or is a plain transformers
            model such as bert-base-uncased).
        revision: Branch, tag or commit on the hub; default "main".

    Raises:
        ModelError: Not found, not allowed, or not reachable and not in the cache; or a revision of a folder.
    """
    name = os.fspath(model)
    local = _local(name)
    if local is not None:
        if revision is not None:
            problem = f"'{name}' is on this disk and has no revisions, but revision '{revision}' was asked for."
            raise ModelError(problem, "Leave the revision out, or give a name on the hub.")
        return Snapshot(local, name, None)
    path_like = not isinstance(model, str) or name.count("/") > 1 or name.startswith((".", "~", "/")) or "\\" in name
    if path_like or not name.strip("/") or name.endswith("/"):
        problem = f"There is no folder '{name}' (looked from '{Path.cwd()}')."
        raise ModelError(problem, "Give an existing model folder, or a name on the hub such as 'all-MiniLM-L6-v2'.")
    return _from_hub(name, revision)


def _local(name: str) -> Path | None:
    """The folder of a path or a package, None for a name that is neither."""
    if name.startswith(_PACKAGE):
        return package.find(name.removeprefix(_PACKAGE))
    try:
        path = Path(os.path.realpath(Path(name).expanduser()))
        if path.is_file():
            raise ModelError(f"'{name}' is a file, not a model folder.", "Give the folder that holds modules.json.")
        return path if name and path.is_dir() else None
    except (OSError, ValueError, RuntimeError):  # too long, a NUL inside, or the home of nobody: no path at least
        return None


def _from_hub(name: str, revision: str | None) -> Snapshot:
    """The snapshot of a hub model: from the cache where that is sure to be right, else after asking the hub."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HFValidationError, RevisionNotFoundError
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # the HTTP library it uses, made lazily

    from st_spark.model.checkpoint import hub_errors

    if revision is not None and (".." in revision or revision.startswith("/") or not revision.isprintable()):
        raise ModelError(f"'{revision}' is no revision.", "Give a branch, a tag or a commit of 40 digits.")
    repo = name if "/" in name or name.lower() in _PLAIN else f"sentence-transformers/{name}"
    store = Path(constants.HF_HUB_CACHE, "models--" + repo.replace("/", "--"))
    if revision and _COMMIT.fullmatch(revision) and (folder := _complete(store, revision)):
        return Snapshot(folder, repo, revision)
    try:
        info = HfApi(library_name="st-spark").model_info(repo, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        return Snapshot(_downloaded(store, repo, revision, info), repo, info.sha)
    except (HFValidationError, RevisionNotFoundError) as error:
        raise hub_errors.explain(error, name, repo, revision) from error
    except (OSError, httpx.HTTPError) as error:
        folder = _cached(store, revision)
        if folder is None:
            raise hub_errors.explain(error, name, repo, revision) from error
        if not constants.HF_HUB_OFFLINE:
            _log.warning("The hub gave no answer (%s); '%s' is used as cached: %s", type(error).__name__, repo, folder)
        return Snapshot(folder, repo, folder.name)


def _downloaded(store: Path, repo: str, revision: str | None, info: "ModelInfo") -> Path:
    """The snapshot folder of a commit, with the files of it that a load can read."""
    from filelock import FileLock
    from huggingface_hub import snapshot_download

    commit = str(info.sha)
    folder = _complete(store, commit)
    if folder is None:
        listed = [file.rfilename for file in info.siblings or []]
        names = select(listed)
        if not {"modules.json", "config.json"} & set(names):
            problem = f"'{repo}' on the hub is no model for this: it has neither modules.json nor config.json."
            raise ModelError(problem, "Choose a sentence-transformers or transformers model.")
        store.mkdir(parents=True, exist_ok=True)
        with FileLock(store / "st-spark.lock"):  # many workers start at once on a node: one downloads, the others wait
            folder = _complete(store, commit)
            if folder is None:
                _write(store / "st-spark" / f"{commit}.json", json.dumps(listed))
                exact = [glob.escape(name) for name in names]
                snapshot_download(repo, revision=commit, allow_patterns=exact, library_name="st-spark")
                folder = _complete(store, commit)
    if folder is None:
        raise ConnectionError("the download ended before all files were there")
    if revision != commit:
        # What a branch stands for, where every program that shares the cache looks for it when offline.
        with contextlib.suppress(OSError):  # a cache that is complete may be read-only
            _write(store / "refs" / (revision or "main"), commit)
    return folder


def _complete(store: Path, commit: str) -> Path | None:
    """The snapshot folder of a commit, if all files that a load needs are known and there."""
    try:
        names = select(json.loads((store / "st-spark" / f"{commit}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
    folder = store / "snapshots" / commit
    return folder if all((folder / name).is_file() for name in names) else None


def _cached(store: Path, revision: str | None) -> Path | None:
    """The snapshot folder to use without the hub: complete, or put there by another program."""
    commit = revision or "main"
    if not _COMMIT.fullmatch(commit):
        try:
            commit = (store / "refs" / commit).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            return None
    if not _COMMIT.fullmatch(commit) or (store / "st-spark" / f"{commit}.json").exists():
        return _complete(store, commit)
    folder = store / "snapshots" / commit
    return folder if any((folder / name).is_file() for name in ("modules.json", "config.json")) else None


def _write(file: Path, text: str) -> None:
    """Writes a small file at once, so that no other process reads half of it; keeps one that is right."""
    if file.is_file() and file.read_text(encoding="utf-8") == text:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}.{threading.get_ident()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)
