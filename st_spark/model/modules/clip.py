"""CLIP: texts and images as vectors of one space, each through its own encoder and projection."""

from collections.abc import Sequence
from typing import Any

import torch

from st_spark.errors import InputError, ModelError
from st_spark.model.backbones.clip import ImageEncoder, TextEncoder
from st_spark.model.backbones.layers import LayerLoader
from st_spark.model.checkpoint.faults import Faults
from st_spark.model.checkpoint.module_spec import ModuleSpec
from st_spark.model.inputs.image_processor import ImageProcessor
from st_spark.model.inputs.images import ImageBatch, Images, is_image
from st_spark.model.inputs.packed import Packed
from st_spark.model.inputs.prompts import prefixed
from st_spark.model.inputs.tokenizer import Tokenizer, Tokens
from st_spark.model.modules.interfaces import InputModule
from st_spark.model.modules.transformer import load_files


class CLIPModel(InputModule):
    """A transformers CLIP checkpoint. The vectors are the projections, not normalised."""

    tokenizer: Tokenizer

    def __init__(self, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> None:
        faults = Faults()
        weights, config, self.tokenizer = load_files(spec, faults)
        faults.check()
        if config.model_type != "clip":
            raise ModelError(f"{spec.path} is a {config.model_type} model, not CLIP.", "choose a CLIP checkpoint.")
        self.dtype = dtype
        self.text = TextEncoder(LayerLoader(weights, "text_model.", dtype, device), config.text_config)
        self.vision = ImageEncoder(LayerLoader(weights, "vision_model.", dtype, device), config.vision_config)
        self.tokenizer.check_vocabulary(spec.path, len(self.text.words))
        self.set_limits(self.tokenizer.specials, len(self.text.positions))
        for part in ("text_model.", "vision_model."):
            weights.check_all_read(part)
        self.images = ImageProcessor.from_folder(spec.path)
        self.images.check(self.vision.edge)
        self.text_projection, self.visual_projection = (
            weights[f"{name}_projection.weight"].to(device, torch.float32) for name in ("text", "visual")
        )

    def prepare(self, inputs: Sequence[Any], prompt: str | None) -> Tokens | Images:
        """Read texts, with the prompt before each, or images (Pillow images, bytes, path objects).

        Raises:
            InputError: Texts and images in one list, a pair, or another type.
        """
        kinds = [is_image(each) for each in inputs]
        for place, (each, image) in enumerate(zip(inputs, kinds, strict=True)):
            if image != kinds[0] or not (image or isinstance(each, str)):
                raise InputError(
                    f"input {place} is {'an image' if image else repr(each)[:60]} ({type(each).__name__}), "
                    f"but input 0 is of type {type(inputs[0]).__name__}.",
                    "give CLIP models a list of str, or a list of images (Pillow images, bytes or Path objects).",
                )
        if kinds and kinds[0]:
            return Images(inputs, self.images, self.vision.edge, self.vision.tokens, self.max_pixels)
        return self.tokenizer(prefixed(inputs, prompt))

    def __call__(self, batch: Packed) -> Packed:
        """Fill in the vectors of texts or images."""
        if isinstance(batch, ImageBatch):
            pooled, projection = self.vision(self.images.normalize(batch.pixels), batch.groups), self.visual_projection
        else:
            pooled, projection = self.text(batch), self.text_projection
        batch.vectors = pooled @ projection.T
        return batch

    def dimension(self, width: int) -> int:
        """Return the size of the common space."""
        return self.text_projection.shape[0]
