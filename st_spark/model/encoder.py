"""SentenceTransformer: load a model and turn texts or images into vectors, with the interface of that package."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
import torch

from st_spark.choices import SIMILARITIES
from st_spark.errors import check_choice, check_count
from st_spark.model import arguments, devices, quantization, similarity
from st_spark.model import precision as precisions
from st_spark.model.checkpoint import checkpoint, hub
from st_spark.model.embedder import Embedder, Encoded, is_one
from st_spark.model.inputs import images
from st_spark.model.inputs.prompts import of_task
from st_spark.model.modules.registry import Assembly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from st_spark.model.embedder import Input
    from st_spark.model.similarity import Vectors

__all__ = ["Encoded", "SentenceTransformer"]

_log = logging.getLogger(__name__)


class SentenceTransformer(Embedder):
    """A Sentence-Transformers model, ready to encode.

    Args:
        model_name_or_path: A folder, "package:NAME" for a Python package that contains a model, or a name on the
            Hugging Face Hub. A name without "/" belongs to sentence-transformers, or is a plain transformers model such
            as bert-base-uncased.
        device: A torch device, such as "cuda:1"; default the first CUDA device, else the CPU.
        dtype: "float32", "bfloat16", "float16", "int8" (CPUs with VNNI or AMX, models like BERT), or "auto": on a GPU
            bfloat16 or float16, on a CPU bfloat16 if it multiplies that clearly faster, else float32. `st-spark doctor
            --model` measures the cosine to float32, usually 0.9999 or more. The environment variable ST_SPARK_DTYPE
            replaces "auto".
        revision: Branch, tag or commit on the hub.
        threads: Number of torch threads in this process; default torch's own choice.
        name: The model's name on the hub, if the folder is a copy: INSTRUCTOR models are recognised by it.
        prompts: Prompt texts by name; they replace stored ones of the same names.
        default_prompt_name: The prompt of inputs that are given without one; default the stored one.
        similarity_fn_name: "cosine", "dot", "euclidean" or "manhattan"; default the stored one, else cosine.
        truncate_dim: How many leading dimensions to keep; default the stored number, else all.
        cache_folder: Where hub models are stored; default SENTENCE_TRANSFORMERS_HOME, else the hub's own cache.
        local_files_only: Whether to use only models that are in the cache.
        token: A token of the hub; default HF_TOKEN or the login, False for none.
        trust_remote_code: Changes nothing: code of a checkpoint never runs, and a model that needs it is refused.
        model_kwargs: dtype (or torch_dtype) and device_map, for one device, replace the arguments above.
            attn_implementation, low_cpu_mem_usage and use_safetensors change nothing. Other keys are refused.
        processor_kwargs: Arguments of AutoTokenizer, such as model_max_length; also by its old name tokenizer_kwargs.
        config_kwargs: Arguments of AutoConfig.
        backend: "torch".

    Raises:
        ModelError: No such model, or a checkpoint that cannot be read or trusted.
        InputError: An argument with an unknown value, or one that is not supported; the message names it.
    """

    @arguments.takes(tokenizer_kwargs="processor_kwargs", use_auth_token="token")
    def __init__(  # noqa: PLR0913  (the arguments of sentence-transformers)
        self,
        model_name_or_path: str | os.PathLike[str],
        device: str | torch.device | None = None,
        dtype: str = "auto",
        revision: str | None = None,
        threads: int | None = None,
        name: str | None = None,
        *,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: str | None = None,
        truncate_dim: int | None = None,
        cache_folder: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        trust_remote_code: bool = False,
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
        backend: str = "torch",
    ) -> None:
        arguments.check_backend(backend)
        for option, number in (("threads", threads), ("truncate_dim", truncate_dim)):
            if number is not None:
                check_count(option, number)
        if threads is not None:
            torch.set_num_threads(threads)
        dtype, device = arguments.dtype_and_device(dtype, device, model_kwargs)
        place = devices.find(device)
        chosen = precisions.choose(dtype, place)
        access = hub.Access(None if cache_folder is None else Path(cache_folder), token, local_files_only)
        snapshot = hub.resolve(model_name_or_path, revision, access)
        description = checkpoint.read(snapshot.folder)
        self.name, self.revision, self.folder = snapshot.name, snapshot.revision, snapshot.folder
        modules = arguments.with_settings(description.modules, processor_kwargs, config_kwargs)
        super().__init__(
            Assembly(modules, name or self.name, chosen, place),
            place,
            arguments.merged_prompts(description.prompts, prompts or {}),
            default_prompt_name or description.default_prompt_name,
            truncate_dim or description.truncate_dim,
        )
        if self.default_prompt_name is not None:
            check_choice("default_prompt_name", self.default_prompt_name, self.prompts)
        self.similarity_fn_name = similarity_fn_name or description.similarity

    @property
    def similarity_fn_name(self) -> str:
        """Return the name of the similarity function."""
        return self._similarity_fn_name

    @similarity_fn_name.setter
    def similarity_fn_name(self, value: str | None) -> None:
        """Set it, by its name or its SimilarityFunction; None is cosine."""
        name = getattr(value, "value", value) or "cosine"
        check_choice("similarity_fn_name", name, SIMILARITIES)
        self._similarity_fn_name = name

    def eval(self) -> "SentenceTransformer":
        """Return the model: it never trains."""
        return self

    def to(self, device: str | torch.device) -> "SentenceTransformer":
        """Return the model; InputError for another device than the one it was loaded on."""
        devices.check_same("device", device, self.device)
        return self

    @contextmanager
    def truncate_embeddings(self, truncate_dim: int | None) -> Iterator[None]:
        """Keep so many leading dimensions inside a with statement."""
        before, self.truncate_dim = self.truncate_dim, self._cut(truncate_dim) if truncate_dim is not None else None
        try:
            yield
        finally:
            self.truncate_dim = before

    truncate_sentence_embeddings = truncate_embeddings

    @arguments.takes(sentences="inputs")
    def encode(  # noqa: PLR0913, PLR0917  (the arguments of sentence-transformers)
        self,
        inputs: "Input | Sequence[Input]",
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        output_value: str | None = "sentence_embedding",
        precision: str | None = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,  # noqa: ANN401  (a name, a torch.device, or a list of them)
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: Mapping[str, Any] | None = None,
        chunk_size: int | None = None,
        task: str | None = None,
        ranges: npt.ArrayLike | None = None,
    ) -> Any:  # noqa: ANN401  (see Returns)
        """Encode one text or many.

        Args:
            inputs: A str, a list of str, or a list of pairs [title, text]; arrays of NumPy and pandas are lists,
                too. For CLIP models also an image or a list of images: Pillow images, bytes of image files, or Path
                objects (a str is always a text). Images get no prompt. Half a surrogate pair, which UTF-8 cannot
                store, is read as U+FFFD. Also by its old name, sentences.
            prompt_name: Name of one of the model's prompts.
            prompt: Text put before every sentence; takes precedence over prompt_name.
            batch_size: Maximum number of texts in one micro-batch; by default only its tokens are limited.
            show_progress_bar: Whether to show a progress bar; default if the logger st_spark has the level INFO or
                DEBUG.
            output_value: "sentence_embedding"; "token_embeddings" for a vector of each token; None for all that the
                model computes for a text.
            precision: "float32"; "int8" or "uint8", one byte per value; "binary" or "ubinary", one bit per value. See
                quantization.quantise.
            convert_to_numpy: Whether to return an array; if not, a list of tensors.
            convert_to_tensor: Whether to return one tensor instead of an array.
            device: The device of the model, or a list with it; another one is refused.
            normalize_embeddings: Whether to scale vectors to length 1.
            truncate_dim: How many leading dimensions to keep; by default the model's truncate_dim.
            pool: A pool of start_multi_process_pool().
            chunk_size: Changes nothing: texts are not sent to other processes.
            task: Task for Router models: "query", "document" or another route of the model.
            ranges: [2, d] lowest and highest value of each dimension, for int8 and uint8. Values outside are clipped.
                By default the ranges of this call; give ranges to compare the results of several calls.

        Returns:
            float32 [n, d], or the result of quantization.quantise for it; [d] for a single str or image, [0, d] for
            an empty list. For token embeddings a list of float32 tensors [tokens, width] without padding, for
            output_value=None a list of dicts; without the list for a single text.

        Raises:
            InputError: Inputs without an order (a set, a generator), an input that is not a text, an image that
                cannot be read, texts and images in one list, an unknown prompt name or task, a truncate_dim or
                batch_size below 1, an unknown precision, ranges of another shape, int8 or uint8 of a single text
                without ranges, or an argument that is not supported.
        """
        quantization.checked_ranges(precision := precision or "float32", ranges)
        devices.check_same("device", device, self.device)
        if chunk_size is not None:
            check_count("chunk_size", chunk_size)
        if show_progress_bar is None:
            show_progress_bar = _log.getEffectiveLevel() in (logging.INFO, logging.DEBUG)
        shared: dict[str, Any] = {"prompt": prompt, "prompt_name": prompt_name, "task": task, "batch_size": batch_size}
        shared |= {"truncate_dim": truncate_dim, "show_progress_bar": show_progress_bar}
        single = is_one(inputs)
        texts: Any = [inputs] if single else inputs
        if output_value != "sentence_embedding":
            arguments.check_token_results(output_value, precision)
            results = self.token_results(texts, everything=output_value is None, **shared)
            return results[0] if single else results
        encoded = self.embed(texts, normalize_embeddings=normalize_embeddings, **shared)
        images.raise_for_unreadable(encoded.problems)
        vectors: Any = quantization.quantise(encoded.vectors, precision, ranges)
        if convert_to_tensor or not convert_to_numpy:
            vectors = torch.from_numpy(vectors).to(self.device)
            vectors = vectors if convert_to_tensor else list(vectors)
        return vectors[0] if single else vectors

    @arguments.takes(sentences="inputs")
    def encode_query(
        self,
        inputs: "Input | Sequence[Input]",
        prompt_name: str | None = None,
        prompt: str | None = None,
        *args: Any,  # noqa: ANN401
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Call encode() with the task "query" and, unless a prompt or prompt_name is given, the prompt "query"."""
        return self._encode_for("query", inputs, prompt_name, prompt, args, options)

    @arguments.takes(sentences="inputs")
    def encode_document(
        self,
        inputs: "Input | Sequence[Input]",
        prompt_name: str | None = None,
        prompt: str | None = None,
        *args: Any,  # noqa: ANN401
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Call encode() with the task "document" and, by default, the prompt "document", "passage" or "corpus"."""
        return self._encode_for("document", inputs, prompt_name, prompt, args, options)

    def _encode_for(
        self,
        task: str,
        inputs: "Input | Sequence[Input]",
        prompt_name: str | None,
        prompt: str | None,
        args: "Sequence[Any]",
        options: dict[str, Any],
    ) -> Any:  # noqa: ANN401
        if prompt is None and prompt_name is None:
            prompt_name = of_task(self.prompts, task)
        options = {"task": task, **arguments.by_name(SentenceTransformer.encode, args, 4), **options}
        return self.encode(inputs=inputs, prompt_name=prompt_name, prompt=prompt, **options)

    def start_multi_process_pool(self, target_devices: "Sequence[str] | None" = None) -> dict[str, Any]:
        """Return a pool for encode(). It has no processes: each call uses all cores, or the model's GPU.

        Raises:
            InputError: A device that is not the model's.
        """
        devices.check_same("target_devices", target_devices, self.device)
        return {"input": None, "output": None, "processes": []}

    @staticmethod
    def stop_multi_process_pool(pool: Mapping[str, Any]) -> None:
        """Do nothing: a pool has no processes."""

    @arguments.takes(sentences="inputs")
    def encode_multi_process(
        self,
        inputs: "Sequence[Input]",
        pool: Mapping[str, Any],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        chunk_size: int | None = None,
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Call encode() with a pool."""
        return self.encode(inputs, prompt_name, prompt, batch_size, pool=pool, chunk_size=chunk_size, **options)

    def similarity(self, embeddings1: "Vectors", embeddings2: "Vectors") -> torch.Tensor:
        """Return the scores of [n, d] against [m, d] vectors, [n, m], by the model's similarity function."""
        return similarity.similarity(embeddings1, embeddings2, self.similarity_fn_name)

    def similarity_pairwise(self, embeddings1: "Vectors", embeddings2: "Vectors") -> torch.Tensor:
        """Return the score of each of [n, d] vectors with the same row of others, [n]; see similarity()."""
        return similarity.similarity_pairwise(embeddings1, embeddings2, self.similarity_fn_name)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Raise AttributeError; for what sentence-transformers has, with what to use instead."""
        raise AttributeError(arguments.missing_attribute(name))
