"""The resize, crop and scaling that a checkpoint wants of its images, as its image processor's JSON says.

Pillow does the resampling, whether torchvision is installed or not: torchvision's differs in the last bits, and a
vector must not depend on what else a machine has.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from st_spark.errors import InputError, ModelError
from st_spark.model.checkpoint.json_files import read_object, wrong

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = npt.NDArray[np.uint8]

# What a CLIP checkpoint that leaves something out means: the values of OpenAI's own models.
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
    """How a checkpoint wants its images.

    Attributes:
        size: (height, width) to resize to, the length of the shorter edge, or None to leave the size.
        resample: Pillow's number of the filter.
        crop: (height, width) to cut from the middle, black where the image is smaller, or None.
        scale: Factor of the values 0..255.
        mean: Subtracted from each channel after scaling.
        std: Divides each channel after that.
    """

    size: tuple[int, int] | int | None
    resample: int
    crop: tuple[int, int] | None
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def from_folder(cls, folder: Path) -> "ImageProcessor":
        """Reads processor_config.json or preprocessor_config.json, or takes CLIP's own values if there is neither.

        Raises:
            ModelError: The file is broken.
        """
        new, old = folder / "processor_config.json", folder / "preprocessor_config.json"
        stored = read_object(new).get("image_processor") if new.is_file() else None
        file = old if stored is None else new
        stored = (read_object(old) if old.is_file() else {}) if stored is None else stored
        if not isinstance(stored, dict):
            raise wrong(new, "'image_processor'", stored, "an object")
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
            raise wrong(file, "its settings of images", stored, "those of a CLIPImageProcessor") from error

    def check(self, edge: int) -> None:
        """Raises ModelError unless every image becomes edge x edge pixels."""
        given = self.crop or self.size
        if given != (edge, edge):
            raise ModelError(
                f"the image processor gives images of {given} pixels, the model wants {edge} x {edge}.",
                "the checkpoint's preprocessor_config.json is not its own: copy or download it again.",
            )

    def pixels(self, image: "Image") -> Pixels:
        """An RGB image as [height, width, 3] values 0..255, resized and cropped.

        Raises:
            InputError: It is so narrow that its resized form would be a bomb of pixels.
        """
        from PIL import Image

        if self.size is not None:
            width, height = self._resized(*image.size)
            if width * height > (Image.MAX_IMAGE_PIXELS or math.inf):
                raise InputError(
                    f"an image of {image.width} x {image.height} pixels is too narrow to be resized to "
                    f"{width} x {height}.",
                    "crop it.",
                )
            image = image.resize((width, height), Image.Resampling(self.resample))
        pixels = np.asarray(image)
        return pixels if self.crop is None else _center(pixels, *self.crop)

    def normalize(self, pixels: torch.Tensor) -> torch.Tensor:
        """[n, height, width, 3] values 0..255 to the [n, 3, height, width] float32 that the model reads."""
        mean, std = (torch.tensor(values, device=pixels.device) for values in (self.mean, self.std))
        return pixels.float().mul_(self.scale).sub_(mean).div_(std).permute(0, 3, 1, 2)

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        if isinstance(self.size, tuple):
            return self.size[1], self.size[0]
        edge = self.size or 0
        long = int(edge * max(width, height) / min(width, height))
        return (edge, long) if width <= height else (long, edge)


def _center(pixels: Pixels, height: int, width: int) -> Pixels:
    """The middle of an image, with black around where it is smaller."""
    above, before = max(height - pixels.shape[0], 0), max(width - pixels.shape[1], 0)
    if above or before:
        edges = ((above + 1) // 2, above // 2), ((before + 1) // 2, before // 2), (0, 0)
        pixels = np.pad(pixels, edges)
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def _edges(size: Any) -> tuple[int, int] | int:  # noqa: ANN401
    if isinstance(size, dict):
        return int(size["shortest_edge"]) if "shortest_edge" in size else (int(size["height"]), int(size["width"]))
    return int(size)  # files of before 2022 hold the number alone


def _both(size: Any) -> tuple[int, int]:  # noqa: ANN401
    return (int(size["height"]), int(size["width"])) if isinstance(size, dict) else (int(size), int(size))


def _three(values: Any) -> tuple[float, ...]:  # noqa: ANN401
    first, second, third = map(float, values)
    return first, second, third
