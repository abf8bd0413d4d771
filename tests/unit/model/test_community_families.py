"""float32 vectors equal the vectors of sentence-transformers to 1e-5 for community models of more than 50 families."""

from pathlib import Path

import numpy as np
import pytest

from st_spark import SentenceTransformer
from tests.support import community_checkpoints
from tests.support.oracle import assert_close, oracle

pytestmark = pytest.mark.slow
# Of many lengths. None is empty: the oracle cannot read an empty text of a tokenizer without special tokens.
TEXTS = [
    "a cat",
    "!",
    "The sun and the moon are on the mat with a dog.",
    "How many people live in London, 東京 and Zürich?",
    "river city " * 80,
]


@pytest.mark.parametrize("name", community_checkpoints.NAMES)
def test_vectors_are_the_oracles(tmp_path: Path, name: str) -> None:
    """With a stored prompt too. The oracle reads one text at a time: some architectures read its padding."""
    folder = community_checkpoints.write(name, tmp_path / "model")
    ours, theirs = SentenceTransformer(folder, device="cpu", dtype="float32"), oracle(folder)
    assert ours.prompts == theirs.prompts
    stored = [prompt for prompt, text in ours.prompts.items() if text]
    for prompt in (None, *stored[:1]):
        vectors = theirs.encode(TEXTS, batch_size=1, prompt_name=prompt)
        assert_close(ours.encode(TEXTS, prompt_name=prompt), vectors)


@pytest.mark.parametrize("name", community_checkpoints.NAMES)
def test_bfloat16_vectors_hardly_depend_on_the_batch(tmp_path: Path, name: str) -> None:
    """Products of other sizes round the last bits in another way: a cosine of 0.99998 was the worst."""
    model = SentenceTransformer(community_checkpoints.write(name, tmp_path / "model"), device="cpu", dtype="bfloat16")
    together, alone = model.encode(TEXTS), np.stack([model.encode(text) for text in TEXTS])
    norms = np.linalg.norm(together, axis=1) * np.linalg.norm(alone, axis=1)
    assert ((together * alone).sum(1) / norms).min() > 0.9999
