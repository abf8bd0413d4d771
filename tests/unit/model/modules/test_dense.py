"""The activation of a Dense module."""

import pytest
import torch

from st_spark.model.modules.dense import activation


@pytest.mark.parametrize("path", ["torch.nn.modules.activation.GELU", "torch.nn.modules.linear.Identity"])
def test_activations_of_torch_are_found(path: str) -> None:
    """By their dotted path."""
    assert type(activation(path)).__name__ == path.rpartition(".")[2]


@pytest.mark.parametrize("path", ["os.system", "torch.nn.modules.module.import_module", "torch.hub.load"])
def test_a_foreign_activation_becomes_tanh_with_a_warning(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing outside torch.nn is looked up."""
    assert isinstance(activation(path), torch.nn.Tanh)
    assert "Tanh" in caplog.text
