"""Recognise and decode the images that a model gets, and collect the problems of unreadable ones."""

import io
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from st_spark.choices import MAX_IMAGE_PIXELS
from st_spark.errors import InputError, PlatformError
from st_spark.model.inputs.batching import Lengths
from st_spark.model.inputs.image_processor import ImageProcessor
from st_spark.model.inputs.packed import Packed

if TYPE_CHECKING:
    from PIL.Image import Image

    Source = Image | bytes | bytearray | memoryview | os.PathLike[str]

# Plain raster formats. Pillow reads more; for EPS it starts another program, Ghostscript.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_STRIP = 1 << 20  # pixels that are blended with white at a time
# Sizes and memory addresses in Pillow's messages would make every reason unique.
_DETAILS = re.compile(r"\s*(\([^)]*\)|<[^>]*>)")
_BITS_PER_SAMPLE = 258  # a tag of TIFF files


def is_image(value: object) -> bool:
    """Return whether a value is an image: a Pillow image, the bytes of a file, or a path object.

    A str is never an image: a text that looks like a path or an address must not open files or connections.
    """
    return isinstance(value, bytes | bytearray | memoryview | os.PathLike) or _is_pillow(value)


def _is_pillow(value: object) -> bool:
    return any(kind.__module__ == "PIL.Image" for kind in type(value).__mro__)


def open_image(source: Any, max_pixels: int = MAX_IMAGE_PIXELS) -> "Image":  # noqa: ANN401  (see is_image)
    """Return a decoded RGB image, rotated as its EXIF data say, transparent parts on white.

    Args:
        source: See is_image.
        max_pixels: Maximum number of pixels. A larger JPEG is decoded at 1/2, 1/4 or 1/8 of its size.

    Raises:
        InputError: It cannot be read as an image, has too many pixels, or has values without a fixed range. The
            problem is the same for all images with the same fault, so that problems can be counted.
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
            return _in_rgb(_own(source, max_pixels))
        Image.init()  # registers all formats that this Pillow has
        file = source if isinstance(source, os.PathLike) else io.BytesIO(source)
        with Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN]) as image:
            ImageOps.exif_transpose(_limited(image, max_pixels), in_place=True)
            return _in_rgb(image)
    except InputError:
        raise
    except Image.DecompressionBombError as error:  # before our own limit is looked at
        problem = f"the image has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels, Pillow's limit."
        raise InputError(problem, "make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS.") from error
    except Exception as error:
        reason = _DETAILS.sub("", " ".join(str(error).split()))[:200] or "no reason given"
        problem = f"{_described(source)} cannot be read as an image: {type(error).__name__}: {reason}."
        raise InputError(problem, f"give one of {', '.join(FORMATS)}.") from error


def _described(source: Any) -> str:  # noqa: ANN401
    if isinstance(source, os.PathLike):
        return f"'{os.fspath(source)}'"
    return type(source).__name__ if _is_pillow(source) else "the file"


def _own(image: "Image", most: int) -> "Image":
    """Return the caller's image, or a smaller copy if it is large: its memory is the caller's affair.

    Not draft(): that would shrink the caller's own image.
    """
    pixels = image.width * image.height
    if pixels <= most or image.mode not in ("L", "RGB", "RGBA", "CMYK", "YCbCr"):
        return image
    return image.reduce(2 ** math.ceil(math.log2(pixels / most) / 2))


def _limited(image: "Image", most: int) -> "Image":
    """Return an image that is not decoded yet, a large JPEG reduced; InputError if it has too many pixels."""
    pixels = image.width * image.height
    if pixels > most:
        scale = 2 ** math.ceil(math.log2(pixels / most) / 2)
        image.draft(None, (image.width // scale, image.height // scale))  # only JPEG can
    if image.width * image.height > most:
        raise InputError(f"the image has more than {most:,} pixels.", "make it smaller, or raise max_image_pixels.")
    return image


def _in_rgb(image: "Image") -> "Image":
    from PIL import Image

    if image.mode[0] in "IF":
        image = _in_eight_bits(image)
    if "A" not in image.getbands() and image.info.get("transparency") is None:
        image.load()
        return image if image.mode == "RGB" else image.convert("RGB")
    out = Image.new("RGB", image.size)
    height = max(_STRIP // image.width, 1)
    for top in range(0, image.height, height):
        strip = image.crop((0, top, image.width, min(top + height, image.height))).convert("RGBA")
        white = Image.new("RGBA", strip.size, (255, 255, 255, 255))
        out.paste(Image.alpha_composite(white, strip).convert("RGB"), (0, top))
    return out


def _in_eight_bits(image: "Image") -> "Image":
    """Return the high 8 bits of a grey image with more, as Pillow does for colours. Transparent parts become white."""
    from PIL import Image

    if image.mode[:2] != "I;" and image.format not in ("PNG", "PPM"):  # these have 16 bits in every mode
        problem = f"the image has numbers without a fixed range (mode {image.mode} of Pillow)."
        raise InputError(problem, "scale them to 0..255, mode L.")
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))[0]
    values = np.asarray(image)
    grey = (values >> (bits - 8)).astype(np.uint8)
    grey[values == image.info.get("transparency", -1)] = 255
    return Image.fromarray(grey)


def raise_for_unreadable(problems: Mapping[int, str]) -> None:
    """Raise InputError with the first problem, if there are any (see Images)."""
    if problems:
        first = min(problems)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        fix = f"leave it out, or give a smaller one, or one of {', '.join(FORMATS)}."
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
    """Images, decoded one micro-batch at a time, so that thousands are never in memory together.

    Attributes:
        sources: Pillow images, bytes or paths.
        processor: Resizes and crops them.
        edge: Width and height in pixels.
        tokens: Tokens of each image: its patches and one for the whole image.
        max_pixels: Maximum number of pixels of an image; see open_image.
        problems: Why an image could not be read, by its position; filled by `take`. Its vector becomes NaN.
    """

    sources: Sequence[Any]
    processor: ImageProcessor
    edge: int
    tokens: int
    max_pixels: int = MAX_IMAGE_PIXELS
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
                pixels[place] = self.processor.pixels(open_image(self.sources[row], self.max_pixels), self.max_pixels)
            except InputError as error:
                self.problems[row] = error.problem
        none = torch.empty(0, dtype=torch.int64, device=device)
        lengths = np.full(len(rows), self.tokens, np.int64)
        return ImageBatch(none, None, lengths, pixels=torch.from_numpy(pixels).to(device))
