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
from st_spark.model.checkpoint.transformer_files import check_tokenizer
from st_spark.model.inputs.batching import Lengths
from st_spark.model.inputs.packed import Packed
from st_spark.model.inputs.prompts import without_surrogates

Text = str | Sequence[str]  # a text, or a pair of texts

NO_LIMIT = 2**31 - 1  # tokens of a text

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


@dataclass(frozen=True)
class PairEncoding:
    """The tokens of a pair, with the names of the tokenizers library."""

    ids: list[int]
    type_ids: list[int]
    overflowing: bool

    def __len__(self) -> int:
        return len(self.ids)


def check_vocabulary(folder: Path, words: int, rows: int) -> None:
    """Raise ModelError if a tokenizer has more words than the weights have rows."""
    if words > rows:
        problem = f"The tokenizer of {folder} has {words:,} tokens, and its weights have {rows:,} embeddings."
        raise ModelError(problem, "the files are of two models: copy or download all of them again.")


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
        self.specials = self.backend.num_special_tokens_to_add(False)
        self._side = self.auto.truncation_side
        if lower_case:
            self._lower_first()
        self._layout = self._pair_layout()
        uses_types = "token_type_ids" in self.auto.model_input_names
        self._single_types = uses_types and any(self.backend.encode("a").type_ids)  # in XLNet
        self._pair_types = uses_types

    def __call__(self, texts: Sequence[Text]) -> Tokens:
        """Tokenize texts and pairs; InputError, with the position, for an input that is neither."""
        inputs = [checked(text, place) for place, text in enumerate(texts)]
        pairs = {place: text for place, text in enumerate(inputs) if not isinstance(text, str)}
        self._truncate()
        encodings = self._encode([text for text in inputs if isinstance(text, str)])
        for place, encoding in zip(pairs, self._encode_pairs(list(pairs.values())), strict=True):
            encodings.insert(place, encoding)
        lengths = np.fromiter((len(e) for e in encodings), dtype=np.int64, count=len(encodings))
        ids = flat((e.ids for e in encodings), lengths)
        types = None
        if self._single_types or (self._pair_types and pairs):
            types = flat((e.type_ids for e in encodings), lengths)
        truncated = np.fromiter((bool(e.overflowing) for e in encodings), dtype=np.bool_, count=len(encodings))
        return Tokens(ids, types, lengths, truncated)

    def token_starts(self, text: str) -> Lengths:
        """Return where the tokens of a text start. The limit must be off."""
        return token_starts(self.backend, text)

    def check_vocabulary(self, folder: Path, rows: int) -> None:
        """Raise ModelError if the words of the tokenizer need more embeddings than these rows; added tokens may."""
        check_vocabulary(folder, self.backend.get_vocab_size(with_added_tokens=False), rows)

    def count_prompt(self, prompt: str) -> int:
        """Return how many tokens a prompt puts before a text: its tokens without a trailing special one."""
        ids = self([prompt]).ids
        return len(ids) - int(ids[-1] in self.auto.all_special_ids) if len(ids) else 0

    def _encode(self, texts: list[str], specials: bool = True) -> list[Any]:
        """Return truncated encodings; of a long text only the head is read if that gives the same."""
        heads = {i: _head(text, self._head_length) for i, text in enumerate(texts) if self._is_long(text)}
        encodings = encode_batch(self.backend, [heads.get(i, text) for i, text in enumerate(texts)], specials)
        for i in heads:
            if _overflow(encodings[i]) < _SPARE_TOKENS:
                encodings[i] = encode_batch(self.backend, [texts[i]], specials)[0]
        return encodings

    def _encode_pairs(self, pairs: list[tuple[str, str]]) -> list[PairEncoding]:
        """Return truncated encodings: from the longer text of a pair tokens are cut first.

        The tokenizer itself would return every piece of the first text with every piece of the second.
        """
        sides = self._encode([text for pair in pairs for text in pair], specials=False)
        return [self._joined(pair, sides[2 * i : 2 * i + 2]) for i, pair in enumerate(pairs)]

    def _joined(self, pair: tuple[str, str], sides: list[Any]) -> PairEncoding:
        room = max(self.max_length - sum(side is None for side, _, _ in self._layout), 0)
        counts = [len(side) + _overflow(side) for side in sides]
        if room % 2 and min(counts) > room and any(map(self._is_long, pair)):
            # The longer text keeps one token more, and the heads do not show which one it is.
            wholes = [encode_batch(self.backend, [text], specials=False)[0] for text in pair]
            counts = [len(whole) + _overflow(whole) for whole in wholes]
        kept = _shares(counts, room)
        ids: list[int] = []
        types: list[int] = []
        for side, token, kind in self._layout:
            part = [token] if side is None else self._ends(sides[side].ids, kept[side])
            ids += part
            types += [kind] * len(part)
        return PairEncoding(ids, types, kept != counts)

    @property
    def _head_length(self) -> int:
        return self.max_length * _HEAD_CHARACTERS_PER_TOKEN

    def _is_long(self, text: str) -> bool:
        """Return whether it pays to read only the head of a text at first."""
        return self._side == "right" and len(text) > 2 * self._head_length

    def _ends(self, ids: list[int], count: int) -> list[int]:
        return ids[:count] if self._side == "right" else ids[len(ids) - count :]

    def _pair_layout(self) -> list[tuple[int | None, int, int]]:
        """Return (None, id, type) for each special token of a pair, (0 or 1, any id, type) for each of its texts."""
        pair = self.backend.encode("a", "b")
        tokens = list(zip(pair.sequence_ids, pair.ids, pair.type_ids, strict=True))
        return [token for i, token in enumerate(tokens) if i == 0 or token[0] is None or token[0] != tokens[i - 1][0]]

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

    check_tokenizer(folder)
    kept = {name: value for name, value in options.items() if name != "trust_remote_code"}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **kept)
    except Exception as error:  # of any kind: the tokenizers library has only Exception for a broken file
        raise ModelError(
            f"the tokenizer of {folder} cannot be loaded: {' '.join(str(error).split())[:200]}.",
            "the folder needs tokenizer.json, or the vocabulary files of its tokenizer class.",
        ) from error
    if not tokenizer.is_fast:
        problem = f"{folder} has only a slow tokenizer ({type(tokenizer).__name__})."
        raise ModelError(problem, "save it with a tokenizer.json.")
    # Without its vocabulary transformers builds a tokenizer that knows no word.
    files = {name for kind, name in tokenizer.vocab_files_names.items() if kind != "tokenizer_file"}
    missing = [name for name in files or ["tokenizer.json"] if not (folder / name).is_file()]
    if missing and not (folder / "tokenizer.json").is_file():
        problem = f"{folder} has neither tokenizer.json nor {', '.join(sorted(missing))}."
        raise ModelError(problem, "copy or download the model again, with all of its files.")
    return tokenizer


def encode_batch(backend: Any, texts: Sequence[Any], specials: bool = True) -> list[Any]:  # noqa: ANN401
    """Return the encodings of texts and pairs. Half a surrogate pair, which UTF-8 cannot store, becomes U+FFFD."""
    try:
        encodings: list[Any] = backend.encode_batch_fast(texts, add_special_tokens=specials)
    except TypeError:
        clean = [
            without_surrogates(text) if isinstance(text, str) else tuple(map(without_surrogates, text))
            for text in texts
        ]
        encodings = backend.encode_batch_fast(clean, add_special_tokens=specials)
    return encodings


def token_starts(backend: Any, text: str) -> Lengths:  # noqa: ANN401
    """Return where the tokens of a text start, in characters, without special tokens."""
    offsets = backend.encode_batch([text], add_special_tokens=False)[0].offsets
    return np.fromiter((start for start, _ in offsets), dtype=np.int64, count=len(offsets))


def _overflow(encoding: Any) -> int:  # noqa: ANN401
    """Return how many tokens were cut off."""
    return sum(len(rest) for rest in encoding.overflowing)


def _shares(counts: list[int], room: int) -> list[int]:
    """Return how many tokens each text of a pair keeps."""
    if sum(counts) <= room:
        return counts
    short = min(*counts, room // 2)
    return [short, room - short] if counts[0] <= counts[1] else [room - short, short]


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
