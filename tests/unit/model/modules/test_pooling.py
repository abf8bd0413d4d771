"""Pooling, Dense and Normalize on their own."""

import numpy as np
import pytest
import torch

from st_spark.errors import ModelError
from st_spark.model.inputs.packed import Packed
from st_spark.model.modules.dense import activation
from st_spark.model.modules.pooling import Pooling

MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("prompt", [0, 2, 9])
def test_every_mode_pools_as_the_oracle_does(mode: str, prompt: int) -> None:
    """Packed against padded with a mask; a prompt left out, also one longer than a text."""
    from sentence_transformers.sentence_transformer.modules import Pooling as Peer

    lengths, width = np.array([9, 5, 5, 3]), 8
    hidden = torch.randn(int(lengths.sum()), width, generator=torch.Generator().manual_seed(0))
    batch = Packed(torch.zeros(len(hidden), dtype=torch.int64), None, lengths, prompt, hidden=hidden)
    ours = Pooling((mode,), include_prompt=False)(batch).sentence_embeddings()

    mask = torch.arange(9)[None, :] < torch.from_numpy(lengths)[:, None]
    padded = torch.zeros(len(lengths), 9, width)
    padded[mask] = hidden
    features = {"token_embeddings": padded, "attention_mask": mask.long(), "prompt_length": prompt}
    if prompt > lengths.min() and mode == "lasttoken":
        pytest.skip("the oracle reads padding here: a text that its prompt fills has no last token of its own")
    theirs = Peer(width, mode, include_prompt=False)(features)["sentence_embedding"]
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_old_flags_concatenate_in_their_fixed_order() -> None:
    """Whatever the order in the file."""
    config = {"pooling_mode_mean_tokens": True, "pooling_mode_lasttoken": True, "pooling_mode_cls_token": True}
    assert Pooling.from_config(config).modes == ("cls", "mean", "lasttoken")


def test_a_new_list_of_modes_keeps_its_own_order() -> None:
    """And a single string is one mode."""
    assert Pooling.from_config({"pooling_mode": ["mean", "cls"]}).modes == ("mean", "cls")
    assert Pooling.from_config({"pooling_mode": "max", "include_prompt": False}).include_prompt is False


def test_no_mode_at_all_means_mean() -> None:
    """As in sentence-transformers."""
    assert Pooling.from_config({"pooling_mode_mean_tokens": False}).modes == ("mean",)


def test_an_unknown_mode_is_refused() -> None:
    """With the known ones."""
    with pytest.raises(ModelError, match=r"'median' is unknown. Fix: choose from cls, max, mean"):
        Pooling.from_config({"pooling_mode": "median"})


@pytest.mark.parametrize("path", ["torch.nn.modules.activation.GELU", "torch.nn.modules.linear.Identity"])
def test_activations_of_torch_are_found(path: str) -> None:
    """By their dotted path."""
    assert type(activation(path)).__name__ == path.rpartition(".")[2]


@pytest.mark.parametrize("path", ["os.system", "torch.nn.modules.module.import_module", "torch.hub.load"])
def test_a_foreign_activation_becomes_tanh_with_a_warning(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing outside torch.nn is looked up."""
    assert isinstance(activation(path), torch.nn.Tanh)
    assert "Tanh" in caplog.text
