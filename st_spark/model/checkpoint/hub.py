"""Find the folder of a model by its path, package or hub name; download from the hub once per machine."""

import contextlib
import glob
import json
import logging
import os
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from st_spark.errors import ModelError
from st_spark.model import catalog
from st_spark.model.checkpoint import package
from st_spark.model.checkpoint.files import select

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

_PACKAGE = "package:"
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Hub names without an organisation. All other names without "/" belong to sentence-transformers.
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
        name: The hub name with its organisation, or the path or "package:" name as given.
        revision: The commit on the hub (40 hexadecimal digits); None for a folder or a package.
    """

    folder: Path
    name: str
    revision: str | None


@dataclass(frozen=True)
class Access:
    """How to reach the hub.

    Attributes:
        folder: Cache for downloaded models; None for SENTENCE_TRANSFORMERS_HOME if it is set, else HF_HUB_CACHE (by
            default HF_HOME/hub).
        token: A token; None for HF_TOKEN or the login, False for none.
        offline: Whether to use the cache alone.
    """

    folder: Path | None = None
    token: str | bool | None = field(default=None, repr=False)
    offline: bool = False

    def cache(self) -> Path:
        """Return the folder for downloaded models."""
        from huggingface_hub import constants

        return self.folder or Path(os.environ.get("SENTENCE_TRANSFORMERS_HOME") or constants.HF_HUB_CACHE)


DEFAULT = Access()


def resolve(model: str | os.PathLike[str], revision: str | None = None, access: Access = DEFAULT) -> Snapshot:
    """Return the folder of a model; download it if it is on the hub and not yet in the cache.

    A commit that is complete in the cache needs no network and no lock. To start many processes, resolve a branch
    once and give them the commit.

    Args:
        model: An existing folder, "package:IMPORT_NAME" for an installed package that contains a model, or a name on
            the Hugging Face Hub. A name without "/" belongs to sentence-transformers, or is a plain transformers
            model such as bert-base-uncased.
        revision: Branch, tag or commit on the hub; default "main".
        access: How to reach the hub.

    Raises:
        ModelError: The model was not found, may not be read, or is neither reachable nor in the cache; or a revision
            was given for a folder.
    """
    name = os.fspath(model)
    local = _local(name)
    if local is not None:
        if revision is not None:
            problem = f"'{name}' is a local model without revisions, but revision '{revision}' is given."
            raise ModelError(problem, "Leave the revision out, or give a name on the hub.")
        return Snapshot(local, name, None)
    path_like = not isinstance(model, str) or name.count("/") > 1 or name.startswith((".", "~", "/")) or "\\" in name
    if path_like or not name.strip("/") or name.endswith("/"):
        problem = f"There is no folder '{name}' (current directory: '{Path.cwd()}')."
        raise ModelError(problem, "Give an existing model folder, or a name on the hub such as 'all-MiniLM-L6-v2'.")
    return _from_hub(name, revision, access)


def _local(name: str) -> Path | None:
    """Return the folder of a path or a package, None for a name that is neither."""
    if name.startswith(_PACKAGE):
        return package.find(name.removeprefix(_PACKAGE))
    try:
        path = Path(os.path.realpath(Path(name).expanduser()))
        if path.is_file():
            raise ModelError(f"'{name}' is a file, not a model folder.", "Give the folder that holds modules.json.")
        return path if name and path.is_dir() else None
    except (OSError, ValueError, RuntimeError):  # too long, contains NUL, or the home of an unknown user
        return None


def _from_hub(name: str, revision: str | None, access: Access) -> Snapshot:
    """Return a hub model from the cache if the commit is known and complete, otherwise ask the hub."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled, RevisionNotFoundError
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # its HTTP library, imported lazily

    if revision is not None and (".." in revision or revision.startswith("/") or not revision.isprintable()):
        raise ModelError(f"'{revision}' is not a revision.", "Give a branch, a tag or a commit of 40 digits.")
    repo = name if "/" in name or name.lower() in _PLAIN else f"sentence-transformers/{name}"
    store = access.cache() / ("models--" + repo.replace("/", "--"))
    if revision and _COMMIT.fullmatch(revision) and (folder := _complete(store, revision)):
        return Snapshot(folder, repo, revision)
    try:
        if access.offline:
            raise OfflineModeIsEnabled("local_files_only")
        api = HfApi(library_name="st-spark", token=access.token)
        info = api.model_info(repo, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        return Snapshot(_downloaded(store, repo, revision, info, access), repo, info.sha)
    except (HFValidationError, RevisionNotFoundError) as error:
        raise explain(error, name, repo, revision, access) from error
    except (OSError, httpx.HTTPError) as error:
        folder = _cached(store, revision)
        if folder is None:
            raise explain(error, name, repo, revision, access) from error
        if not constants.HF_HUB_OFFLINE and not access.offline:
            _log.warning("The hub did not answer (%s); '%s' is used as cached: %s", type(error).__name__, repo, folder)
        return Snapshot(folder, repo, folder.name)


def _downloaded(store: Path, repo: str, revision: str | None, info: "ModelInfo", access: Access) -> Path:
    """Return the snapshot folder of a commit; download the files that loading reads."""
    from filelock import FileLock
    from huggingface_hub import snapshot_download

    commit = str(info.sha)
    folder = _complete(store, commit)
    if folder is None:
        listed = [file.rfilename for file in info.siblings or []]
        names = select(listed)
        if not {"modules.json", "config.json"} & set(names):
            problem = f"'{repo}' on the hub is not a text or image model: it has no modules.json and no config.json."
            raise ModelError(problem, "Choose a sentence-transformers or transformers model.")
        store.mkdir(parents=True, exist_ok=True)
        with FileLock(store / "st-spark.lock"):  # many workers start at once: one downloads, the others wait
            folder = _complete(store, commit)
            if folder is None:
                _write(store / "st-spark" / f"{commit}.json", json.dumps(listed))
                patterns = [glob.escape(name) for name in names]
                snapshot_download(
                    repo,
                    revision=commit,
                    allow_patterns=patterns,
                    library_name="st-spark",
                    cache_dir=access.cache(),
                    token=access.token,
                )
                folder = _complete(store, commit)
    if folder is None:
        raise ConnectionError("the download ended before all files were there")
    if revision != commit:
        # Where every program that shares the cache looks up a branch when offline.
        with contextlib.suppress(OSError):  # a complete cache may be read-only
            _write(store / "refs" / (revision or "main"), commit)
    return folder


def _complete(store: Path, commit: str) -> Path | None:
    """Return the snapshot folder of a commit if every file that loading reads is listed and there."""
    try:
        names = select(json.loads((store / "st-spark" / f"{commit}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
    folder = store / "snapshots" / commit
    return folder if all((folder / name).is_file() for name in names) else None


def _cached(store: Path, revision: str | None) -> Path | None:
    """Return a snapshot folder without the hub: a complete one, or one that another program downloaded."""
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
    """Write a small file in one step, so that no other process reads half of it; keep an equal one."""
    if file.is_file() and file.read_text(encoding="utf-8") == text:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}.{threading.get_ident()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)


def explain(error: Exception, name: str, repo: str, revision: str | None, access: Access = DEFAULT) -> ModelError:
    """Return the ModelError to raise for an exception of huggingface_hub.

    Args:
        error: The exception.
        name: The name as the user gave it; it may have been meant as a folder.
        repo: The repository that was requested from the hub.
        revision: The revision that was requested from the hub.
        access: How the hub was asked.
    """
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/{repo}"
    token = "log in with `hf auth login` or set HF_TOKEN, on the executors too"
    if isinstance(error, errors.RevisionNotFoundError):
        problem = f"The model '{repo}' on the hub has no revision '{revision or 'main'}'."
        return ModelError(problem, f"Choose a branch, tag or commit from {page}/commits/main.")
    if isinstance(error, errors.GatedRepoError):
        problem = f"The model '{repo}' on the hub is gated, and this user may not read it."
        return ModelError(problem, f"Accept its terms at {page}, then {token}.")
    if isinstance(error, (errors.RepositoryNotFoundError, errors.HFValidationError)):
        problem = f"There is no folder '{name}' (current directory: '{Path.cwd()}') and no model '{repo}' on the hub."
        return ModelError(problem, f"Check the spelling{_did_you_mean(name)}; for a private model {token}.")
    unreachable = (ConnectionError, TimeoutError, errors.LocalEntryNotFoundError)
    if isinstance(error, errors.OfflineModeIsEnabled):
        reason = "local_files_only is given" if access.offline else "HF_HUB_OFFLINE is set"
    elif isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403):
            problem = f"The hub does not let this user read the model '{repo}' (status {status})."
            return ModelError(problem, f"{token[0].upper()}{token[1:]}; an old token may have expired.")
        reason = f"the hub answered with status {status}"
    elif isinstance(error, OSError) and not isinstance(error, unreachable):
        problem = f"The model '{repo}' cannot be stored in '{access.cache()}' ({error})."
        return ModelError(
            problem,
            "Free some space there, or name another folder: cache_folder=, SENTENCE_TRANSFORMERS_HOME or HF_HOME.",
        )
    else:
        detail = str(error).split("\n", 1)[0]
        reason = f"the hub at {constants.ENDPOINT} cannot be reached ({detail})"
    meant, command = _did_you_mean(name), f"hf download {repo}{f' --revision {revision}' if revision else ''}"
    return ModelError(
        f"There is no folder '{name}', {reason}, and '{repo}' at '{revision or 'main'}' is not complete in the cache "
        f"'{access.cache()}'.",
        f"{f'Check the spelling{meant}. ' if meant else ''}Run `{command} --cache-dir DIR` where there is a "
        "network, and copy what is in DIR to this cache; or give a folder or a 'package:NAME' that contains the model.",
    )


def _did_you_mean(name: str) -> str:
    """Return a hint with the documented models whose names are close; empty if the name is documented."""
    near = [] if catalog.find(name) else catalog.close_matches(name)
    return f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
