"""The hash table of words, and the ids of a vocabulary."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from st_spark.model.inputs.vocabulary import MISSING, WordTable, hashes, strings

WORDS = st.dictionaries(st.text(max_size=12), st.integers(-1, 2**31 - 1), max_size=60)


@given(first=WORDS, more=WORDS, asked=st.lists(st.text(max_size=12)))
def test_table_finds_what_a_dict_finds(first: dict[str, int], more: dict[str, int], asked: list[str]) -> None:
    """Also after words were added."""
    more = {word: number for word, number in more.items() if word not in first}
    table = WordTable(first)
    table.add(hashes(strings(list(more))), np.array(list(more.values()), dtype=np.int64))
    asked = [*asked, *first, *more]
    both = first | more
    assert table.find(hashes(strings(asked))).tolist() == [both.get(word, MISSING) for word in asked]
    assert len(table) == len(both)


def test_each_word_of_a_large_vocabulary_is_found() -> None:
    """Similar words, some of them long."""
    words = {f"{'x' * (place % 300)}{place}": place for place in range(50_000)}
    table = WordTable(words)
    assert table.find(hashes(strings(list(words)))).tolist() == list(words.values())
    assert (table.find(hashes(strings([f"y{word}" for word in words]))) == MISSING).all()


def test_a_slice_has_the_hashes_of_its_words() -> None:
    """A slice starts in the middle of its buffers."""
    words = strings(["one", "", "three", "four"])
    assert hashes(words[1:3]).tolist() == hashes(strings(["", "three"])).tolist()


@given(st.text(max_size=30))
def test_hash_is_never_zero(word: str) -> None:
    """Zero marks an empty slot."""
    assert hashes(strings([word]))[0] != 0
