"""Recognise and decode the images that a model gets, and collect the problems of unreadable ones."""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from st_spark.errors import InputError, PlatformError
from st_spark.model.inputs.batching import Lengths
from st_spark.model.inputs.image_processor import ImageProcessor
from st_spark.model.inputs.packed import Packed

if TYPE_CHECKING:
    from PIL.Image import Image

    Source = Image | bytes | bytearray | memoryview | os.PathLike[str]


def is_image(value: object) -> bool:
    """Return whether a value is an image: a Pillow image, the bytes of a file, or a path object.

    A str is never an image: a text that looks like a path or an address must not open files or connections.
    """
    return isinstance(value, bytes | bytearray | memoryview | os.PathLike) or _is_pillow(value)


def _is_pillow(value: object) -> bool:
    return any(kind.__module__ == "PIL.Image" for kind in type(value).__mro__)


def open_image(source: Any) -> "Image":  # noqa: ANN401  (see is_image)
    """Return a decoded RGB image, rotated as its EXIF data say, transparent parts on white.

    Raises:
        InputError: It cannot be read as an image, or has too many pixels (a decompression bomb).
        PlatformError: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps
    except ModuleNotFoundError as error:
        raise PlatformError(
            "Pillow, which reads images, is not installed.", "pip install 'st-spark[images]', on the executors too."
        ) from error
    try:
        if _is_pillow(source):
            return _in_rgb(source)
        file = source if isinstance(source, os.PathLike) else io.BytesIO(source)
        with Image.open(file) as image:
            return _in_rgb(ImageOps.exif_transpose(image))
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or "no reason given"
        problem = f"{_described(source)} cannot be read as an image: {type(error).__name__}: {reason}."
        raise InputError(problem, "give a PNG, a JPEG or another common format.") from error


def _described(source: Any) -> str:  # noqa: ANN401
    if isinstance(source, os.PathLike):
        return f"'{os.fspath(source)}'"
    return type(source).__name__ if _is_pillow(source) else f"{len(source)} bytes"


def _in_rgb(image: "Image") -> "Image":
    from PIL import Image

    if "A" not in image.getbands() and image.info.get("transparency") is None:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def raise_for_unreadable(problems: Mapping[int, str]) -> None:
    """Raise InputError with the first problem, if there are any (see Images)."""
    if problems:
        first = min(problems)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(f"image {first}: {problems[first]}{more}", "leave it out, or give one that Pillow can read.")


@dataclass
class ImageBatch(Packed):
    """A micro-batch of images.

    Attributes:
        pixels: [images, height, width, 3] values 0..255.
    """

    pixels: torch.Tensor = field(default_factory=lambda: torch.empty(0))


@dataclass
class Images:
    """Images, decoded one micro-batch at a time, so that thousands are never in memory together.

    Attributes:
        sources: Pillow images, bytes or paths.
        processor: Resizes and crops them.
        edge: Width and height in pixels.
        tokens: Tokens of each image: its patches and one for the whole image.
        problems: Why an image could not be read, by its position; filled by `take`. Its vector becomes NaN.
    """

    sources: Sequence[Any]
    processor: ImageProcessor
    edge: int
    tokens: int
    problems: dict[int, str] = field(default_factory=dict)

    @property
    def lengths(self) -> Lengths:
        """Return the tokens of each image, [n]."""
        return np.full(len(self.sources), self.tokens, np.int64)

    @property
    def truncated(self) -> npt.NDArray[np.bool_]:
        """Return False for each image, [n]: the processor's crop does not count."""
        return np.zeros(len(self.sources), np.bool_)

    def take(self, rows: npt.NDArray[np.int64], device: torch.device) -> ImageBatch:
        """Return the micro-batch of these images. One that cannot be read is black, and added to problems."""
        pixels = np.zeros((len(rows), self.edge, self.edge, 3), np.uint8)
        for place, row in enumerate(rows.tolist()):
            try:
                pixels[place] = self.processor.pixels(open_image(self.sources[row]))
            except InputError as error:
                self.problems[row] = error.problem
        none = torch.empty(0, dtype=torch.int64, device=device)
        lengths = np.full(len(rows), self.tokens, np.int64)
        return ImageBatch(none, None, lengths, pixels=torch.from_numpy(pixels).to(device))
