"""Turn texts into token ids with the checkpoint's fast tokenizer; report counts and truncation."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from st_spark.errors import InputError, ModelError
from st_spark.model.inputs.batching import Lengths
from st_spark.model.inputs.packed import Packed

Text = str | Sequence[str]  # a text, or a pair of texts

# Of a text with more than twice this many characters per allowed token only the head is tokenized at first. The
# tokenizer would read all of a 10 MB text to keep 256 tokens. English has 4 to 5 characters a token.
_HEAD_CHARACTERS_PER_TOKEN = 16
# The head must give this many tokens beyond the limit: then the kept tokens are far from its cut end.
_SPARE_TOKENS = 16


@dataclass(frozen=True)
class Tokens:
    """Texts as token ids, one after another.

    Attributes:
        ids: [tokens] int64.
        types: [tokens] int64 segment of each token, or None if the model has no segments or all are 0.
        lengths: [texts] tokens of each text, special tokens included.
        truncated: [texts] whether tokens were cut off.
        prompt_length: Leading tokens of every text that belong to the prompt.
    """

    ids: npt.NDArray[np.int64]
    types: npt.NDArray[np.int64] | None
    lengths: Lengths
    truncated: npt.NDArray[np.bool_]
    prompt_length: int = 0

    @cached_property
    def _starts(self) -> Lengths:
        return np.cumsum(self.lengths) - self.lengths

    def take(self, rows: npt.NDArray[np.int64], device: torch.device) -> Packed:
        """Return the micro-batch of these texts, in the order of rows."""
        lengths = self.lengths[rows]
        if len(rows) and (np.diff(rows) == 1).all():  # neighbours: a slice, not a copy
            first = self._starts[rows[0]]
            places: Any = slice(first, first + lengths.sum())
        else:
            places = np.repeat(self._starts[rows] - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
        ids = torch.from_numpy(self.ids[places]).to(device)
        types = None if self.types is None else torch.from_numpy(self.types[places]).to(device)
        return Packed(ids, types, lengths, self.prompt_length)


class Tokenizer:
    """The fast tokenizer of a checkpoint, without the truncation and padding that its file may contain.

    Args:
        folder: The checkpoint.
        max_length: Maximum number of tokens of a text, special ones included. None for the limit in its files.
        lower_case: Lower-case texts first (do_lower_case of sentence_bert_config.json).
        options: Further arguments of AutoTokenizer (tokenizer_args), except trust_remote_code.
    """

    def __init__(self, folder: Path, max_length: int | None, lower_case: bool, options: dict[str, Any]) -> None:
        self.auto = load_tokenizer(folder, options)
        self.max_length = int(self.auto.model_max_length if max_length is None else max_length)
        self.backend = self.auto.backend_tokenizer
        self.backend.no_padding()
        self.backend.no_truncation()
        self.uses_types = "token_type_ids" in self.auto.model_input_names
        self._side = self.auto.truncation_side
        if lower_case:
            self._lower_first()

    def __call__(self, texts: Sequence[Text]) -> Tokens:
        """Tokenize texts and pairs; InputError, with the position, for an input that is neither."""
        inputs = [checked(text, place) for place, text in enumerate(texts)]
        encodings = self._encode(inputs)
        lengths = np.fromiter((len(e) for e in encodings), dtype=np.int64, count=len(encodings))
        ids = flat((e.ids for e in encodings), lengths)
        types = None
        if self.uses_types and any(not isinstance(text, str) for text in inputs):
            types = flat((e.type_ids for e in encodings), lengths)
        truncated = np.fromiter((bool(e.overflowing) for e in encodings), dtype=np.bool_, count=len(encodings))
        return Tokens(ids, types, lengths, truncated)

    def count_prompt(self, prompt: str) -> int:
        """Return how many tokens a prompt puts before a text: its tokens without a trailing special one."""
        ids = self([prompt]).ids
        return len(ids) - int(ids[-1] in self.auto.all_special_ids) if len(ids) else 0

    def _encode(self, inputs: list[Any]) -> list[Any]:
        """Return truncated encodings; of a long text only the head is read if that gives the same."""
        self._truncate()
        limit = self.max_length * _HEAD_CHARACTERS_PER_TOKEN
        heads = {i: _head(x, limit) for i, x in enumerate(inputs) if isinstance(x, str) and len(x) > 2 * limit}
        if self._side != "right":
            heads = {}
        encodings: list[Any] = self.backend.encode_batch_fast([heads.get(i, x) for i, x in enumerate(inputs)])
        for i in heads:
            spare = sum(len(rest) for rest in encodings[i].overflowing)
            if spare < _SPARE_TOKENS:
                encodings[i] = self.backend.encode_batch_fast([inputs[i]])[0]
        return encodings

    def _truncate(self) -> None:
        current = self.backend.truncation
        if current is None or current["max_length"] != self.max_length:
            self.backend.enable_truncation(self.max_length, strategy="longest_first", direction=self._side)

    def _lower_first(self) -> None:
        from tokenizers import normalizers

        own = self.backend.normalizer
        first = normalizers.Lowercase()
        self.backend.normalizer = first if own is None else normalizers.Sequence([first, own])


def load_tokenizer(folder: Path, options: dict[str, Any]) -> Any:  # noqa: ANN401  (a tokenizer of any class)
    """Return the checkpoint's fast tokenizer, loaded by transformers; ModelError if it has none."""
    from transformers import AutoTokenizer

    kept = {name: value for name, value in options.items() if name != "trust_remote_code"}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **kept)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(
            f"the tokenizer of {folder} cannot be loaded: {' '.join(str(error).split())}",
            "the folder needs tokenizer.json, or the vocabulary files of its tokenizer class.",
        ) from error
    if not tokenizer.is_fast:
        problem = f"{folder} has only a slow tokenizer ({type(tokenizer).__name__})."
        raise ModelError(problem, "save it with a tokenizer.json.")
    return tokenizer


def checked(text: Any, place: int) -> Any:  # noqa: ANN401
    """Return a str as it is and a pair as a tuple; InputError, with the position, for anything else."""
    if isinstance(text, str):
        return text
    if isinstance(text, (list, tuple)) and len(text) == 2 and all(isinstance(part, str) for part in text):
        return tuple(text)
    problem = f"input {place} is {text!r:.60} ({type(text).__name__})."
    raise InputError(problem, "give a str, or a pair [title, text] of two str.")


def _head(text: str, limit: int) -> str:
    """Return the text up to the last white space before the limit; all of it if there is none (one huge word)."""
    cut = max(text.rfind(space, 0, limit) for space in (" ", "\n", "\t"))
    return text[:cut] if cut > 0 else text


def flat(lists: Any, lengths: Lengths) -> npt.NDArray[np.int64]:  # noqa: ANN401
    """Return lists of token ids with these lengths as one array."""
    return np.fromiter(chain.from_iterable(lists), dtype=np.int64, count=int(lengths.sum()))
