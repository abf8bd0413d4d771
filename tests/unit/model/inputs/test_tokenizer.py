"""Token ids, counts and truncation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from st_spark.errors import InputError, ModelError
from st_spark.model.inputs.tokenizer import Tokenizer, _head
from tests.support.nasty import NASTY, PAIRS


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Tokenizer:
    """The tokenizer of the tiny BERT, at most 64 tokens."""
    return Tokenizer(tiny_model, 64, lower_case=False, options={})


def test_ids_match_transformers(tokenizer: Tokenizer, tiny_model: Path) -> None:
    """For texts and pairs that are cut to the limit."""
    from transformers import AutoTokenizer

    peer = AutoTokenizer.from_pretrained(tiny_model)
    ours = tokenizer([*NASTY, *PAIRS])
    theirs = [peer(text, truncation=True, max_length=64)["input_ids"] for text in NASTY]
    theirs += [peer([a], [b], truncation=True, max_length=64)["input_ids"][0] for a, b in PAIRS]
    assert [part.tolist() for part in np.split(ours.ids, np.cumsum(ours.lengths))[:-1]] == theirs
    assert ours.lengths.tolist() == [len(ids) for ids in theirs]


def test_only_texts_beyond_the_limit_count_as_truncated(tokenizer: Tokenizer) -> None:
    """62 words and two special tokens fit into 64."""
    tokens = tokenizer(["cat " * 62, "cat " * 63, "cat", ("cat " * 30, "dog " * 32)])
    assert tokens.lengths.tolist() == [64, 64, 3, 64]
    assert tokens.truncated.tolist() == [False, True, False, True]


def test_truncation_and_padding_in_the_file_are_ignored(tiny_model: Path, tmp_path: Path) -> None:
    """tokenizer.json of all-MiniLM-L6-v2 pads and cuts to 128 tokens."""
    import shutil

    from tokenizers import Tokenizer as Backend

    folder = shutil.copytree(tiny_model, tmp_path / "baked")
    backend = Backend.from_file(str(folder / "tokenizer.json"))
    backend.enable_padding(length=16)
    backend.enable_truncation(16)
    backend.save(str(folder / "tokenizer.json"))
    tokens = Tokenizer(folder, 64, lower_case=False, options={})(["cat", "cat " * 40])
    assert tokens.lengths.tolist() == [3, 42]


words = st.text(alphabet=st.sampled_from("abc \n\tzé中-."), min_size=1, max_size=60)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(words, min_size=1, max_size=20), st.integers(1, 200))
def test_head_of_a_long_text_gives_the_same_tokens(tiny_model: Path, parts: list[str], times: int) -> None:
    """Compared with a tokenizer that reads the whole text."""
    tokenizer = Tokenizer(tiny_model, 16, lower_case=False, options={})
    text = " ".join(parts) * times
    tokenizer._truncate()
    whole = tokenizer.backend.encode(text)
    tokens = tokenizer([text])
    assert tokens.ids.tolist() == whole.ids
    assert tokens.truncated.tolist() == [bool(whole.overflowing)]


def test_head_ends_at_white_space() -> None:
    """No word is split; one huge word is left whole."""
    assert _head("cat dog bird", 9) == "cat dog"
    assert _head("x" * 100, 10) == "x" * 100


@pytest.mark.parametrize("bad", [None, 3, b"bytes", ("a", "b", "c"), ["a", None], 2.5])
def test_input_that_is_not_a_text_is_rejected_with_its_position(tokenizer: Tokenizer, bad: Any) -> None:
    """None, numbers, bytes, triples."""
    with pytest.raises(InputError, match=r"input 1 is .* Fix: give a str"):
        tokenizer(["fine", bad])


def test_folder_without_a_tokenizer_is_rejected(tmp_path: Path) -> None:
    """The error names the folder and what it needs."""
    with pytest.raises(ModelError, match=r"tokenizer of .* Fix: the folder needs tokenizer.json"):
        Tokenizer(tmp_path, 64, lower_case=False, options={})


Both = tuple[Tokenizer, Any]  # ours, and the one of transformers


@pytest.fixture(scope="module", params=["bert", "xlm-roberta"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Both]:
    """Tokenizers with three and with four special tokens around a pair, that cut on the left or on the right."""
    from transformers import AutoTokenizer

    from tests.support import checkpoints

    folder = checkpoints.WRITERS[request.param](tmp_path_factory.mktemp("pairs") / "model")
    options = [{"truncation_side": side} for side in ("left", "right")]
    return {
        each["truncation_side"]: (Tokenizer(folder, 16, False, each), AutoTokenizer.from_pretrained(folder, **each))
        for each in options
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(
    st.tuples(words, words),
    st.integers(1, 15),
    st.integers(1, 15),
    st.integers(7, 8),
    st.sampled_from(["left", "right"]),
)
def test_pairs_have_the_tokens_of_transformers(
    both: dict[str, Both], pair: tuple[str, str], first: int, second: int, limit: int, side: str
) -> None:
    """Short and long; if an odd number of tokens is left, the longer text keeps one more."""
    tokenizer, peer = both[side]
    tokenizer.max_length = limit
    texts = (pair[0] + " ") * first, (pair[1] + " ") * second
    ours = tokenizer(["cat", texts])
    theirs = peer(*texts, truncation="longest_first", max_length=limit, return_token_type_ids=True)
    start = ours.lengths[0]
    assert ours.ids[start:].tolist() == theirs["input_ids"]
    assert ours.types is None or ours.types[start:].tolist() == theirs["token_type_ids"]
    assert ours.truncated[1] == (len(peer(*texts, verbose=False)["input_ids"]) > limit)


def test_two_long_texts_as_a_pair_take_little_memory(tokenizer: Tokenizer) -> None:
    """Every piece of the one with every piece of the other were 9.5 GB."""
    from resource import RUSAGE_SELF, getrusage

    before = getrusage(RUSAGE_SELF).ru_maxrss
    tokens = tokenizer([("context " * 100_000, "text " * 10_000), "cat", ("dog " * 100_000, "cat")])
    assert (getrusage(RUSAGE_SELF).ru_maxrss - before) < 500_000  # kilobytes
    assert tokens.lengths.tolist() == [64, 3, 64] and tokens.truncated.tolist() == [True, False, True]
    assert tokens.types is not None and tokens.types[:64].sum() == 31  # 30 tokens and [SEP]


@pytest.mark.parametrize("text", ["a \ud83d cat", ("a cat", "\udc00")])
def test_half_a_surrogate_pair_is_read_as_the_replacement_character(tokenizer: Tokenizer, text: Any) -> None:
    replaced = "a \ufffd cat" if isinstance(text, str) else ("a cat", "\ufffd")
    assert tokenizer(["x", text]).ids.tolist() == tokenizer(["x", replaced]).ids.tolist()
