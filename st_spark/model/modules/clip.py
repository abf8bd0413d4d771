"""CLIP: texts and images as vectors of one space, by a tower for each and a projection behind it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from st_spark.errors import InputError, ModelError
from st_spark.model.backbones.clip import Reader, Tower
from st_spark.model.backbones.layers import Linear
from st_spark.model.checkpoint.weights import Weights
from st_spark.model.inputs.image_processor import ImageProcessor
from st_spark.model.inputs.images import ImageBatch, Images, is_image
from st_spark.model.inputs.packed import Packed
from st_spark.model.inputs.prompts import prefixed
from st_spark.model.inputs.tokenizer import Tokenizer, Tokens
from st_spark.model.modules.transformer import load_config

if TYPE_CHECKING:
    from st_spark.model.checkpoint.module_spec import ModuleSpec


class CLIP:
    """A transformers CLIP checkpoint; its vectors are the projections, not normalised.

    Args:
        folder: The checkpoint.
        settings: Its sentence_bert_config.json, if any.
        dtype: What to compute in.
        device: Where.

    Raises:
        ModelError: A file is missing or broken.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], dtype: torch.dtype, device: torch.device) -> None:
        config = load_config(folder, dict(settings.get("config_args") or {}))
        if config.model_type != "clip":
            raise ModelError(f"{folder} is a {config.model_type}, no CLIP model.", "choose a CLIP checkpoint.")
        options = dict(settings.get("tokenizer_args") or settings.get("processor_kwargs") or {})
        self.tokenizer = Tokenizer(folder, settings.get("max_seq_length"), bool(settings.get("do_lower_case")), options)
        self.max_length = min(self.tokenizer.max_length, config.text_config.max_position_embeddings)
        weights = Weights(folder)
        self.dtype = dtype
        self.text = TextTower(Reader(weights, "text_model.", dtype, device), config.text_config)
        self.vision = VisionTower(Reader(weights, "vision_model.", dtype, device), config.vision_config)
        self.images = ImageProcessor.from_folder(folder)
        self.images.check(self.vision.edge)
        whole = Reader(weights, "", dtype, device)
        self.text_projection = whole.tensor("text_projection.weight")
        self.visual_projection = whole.tensor("visual_projection.weight")

    @classmethod
    def load(cls, spec: "ModuleSpec", dtype: torch.dtype, device: torch.device) -> "CLIP":
        """The module in its folder."""
        return cls(spec.path, spec.config, dtype, device)

    @property
    def max_length(self) -> int:
        """Most tokens of a text, special ones included."""
        return self.tokenizer.max_length

    @max_length.setter
    def max_length(self, value: int) -> None:
        self.tokenizer.auto.model_max_length = value

    def prepare(self, inputs: Sequence[Any], prompt: str | None) -> Tokens | Images:
        """Reads texts, or images (Pillow images, bytes, path objects); a prompt stands before texts alone.

        Raises:
            InputError: Texts and images in one list, a pair, or something else.
        """
        kinds = [is_image(each) for each in inputs]
        for place, (each, image) in enumerate(zip(inputs, kinds, strict=True)):
            if image != kinds[0] or not (image or isinstance(each, str)):
                raise InputError(
                    f"input {place} is {'an image' if image else repr(each)[:60]} ({type(each).__name__}), "
                    f"input 0 a {type(inputs[0]).__name__}.",
                    "give CLIP models a list of str, or a list of images (Pillow images, bytes or Path objects).",
                )
        if kinds and kinds[0]:
            return Images(inputs, self.images, self.vision.edge, self.vision.tokens)
        return self.tokenizer(prefixed(inputs, prompt))

    def __call__(self, batch: Packed) -> Packed:
        """Fills in the vectors of texts or images."""
        if isinstance(batch, ImageBatch):
            pooled, projection = self.vision(self.images.normalize(batch.pixels), batch), self.visual_projection
        else:
            pooled, projection = self.text(batch), self.text_projection
        batch.vectors = pooled @ projection.T
        return batch

    def dimension(self, width: int) -> int:
        """Size of the common space."""
        return self.text_projection.shape[0]


def _tower(reader: Reader, config: Any, causal: bool) -> Tower:  # noqa: ANN401  (a text or vision config)
    sizes = (config.num_hidden_layers, config.num_attention_heads, config.hidden_act, config.layer_norm_eps)
    return Tower(reader, *sizes, causal=causal)


class TextTower:
    """Token ids to one vector a text: that of its end token."""

    def __init__(self, reader: Reader, config: Any) -> None:  # noqa: ANN401  (CLIPTextConfig)
        self.words = reader.tensor("embeddings.token_embedding.weight")
        self.places = reader.tensor("embeddings.position_embedding.weight")
        self.tower = _tower(reader, config, causal=True)
        self.norm = reader.norm("final_layer_norm", config.layer_norm_eps)
        # Configs of before July 2023 say 2, which is not their end token; that has the largest id of all.
        self.end = None if config.eos_token_id == 2 else config.eos_token_id

    def __call__(self, batch: Packed) -> torch.Tensor:
        """[texts, width] float32."""
        positions = torch.from_numpy(batch.positions()).to(batch.ids.device)
        hidden = self.tower(self.words[batch.ids] + self.places[positions], batch.groups)
        ends = []
        for group in batch.groups:
            ids = batch.ids[group.start : group.stop].view(group.count, group.length)
            last = (ids if self.end is None else (ids == self.end).int()).argmax(dim=1)
            ends.append(last + torch.arange(group.start, group.stop, group.length, device=ids.device))
        return self.norm(hidden[torch.cat(ends)])


class VisionTower:
    """Pixels to one vector an image: that of the class token before its patches."""

    def __init__(self, reader: Reader, config: Any) -> None:  # noqa: ANN401  (CLIPVisionConfig)
        self.dtype, self.patch, self.edge = reader.dtype, config.patch_size, config.image_size
        self.side = self.edge // self.patch
        self.tokens = self.side**2 + 1
        patches = reader.tensor("embeddings.patch_embedding.weight")
        self.patches = Linear(patches.flatten(1), None, reader.dtype, reader.device)
        self.whole = reader.tensor("embeddings.class_embedding")
        self.places = reader.tensor("embeddings.position_embedding.weight")
        self.before = reader.norm("pre_layrnorm", config.layer_norm_eps)  # the name is spelt so in every checkpoint
        self.tower = _tower(reader, config, causal=False)
        self.norm = reader.norm("post_layernorm", config.layer_norm_eps)

    def __call__(self, pixels: torch.Tensor, batch: Packed) -> torch.Tensor:
        """[images, 3, edge, edge] float32 to [images, width] float32."""
        count, channels, covered = len(pixels), pixels.shape[1], self.side * self.patch
        grid = pixels[:, :, :covered, :covered].reshape(count, channels, self.side, self.patch, self.side, self.patch)
        flat = grid.permute(0, 2, 4, 1, 3, 5).reshape(count * self.side**2, -1).to(self.dtype)
        hidden = torch.empty(count, self.tokens, len(self.whole), device=pixels.device)
        hidden[:, 0] = self.whole
        hidden[:, 1:] = self.patches(flat).view(count, self.side**2, -1)
        hidden += self.places
        x = self.tower(self.before(hidden).flatten(0, 1), batch.groups)
        return self.norm(x.view(hidden.shape)[:, 0])
