"""An order of rows as in SQL's ORDER BY: "date DESC, length". Columns only, so that the table can be checked first."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from st_spark.errors import InputError
from st_spark.tables.columns import quoted_column

if TYPE_CHECKING:
    from pyspark.sql import Column

_COMMA = re.compile(r",(?=(?:[^`]*`[^`]*`)*[^`]*$)")  # not between backquotes
_KEY = re.compile(
    r"\s*(?:`(?P<quoted>(?:[^`]|``)+)`|(?P<plain>[^`\s](?:[^`]*?[^`\s])?))"
    r"(?:\s+(?P<order>ASC|DESC))?(?:\s+NULLS\s+(?P<nulls>FIRST|LAST))?\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class SortKey:
    """A column to sort by. Nulls come first, unless nulls_first is False: parse_order() chooses it as Spark does."""

    name: str
    descending: bool = False
    nulls_first: bool = True

    def __str__(self) -> str:
        """Return the key as SQL writes it."""
        return f"{self.name} {'DESC' if self.descending else 'ASC'} NULLS {'FIRST' if self.nulls_first else 'LAST'}"

    def column(self) -> "Column":
        """Return the key for orderBy()."""
        column = quoted_column(self.name)
        if self.descending:
            return column.desc_nulls_first() if self.nulls_first else column.desc_nulls_last()
        return column.asc_nulls_first() if self.nulls_first else column.asc_nulls_last()


def parse_order(text: str, option: str) -> tuple[SortKey, ...]:
    """Return the keys of an order such as "date DESC NULLS LAST, `a b`"; InputError if it cannot be read.

    Args:
        text: Columns, separated by commas. A name with a comma, or that ends in a word such as DESC, is in backquotes.
        option: The name of the option, for errors.
    """
    return tuple(_key(part, text, option) for part in _COMMA.split(text))


def _key(part: str, text: str, option: str) -> SortKey:
    found = _KEY.fullmatch(part)
    if found is None:
        raise InputError(
            f"{option} is {text!r}, where {part.strip()!r} is no column.",
            'write columns as in ORDER BY: "date DESC, title"; to sort by an expression, make a column of it first.',
        )
    descending = (found["order"] or "").upper() == "DESC"
    nulls_first = found["nulls"].upper() == "FIRST" if found["nulls"] else not descending
    name = found["quoted"].replace("``", "`") if found["quoted"] else found["plain"]
    return SortKey(name, descending, nulls_first)
