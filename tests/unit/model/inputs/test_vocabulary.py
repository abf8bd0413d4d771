"""The hash table of words."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from st_spark.model.inputs.word_table import MISSING, WordTable, hashes, strings

WORDS = st.dictionaries(st.text(max_size=12), st.integers(-1, 2**31 - 1), max_size=60)


@given(first=WORDS, more=WORDS, asked=st.lists(st.text(max_size=12)))
def test_a_table_finds_what_a_dict_finds(first: dict[str, int], more: dict[str, int], asked: list[str]) -> None:
    """Also after words were added."""
    more = {word: number for word, number in more.items() if word not in first}
    table = WordTable(first)
    table.add(hashes(strings(list(more))), np.array(list(more.values()), dtype=np.int64))
    asked = [*asked, *first, *more]
    both = first | more
    assert table.find(hashes(strings(asked))).tolist() == [both.get(word, MISSING) for word in asked]
    assert len(table) == len(both)


def test_a_large_vocabulary_is_found_word_by_word() -> None:
    """Words that differ in little, some of them long."""
    words = {f"{'x' * (place % 300)}{place}": place for place in range(50_000)}
    table = WordTable(words)
    assert table.find(hashes(strings(list(words)))).tolist() == list(words.values())
    assert (table.find(hashes(strings([f"y{word}" for word in words]))) == MISSING).all()


def test_words_of_a_slice_have_the_hashes_of_the_words() -> None:
    """An array that starts in the middle of its buffers."""
    words = strings(["one", "", "three", "four"])
    assert hashes(words[1:3]).tolist() == hashes(strings(["", "three"])).tolist()


@given(st.text(max_size=30))
def test_a_hash_is_never_the_mark_of_an_empty_slot(word: str) -> None:
    """That is 0."""
    assert hashes(strings([word]))[0] != 0
