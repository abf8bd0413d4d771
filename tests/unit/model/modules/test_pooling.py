"""The modes of Pooling, and both spellings of its config."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from st_spark.errors import ModelError
from st_spark.model.checkpoint.module_spec import ModuleSpec
from st_spark.model.inputs.packed import Packed
from st_spark.model.modules.pooling import Pooling, mean_rows, pool_at_once

MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


def pooling(**config: Any) -> Pooling:
    """Return the module of a config."""
    return Pooling(ModuleSpec("Pooling", Path(), config), torch.float32, torch.device("cpu"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("prompt", [0, 2, 9])
def test_every_mode_gives_the_oracles_vectors(mode: str, prompt: int) -> None:
    """Packed against padded with a mask; without the prompt, which can be longer than a text."""
    from sentence_transformers.sentence_transformer.modules import Pooling as Peer

    lengths, width = np.array([9, 5, 5, 3]), 8
    hidden = torch.randn(int(lengths.sum()), width, generator=torch.Generator().manual_seed(0))
    batch = Packed(torch.zeros(len(hidden), dtype=torch.int64), None, lengths, prompt, hidden=hidden)
    ours = pooling(pooling_mode=mode, include_prompt=False)(batch).sentence_embeddings()

    mask = torch.arange(9)[None, :] < torch.from_numpy(lengths)[:, None]
    padded = torch.zeros(len(lengths), 9, width)
    padded[mask] = hidden
    features = {"token_embeddings": padded, "attention_mask": mask.long(), "prompt_length": prompt}
    if prompt > lengths.min() and mode == "lasttoken":
        pytest.skip("the oracle reads padding here: a text that its prompt fills has no last token of its own")
    theirs = Peer(width, mode, include_prompt=False)(features)["sentence_embedding"]
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_old_flags_are_concatenated_in_a_fixed_order() -> None:
    """In any order of the file."""
    flags = {"pooling_mode_mean_tokens": True, "pooling_mode_lasttoken": True, "pooling_mode_cls_token": True}
    assert pooling(**flags).modes == ("cls", "mean", "lasttoken")


def test_a_new_list_of_modes_keeps_its_order() -> None:
    """A single string is one mode."""
    assert pooling(pooling_mode=["mean", "cls"]).modes == ("mean", "cls")
    assert pooling(pooling_mode="max").modes == ("max",)
    assert pooling(pooling_mode="max", include_prompt=False).include_prompt is False


def test_no_mode_at_all_means_mean() -> None:
    """As in sentence-transformers."""
    assert pooling(pooling_mode_mean_tokens=False).modes == ("mean",)


def test_an_unknown_mode_is_rejected() -> None:
    with pytest.raises(ModelError, match=r"'median' is unknown. Fix: choose from cls, max, mean"):
        pooling(pooling_mode="median")


@given(st.lists(st.integers(0, 300), max_size=12))
def test_the_mean_of_rows_matches_float64(lengths: list[int]) -> None:
    table = torch.randn(50, 7, generator=torch.Generator().manual_seed(0))
    counts = np.array(lengths, dtype=np.int64)
    ids = torch.randint(0, 50, (int(counts.sum()),), generator=torch.Generator().manual_seed(1))
    means = mean_rows(ids, table, counts)
    assert means.shape == (len(lengths), 7)
    for row, part in zip(means, ids.split(lengths), strict=True):
        expected = table[part].double().sum(0) / max(len(part), 1)
        assert (row - expected).abs().max() < 1e-6


def test_the_mean_of_a_very_long_text_is_exact() -> None:
    """A million rows: a running float32 sum would lose digits."""
    table = torch.full((2, 3), 0.1)
    means = mean_rows(torch.zeros(1_000_000, dtype=torch.int64), table, np.array([1_000_000]))
    assert (means - 0.1).abs().max() < 1e-7


@pytest.mark.parametrize("mode", ["cls", "max", "mean", "mean_sqrt_len_tokens", "lasttoken"])
@pytest.mark.parametrize("lengths", [[9, 4, 4, 1, 0], [0, 0], [5]], ids=str)
def test_all_texts_at_once_have_the_vectors_of_each_group(mode: str, lengths: list[int]) -> None:
    """A GPU pools that way; the arithmetic runs on a CPU, too."""
    sizes = np.array(lengths)
    hidden = torch.randn(int(sizes.sum()), 8, generator=torch.Generator().manual_seed(0))
    pooling = Pooling(
        ModuleSpec("Pooling", Path(), {"pooling_mode": [mode, "cls"]}), torch.float32, torch.device("cpu")
    )
    expected = pooling(Packed(torch.zeros(len(hidden), dtype=torch.int64), None, sizes, hidden=hidden)).vectors
    torch.testing.assert_close(pool_at_once(hidden, sizes, [mode, "cls"]), expected)
