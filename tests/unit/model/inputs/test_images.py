"""Decoding images: deep colours, formats that may be read, pixel limits, and reasons that can be counted."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from st_spark.choices import MAX_IMAGE_PIXELS
from st_spark.errors import InputError
from st_spark.model.inputs.images import open_image
from tests.support.clip_checkpoints import file_of

GREY = np.random.default_rng(3).integers(0, 256, (5, 7), dtype=np.uint8)
DEEP = GREY.astype(np.uint16) * 257


def pgm(values: np.ndarray, highest: int) -> bytes:
    """Return a binary PGM file of 16 bits."""
    return b"P5 %d %d %d\n" % (*values.shape[::-1], highest) + values.astype(">u2").tobytes()


DEEP_FILES: dict[str, Any] = {
    "PNG": file_of(Image.fromarray(DEEP)),
    "PNG, low byte 0": file_of(Image.fromarray(GREY.astype(np.uint16) << 8)),
    "TIFF": file_of(Image.fromarray(DEEP), "TIFF"),
    "TIFF, big endian": file_of(Image.frombytes("I;16B", (7, 5), DEEP.astype(">u2").tobytes()), "TIFF"),
    "PGM": pgm(DEEP, 65535),
    "PGM of 10 bits": pgm(GREY.astype(np.uint32) * 1023 // 255, 1023),
    "JPEG 2000": file_of(Image.fromarray(DEEP), "JPEG2000"),
    "Pillow image": Image.fromarray(DEEP),
}


@pytest.mark.parametrize("kind", DEEP_FILES)
def test_an_image_of_16_bits_is_its_twin_of_8_bits(kind: str) -> None:
    """It was white."""
    pixels = np.asarray(open_image(DEEP_FILES[kind])).astype(int)
    assert np.abs(pixels - GREY[:, :, None]).max() <= (1 if kind == "PGM of 10 bits" else 0)


def test_transparent_values_of_16_bits_become_white() -> None:
    pixels = np.asarray(open_image(file_of(Image.fromarray(DEEP), transparency=int(DEEP[0, 0]))))
    assert np.array_equal(pixels[:, :, 0], np.where(GREY[0, 0] == GREY, 255, GREY))


@pytest.mark.parametrize(
    "source",
    [
        Image.fromarray(DEEP.astype(np.int32)),
        Image.fromarray(DEEP.astype(np.float32)),
        file_of(Image.fromarray(DEEP.astype(np.float32)), "TIFF"),
        file_of(Image.fromarray(DEEP.astype(np.int32)), "TIFF"),
    ],
    ids=["int32", "float32", "TIFF of float32", "TIFF of int32"],
)
def test_values_without_a_fixed_range_are_refused(source: Any) -> None:
    with pytest.raises(InputError, match=r"numbers without a fixed range \(mode [IF] of Pillow\). Fix: scale them"):
        open_image(source)


def test_no_format_that_starts_another_program_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: object, **__: object) -> None:
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", started)
    with pytest.raises(InputError, match="cannot identify image file"):
        open_image(file_of(Image.new("RGB", (8, 8)), "EPS"))


def bomb(edge: int) -> bytes:
    """Return a small palette PNG that claims edge x edge pixels."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", edge, edge, 8, 3, 0, 0, 0)), (b"PLTE", bytes(6)), (b"tRNS", b"\x00")]
    parts += [(b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    chunks = (struct.pack(">I", len(b)) + a + b + struct.pack(">I", zlib.crc32(a + b)) for a, b in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("edge", [int(MAX_IMAGE_PIXELS**0.5) + 1, 13_300])
def test_an_image_with_too_many_pixels_is_refused_before_it_is_decoded(edge: int) -> None:
    with pytest.raises(InputError, match="the image has more than 50,000,000 pixels"):
        open_image(bomb(edge))


@pytest.mark.parametrize(("limit", "size"), [(64 * 32, (64, 32)), (64 * 32 - 1, (32, 16)), (300, (16, 8))])
def test_a_large_jpeg_is_decoded_smaller(limit: int, size: tuple[int, int]) -> None:
    file = file_of(Image.new("RGB", (64, 32), (10, 20, 30)), "JPEG")
    assert open_image(file, limit).size == size


def test_a_jpeg_that_is_still_too_large_is_refused() -> None:
    with pytest.raises(InputError, match="more than 10 pixels"):
        open_image(file_of(Image.new("RGB", (64, 32)), "JPEG"), 10)


@pytest.mark.parametrize("opened", [True, False])
def test_a_large_image_of_the_caller_is_reduced_and_stays_as_it_is(opened: bool) -> None:
    """Its memory is the caller's affair."""
    image = Image.new("RGB", (64, 32), (10, 20, 30))
    image = Image.open(io.BytesIO(file_of(image, "JPEG"))) if opened else image
    assert open_image(image, 64 * 32 - 1).size == (32, 16)
    assert image.size == (64, 32)


def test_pillows_own_limit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match="more than 200 pixels, Pillow's limit"):
        open_image(file_of(Image.new("RGB", (64, 32)), "JPEG"))


def test_strips_of_a_large_transparent_image_have_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(4).integers(0, 256, (23, 9, 4), dtype=np.uint8)
    whole = np.asarray(open_image(Image.fromarray(values)))
    monkeypatch.setattr("st_spark.model.inputs.images._STRIP", 40)
    assert np.array_equal(np.asarray(open_image(Image.fromarray(values))), whole)


def cut(bytes_kept: int) -> bytes:
    noise = np.random.default_rng(5).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    return file_of(Image.fromarray(noise))[:bytes_kept]


@pytest.mark.parametrize(
    "sources",
    [(b"junk", b"other junk", b""), (cut(1000), cut(1500)), (bomb(10_000), bomb(12_000))],
    ids=["no image", "cut off", "too large"],
)
def test_the_same_fault_has_the_same_reason(sources: tuple[bytes, ...]) -> None:
    """Memory addresses and sizes would make each reason unique."""
    reasons = set()
    for source in sources:
        with pytest.raises(InputError) as caught:
            open_image(io.BytesIO(source).getvalue())
        reasons.add(caught.value.problem)
    assert len(reasons) == 1 and "0x" not in reasons.pop()
