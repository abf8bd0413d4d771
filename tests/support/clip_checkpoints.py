"""Tiny CLIP checkpoints with random weights, in the layouts of the hub and of version 6.2, and small images."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import pre_tokenizers

from tests.support.checkpoints import WORDS, write_json
from tests.support.oracle import oracle as oracle  # noqa: PLC0414  (tests import it from here)

EDGE = 32
END = "<|endoftext|>"


def write_clip(folder: Path, *, seed: int = 5, old_end: bool = True, activation: str = "quick_gelu") -> Path:
    """Write one CLIPModel at "0_CLIPModel": a small model in the layout of clip-ViT-B-32.

    Args:
        folder: Where to write.
        seed: Seed of the random weights.
        old_end: Whether to write the eos_token_id of 2 of configs from before July 2023.
        activation: Activation of both encoders.
    """
    write_transformers_clip(folder / "0_CLIPModel", seed=seed, old_end=old_end, activation=activation)
    module = {"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}
    write_json(folder / "modules.json", [module])
    versions = {"sentence_transformers": "2.0.0", "transformers": "4.6.1", "pytorch": "1.8.1"}
    write_json(folder / "config_sentence_transformers.json", {"__version__": versions})
    return folder


def write_transformers_clip(
    folder: Path, *, seed: int = 5, old_end: bool = True, activation: str = "quick_gelu", width: int = 32
) -> Path:
    """Write a plain transformers CLIP folder, with vocab.json and merges.txt instead of tokenizer.json, as OpenAI's."""
    from transformers import CLIPConfig, CLIPModel

    size = _write_tokenizer(folder)
    torch.manual_seed(seed)
    shared: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_act": activation}
    text = {
        "vocab_size": size,
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "max_position_embeddings": 77,
        **shared,
    }
    text |= {"bos_token_id": 0 if old_end else size - 2, "eos_token_id": 2 if old_end else size - 1}
    vision = {"hidden_size": 48, "intermediate_size": 96, "image_size": EDGE, "patch_size": 8, **shared}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
    model = CLIPModel(config).eval()
    for name, tensor in model.named_parameters():  # as in a trained model, not all zeros and ones
        if "norm" in name or name.endswith("bias"):
            torch.nn.init.normal_(tensor, float("norm" in name and name.endswith("weight")), 0.1)
    model.save_pretrained(folder)
    write_json(folder / "preprocessor_config.json", IMAGES)
    return folder


IMAGES = {
    "crop_size": EDGE,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "size": EDGE,
}


def _write_tokenizer(folder: Path) -> int:
    """Write CLIP's byte-level BPE, with </w> at the end of words; the end token has the largest id."""
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = characters + [each + "</w>" for each in characters]
    merges = []
    for word in sorted({word for word in WORDS if len(word) > 1}):
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            if (merge := f"{pieces[0]} {pieces[1]}") not in merges:
                merges.append(merge)
                vocab.append(pieces[0] + pieces[1])
            pieces[:2] = [pieces[0] + pieces[1]]
    vocab += ["<|startoftext|>", END]
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps({piece: i for i, piece in enumerate(vocab)})
    (folder / "vocab.json").write_text(content, encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    names = {"bos_token": "<|startoftext|>", "eos_token": END, "unk_token": END, "pad_token": END}
    settings = {**names, "model_max_length": 77, "do_lower_case": True, "tokenizer_class": "CLIPTokenizer"}
    write_json(folder / "tokenizer_config.json", settings)
    return len(vocab)


def pictures() -> dict[str, Any]:
    """Return Pillow images of many shapes and all common modes, by name."""
    from PIL import Image

    random = np.random.default_rng(7)

    def noise(*shape: int) -> Any:
        coarse = random.integers(0, 256, shape, dtype=np.uint8)
        return np.kron(coarse, np.ones((5, 5, *[1] * (len(shape) - 2)), np.uint8))

    colour = Image.fromarray(noise(13, 21, 3))
    palette = colour.convert("P")
    palette.info["transparency"] = palette.getpixel((0, 0))
    return {
        "exact": Image.fromarray(random.integers(0, 256, (EDGE, EDGE, 3), dtype=np.uint8)),
        "landscape": colour,
        "portrait": colour.rotate(90, expand=True),
        "narrow": Image.fromarray(noise(40, 1, 3)),
        "one pixel": Image.new("RGB", (1, 1), (200, 100, 50)),
        "grey": colour.convert("L"),
        "grey with alpha": colour.convert("LA"),
        "alpha": Image.fromarray(noise(8, 8, 4)),
        "palette": colour.convert("P"),
        "palette with transparency": palette,
        "bilevel": colour.convert("1"),
        "cmyk": colour.convert("CMYK"),
    }


def file_of(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    """Return the bytes of an image file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def write_digits(folder: Path) -> Path:
    """Write 60 of scikit-learn's digits as PNG files ("07-7.png" shows a 7), and two files that are not images."""
    from PIL import Image
    from sklearn.datasets import load_digits

    data = load_digits()
    for i in range(60):
        image = Image.fromarray((data.images[i] * 15.9).astype(np.uint8))
        image.save(folder / f"{i:02d}-{data.target[i]}.png")
    (folder / "bad-text.png").write_text("no image")  # Spark itself skips empty files
    (folder / "bad-cut.png").write_bytes((folder / "00-0.png").read_bytes()[:50])
    return folder


def opened(folder: Path) -> dict[str, Any]:
    """Return the images of write_digits as Pillow images, by file name."""
    from PIL import Image

    good = sorted(file for file in folder.iterdir() if not file.name.startswith("bad"))
    return {file.name: Image.open(io.BytesIO(file.read_bytes())) for file in good}
