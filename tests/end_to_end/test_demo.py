"""The demo finds what the note beside its data promises."""

import json
import re
from pathlib import Path

import numpy as np

from st_spark import SentenceTransformer
from tests.support.paths import ROOT

FOLDER = ROOT / "demo"


def test_the_real_model_finds_first_what_the_note_promises(minilm: Path) -> None:
    note = " ".join((FOLDER / "README.md").read_text(encoding="utf-8").split())
    promised = dict(re.findall(r'"([^"]+)" finds \*(\w+)\*', note))
    assert len(promised) >= 3
    rows = [json.loads(line) for line in (FOLDER / "jargon.jsonl").read_text(encoding="utf-8").splitlines()]
    model = SentenceTransformer(minilm)
    texts = model.encode([row["text"] for row in rows], normalize_embeddings=True)
    best = np.argmax(model.encode(list(promised), normalize_embeddings=True) @ texts.T, axis=1)
    assert [rows[place]["id"] for place in best] == list(promised.values())
