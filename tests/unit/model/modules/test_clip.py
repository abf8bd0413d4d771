"""CLIP: the vectors of sentence-transformers for texts and images; a text is never opened as a file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from st_spark import SentenceTransformer
from st_spark.errors import InputError, ModelError
from st_spark.model.checkpoint import checkpoint
from st_spark.model.inputs import images
from tests.support import clip_checkpoints
from tests.support.clip_checkpoints import END, file_of, pictures
from tests.support.nasty import NASTY
from tests.support.oracle import assert_close, assert_same_vectors, oracle

TEXTS = [*NASTY, f"a {END} in the middle", "two dogs in the snow", "A PICTURE OF A CAT"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_checkpoints.write_clip(tmp_path_factory.mktemp("clip") / "model")


@pytest.fixture(scope="module")
def model(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(folder, device="cpu", dtype="float32")


@pytest.mark.slow
@pytest.mark.parametrize("old_end", [True, False], ids=["end token 2", "end token by its id"])
@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_texts_and_images_give_the_oracles_vectors(tmp_path: Path, old_end: bool, activation: str) -> None:
    folder = clip_checkpoints.write_clip(tmp_path / "model", old_end=old_end, activation=activation)
    ours, theirs = SentenceTransformer(folder, device="cpu", dtype="float32"), oracle(folder)
    shown = list(pictures().values())
    texts = [text for text in TEXTS if not text.startswith("http")]  # the oracle would fetch it
    for inputs in (shown, shown[0], texts):
        assert_same_vectors(ours, theirs, inputs)
    for inputs in (texts, shown):
        assert_same_vectors(ours, theirs, inputs, prompt="a photo of ")
    assert_same_vectors(ours, theirs, shown, truncate_dim=7, normalize_embeddings=True)
    assert ours.max_seq_length == theirs.max_seq_length == 77
    assert ours.get_sentence_embedding_dimension() == theirs.get_sentence_embedding_dimension() == 24
    scores = ours.similarity(ours.encode(shown), ours.encode(texts))
    assert torch.allclose(scores, theirs.similarity(theirs.encode(shown), theirs.encode(texts)), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["plain transformers folder", "saved by 6.2", "saved by 6.2 as a Transformer"])
def test_other_layouts_give_the_oracles_vectors(tmp_path: Path, layout: str) -> None:
    folder = tmp_path / "model"
    if layout == "plain transformers folder":
        clip_checkpoints.write_transformers_clip(folder)
    else:
        made = clip_checkpoints.write_clip(tmp_path / "old")
        peer = oracle(made if layout == "saved by 6.2" else made / "0_CLIPModel")
        peer.save_pretrained(str(folder))
        kind = json.loads((folder / "modules.json").read_text())[0]["type"].rpartition(".")[2]
        assert kind == ("CLIPModel" if layout == "saved by 6.2" else "Transformer")
    ours, theirs = SentenceTransformer(folder, device="cpu", dtype="float32"), oracle(folder)
    for inputs in (list(pictures().values()), TEXTS[3:9]):
        assert_same_vectors(ours, theirs, inputs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}, "resample": 2},
        {"size": {"height": 32, "width": 32}, "do_center_crop": False, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
        {"do_resize": False},
        {"do_normalize": False, "do_rescale": True, "rescale_factor": 0.01},
        {"size": {"shortest_edge": 20}},
    ],
    ids=["larger and bilinear", "stretched", "cropped only", "not normalised", "smaller than the crop"],
)
def test_other_image_processors_give_the_oracles_vectors(tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = clip_checkpoints.write_clip(tmp_path / "model")
    file = folder / "0_CLIPModel" / "preprocessor_config.json"
    file.write_text(json.dumps({**clip_checkpoints.IMAGES, **settings}))
    ours = SentenceTransformer(folder, device="cpu", dtype="float32")
    assert_same_vectors(ours, oracle(folder), list(pictures().values()))


def test_bytes_and_paths_give_the_vectors_of_the_pillow_image(model: SentenceTransformer, tmp_path: Path) -> None:
    image = pictures()["landscape"]
    file = tmp_path / "image.png"
    file.write_bytes(file_of(image))
    expected = model.encode(image)
    for source in (file, file_of(image), bytearray(file_of(image)), memoryview(file_of(image))):
        assert_close(model.encode(source), expected)
    assert_close(model.encode([file, file_of(image), image]), np.stack([expected] * 3))


def test_files_are_rotated_by_their_exif_data(model: SentenceTransformer) -> None:
    from PIL import Image

    image = pictures()["landscape"]
    tags = Image.Exif()
    tags[0x0112] = 6  # the camera was held on its right side
    turned = image.transpose(Image.Transpose.ROTATE_90)
    assert_close(model.encode(file_of(turned, exif=tags)), model.encode(image))


@pytest.mark.parametrize(
    "text", ["{file}", "file://{file}", "http://localhost/cat.png", "data:image/png;base64,iVBORw0KGgo=", "cat.png"]
)
def test_a_text_that_looks_like_an_image_is_a_text(
    model: SentenceTransformer, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cat.png"
    file.write_bytes(file_of(pictures()["landscape"]))
    monkeypatch.chdir(tmp_path)
    image = model.encode(file)

    def refuse(source: object, _: int) -> None:
        raise AssertionError(f"{source!r} was opened")

    monkeypatch.setattr(images, "open_image", refuse)
    vector = model.encode(text.format(file=file))
    assert np.abs(vector - image).max() > 1e-3
    assert np.abs(vector - model.encode([text.format(file=file), "a cat"])[0]).max() <= 1e-5
    with pytest.raises(AssertionError, match="was opened"):
        model.encode(file)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (lambda image: [image, "a cat"], "input 1 is 'a cat' (str), but input 0 is of type Image"),
        (lambda image: ["a cat", image], "input 1 is an image (Image), but input 0 is of type str"),
        (lambda image: [["a cat", "a dog"]], "input 0 is ['a cat', 'a dog'] (list)"),
        (lambda image: ["a cat", 3], "input 1 is 3 (int)"),
        (lambda image: [None], "input 0 is None (NoneType)"),
    ],
)
def test_mixed_lists_and_pairs_are_rejected(model: SentenceTransformer, inputs: Any, says: str) -> None:
    with pytest.raises(InputError) as caught:
        model.encode(inputs(pictures()["exact"]))
    assert says in str(caught.value)
    assert "a list of str, or a list of images" in str(caught.value)


def damaged() -> dict[str, bytes]:
    png, jpeg = file_of(pictures()["exact"]), file_of(pictures()["landscape"], "JPEG")
    return {
        "empty": b"",
        "no image": b"hello world",
        "cut PNG": png[: len(png) // 2],
        "cut JPEG": jpeg[: len(jpeg) // 2],
        "PNG with a wrong byte": png[:60] + bytes([png[60] ^ 255]) + png[61:],
        "head only": png[:20],
        "GIF without an image": b"GIF89a" + b"\0" * 10,
    }


@pytest.mark.parametrize("kind", damaged())
def test_a_broken_image_is_rejected_with_its_place(model: SentenceTransformer, kind: str) -> None:
    with pytest.raises(InputError) as caught:
        model.encode([file_of(pictures()["exact"]), damaged()[kind], b"junk"])
    assert "image 1: the file cannot be read as an image" in str(caught.value)
    assert "(and 1 more)" in str(caught.value)


def test_embed_reports_broken_images_and_encodes_the_others(model: SentenceTransformer) -> None:
    good = file_of(pictures()["exact"])
    encoded = model.embed([b"junk", good, *damaged().values(), good])
    assert sorted(encoded.problems) == [0, *range(2, 2 + len(damaged()))]
    assert np.isnan(encoded.vectors[sorted(encoded.problems)]).all()
    assert_close(encoded.vectors[[1, -1]], np.stack([model.encode(good)] * 2))
    assert not encoded.truncated.any()
    assert (encoded.n_tokens == 17).all()  # 4 x 4 patches and the class token


def test_a_missing_file_is_named(model: SentenceTransformer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.png' cannot be read as an image: FileNotFoundError"):
        model.encode([tmp_path / "nowhere.png"])


def test_an_image_with_too_many_pixels_is_rejected(folder: Path) -> None:
    from PIL import Image

    model = SentenceTransformer(folder, device="cpu", dtype="float32")
    narrow = file_of(Image.new("1", (1, 60_000)))  # resized to 32 pixels of width it would have 61 million
    with pytest.raises(InputError, match="image 0: the image is too narrow: resized, it would have more than 50,000"):
        model.encode([narrow])
    model.set_max_image_pixels(59_999)
    with pytest.raises(InputError, match="image 0: the image has more than 59,999 pixels"):
        model.encode([narrow])


def test_a_vector_does_not_depend_on_its_batch(model: SentenceTransformer) -> None:
    shown = [*pictures().values()] * 15
    together = model.encode(shown)
    alone = np.stack([model.encode(image) for image in shown[: len(pictures())]])
    assert np.abs(together[: len(alone)] - alone).max() <= 1e-5
    assert np.abs(together[-len(alone) :] - alone).max() <= 1e-5


def test_no_input_gives_no_vectors(model: SentenceTransformer) -> None:
    assert model.encode([]).shape == (0, 24)


def test_bfloat16_stays_close_to_float32(folder: Path, model: SentenceTransformer) -> None:
    low = SentenceTransformer(folder, device="cpu", dtype="bfloat16")
    assert low.dtype == "bfloat16"
    for inputs in (list(pictures().values()), TEXTS):
        a, b = low.encode(inputs, normalize_embeddings=True), model.encode(inputs, normalize_embeddings=True)
        assert (a * b).sum(axis=1).min() >= 0.9999


def test_a_long_text_is_cut_at_the_position_embeddings_if_the_tokenizer_has_no_limit(tmp_path: Path) -> None:
    folder = clip_checkpoints.write_clip(tmp_path / "model")
    file = folder / "0_CLIPModel" / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    del settings["model_max_length"]
    file.write_text(json.dumps(settings))
    encoded = SentenceTransformer(folder, device="cpu").embed(["cat " * 500, "cat"])
    assert encoded.n_tokens[0] == 77 and encoded.n_tokens[1] < 10
    assert encoded.truncated.tolist() == [True, False]


def test_a_plain_transformers_folder_is_read_as_clip(tmp_path: Path) -> None:
    clip_checkpoints.write_transformers_clip(tmp_path / "plain")
    assert [module.kind for module in checkpoint.read(tmp_path / "plain").modules] == ["CLIPModel"]


def test_an_image_processor_of_another_size_is_rejected(tmp_path: Path) -> None:
    folder = clip_checkpoints.write_clip(tmp_path / "model")
    file = folder / "0_CLIPModel" / "preprocessor_config.json"
    file.write_text(json.dumps({**clip_checkpoints.IMAGES, "crop_size": 64}))
    with pytest.raises(ModelError, match=r"gives images of \(64, 64\) pixels, the model needs 32 x 32"):
        SentenceTransformer(folder)
    file.write_text(json.dumps({**clip_checkpoints.IMAGES, "image_mean": "grey"}))
    with pytest.raises(ModelError, match=r"preprocessor_config.json: its image settings"):
        SentenceTransformer(folder)
