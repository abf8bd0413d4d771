"""sentence-transformers as the oracle of the parity tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch


def oracle(folder: Path) -> Any:
    """Load a checkpoint in sentence-transformers. Without a router, forward passes over equal features run once."""
    from sentence_transformers import SentenceTransformer as Peer
    from sentence_transformers.sentence_transformer.modules import Router

    peer = Peer(str(folder), device="cpu", model_kwargs={"dtype": "float32"})
    if not any(isinstance(module, Router) for module in peer):
        peer.forward = _cached(peer.forward)  # type: ignore[method-assign]
    return peer


def _cached(forward: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    known: dict[Any, torch.Tensor] = {}

    def run(features: dict[str, Any], **options: Any) -> dict[str, Any]:
        key = tuple((name, _content(value)) for name, value in features.items())
        if key not in known:
            known[key] = forward(features, **options)["sentence_embedding"]
        return {"sentence_embedding": known[key]}

    return run


def _content(value: Any) -> Any:
    return (value.shape, value.numpy().tobytes()) if isinstance(value, torch.Tensor) else str(value)


def assert_close(ours: Any, theirs: Any, rtol: float = 0.0, equal_nan: bool = False) -> None:
    """Assert equal shapes and float32 values that differ by at most 1e-5, plus rtol times the value."""
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=1e-5, equal_nan=equal_nan)


def assert_same_vectors(ours: Any, theirs: Any, inputs: Any, **options: Any) -> None:
    """Assert that both models give the same vectors. The oracle pads, so it gets small batches of similar lengths."""
    assert_close(ours.encode(inputs, **options), theirs.encode(inputs, batch_size=4, **options))
