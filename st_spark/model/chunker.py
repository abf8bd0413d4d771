"""Cut long texts into chunks that a model reads in full: by its tokenizer, at ends of sentences where one is near."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch

from st_spark.errors import InputError, check_count
from st_spark.model.checkpoint import checkpoint
from st_spark.model.checkpoint.faults import Faults
from st_spark.model.inputs import prompts
from st_spark.model.inputs.batching import Lengths
from st_spark.model.inputs.boundaries import after_spaces, first_start, last_cut
from st_spark.model.inputs.tokenizer import NO_LIMIT
from st_spark.model.modules.interfaces import InputModule
from st_spark.model.modules.registry import load_modules
from st_spark.model.modules.router import Router

# The most characters of a chunk, for each of its tokens. A word that the tokenizer does not know is one token, however
# long it is, and white space is none.
_CHARACTERS_PER_TOKEN = 16
# About how many characters are tokenized at a time. So memory does not grow with the text.
_BLOCK = 1 << 16
# Word models store this limit to have none.
_NO_WORD_LIMIT = 1_000_000


class Chunk(NamedTuple):
    """A part of a text: text[start:end], and its tokens without the special ones and the prompt's."""

    start: int
    end: int
    tokens: int


class Chunker:
    """Cuts texts for one model.

    Args:
        module: Reads texts as the model does. Its limit is switched off, so it must not be the one that encodes.
        prompt: The text that the model reads before each chunk.
        max_tokens: The most tokens of a chunk, without special tokens and the prompt's.
        overlap: How many tokens at most the end of a chunk and the start of the next one share.
    """

    def __init__(self, module: InputModule, prompt: str | None, max_tokens: int, overlap: int = 0) -> None:
        module.max_length = NO_LIMIT
        self.max_tokens, self.overlap = max_tokens, overlap
        self._module, self._prompt = module, prompt
        self._longest = max_tokens * _CHARACTERS_PER_TOKEN
        self._others = _other_tokens(module, prompt)

    def __call__(self, texts: Sequence[str]) -> list[list[Chunk]]:
        """Return the chunks of each text. They cover it: no character is left out. An empty text is one chunk."""
        short = [text for text in texts if len(text) <= self._longest]
        counts = iter(self._count(short))
        return [self._chunks(text, next(counts) if len(text) <= self._longest else None) for text in texts]

    def _chunks(self, text: str, tokens: int | None) -> list[Chunk]:
        fits = tokens is not None and tokens <= self.max_tokens
        return [Chunk(0, len(text), int(tokens or 0))] if fits else list(self.cut(text))

    def cut(self, text: str) -> Iterator[Chunk]:
        """Yield the chunks of a text.

        A chunk ends at the last end of a sentence in its second half, else of a word, else of a character. A chunk that
        overlaps the one before begins at a start of a sentence or a word.
        """
        tokens = _TokenStarts(text, self._module.token_starts, max(_BLOCK, 2 * self._longest))
        start = done = 0  # where the next chunk starts, and where the last one ended
        while done < len(text) or not done:
            chunk = self._next(text, tokens, start, done)
            if chunk is None:  # with the overlap there is no room for anything new
                start = done
                continue
            yield chunk
            done = chunk.end
            if done == len(text):
                return
            start = self._overlapping(text, tokens, chunk)

    def _next(self, text: str, tokens: "_TokenStarts", start: int, done: int) -> Chunk | None:
        """Return the chunk at a place, None if it would not go beyond `done`."""
        most = start + self._longest
        high = after_spaces(text, min(tokens.ahead(start, self.max_tokens), most), most)
        while high > done:
            end = last_cut(text, start, max(done, start + (high - start) // 2), high)
            if end <= done:
                return None
            count = self._count([text[start:end]])[0]  # alone, a chunk can have other tokens than inside of the text
            if count <= self.max_tokens or end == start + 1:
                return Chunk(start, end, int(count))
            high = max(start + 1, min(end - 1, start + (end - start) * self.max_tokens // int(count)))
        return None

    def _overlapping(self, text: str, tokens: "_TokenStarts", chunk: Chunk) -> int:
        """Return where the chunk after this one starts."""
        if not self.overlap:
            return chunk.end
        low = max(chunk.start + 1, tokens.back(chunk.end, self.overlap))
        return first_start(text, chunk.start, low, chunk.end)

    def _count(self, texts: Sequence[str]) -> Lengths:
        """Return how many tokens texts have, without special ones and the prompt's."""
        if not texts:
            return np.empty(0, np.int64)
        return np.maximum(self._module.prepare(texts, self._prompt).lengths - self._others, 0)


class _TokenStarts:
    """Where the tokens of a text start. The text is read a block at a time.

    Args:
        text: The text.
        read: Returns where the tokens of a block start.
        block: About how many characters to read at a time.
    """

    def __init__(self, text: str, read: Callable[[str], Lengths], block: int) -> None:
        self._text, self._tokenize, self._block = text, read, block
        self._starts, self._read = np.empty(0, np.int64), 0

    def ahead(self, place: int, count: int) -> int:
        """Return where the token starts that is `count` tokens after a place, at most the end of the text."""
        first = self._at(place)
        while len(self._starts) - first <= count and self._read < len(self._text):
            self._more()
            first = self._at(place)
        return int(self._starts[first + count]) if first + count < len(self._starts) else len(self._text)

    def back(self, place: int, count: int) -> int:
        """Return where the token starts that is `count` tokens before a place, as far as they are still known."""
        return int(self._starts[max(self._at(place) - count, 0)])

    def _at(self, place: int) -> int:
        return int(np.searchsorted(self._starts, place))

    def _more(self) -> None:
        """Read a block, and forget the tokens that start more than two blocks before it."""
        first, stop = self._read, min(self._read + self._block, len(self._text))
        stop = last_cut(self._text, first, first + (stop - first) // 2, stop)
        kept = self._starts[self._at(first - 2 * self._block) :]
        starts = np.maximum.accumulate(self._tokenize(self._text[first:stop]) + first)
        self._starts, self._read = np.concatenate((kept, starts)), stop


@dataclass(frozen=True)
class ChunkOptions:
    """How to cut texts. Options have the names that chunk() gives them.

    Args:
        max_tokens: See Chunker; None for as many as the model reads.
        overlap: See Chunker.
        prompt: See encode().
        prompt_name: See encode().
        task: See encode().
        max_seq_length: See encode().
    """

    max_tokens: int | None = None
    overlap: int = 0
    prompt: str | None = None
    prompt_name: str | None = None
    task: str | None = None
    max_seq_length: int | None = None


def open_chunker(folder: Path, options: ChunkOptions) -> Chunker:
    """Return the chunker of a model. Its weights are not loaded.

    Raises:
        InputError: The model reads fewer tokens, or has no limit and max_tokens is None; the overlap is as long as a
            chunk; or the model has no such prompt or task.
        ModelError: The model cannot be read.
    """
    description = checkpoint.read(folder)
    stored = prompts.with_defaults(description.prompts)
    prompt = prompts.resolve(stored, description.default_prompt_name, options.prompt, options.prompt_name)
    faults = Faults()
    modules = load_modules(description.modules[:1], torch.float32, torch.device("meta"), faults)
    faults.check()
    first = modules[0]
    module = cast("InputModule", first.choose(options.task)[0] if isinstance(first, Router) else first)
    limit = module.max_length
    if options.max_seq_length is not None:
        module.check_length(options.max_seq_length)
        limit = options.max_seq_length
    limit = None if limit is None or limit >= _NO_WORD_LIMIT else limit
    module.max_length = NO_LIMIT
    others = _other_tokens(module, prompt)
    max_tokens = _max_tokens(options.max_tokens, limit, others, module.specials)
    check_count("overlap", options.overlap, 0)
    if options.overlap >= max_tokens:
        problem = f"The overlap of {options.overlap} tokens is not shorter than a chunk of {max_tokens}."
        raise InputError(problem, "give a smaller overlap, such as a tenth of a chunk.")
    return Chunker(module, prompt, max_tokens, options.overlap)


def chunk_tokens(folder: Path, options: ChunkOptions) -> int:
    """Check options against a model, and return the most tokens of a chunk; see open_chunker() for the errors."""
    return _chunk_tokens(checkpoint.fingerprint(folder), folder, options)


@cache
def _chunk_tokens(_content: str, folder: Path, options: ChunkOptions) -> int:
    return open_chunker(folder, options).max_tokens


def _other_tokens(module: InputModule, prompt: str | None) -> int:
    """Return how many special tokens and tokens of the prompt a text gets."""
    return int(module.prepare([""], prompt).lengths[0])


def _max_tokens(asked: int | None, limit: int | None, others: int, specials: int) -> int:
    """Return how many tokens a chunk may have; InputError if the model does not read so many."""
    if asked is not None:
        check_count("the number of tokens of a chunk", asked)
    if limit is None:
        if asked is None:
            raise InputError("The model has no limit of tokens.", "say how many a chunk may have, such as 256.")
        return asked
    most = limit - others
    about = f"{limit} tokens of a text, less {specials} special ones"
    about += f" and {others - specials} of the prompt" if others > specials else ""
    if most < 1:
        raise InputError(f"The model reads {about}: nothing is left for a text.", "give a shorter prompt.")
    if asked is not None and asked > most:
        raise InputError(f"A chunk of {asked} tokens is more than the model reads: {about}.", f"give at most {most}.")
    return asked or most
