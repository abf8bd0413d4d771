"""Choose the prompt, the text that a model expects before every input, and prepend it."""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from st_spark.errors import InputError, check_text

_log = logging.getLogger(__name__)
# The names of the prompts that a task uses: the first that the model has.
_OF_TASK = {"query": ("query",), "document": ("document", "passage", "corpus")}
_SURROGATE = re.compile("[\ud800-\udfff]")


def resolve(
    prompts: Mapping[str, str], default_name: str | None, prompt: str | None, prompt_name: str | None
) -> str | None:
    """Return the text of the prompt, or None. A text takes precedence over a name, a name over the default.

    Args:
        prompts: The model's prompts by name.
        default_name: The model's default_prompt_name.
        prompt: A text; "" switches the default off.
        prompt_name: A key of prompts.

    Raises:
        InputError: The model has no prompt with this name, or the text has half a surrogate pair.
    """
    if prompt is not None:
        check_characters("prompt", prompt)
        if prompt_name is not None:
            _log.warning("Both prompt and prompt_name=%r are given: the prompt is used.", prompt_name)
        return prompt
    if prompt_name is None:
        return prompts.get(default_name) if default_name is not None else None
    if prompt_name not in prompts:
        raise InputError(
            f"prompt_name={prompt_name!r} is not one of the model's prompts ({', '.join(map(repr, prompts))}).",
            "use one of these, or give the text itself as prompt=.",
        )
    return prompts[prompt_name]


def of_task(prompts: Mapping[str, str], task: str) -> str | None:
    """Return the name of the prompt for the task "query" or "document", or None if the model has none."""
    return next((name for name in _OF_TASK[task] if name in prompts), None)


def check_characters(name: str, text: object) -> None:
    """Check that an option is a text that UTF-8 can store; InputError if not."""
    if not isinstance(text, str):
        raise InputError(f"{name} is {text!r:.60} ({type(text).__name__}).", "give a str.")
    check_text(name, text)


def without_surrogates(text: str) -> str:
    """Return a text with U+FFFD for each half of a surrogate pair, which a str can hold and UTF-8 cannot."""
    return _SURROGATE.sub("\ufffd", text)


def with_defaults(stored: Mapping[str, str]) -> dict[str, str]:
    """Return the stored prompts with the two names that every model has, empty by default."""
    return {"query": "", "document": "", **stored}


def prefixed(inputs: Sequence[Any], prompt: str | None) -> Sequence[Any]:
    """Return the inputs with the prompt before each text, or before the first text of a pair."""
    return [_prefixed(text, prompt) for text in inputs] if prompt else inputs


def _prefixed(text: Any, prompt: str) -> Any:  # noqa: ANN401  (an invalid input raises later, with its position)
    if isinstance(text, str):
        return prompt + text
    is_pair = isinstance(text, (list, tuple)) and len(text) == 2 and isinstance(text[0], str)
    return (prompt + text[0], text[1]) if is_pair else text
