"""Embedder: run texts or images through a loaded model, in micro-batches."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from st_spark.errors import InputError, check_count
from st_spark.model import parallel, token_results
from st_spark.model.inputs import images, prompts
from st_spark.model.inputs.packed import Packed
from st_spark.model.inputs.tokenizer import Text
from st_spark.model.modules.registry import Assembly, Pipeline

if TYPE_CHECKING:
    from st_spark.model.inputs.images import Source
    from st_spark.model.modules.interfaces import Inputs

    Input = Text | Source

Floats = npt.NDArray[np.float32]
Result = TypeVar("Result")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Encoded:
    """The result of embed() for n texts.

    Attributes:
        vectors: [n, d] float32.
        n_tokens: [n] int32 tokens that the model read, special ones included.
        truncated: [n] whether the text was longer than the model's limit.
        problems: Why an image could not be read, by its position; always empty for texts. Its vector is NaN.
    """

    vectors: Floats
    n_tokens: npt.NDArray[np.int32]
    truncated: npt.NDArray[np.bool_]
    problems: Mapping[int, str] = field(default_factory=dict)


class Embedder:
    """A loaded model.

    Args:
        assembly: Its modules.
        device: Where they compute.
        stored_prompts: Prompt texts by name.
        default_prompt_name: The prompt of inputs that are given without one.
        truncate_dim: How many leading dimensions to keep; None for all.
    """

    def __init__(
        self,
        assembly: Assembly,
        device: torch.device,
        stored_prompts: Mapping[str, str],
        default_prompt_name: str | None,
        truncate_dim: int | None,
    ) -> None:
        self._assembly = assembly
        self.modules: list[Any] = assembly.modules  # of many classes
        self._stored_lengths = [module.max_length for module in assembly.inputs]
        self.device = device
        self.prompts = prompts.with_defaults(stored_prompts)
        self.default_prompt_name = default_prompt_name
        self.truncate_dim = truncate_dim
        self._max_tokens: int | None = None  # of a micro-batch; known once a GPU had too little memory

    @property
    def dtype(self) -> str:
        """Return the number format of the model's computation. Vectors are always float32."""
        return str(self._assembly.typical().input.dtype).removeprefix("torch.")

    @property
    def max_seq_length(self) -> int | None:
        """Return the maximum number of tokens of a text, special ones included. None for no limit."""
        limits = [module.max_length for module in self._assembly.inputs]
        return None if None in limits else max(limit for limit in limits if limit is not None)

    @max_seq_length.setter
    def max_seq_length(self, value: int | None) -> None:
        """Set the limit, or with None the limits of the checkpoint again.

        Raises:
            InputError: The special tokens leave no room for a text, or the model has fewer positions.
        """
        if value is not None:
            for module in self._assembly.inputs:
                module.check_length(value)
        for module, stored in zip(self._assembly.inputs, self._stored_lengths, strict=True):
            module.max_length = stored if value is None else value

    def get_max_seq_length(self) -> int | None:
        """Return max_seq_length."""
        return self.max_seq_length

    @property
    def tokenizer(self) -> Any:  # noqa: ANN401  (a tokenizer of any class)
        """Return a copy of the tokenizer: the limit and the padding of its own calls do not change vectors."""
        first = self._assembly.typical().input
        ours = getattr(first, "tokenizer", first)
        copy: Any = deepcopy(getattr(ours, "auto", getattr(ours, "backend", ours)))
        if hasattr(ours, "auto"):
            copy.model_max_length = self.max_seq_length
        return copy

    def set_pooling_include_prompt(self, include_prompt: bool) -> None:
        """Set whether pooling includes the prompt's tokens. INSTRUCTOR models need False if they do not store it."""
        self._assembly.include_prompt(include_prompt)

    def set_max_image_pixels(self, pixels: int) -> None:
        """Set how many pixels an image may have, 50 million by default; a worker needs about 8 bytes for each."""
        check_count("pixels", pixels)
        for module in self._assembly.inputs:
            module.max_pixels = pixels

    def get_embedding_dimension(self) -> int:
        """Return the dimension of the vectors, after truncate_dim if the model has one."""
        width = self._assembly.typical().width
        return min(width, self.truncate_dim or width)

    get_sentence_embedding_dimension = get_embedding_dimension

    def embed(
        self,
        texts: "Sequence[Input]",
        *,
        prompt: str | None = None,
        prompt_name: str | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool = False,
        task: str | None = None,
    ) -> Encoded:
        """Encode a list of texts or images and return token counts too. See `encode` for the arguments.

        Texts are sorted by length over the whole call: more texts per call give better filled micro-batches.
        """
        cut = self._cut(truncate_dim)
        pipeline, inputs = self._prepared(texts, prompt, prompt_name, task)
        out = np.empty((len(texts), min(pipeline.width, cut or pipeline.width)), dtype=np.float32)

        def read(batch: Packed) -> Floats:
            vectors = batch.sentence_embeddings()[:, :cut]
            return (F.normalize(vectors, dim=1) if normalize_embeddings else vectors).cpu().numpy()

        for rows, vectors in self._run(pipeline, inputs, batch_size, show_progress_bar, read):
            out = _placed(out, rows, vectors)
        problems: Mapping[int, str] = getattr(inputs, "problems", {})
        out[list(problems)] = np.nan
        return Encoded(out, inputs.lengths.astype(np.int32), inputs.truncated, problems)

    def token_results(
        self,
        texts: "Sequence[Input]",
        *,
        prompt: str | None = None,
        prompt_name: str | None = None,
        truncate_dim: int | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool = False,
        task: str | None = None,
        everything: bool = False,
    ) -> list[Any]:
        """Return the token embeddings of each text, or everything that the model computes for it. See `encode`."""
        cut = self._cut(truncate_dim)
        pipeline, inputs = self._prepared(texts, prompt, prompt_name, task)
        auto = getattr(getattr(pipeline.input, "tokenizer", None), "auto", None)
        with_types = "token_type_ids" in getattr(auto, "model_input_names", ())

        def read(batch: Packed) -> list[Any]:
            if everything:
                return token_results.all_results(batch, with_types, cut)
            return token_results.token_embeddings(batch)

        found: dict[int, Any] = {}
        for rows, results in self._run(pipeline, inputs, batch_size, show_progress_bar, read):
            found.update(zip(rows.tolist(), results, strict=True))
        return [found[row] for row in range(len(found))]

    def _cut(self, truncate_dim: int | None) -> int | None:
        if truncate_dim is not None:
            check_count("truncate_dim", truncate_dim)
        return truncate_dim or self.truncate_dim

    def _prepared(
        self, texts: "Sequence[Input]", prompt: str | None, prompt_name: str | None, task: str | None
    ) -> tuple[Pipeline, "Inputs"]:
        """Return the modules for a task, and the inputs that the first of them has read."""
        text = prompts.resolve(self.prompts, self.default_prompt_name, prompt, prompt_name)
        pipeline = self._assembly.pipeline(task)
        return pipeline, pipeline.input.prepare(_listed(texts), text)

    def _run(
        self,
        pipeline: Pipeline,
        inputs: "Inputs",
        batch_size: int | None,
        show_progress_bar: bool,
        read: Callable[[Packed], Result],
    ) -> Iterator[tuple[npt.NDArray[np.int64], Result]]:
        """Yield the positions of each micro-batch, and what `read` takes from it after the last module."""
        from tqdm import tqdm

        if batch_size is not None:
            check_count("batch_size", batch_size)
        runs = pipeline.runs(inputs.lengths, self.device, batch_size, self._max_tokens)

        def forward(rows: npt.NDArray[np.int64]) -> Result:
            batch = inputs.take(rows, self.device)
            for module in pipeline.modules:
                batch = module(batch)
            return read(batch)

        def parts(rows: npt.NDArray[np.int64]) -> list[tuple[npt.NDArray[np.int64], Result]]:
            try:
                return [(rows, forward(rows))]
            except torch.OutOfMemoryError:
                if len(rows) == 1:
                    raise
            self._halve(int(inputs.lengths[rows].sum()))  # now that the error is gone, and its tensors with it
            half = len(rows) // 2
            return [*parts(rows[:half]), *parts(rows[half:])]

        with tqdm(total=len(inputs.lengths), unit="texts", disable=not show_progress_bar) as bar:
            for found in parallel.run(parts, runs, self.device):
                yield from found
                bar.update(sum(len(rows) for rows, _ in found))

    def _halve(self, tokens: int) -> None:
        """Give later micro-batches half as many tokens as the one for which the GPU had too little memory."""
        torch.cuda.empty_cache()
        half = max(tokens // 2, 1)
        if self._max_tokens is None or half < self._max_tokens:
            self._max_tokens = half
            _log.warning(
                "The GPU has no memory for %s tokens at once: going on with at most %s.", f"{tokens:,}", f"{half:,}"
            )


def is_one(sentences: object) -> bool:
    """Return whether a value is a single text or image, not a list of them."""
    return isinstance(sentences, str) or images.is_image(sentences)


def _listed(sentences: Any) -> Sequence[Any]:  # noqa: ANN401
    """Return many inputs as a sequence; InputError for one input, and for what has no order, such as a set."""
    listed = sentences.tolist() if hasattr(sentences, "tolist") else sentences  # of NumPy or pandas
    if is_one(listed) or not isinstance(listed, Sequence):
        problem = f"The sentences are of type {type(sentences).__name__}, which is not a list."
        raise InputError(problem, "give a list of texts; list(...) makes one of a set, a generator or a column.")
    return listed


def _placed(out: Floats, rows: npt.NDArray[np.int64], vectors: Floats) -> Floats:
    """Write vectors to their rows of `out` and return it; if they are all rows in order, return them uncopied."""
    if len(rows) == len(out) and vectors.flags.c_contiguous and (rows == np.arange(len(out))).all():
        return vectors
    out[rows] = vectors
    return out
