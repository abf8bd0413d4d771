"""mine_bitext and score_pairs reject wrong options before any Spark job: a schema is enough."""

from dataclasses import dataclass
from typing import Any

import pytest
from pyspark.sql.types import ArrayType, FloatType, LongType, StringType, StructType

import st_spark
from st_spark.errors import InputError

EMBEDDED = StructType().add("id", LongType()).add("embedding", ArrayType(FloatType())).add("text", StringType())
PAIRS = StructType().add("id", LongType())
for name in ("source_embedding", "target_embedding"):
    PAIRS = PAIRS.add(name, ArrayType(FloatType()))


@dataclass(frozen=True)
class Table:
    """A stand-in for a DataFrame that has only a schema."""

    schema: StructType

    @property
    def columns(self) -> list[str]:
        """Return the names of the columns."""
        return list(self.schema.names)


def mine(**options: Any) -> None:
    table: Any = Table(EMBEDDED)
    st_spark.mine_bitext(table, table, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(({"k": value}, f"k is {value!r}") for value in (0, 2.5, True, "4")),
        ({"threshold": "high"}, "threshold is 'high'"),
        ({"margin": "cos"}, "margin='cos' is unknown"),
        ({"margin": "absolute"}, "the default, 1.06, is for ratios"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"method": "fast"}, "method='fast' is unknown"),
        ({"source_text": "text"}, "Only one table has a text column"),
        ({"source_text": "text", "texts": True}, "Only one table has a text column"),
        ({"texts": True}, "texts=True needs the text columns"),
        ({"source_text": "id", "target_text": "id"}, "holds bigint, not strings"),
        ({"document_id": "doc"}, "no column 'doc'"),
        ({"languages": ("de", "en")}, "Languages and a language column"),
        ({"languages": ("de", "en"), "language_column": "text"}, "needs text columns"),
        ({"source_vector": "id"}, "holds bigint"),
    ],
)
def test_options_that_are_not_valid_are_rejected_with_their_fix(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        mine(**options)
    assert "Fix: " in str(caught.value)


def test_pairs_are_not_scored_by_an_unknown_method_or_over_their_scores() -> None:
    pairs: Any = Table(PAIRS)
    with pytest.raises(InputError, match="method='fast' is unknown"):
        st_spark.score_pairs(pairs, method="fast")
    scored: Any = Table(StructType(PAIRS.fields).add("score", FloatType()))
    with pytest.raises(InputError, match="has a column 'score' already"):
        st_spark.score_pairs(scored)
