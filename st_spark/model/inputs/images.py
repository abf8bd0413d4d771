"""Images as inputs of a model: what is taken for one, how it is decoded, and what could not be read."""

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
    """Whether a value is taken for an image: a Pillow image, bytes of a file, or a path object.

    A str never is: a text that looks like a path or an address must not open files or connections.
    """
    return isinstance(value, bytes | bytearray | memoryview | os.PathLike) or _is_pillow(value)


def _is_pillow(value: object) -> bool:
    return any(kind.__module__ == "PIL.Image" for kind in type(value).__mro__)


def open_image(source: Any) -> "Image":  # noqa: ANN401  (see is_image)
    """A decoded image in RGB: upright where its EXIF data say so, transparent parts on white.

    Raises:
        InputError: It cannot be read as an image, or is a bomb of pixels.
        PlatformError: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps
    except ModuleNotFoundError as error:
        raise PlatformError(
            "Pillow, which reads images, is not installed.", "pip install 'st-spark[images]', on the workers too."
        ) from error
    try:
        if _is_pillow(source):
            return _in_rgb(source)
        file = source if isinstance(source, os.PathLike) else io.BytesIO(source)
        with Image.open(file) as image:
            return _in_rgb(ImageOps.exif_transpose(image))
    except Exception as error:
        named = f"'{os.fspath(source)}'" if isinstance(source, os.PathLike) else _size(source)
        reason = " ".join(str(error).split())[:200] or "no reason given"
        raise InputError(
            f"{named} cannot be read as an image: {type(error).__name__}: {reason}.", "give a PNG, JPEG or the like."
        ) from error


def _size(source: Any) -> str:  # noqa: ANN401
    return type(source).__name__ if _is_pillow(source) else f"{len(source)} bytes"


def _in_rgb(image: "Image") -> "Image":
    from PIL import Image

    if "A" not in image.getbands() and image.info.get("transparency") is None:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def refuse_unread(problems: Mapping[int, str]) -> None:
    """Raises InputError if there are problems (see Images), with the first of them."""
    if problems:
        first = min(problems)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        fix = "give images that Pillow can read, or leave it out."
        raise InputError(f"image {first}: {problems[first]}{more}", fix)


@dataclass
class ImageBatch(Packed):
    """A micro-batch of images.

    Attributes:
        pixels: [images, height, width, 3] values 0..255.
    """

    pixels: torch.Tensor = field(default_factory=lambda: torch.empty(0))


@dataclass
class Images:
    """Images that are decoded when a micro-batch takes them: thousands never lie in memory together.

    Attributes:
        sources: Pillow images, bytes or paths.
        processor: Makes pixels of them.
        edge: Pixels of a side.
        tokens: Tokens that each image makes: its patches and one for the whole.
        problems: Why an image could not be read, by its place, known once it was taken. Its vector is NaN.
    """

    sources: Sequence[Any]
    processor: ImageProcessor
    edge: int
    tokens: int
    problems: dict[int, str] = field(default_factory=dict)

    @property
    def lengths(self) -> Lengths:
        """[n] tokens of each."""
        return np.full(len(self.sources), self.tokens, np.int64)

    @property
    def truncated(self) -> npt.NDArray[np.bool_]:
        """[n] False: no part of an image beyond the processor's crop is cut off."""
        return np.zeros(len(self.sources), np.bool_)

    def take(self, rows: npt.NDArray[np.int64], device: torch.device) -> ImageBatch:
        """The micro-batch of these images; those that cannot be read are black, and noted in problems."""
        pixels = np.zeros((len(rows), self.edge, self.edge, 3), np.uint8)
        for place, row in enumerate(rows.tolist()):
            try:
                pixels[place] = self.processor.pixels(open_image(self.sources[row]))
            except InputError as error:
                self.problems[row] = error.problem
        none = torch.empty(0, dtype=torch.int64, device=device)
        lengths = np.full(len(rows), self.tokens, np.int64)
        return ImageBatch(none, None, lengths, pixels=torch.from_numpy(pixels).to(device))
