"""mine_hard_negatives gives the rows of sentence-transformers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from st_spark import mine_hard_negatives
from st_spark.choices import NEGATIVE_FORMATS
from st_spark.errors import InputError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

RANDOM = np.random.default_rng(0)
QUERIES = {f"q{number}": RANDOM.normal(size=6) for number in range(8)}
CORPUS = {f"c{number}": RANDOM.normal(size=6) for number in range(40)}
# Each query has one to three positives, which are near it.
PAIRS = [(f"q{number % 8}", f"c{number}") for number in range(13)] + [("q0", "c39")]
for query, text in PAIRS:
    CORPUS[text] = QUERIES[query] + 0.5 * CORPUS[text]


class Model:
    """Looks vectors up, in place of a model of sentence-transformers."""

    device = torch.device("cpu")

    def encode_query(self, texts: list[str], **_: Any) -> npt.NDArray[np.float64]:
        """Return the vectors of queries."""
        return np.array([QUERIES[each] / np.linalg.norm(QUERIES[each]) for each in texts])

    def encode_document(self, texts: list[str], **_: Any) -> npt.NDArray[np.float64]:
        """Return the vectors of texts."""
        return np.array([CORPUS[each] / np.linalg.norm(CORPUS[each]) for each in texts])

    def similarity(self, one: Any, other: Any) -> torch.Tensor:
        """Return all cosines."""
        return torch.as_tensor(one) @ torch.as_tensor(other).T

    def similarity_pairwise(self, one: Any, other: Any) -> torch.Tensor:
        """Return the cosines of pairs."""
        return (torch.as_tensor(one) * torch.as_tensor(other)).sum(dim=1)


def theirs(**options: Any) -> list[dict[str, Any]]:
    """Return the rows of sentence-transformers."""
    from datasets import Dataset
    from sentence_transformers.util import mine_hard_negatives as mine

    pairs = Dataset.from_dict({"anchor": [pair[0] for pair in PAIRS], "positive": [pair[1] for pair in PAIRS]})
    return mine(pairs, Model(), corpus=list(CORPUS), verbose=False, **options).to_list()  # type: ignore[arg-type]


def by_plain_loops(
    *,
    num_negatives: int = 3,
    range_min: int = 0,
    range_max: int,
    max_score: float = np.inf,
    min_score: float = -np.inf,
    absolute_margin: float = -np.inf,
    relative_margin: float = -np.inf,
    output_format: str = "triplet",
) -> list[dict[str, Any]]:
    """Return the rows by the rules, with scores."""
    rows = []
    for query, vector in QUERIES.items():
        x = vector / np.linalg.norm(vector)
        scores = {text: float(x @ y / np.linalg.norm(y)) for text, y in CORPUS.items()}
        positives = [text for one, text in PAIRS if one == query]
        hardest = min(scores[text] for text in positives)
        window = sorted(scores, key=lambda text: -scores[text])[: range_max + 3]  # no query has more than 3 positives
        allowed = [
            text
            for text in window
            if text not in positives
            and scores[text] <= min(hardest - absolute_margin, hardest - abs(hardest) * relative_margin, max_score)
            and scores[text] >= min_score
        ]
        chosen = allowed[:range_max][range_min:][:num_negatives]
        for positive in positives:
            pair = {"anchor": query, "positive": positive}
            if output_format == "triplet":
                rows += [{**pair, "negative": text, "scores": [scores[positive], scores[text]]} for text in chosen]
            elif len(chosen) == num_negatives:
                named = {f"negative_{place}": text for place, text in enumerate(chosen, 1)}
                rows.append({**pair, **named, "scores": [scores[positive], *(scores[text] for text in chosen)]})
    return rows


def tables(spark: "SparkSession") -> "tuple[DataFrame, DataFrame, DataFrame]":
    """Return queries, positives and corpus; a copy of a positive is in the corpus under another id."""
    rows = [
        [(number, text, vectors[text].tolist()) for number, text in enumerate(vectors)] for vectors in (QUERIES, CORPUS)
    ]
    rows[1].append((99, "c0", CORPUS["c0"].tolist()))
    queries, corpus = (spark.createDataFrame(each, "id bigint, text string, embedding array<double>") for each in rows)
    pairs = [(list(QUERIES).index(query), list(CORPUS).index(text)) for query, text in PAIRS]
    return queries, spark.createDataFrame(pairs, "query_id bigint, corpus_id bigint"), corpus


OPTIONS: list[dict[str, Any]] = [
    {"num_negatives": 4, "range_max": 7},
    {"absolute_margin": 0.2, "range_min": 2, "max_score": 0.5, "min_score": -0.1, "range_max": 30},
    {"relative_margin": 0.4, "range_max": 9, "num_negatives": 2},
]


def ordered(rows: list[dict[str, Any]]) -> list[Any]:
    """Return the texts and the rounded scores of all rows, in order."""
    return sorted(
        ([value for name, value in row.items() if name != "scores"], np.round(row["scores"], 6).tolist())
        for row in rows
    )


@pytest.mark.parametrize(("options", "output_format"), zip(OPTIONS[1:], NEGATIVE_FORMATS, strict=True))
def test_negatives_follow_the_rules_and_a_trainer_can_read_them(
    spark: "SparkSession", options: dict[str, Any], output_format: str, tmp_path: Path
) -> None:
    from datasets import load_dataset

    found = mine_hard_negatives(*tables(spark), **options, output_format=output_format, output_scores=True)
    found.write.parquet(f"{tmp_path}/found")
    read = load_dataset("parquet", data_files=f"{tmp_path}/found/*.parquet", cache_dir=str(tmp_path), split="train")
    expected = by_plain_loops(**options, output_format=output_format)
    assert ordered(read.to_list()) == ordered(expected)
    assert read.column_names == found.columns
    assert len(expected) > 5


@pytest.mark.parametrize("output_format", NEGATIVE_FORMATS)
@pytest.mark.parametrize("options", OPTIONS)
def test_the_rules_are_those_of_sentence_transformers(options: dict[str, Any], output_format: str) -> None:
    expected = theirs(**options, output_format=output_format, output_scores=True)
    assert ordered(by_plain_loops(**options, output_format=output_format)) == ordered(expected)


def test_random_negatives_follow_the_seed(spark: "SparkSession") -> None:
    queries, positives, corpus = tables(spark)
    options: dict[str, Any] = {"sampling_strategy": "random", "range_max": 20, "num_negatives": 2}
    one, same, other = (
        mine_hard_negatives(queries.repartition(count), positives, corpus.repartition(count), seed=seed, **options)
        for count, seed in ((1, 0), (3, 0), (3, 1))
    )
    assert sorted(one.collect()) == sorted(same.collect()) != sorted(other.collect())
    assert one.columns == ["anchor", "positive", "negative"]
    assert one.count() == len(PAIRS) * 2
    missing = spark.createDataFrame([(0, 77)], "query_id bigint, corpus_id bigint")
    with pytest.raises(InputError, match=r"1 positives have a corpus_id that is not in the corpus, .*such as '77'"):
        mine_hard_negatives(queries, missing, corpus)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"num_negatives": 0}, "num_negatives is 0"),
        ({"range_min": -1}, "range_min is -1"),
        ({"range_min": 3, "range_max": 5}, "range_min is 3 and range_max 5, which is less than 3 negatives"),
        ({"min_score": 0.9, "max_score": 0.1}, "min_score is 0.9, and max_score 0.1"),
        ({"sampling_strategy": "best"}, "sampling_strategy='best' is unknown. Fix: choose one of top, random"),
        ({"output_format": "labeled-pair"}, "choose one of triplet, n-tuple"),
        ({"absolute_margin": "0.1"}, "absolute_margin is '0.1'"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as error:
        mine_hard_negatives(None, None, None, **options)  # type: ignore[arg-type]
    assert says in str(error.value)
