"""Modules from token embeddings to token embeddings: CNN, LSTM and the weighted mean of a model's layers."""

import numpy as np
import torch
import torch.nn.functional as F

from st_spark.errors import ModelError
from st_spark.model.checkpoint.module_spec import ModuleSpec
from st_spark.model.checkpoint.weights import Weights
from st_spark.model.inputs.batching import equal_groups
from st_spark.model.inputs.packed import Packed
from st_spark.model.modules.interfaces import Module


class CNN(Module):
    """Convolutions of several widths over the tokens of each text, side by side.

    Each text is convolved alone, with zeros beyond its ends. sentence-transformers pads the texts of a batch with word
    0 and convolves the padding too, so its vectors depend on the batch. Ours equal its vectors with batch_size=1.
    """

    def __init__(self, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> None:
        weights = Weights(spec.path)
        self.kernels = list(spec.config.get("kernel_sizes", (1, 3, 5)))
        self.strides = list(spec.config.get("stride_sizes") or [1] * len(self.kernels))
        parts = [(f"convs.{i}.weight", f"convs.{i}.bias") for i in range(len(self.kernels))]
        self.convs = [tuple(weights[name].to(device).float() for name in pair) for pair in parts]

    def __call__(self, batch: Packed) -> Packed:
        """Convolve to [tokens, channels * kernels]; a stride above 1 or an even kernel leaves fewer tokens."""
        x = batch.token_embeddings().float()
        parts, lengths = [x.new_empty(0, self.dimension(0))], batch.lengths.copy()
        for group in batch.groups:
            outputs = self._convolve(x[group.start : group.stop].view(group.count, group.length, x.shape[1]))
            parts.append(outputs.flatten(0, 1))
            lengths[group.row : group.row + group.count] = outputs.shape[1]
        batch.hidden = torch.cat(parts)
        if not np.array_equal(lengths, batch.lengths):
            batch.lengths, batch.groups = lengths, equal_groups(lengths)
        return batch

    def _convolve(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve [texts, tokens, width] to [texts, remaining tokens, channels * kernels]."""
        length = x.shape[1]
        if any(length + 2 * ((kernel - 1) // 2) < kernel for kernel in self.kernels) or length == 0:
            return x.new_empty(x.shape[0], 0, self.dimension(0))
        columns = x.transpose(1, 2)
        outputs = [
            F.conv1d(columns, weight, bias, stride, (kernel - 1) // 2)
            for (weight, bias), kernel, stride in zip(self.convs, self.kernels, self.strides, strict=True)
        ]
        if len({output.shape[2] for output in outputs}) > 1:
            raise ModelError(
                f"a CNN with kernels {self.kernels} and strides {self.strides} leaves unequal lengths.",
                "choose another model: this one cannot work.",
            )
        return torch.cat(outputs, dim=1).transpose(1, 2)

    def dimension(self, width: int) -> int:
        """Return the channels of all kernels together."""
        return sum(weight.shape[0] for weight, _ in self.convs)


class LSTM(Module):
    """A recurrent layer over the tokens of each text, by default in both directions."""

    def __init__(self, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> None:
        weights = Weights(spec.path)
        layers = spec.config.get("num_layers", 1)
        weights[f"encoder.weight_ih_l{layers - 1}"]  # fails before layers are built that have no weights
        self.layer = torch.nn.LSTM(
            weights["encoder.weight_ih_l0"].shape[1],
            weights["encoder.weight_hh_l0"].shape[1],
            layers,
            bidirectional=spec.config.get("bidirectional", True),
            batch_first=True,
        )
        self.layer.load_state_dict({name: weights[f"encoder.{name}"].float() for name in self.layer.state_dict()})
        self.layer.to(device).eval()

    def __call__(self, batch: Packed) -> Packed:
        """Transform [tokens, width] to [tokens, hidden size of all directions]."""
        x = batch.token_embeddings().float()
        parts = [x.new_empty(0, self.dimension(0))]
        for group in batch.groups:
            if group.length:
                texts = x[group.start : group.stop].view(group.count, group.length, x.shape[1])
                parts.append(self.layer(texts)[0].flatten(0, 1))
        batch.hidden = torch.cat(parts)
        return batch

    def dimension(self, width: int) -> int:
        """Return the hidden size of all directions together."""
        return self.layer.hidden_size * (2 if self.layer.bidirectional else 1)


class WeightedLayerPooling(Module):
    """Token embeddings as the weighted mean over the layers of the Transformer before, from layer_start on.

    As in sentence-transformers it does nothing unless the config of that Transformer says output_hidden_states.
    """

    def __init__(self, spec: ModuleSpec, dtype: torch.dtype, device: torch.device) -> None:
        self.start = spec.config.get("layer_start", 4)
        self.weights = Weights(spec.path)["layer_weights"].to(device).float()

    def __call__(self, batch: Packed) -> Packed:
        """Reduce [tokens, width] of each layer to one [tokens, width]."""
        if batch.layers:
            layers = torch.stack(batch.layers[self.start :]).float()
            batch.hidden = torch.einsum("l,ltw->tw", self.weights, layers) / self.weights.sum()
        return batch
