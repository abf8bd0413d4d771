"""float32 vectors equal the vectors of sentence-transformers to 1e-5 for word models, static embeddings and routers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from st_spark import SentenceTransformer
from st_spark.errors import InputError, ModelError
from tests.support import word_checkpoints
from tests.support.checkpoints import write_json, write_wordpiece
from tests.support.nasty import NASTY, PAIRS
from tests.support.oracle import assert_close, oracle

pytestmark = pytest.mark.slow

TEXTS = [
    *NASTY,
    "Cat! (cat) CAT cat's",
    "London's rain",
    "the the The",
    "11th unknownword 11TH",
    "x X.",
    "a b\tc\u00a0d\u2003e",
]


def assert_same_vectors(ours: Any, theirs: Any, inputs: Any, batch: int = 4, **options: Any) -> None:
    """Compare large values relatively: a weighted mean of 5,000 words reaches 1,000. Some maxima of no word are NaN."""
    vectors = theirs.encode(inputs, batch_size=batch, **options)
    assert_close(ours.encode(inputs, **options), vectors, rtol=1e-5, equal_nan=True)


@pytest.fixture(scope="module", params=word_checkpoints.WRITERS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of word model."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def both(kind: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[SentenceTransformer, Any]:
    """Our model and the oracle."""
    folder = word_checkpoints.WRITERS[kind](tmp_path_factory.mktemp(kind) / "model")
    return SentenceTransformer(folder, device="cpu", dtype="float32"), oracle(folder)


@pytest.mark.parametrize(
    "options", [{}, {"prompt": "London "}, {"truncate_dim": 7}, {"truncate_dim": 7, "normalize_embeddings": True}]
)
def test_texts_give_the_oracles_vectors(
    kind: str, both: tuple[SentenceTransformer, Any], options: dict[str, Any]
) -> None:
    batch = 1 if kind == "cnn" else 4  # the oracle's vectors of a CNN depend on the batch
    assert_same_vectors(*both, TEXTS, batch=batch, **options)
    assert_same_vectors(*both, "cat", **options)


def test_the_limit_equals_the_oracles(both: tuple[SentenceTransformer, Any]) -> None:
    ours, theirs = both
    limit = theirs.max_seq_length
    assert ours.max_seq_length == (None if limit in (None, float("inf")) else limit)


def test_a_model_saved_again_by_the_oracle_gives_equal_vectors(
    both: tuple[SentenceTransformer, Any], tmp_path: Path
) -> None:
    ours, theirs = both
    theirs.save(str(tmp_path / "new"))
    new = SentenceTransformer(tmp_path / "new", device="cpu", dtype="float32")
    np.testing.assert_allclose(new.encode(TEXTS), ours.encode(TEXTS), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["static", "model2vec"])
def test_pairs_of_static_embeddings_give_the_oracles_vectors(name: str, tmp_path: Path) -> None:
    folder = word_checkpoints.WRITERS[name](tmp_path / "model")
    pairs = [list(pair) for pair in PAIRS]
    assert_same_vectors(SentenceTransformer(folder, device="cpu"), oracle(folder), pairs)


def test_static_embeddings_keep_the_truncation_of_their_tokenizer(tmp_path: Path) -> None:
    folder = word_checkpoints.write_static(tmp_path / "model", truncation=3)
    ours = SentenceTransformer(folder, device="cpu")
    assert_same_vectors(ours, oracle(folder), TEXTS)
    assert ours.max_seq_length == 3
    encoded = ours.embed(["the cat sat", "the cat sat on"])
    assert encoded.truncated.tolist() == [False, True]
    assert encoded.n_tokens.tolist() == [3, 3]


def test_a_bag_of_words_can_count_each_word_once(tmp_path: Path) -> None:
    folder = word_checkpoints.write_bow(tmp_path / "model", cumulative=False)
    assert_same_vectors(SentenceTransformer(folder, device="cpu"), oracle(folder), TEXTS)


@pytest.mark.parametrize(
    "config",
    [
        {"kernel_sizes": [1, 3], "stride_sizes": [2, 2]},
        {"kernel_sizes": [2], "stride_sizes": [1]},
        {"kernel_sizes": [4, 4], "out_channels": 5},
    ],
)
def test_convolutions_that_shorten_a_text_give_the_oracles_vectors(config: dict[str, Any], tmp_path: Path) -> None:
    """For texts as long as the kernel; the oracle fails on shorter ones, which we pool as texts without tokens."""
    folder = word_checkpoints.write_cnn(tmp_path / "model", **config)
    ours, theirs = SentenceTransformer(folder, device="cpu"), oracle(folder)
    texts = ["the cat sat on the mat", "the the rain the sun", "word " * 500]
    assert_same_vectors(ours, theirs, texts, batch=1)
    mean = ours.encode(["", *texts])[0, ours.modules[1].dimension(0) :]
    assert not mean.any()


@pytest.mark.parametrize("name", ["router", "asym"])
def test_a_task_chooses_the_oracles_route(name: str, tmp_path: Path) -> None:
    folder = word_checkpoints.WRITERS[name](tmp_path / "model")
    ours, theirs = SentenceTransformer(folder, device="cpu", dtype="float32"), oracle(folder)
    assert_close(ours.encode_query(TEXTS), theirs.encode_query(TEXTS), rtol=1e-5)
    other = "document" if name == "router" else "doc"
    assert_same_vectors(ours, theirs, TEXTS, task=other)
    assert np.abs(ours.encode(["cat"], task=other) - ours.encode(["cat"], task="query")).max() > 1e-3
    if name == "router":
        assert_close(ours.encode_document(TEXTS), theirs.encode_document(TEXTS), rtol=1e-5)
    else:
        with pytest.raises(InputError, match=r"no route for the task 'document'. Fix: give task='query' or 'doc'"):
            ours.encode_document(TEXTS)


def test_route_mappings_choose_the_oracles_route(tmp_path: Path) -> None:
    folder = word_checkpoints.write_router(tmp_path / "model")
    config = json.loads((folder / "router_config.json").read_text(encoding="utf-8"))
    mappings = {"('search', None)": "query", "(None, 'image')": "query", "(None, 'text')": "document"}
    config["parameters"] = {"default_route": None, "allow_empty_key": False, "route_mappings": mappings}
    write_json(folder / "router_config.json", config)
    ours, theirs = SentenceTransformer(folder, device="cpu", dtype="float32"), oracle(folder)
    for task in (None, "search", "query"):
        assert_same_vectors(ours, theirs, TEXTS, task=task)


def test_phrases_and_subwords_of_word_models_give_the_oracles_vectors(tmp_path: Path) -> None:
    """The other two tokenizers of WordEmbeddings; phrases need NLTK."""
    tokenizers = "sentence_transformers.sentence_transformer.modules.tokenizer"
    folder = word_checkpoints.write_words(tmp_path / "model")
    table = folder / "0_WordEmbeddings"
    config = {"tokenizer_class": f"{tokenizers}.phrase.PhraseTokenizer", "max_seq_length": 9}
    write_json(table / "wordembedding_config.json", config)
    vocab = [
        word.replace("people", "New_York").replace("live", "cat_sat_on").replace("city", "the__sun")
        for word in word_checkpoints.VOCAB
    ]
    write_json(table / "phrasetokenizer_config.json", {"vocab": vocab, "stop_words": ["the"], "do_lower_case": False})
    texts = [*TEXTS, "New York is the city", "The CAT SAT on cat sat on the mat", "the sun, new york"]
    assert_same_vectors(SentenceTransformer(folder, device="cpu"), oracle(folder), texts)

    write_wordpiece(table)
    (table / "pytorch_model.bin").unlink()
    word_checkpoints.write_table(table, 400)
    config = {"tokenizer_class": f"{tokenizers}.word.TransformersTokenizerWrapper", "max_seq_length": 9}
    write_json(table / "wordembedding_config.json", config)
    assert_same_vectors(SentenceTransformer(folder, device="cpu"), oracle(folder), texts)


def test_a_foreign_tokenizer_is_rejected(tmp_path: Path) -> None:
    folder = word_checkpoints.write_words(tmp_path / "model")
    write_json(
        folder / "0_WordEmbeddings" / "wordembedding_config.json", {"tokenizer_class": "evil.WhitespaceTokenizer"}
    )
    with pytest.raises(ModelError, match=r"tokenizer of the class 'evil\.WhitespaceTokenizer'"):
        SentenceTransformer(folder, device="cpu")
