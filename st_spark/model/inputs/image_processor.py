"""Resize, crop and scale images as the checkpoint's image processor says.

Pillow resamples, even if torchvision is installed: torchvision's results differ in the last bits, and a vector must
not depend on which other packages a machine has.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from st_spark.errors import InputError, ModelError
from st_spark.model.checkpoint.json_files import invalid, read_object

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = npt.NDArray[np.uint8]

# OpenAI's values, for settings that a CLIP checkpoint does not store.
_DEFAULTS: dict[str, Any] = {
    **{f"do_{step}": True for step in ("resize", "center_crop", "rescale", "normalize")},
    "size": {"shortest_edge": 224},
    "crop_size": {"height": 224, "width": 224},
    "resample": 3,  # bicubic
    "rescale_factor": 1 / 255,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


@dataclass(frozen=True)
class ImageProcessor:
    """The steps that turn an image into a model's input.

    Attributes:
        size: (height, width) to resize to, the length of the shorter edge, or None to keep the size.
        resample: Pillow's number of the resampling filter.
        crop: (height, width) to cut from the centre, filled up with black if the image is smaller, or None.
        scale: Factor for the values 0..255.
        mean: Subtracted from each channel after scaling.
        std: Divisor of each channel after subtracting the mean.
    """

    size: tuple[int, int] | int | None
    resample: int
    crop: tuple[int, int] | None
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def from_folder(cls, folder: Path) -> "ImageProcessor":
        """Read processor_config.json or preprocessor_config.json, or return CLIP's values if there is neither.

        Raises:
            ModelError: The file is broken.
        """
        new, old = folder / "processor_config.json", folder / "preprocessor_config.json"
        stored = read_object(new).get("image_processor") if new.is_file() else None
        file = old if stored is None else new
        stored = (read_object(old) if old.is_file() else {}) if stored is None else stored
        if not isinstance(stored, dict):
            raise invalid(new, "'image_processor'", stored, "an object")
        values = {**_DEFAULTS, **{name: value for name, value in stored.items() if value is not None}}
        try:
            return cls(
                size=_edges(values["size"]) if values["do_resize"] else None,
                resample=int(values["resample"]),
                crop=_both(values["crop_size"]) if values["do_center_crop"] else None,
                scale=float(values["rescale_factor"]) if values["do_rescale"] else 1.0,
                mean=_three(values["image_mean"]) if values["do_normalize"] else (0.0, 0.0, 0.0),
                std=_three(values["image_std"]) if values["do_normalize"] else (1.0, 1.0, 1.0),
            )
        except (TypeError, ValueError, KeyError) as error:
            raise invalid(file, "its image settings", stored, "the settings of a CLIPImageProcessor") from error

    def check(self, edge: int) -> None:
        """Raise ModelError unless every image becomes edge x edge pixels."""
        given = self.crop or self.size
        if given != (edge, edge):
            raise ModelError(
                f"the image processor gives images of {given} pixels, the model needs {edge} x {edge}.",
                "the checkpoint's preprocessor_config.json belongs to another model: copy or download it again.",
            )

    def pixels(self, image: "Image", max_pixels: int) -> Pixels:
        """Resize and crop an RGB image to [height, width, 3] values 0..255.

        Raises:
            InputError: The image is so narrow that resizing would give more than max_pixels pixels.
        """
        from PIL import Image

        if self.size is not None:
            width, height = self._resized(*image.size)
            if width * height > max_pixels:
                problem = f"the image is too narrow: resized, it would have more than {max_pixels:,} pixels."
                raise InputError(problem, "crop it.")
            image = image.resize((width, height), Image.Resampling(self.resample))
        pixels = np.asarray(image)
        return pixels if self.crop is None else _center(pixels, *self.crop)

    def normalize(self, pixels: torch.Tensor) -> torch.Tensor:
        """Turn [n, height, width, 3] values 0..255 into the model's input, [n, 3, height, width] float32."""
        mean, std = (torch.tensor(values, device=pixels.device) for values in (self.mean, self.std))
        return pixels.float().mul_(self.scale).sub_(mean).div_(std).permute(0, 3, 1, 2)

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        if isinstance(self.size, tuple):
            return self.size[1], self.size[0]
        edge = self.size or 0
        long = int(edge * max(width, height) / min(width, height))
        return (edge, long) if width <= height else (long, edge)


def _center(pixels: Pixels, height: int, width: int) -> Pixels:
    """Return the centre of an image, filled up with black if it is smaller."""
    above, before = max(height - pixels.shape[0], 0), max(width - pixels.shape[1], 0)
    if above or before:
        edges = ((above + 1) // 2, above // 2), ((before + 1) // 2, before // 2), (0, 0)
        pixels = np.pad(pixels, edges)
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def _edges(size: Any) -> tuple[int, int] | int:  # noqa: ANN401
    if isinstance(size, dict):
        return int(size["shortest_edge"]) if "shortest_edge" in size else (int(size["height"]), int(size["width"]))
    return int(size)  # files from before 2022 hold the number alone


def _both(size: Any) -> tuple[int, int]:  # noqa: ANN401
    return (int(size["height"]), int(size["width"])) if isinstance(size, dict) else (int(size), int(size))


def _three(values: Any) -> tuple[float, ...]:  # noqa: ANN401
    first, second, third = map(float, values)
    return first, second, third
