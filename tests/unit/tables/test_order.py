"""An order of columns, as text: every name can be written, and what is no column is an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_spark.errors import InputError
from st_spark.tables.order import SortKey, parse_order

KEYS = st.builds(SortKey, st.text(min_size=1, max_size=8), st.booleans(), st.booleans())


@given(st.lists(KEYS, min_size=1, max_size=3))
def test_keys_with_any_name_are_read_back(keys: list[SortKey]) -> None:
    texts = [
        f"`{key.name.replace('`', '``')}` {'desc' if key.descending else 'ASC'}"
        f"  nulls {'first' if key.nulls_first else 'last'}"
        for key in keys
    ]
    assert parse_order(" , ".join(texts), "keep") == tuple(keys)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("date", [SortKey("date")]),
        ("date DESC", [SortKey("date", descending=True, nulls_first=False)]),
        (" a b  desc nulls first,c", [SortKey("a b", descending=True), SortKey("c")]),
        ("`desc` ASC NULLS LAST", [SortKey("desc", nulls_first=False)]),
        ("nulls.last", [SortKey("nulls.last")]),
    ],
)
def test_an_order_is_read_as_spark_reads_it(text: str, keys: list[SortKey]) -> None:
    assert parse_order(text, "keep") == tuple(keys)


@pytest.mark.parametrize("text", ["", "date,", ",date", "`date", "a`b", "date DESC,, id"])
def test_what_is_no_column_is_an_error(text: str) -> None:
    with pytest.raises(InputError, match=r"keep is .*, where '.*' is no column\. Fix: write columns as in ORDER BY"):
        parse_order(text, "keep")
