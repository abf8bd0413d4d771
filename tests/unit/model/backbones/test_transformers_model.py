"""Architectures that run through transformers: the vectors of the oracle in any batch, and no text beyond a limit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from st_spark import SentenceTransformer
from st_spark.errors import ModelError
from tests.support import checkpoints
from tests.support.oracle import assert_close, oracle

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
OFFSET = {"max_position_embeddings": 514, "pad_token_id": 1}
GROUPED = {"num_key_value_heads": 2, "pad_token_id": 0}
# Settings, and the number of positions; None if a longer text only gets slower.
FAMILIES: dict[str, tuple[dict[str, Any], int | None]] = {
    "fnet": ({}, 512),
    "convbert": ({}, 512),
    "big_bird": ({"max_position_embeddings": 512}, 512),
    "longformer": ({"attention_window": [8, 8], **OFFSET}, 512),
    "ibert": (OFFSET, 512),
    "nomic_bert": ({"max_position_embeddings": 512}, None),
    "qwen3": ({"head_dim": 8, **GROUPED}, None),
}
TEXTS = ["a cat", "the sun and the moon are on the mat with a dog", "x", "", "river city " * 30]


def write(folder: Path, family: str, settings: dict[str, Any]) -> Path:
    """Write a random model of a family with a WordPiece tokenizer and mean pooling."""
    from transformers import AutoConfig, AutoModel

    size = checkpoints.write_wordpiece(folder, "PreTrainedTokenizerFast")
    torch.manual_seed(8)
    config = AutoConfig.for_model(family, **{"vocab_size": size, **SIZES, **settings})
    AutoModel.from_config(config).eval().save_pretrained(folder)
    checkpoints.write_modules(folder, ("", "Transformer"), ("1_Pooling", "Pooling"))
    checkpoints.write_pooling(folder, 32)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_the_oracles_in_any_batch(tmp_path: Path, family: str) -> None:
    """FNet and ConvBERT read their padding: a vector differed by up to 1.2."""
    settings, positions = FAMILIES[family]
    folder = write(tmp_path / "model", family, settings)
    ours = SentenceTransformer(folder, device="cpu", dtype="float32")
    together = ours.encode(TEXTS)
    assert_close(together, oracle(folder).encode(TEXTS, batch_size=1))
    assert np.abs(ours.encode(TEXTS[0]) - together[0]).max() < 1e-6
    if positions is not None:
        assert ours.max_seq_length == positions
        assert ours.embed(["cat " * 1000]).n_tokens.tolist() == [positions]


@pytest.mark.parametrize(
    ("family", "settings", "reason"),
    [
        ("reformer", {"axial_pos_embds": False, "num_buckets": 4}, "other vectors each time"),
        ("mra", {"max_position_embeddings": 512}, "transformers skips its attention"),
    ],
)
def test_architectures_that_give_wrong_vectors_are_refused(
    tmp_path: Path, family: str, settings: dict[str, Any], reason: str
) -> None:
    """Reformer draws random numbers; without its kernels MRA has no attention."""
    folder = write(tmp_path / "model", family, settings)
    with pytest.raises(ModelError, match=reason):
        SentenceTransformer(folder, device="cpu")


def test_architectures_without_bfloat16_compute_in_float32(tmp_path: Path) -> None:
    """FNet's Fourier transform has no other number format."""
    folder = write(tmp_path / "model", "fnet", {})
    model = SentenceTransformer(folder, device="cpu", dtype="bfloat16")
    assert model.dtype == "float32"
    assert np.array_equal(model.encode(TEXTS), SentenceTransformer(folder, device="cpu", dtype="float32").encode(TEXTS))


@pytest.mark.slow
def test_a_model_whose_forward_changes_it_gives_the_same_vectors_with_two_threads(tmp_path: Path) -> None:
    """BigBird switches between sparse and full attention, and Qwen3's dynamic positions follow the longest text."""
    dynamic = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    cases: dict[str, dict[str, Any]] = {
        "big_bird": {"max_position_embeddings": 512, "block_size": 16, "num_random_blocks": 1},
        "qwen3": {"rope_parameters": dynamic, "max_position_embeddings": 40, "head_dim": 8, **GROUPED},
    }
    texts = ["river city " * 120, *(f"cat {'dog ' * (i % 60)}" for i in range(67))]
    threads = torch.get_num_threads()
    for family, settings in cases.items():
        model = SentenceTransformer(write(tmp_path / family, family, settings), device="cpu", dtype="float32")
        alone = np.stack([model.encode(text) for text in texts])
        try:
            torch.set_num_threads(2)
            for _ in range(5):
                np.testing.assert_allclose(model.encode(texts), alone, atol=1e-5)
        finally:
            torch.set_num_threads(threads)


@pytest.mark.parametrize(("family", "pads"), [("mobilebert", False), ("ernie", True)])
def test_only_architectures_that_read_padding_get_texts_of_one_length(tmp_path: Path, family: str, pads: bool) -> None:
    """The last token of MobileBERT reads the embedding of the padding after it."""
    sizes = (
        {"embedding_size": 32, "true_hidden_size": 32, "intra_bottleneck_size": 32} if family == "mobilebert" else {}
    )
    model = SentenceTransformer(write(tmp_path / "model", family, sizes), device="cpu", dtype="float32")
    assert model.modules[0].pads == pads
