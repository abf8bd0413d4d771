"""Cutting texts into micro-batches and into groups of equal length."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from st_spark.model.inputs.batching import equal_groups, longest_first, micro_batches

counts = st.lists(st.integers(1, 600), max_size=200).map(lambda x: np.array(x, dtype=np.int64))


@given(counts, st.integers(1, 5000), st.none() | st.integers(1, 50))
def test_micro_batches_cover_every_text_once_within_the_budget(
    lengths: np.ndarray, max_tokens: int, max_texts: int | None
) -> None:
    """Each is within the budget or a single text."""
    runs = list(micro_batches(lengths, max_tokens, max_texts))
    assert [start for start, _ in runs] == [0, *(stop for _, stop in runs[:-1])][: len(runs)]
    assert (runs[-1][1] if runs else 0) == len(lengths)
    for start, stop in runs:
        assert stop > start
        assert lengths[start:stop].sum() <= max_tokens or stop - start == 1
        assert max_texts is None or stop - start <= max_texts


@given(counts)
def test_micro_batch_is_as_large_as_its_budget_allows(lengths: np.ndarray) -> None:
    """The next text does not fit."""
    for start, stop in micro_batches(lengths, 1000):
        assert stop == len(lengths) or lengths[start : stop + 1].sum() > 1000


@given(counts)
def test_groups_have_equal_lengths_and_cover_texts_and_tokens(lengths: np.ndarray) -> None:
    """Without gaps."""
    ordered = lengths[longest_first(lengths)]
    groups = equal_groups(ordered)
    row, start = 0, 0
    for group in groups:
        assert (group.row, group.start) == (row, start)
        assert (ordered[group.row : group.row + group.count] == group.length).all()
        row, start = row + group.count, group.stop
    assert (row, start) == (len(ordered), ordered.sum())
    assert len({group.length for group in groups}) == len(groups)


@given(counts)
def test_longest_text_comes_first(lengths: np.ndarray) -> None:
    """The order is a permutation with falling lengths."""
    order = longest_first(lengths)
    assert sorted(order.tolist()) == list(range(len(lengths)))
    assert (np.diff(lengths[order]) <= 0).all()


@given(counts, st.integers(1, 5000))
def test_padded_micro_batches_keep_to_the_budget_with_their_padding(lengths: np.ndarray, max_tokens: int) -> None:
    """One long text must not make hundreds of short ones long."""
    ordered = lengths[longest_first(lengths)]
    runs = list(micro_batches(ordered, max_tokens, pads=True))
    assert sum(stop - start for start, stop in runs) == len(lengths)
    assert all((stop - start) * ordered[start] <= max_tokens or stop - start == 1 for start, stop in runs)
