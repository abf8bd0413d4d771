"""SentenceTransformer: load a model and turn texts or images into vectors."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from st_spark.errors import InputError, check_count
from st_spark.model import parallel, quantization, similarity
from st_spark.model import precision as precisions
from st_spark.model.checkpoint import checkpoint, hub
from st_spark.model.inputs import images, prompts
from st_spark.model.inputs.tokenizer import Text
from st_spark.model.modules.registry import Assembly, Pipeline

if TYPE_CHECKING:
    from st_spark.model.inputs.images import Source
    from st_spark.model.modules.interfaces import Inputs
    from st_spark.model.similarity import Vectors

    Input = Text | Source

Floats = npt.NDArray[np.float32]


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


class SentenceTransformer:
    """A Sentence-Transformers model, ready to encode.

    Args:
        model_name_or_path: A folder, "package:NAME" for a Python package that contains a model, or a name on the
            Hugging Face Hub (a name without "/" belongs to sentence-transformers).
        device: A torch device, such as "cuda:1"; default the first CUDA device, else the CPU.
        dtype: "float32", "bfloat16", "float16", or "auto": the fastest on this device with a cosine to float32 of
            at least 0.9999.
        revision: Branch, tag or commit on the hub.
        threads: Number of torch threads in this process; default torch's own choice.
        name: The model's name on the hub, if the folder is a copy: INSTRUCTOR models are recognised by it.

    Raises:
        ModelError: No such model, or a checkpoint that cannot be read or trusted.
        InputError: An unknown dtype, an unknown device, or threads below 1.
    """

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str],
        device: str | None = None,
        dtype: str = "auto",
        revision: str | None = None,
        threads: int | None = None,
        name: str | None = None,
    ) -> None:
        if threads is not None:
            check_count("threads", threads)
            torch.set_num_threads(threads)
        snapshot = hub.resolve(model_name_or_path, revision)
        description = checkpoint.read(snapshot.folder)
        self.name, self.revision, self.folder = snapshot.name, snapshot.revision, snapshot.folder
        self.device = _device(device)
        chosen = precisions.choose(dtype, self.device)
        self.prompts = prompts.with_defaults(description.prompts)
        self.default_prompt_name = description.default_prompt_name
        self.similarity_fn_name = description.similarity
        self.truncate_dim = description.truncate_dim
        self._assembly = Assembly(description.modules, name or self.name, chosen, self.device)
        self.modules: list[Any] = self._assembly.modules  # of many classes

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
    def max_seq_length(self, value: int) -> None:
        """Set the limit; InputError if the special tokens leave no room for a text, or the model has no positions."""
        for module in self._assembly.inputs:
            module.check_length(value)
        for module in self._assembly.inputs:
            module.max_length = value

    def set_pooling_include_prompt(self, include_prompt: bool) -> None:
        """Set whether pooling includes the prompt's tokens. INSTRUCTOR models need False if they do not store it."""
        self._assembly.include_prompt(include_prompt)

    def set_max_image_pixels(self, pixels: int) -> None:
        """Set how many pixels an image may have, 50 million by default; a worker needs about 8 bytes for each."""
        check_count("pixels", pixels)
        for module in self._assembly.inputs:
            module.max_pixels = pixels

    def get_sentence_embedding_dimension(self) -> int:
        """Return the dimension of the vectors, after truncate_dim if the model has one."""
        width = self._assembly.typical().width
        return min(width, self.truncate_dim or width)

    def encode(  # noqa: PLR0913  (the arguments of sentence-transformers)
        self,
        sentences: "Input | Sequence[Input]",
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        task: str | None = None,
        *,
        precision: str = "float32",
        ranges: npt.ArrayLike | None = None,
    ) -> npt.NDArray[Any]:
        """Encode one text or many.

        Args:
            sentences: A str, a list of str, or a list of pairs [title, text]; arrays of NumPy and pandas are lists,
                too. For CLIP models also an image or a list of images: Pillow images, bytes of image files, or Path
                objects (a str is always a text). Images get no prompt. Half a surrogate pair, which UTF-8 cannot
                store, is read as U+FFFD.
            prompt_name: Name of one of the model's prompts.
            prompt: Text put before every sentence; takes precedence over prompt_name.
            batch_size: Maximum number of texts in one micro-batch; by default only its tokens are limited.
            show_progress_bar: Whether to show a progress bar; default off.
            normalize_embeddings: Whether to scale vectors to length 1.
            truncate_dim: How many leading dimensions to keep; by default the model's truncate_dim.
            task: Task for Router models: "query", "document" or another route of the model.
            precision: "float32"; "int8" or "uint8", one byte per value; "binary" or "ubinary", one bit per value. See
                quantization.quantise.
            ranges: [2, d] lowest and highest value of each dimension, for int8 and uint8. Values outside are clipped.
                By default the ranges of this call; give ranges to compare the results of several calls.

        Returns:
            float32 [n, d], or the result of quantization.quantise for it; [d] for a single str or image, [0, d] for
            an empty list.

        Raises:
            InputError: Sentences without an order (a set, a generator), an input that is not a text, an image that
                cannot be read, texts and images in one list, an unknown prompt name or task, a truncate_dim or
                batch_size below 1, an unknown precision, ranges of another shape, or int8 or uint8 of a single text
                without ranges.
        """
        quantization.checked_ranges(precision, ranges)
        single = _is_one(sentences)
        texts: Sequence[Any] = [sentences] if single else sentences  # type: ignore[assignment]
        encoded = self.embed(
            texts,
            prompt=prompt,
            prompt_name=prompt_name,
            normalize_embeddings=normalize_embeddings,
            truncate_dim=truncate_dim,
            batch_size=batch_size,
            show_progress_bar=bool(show_progress_bar),
            task=task,
        )
        images.raise_for_unreadable(encoded.problems)
        vectors = quantization.quantise(encoded.vectors, precision, ranges)
        return vectors[0] if single else vectors

    def encode_query(self, sentences: "Input | Sequence[Input]", **options: Any) -> npt.NDArray[Any]:  # noqa: ANN401
        """Call encode() with the task "query" and, unless a prompt or prompt_name is given, the prompt "query"."""
        return self.encode(sentences, **_named("query", options))

    def encode_document(self, sentences: "Input | Sequence[Input]", **options: Any) -> npt.NDArray[Any]:  # noqa: ANN401
        """Call encode() with the task "document" and, unless a prompt or its name is given, the prompt "document"."""
        return self.encode(sentences, **_named("document", options))

    def similarity(self, embeddings1: "Vectors", embeddings2: "Vectors") -> torch.Tensor:
        """Return the scores of [n, d] against [m, d] vectors, float32 [n, m], by the model's similarity function."""
        return similarity.similarity(embeddings1, embeddings2, self.similarity_fn_name)

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
        from tqdm import tqdm

        texts = _listed(texts)
        for option, value in (("truncate_dim", truncate_dim), ("batch_size", batch_size)):
            if value is not None:
                check_count(option, value)
        cut = truncate_dim or self.truncate_dim
        text = prompts.resolve(self.prompts, self.default_prompt_name, prompt, prompt_name)
        pipeline = self._assembly.pipeline(task)
        inputs = pipeline.input.prepare(texts, text)
        out = np.empty((len(texts), min(pipeline.width, cut or pipeline.width)), dtype=np.float32)
        with torch.inference_mode(), tqdm(total=len(texts), unit="texts", disable=not show_progress_bar) as bar:
            for rows, vectors in self._run(pipeline, inputs, batch_size):
                kept = vectors[:, :cut] if cut else vectors
                kept = F.normalize(kept, dim=1) if normalize_embeddings else kept
                out = _placed(out, rows, kept.cpu().numpy())
                bar.update(len(rows))
        problems: Mapping[int, str] = getattr(inputs, "problems", {})
        out[list(problems)] = np.nan
        return Encoded(out, inputs.lengths.astype(np.int32), inputs.truncated, problems)

    def _run(
        self, pipeline: Pipeline, inputs: "Inputs", batch_size: int | None
    ) -> Iterator[tuple[npt.NDArray[np.int64], torch.Tensor]]:
        """Yield the positions and vectors of each micro-batch."""
        runs = pipeline.runs(inputs.lengths, self.device, batch_size)

        def forward(rows: npt.NDArray[np.int64]) -> torch.Tensor:
            batch = inputs.take(rows, self.device)
            for module in pipeline.modules:
                batch = module(batch)
            return batch.sentence_embeddings()

        yield from zip(runs, parallel.run(forward, runs, self.device), strict=True)


def _device(name: str | None) -> torch.device:
    """Return the device of a name; InputError if torch does not know it or this machine does not have it."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = str(error).split("\n", 1)[0]
        raise InputError(f"device={name!r} cannot be used: {reason}.", 'give "cpu", "cuda" or "cuda:0".') from error
    return device


def _is_one(sentences: object) -> bool:
    return isinstance(sentences, str) or images.is_image(sentences)


def _listed(sentences: Any) -> Sequence[Any]:  # noqa: ANN401
    """Return many inputs as a sequence; InputError for one input, and for what has no order, such as a set."""
    listed = sentences.tolist() if hasattr(sentences, "tolist") else sentences  # of NumPy or pandas
    if _is_one(listed) or not isinstance(listed, Sequence):
        problem = f"The sentences are of type {type(sentences).__name__}, which is not a list."
        raise InputError(problem, "give a list of texts; list(...) makes one of a set, a generator or a column.")
    return listed


def _named(name: str, options: dict[str, Any]) -> dict[str, Any]:
    given = options.get("prompt") is not None or options.get("prompt_name") is not None
    return {"task": name, **options} if given else {"task": name, **options, "prompt_name": name}


def _placed(out: Floats, rows: npt.NDArray[np.int64], vectors: Floats) -> Floats:
    """Write vectors to their rows of `out` and return it; if they are all rows in order, return them uncopied."""
    if len(rows) == len(out) and vectors.flags.c_contiguous and (rows == np.arange(len(out))).all():
        return vectors
    out[rows] = vectors
    return out
