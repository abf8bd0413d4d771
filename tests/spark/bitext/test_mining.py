"""mine_bitext on Spark: LASER's pairs for any blocks, with copies, texts and documents."""

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest

import st_spark
from st_spark import TextFilters
from st_spark.bitext.corpus import Corpus
from st_spark.bitext.mining import mine
from st_spark.bitext.retrieval import Rule
from st_spark.choices import MARGINS
from st_spark.errors import InputError
from st_spark.join import block_plan
from st_spark.join.block_plan import Grid
from st_spark.tables.metadata import METADATA_KEY
from tests.spark.join.tables import byte_order, frame
from tests.unit.bitext import laser
from tests.unit.bitext.test_retrieval import clustered

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow

SOURCES = [2**53 + 90 - i for i in range(40)]
TARGETS = [f"{name}{i}" for i in range(6) for name in ("a", "Z", "é", "\U0001f600", "日")]
VECTORS = clustered(5, 40, 6).astype(np.float32), clustered(6, 30, 6).astype(np.float32)


@pytest.fixture
def sides(spark: "SparkSession") -> "tuple[DataFrame, DataFrame]":
    return frame(spark, SOURCES, VECTORS[0], 3), frame(spark, TARGETS, VECTORS[1], 2)


def expected(rule: Rule) -> dict[tuple[Any, Any], float]:
    """Return what LASER's definition gives, with rows in the order of their ids."""
    orders = [sorted(range(len(ids)), key=lambda i, ids=ids: byte_order(ids[i])) for ids in (SOURCES, TARGETS)]  # type: ignore[misc]
    similarity = laser.cosines(VECTORS[0][orders[0]], VECTORS[1][orders[1]])
    found = laser.mine(similarity, rule.k, rule.margin, rule.retrieval, rule.threshold, rule.candidates)
    return {(SOURCES[orders[0][i]], TARGETS[orders[1][j]]): score for (i, j), score in found.items()}


def scores(pairs: "DataFrame") -> dict[tuple[Any, Any], float]:
    found = pairs.collect()
    made = {(row["source_id"], row["target_id"]): row["score"] for row in found}
    assert len(made) == len(found)
    return made


@pytest.mark.parametrize("shape", [Grid(1, 1), Grid(3, 2)], ids=["one block pair", "3 x 2"])
@pytest.mark.parametrize("one_task", [10**6, 0], ids=["one task", "all tasks"])
def test_pairs_match_lasers_definition_for_any_blocks(
    sides: "tuple[DataFrame, DataFrame]", monkeypatch: pytest.MonkeyPatch, shape: Grid, one_task: int
) -> None:
    monkeypatch.setattr(block_plan, "choose_grid", lambda *_, **__: shape)
    rule = Rule(3, threshold=1.02, candidates="all")
    mined = mine(Corpus(sides[0]), Corpus(sides[1]), rule, one_task=one_task)
    found = scores(mined.pairs)
    mined.close()
    assert found.keys() == expected(rule).keys()
    assert found == pytest.approx(expected(rule), abs=1e-9)
    assert found


def test_the_result_has_ids_scores_ranks_and_metadata(sides: "tuple[DataFrame, DataFrame]") -> None:
    rule = Rule(threshold=0.9)
    made = st_spark.mine_bitext(*sides, threshold=0.9)
    kinds = {name: kind for name, kind in made.dtypes if name not in ("source_id", "target_id")}
    assert kinds == {
        "score": "double",
        "cosine": "double",
        "direction": "string",
        "forward_rank": "int",
        "backward_rank": "int",
    }
    facts = (made.schema["score"].metadata or {})[METADATA_KEY]
    assert facts == {
        "method": "exact",
        "k": 4,
        "margin": "ratio",
        "retrieval": "max",
        "candidates": "best",
        "threshold": 0.9,
    }
    rows = made.collect()
    assert {(row["source_id"], row["target_id"]) for row in rows} == expected(rule).keys()
    every = mine(Corpus(sides[0]), Corpus(sides[1]), rule, one_task=0)
    assert sorted(map(tuple, every.pairs.collect())) == sorted(map(tuple, rows))
    every.close()
    for row in rows:
        assert (row["forward_rank"] is None) <= (row["direction"] == "backward")
        assert (row["backward_rank"] is None) <= (row["direction"] == "forward")
        x, y = VECTORS[0][SOURCES.index(row["source_id"])], VECTORS[1][TARGETS.index(row["target_id"])]
        assert row["cosine"] == pytest.approx(float(laser.unit(x[None])[0] @ laser.unit(y[None])[0]), abs=1e-9)


def test_swapped_sides_give_the_same_pairs(sides: "tuple[DataFrame, DataFrame]") -> None:
    one = scores(st_spark.mine_bitext(*sides, threshold=0.5))
    other = scores(st_spark.mine_bitext(sides[1], sides[0], threshold=0.5))
    assert {(j, i): score for (i, j), score in other.items()} == one


def test_copies_and_invalid_rows_change_no_pairs(spark: "SparkSession", sides: "tuple[DataFrame, DataFrame]") -> None:
    sound = mine(Corpus(sides[0]), Corpus(sides[1]), Rule(threshold=0.5))
    again = frame(spark, [2**60 + i for i in range(9)], [*VECTORS[0][[3] * 5], *VECTORS[0][:4]])
    bad = frame(spark, [7, 8, None], [None, [0.0] * 6, VECTORS[0][0]])
    rows = sides[0].unionByName(again).unionByName(bad)
    mined = mine(Corpus(rows), Corpus(sides[1]), Rule(threshold=0.5))
    assert scores(mined.pairs) == scores(sound.pairs)
    assert mined.stats.left.rows == 52
    assert mined.stats.left.set_aside == {"null": 1, "zero": 1, "null id": 1, "same vector": 9}
    assert mined.stats.right == sound.stats.right


def test_sides_without_rows_give_no_pairs(sides: "tuple[DataFrame, DataFrame]") -> None:
    none = sides[0].where("id < 0")
    for method in ("exact", "ivf"):
        assert st_spark.mine_bitext(none, sides[1], method=method).count() == 0
        assert st_spark.mine_bitext(sides[0], none, method=method).count() == 0


def test_rows_are_paired_within_their_documents(spark: "SparkSession") -> None:
    documents = [[str(i % 3) for i in range(len(rows))] for rows in VECTORS]
    documents[0][5] = None  # type: ignore[call-overload]
    made = [frame(spark, range(len(rows)), rows, doc=which) for rows, which in zip(VECTORS, documents, strict=True)]
    rule = Rule(k=3, threshold=0.5)
    found = scores(st_spark.mine_bitext(made[0], made[1], k=3, threshold=0.5, document_id="doc"))
    want: dict[tuple[int, int], float] = {}
    for name in "012":
        inside = [np.flatnonzero([each == name for each in which]) for which in documents]
        similarity = laser.cosines(VECTORS[0][inside[0]], VECTORS[1][inside[1]])
        pairs = laser.mine(similarity, 3, threshold=rule.threshold)
        want |= {(int(inside[0][i]), int(inside[1][j])): score for (i, j), score in pairs.items()}
    assert found == pytest.approx(want, abs=1e-9)


def test_ivf_matches_exact_and_reports_its_recall(spark: "SparkSession") -> None:
    made = [frame(spark, range(600), clustered(seed, 600).astype(np.float32)) for seed in (7, 8)]
    exact = scores(st_spark.mine_bitext(made[0], made[1], threshold=0.0))
    mined = mine(Corpus(made[0]), Corpus(made[1]), Rule(threshold=0.0), method="ivf", recall=0.99)
    names = {f"{name}_{way}" for name in ("recall", "recall_low", "recall_high") for way in ("forward", "backward")}
    assert names <= mined.facts.keys()
    assert all(mined.facts[name] > 0.9 for name in names)
    found = scores(mined.pairs)
    assert len(found.keys() & exact.keys()) > 0.9 * len(exact)
    whole = st_spark.mine_bitext(made[0], made[1], threshold=0.0, method="ivf", recall=1.0)
    assert scores(whole) == exact


TEXTS = {
    "no text": None,
    "too short": " 12345678 ",
    "too long": "word " * 101,
    "digits and punctuation": "123-456-789 (10) km",
    "same text": "Guten   Morgen, liebe Leute! ",
    "other language": "Guten Morgen, liebe Leute!",
}


def test_texts_that_cannot_be_translations_are_dropped_and_counted(spark: "SparkSession") -> None:
    vectors = clustered(9, 12).astype(np.float32)
    source = ["Guten Morgen, liebe Leute!", *TEXTS.values(), *(f"Das ist der Satz {name}" for name in "ABCDE")]
    spoken = ["de", *("fr" if name == "other language" else "de" for name in TEXTS), *["de"] * 5]
    one = frame(spark, range(12), vectors, text=source, lang=spoken)
    other = frame(
        spark, range(12), vectors, text=[f"This is sentence {name}" for name in "ABCDEFGHIJKL"], lang=["en"] * 12
    )
    mined = mine(
        Corpus(one, text="text", language_column="lang", language="de"),
        Corpus(other, text="text", language_column="lang", language="en"),
        Rule(threshold=0.0),
        texts=True,
    )
    assert mined.stats.left.set_aside == dict.fromkeys(TEXTS, 1)
    assert mined.stats.left.kept == 6
    rows = mined.pairs.collect()
    assert {row["source_id"] for row in rows} <= {0, 7, 8, 9, 10, 11}
    assert all(row["source_text"] == source[row["source_id"]] for row in rows)
    assert all(row["target_text"] == f"This is sentence {'ABCDEFGHIJKL'[row['target_id']]}" for row in rows)


@pytest.mark.parametrize("one_task", [10**6, 0], ids=["one task", "all tasks"])
def test_copies_and_texts_of_very_different_lengths_make_no_pair(spark: "SparkSession", one_task: int) -> None:
    source = ["Berlin - Hamburg: 3 Stunden", "Der Zug fährt heute nicht.", "Ja, das ist er."]
    target = ["BERLIN, Hamburg, 4 Stunde", "The train does not run today.", "Yes, that is he, " + "and so on " * 9]
    vectors = np.eye(3, 4, dtype=np.float32) + 0.1
    mined = mine(
        Corpus(frame(spark, range(3), vectors, text=source), text="text"),
        Corpus(frame(spark, range(3), vectors, text=target), text="text"),
        Rule(k=2, threshold=0.0, candidates="all"),
        one_task=one_task,
    )
    assert {pair for pair in scores(mined.pairs) if pair[0] == pair[1]} == {(1, 1)}
    assert mined.rejected["copy"] == 1
    assert mined.rejected["length ratio"] >= 1
    mined.close()
    every = mine(
        Corpus(frame(spark, range(3), vectors, text=source), text="text"),
        Corpus(frame(spark, range(3), vectors, text=target), text="text"),
        Rule(k=2, threshold=0.0),
        filters=TextFilters(max_ratio=99, max_alike=1.0),
        one_task=one_task,
    )
    assert scores(every.pairs).keys() == {(0, 0), (1, 1), (2, 2)}
    assert every.rejected == {}
    every.close()


def test_score_pairs_matches_lasers_definition(spark: "SparkSession") -> None:
    x, y = clustered(10, 30, 5).astype(np.float32), clustered(11, 30, 5).astype(np.float32)
    x[4] = x[9]  # the same sentence twice: it counts once among the neighbours
    rows: list[Any] = [(f"p{i}", x[i].tolist(), y[i].tolist()) for i in range(30)]
    rows += [("none", None, y[0].tolist()), ("zero", [0.0] * 5, y[0].tolist())]
    schema = "id string, source_embedding array<float>, target_embedding array<float>"
    pairs = spark.createDataFrame(rows, schema).repartition(3)
    firsts = [i for i in range(30) if i != 9]
    for margin in MARGINS:
        got = {row["id"]: (row["score"], row["cosine"]) for row in st_spark.score_pairs(pairs, 3, margin).collect()}
        assert got["none"] == got["zero"] == (None, None)
        assert got["p4"] is not None
        near = laser.cosines(x[firsts], y)
        ahead = np.sort(near, axis=1)[:, -3:].mean(axis=1)
        back = np.sort(near, axis=0)[-3:].mean(axis=0)
        for i in range(30):
            a = float(laser.cosines(x[i : i + 1], y[i : i + 1])[0, 0])
            b = float(ahead[firsts.index(4 if i == 9 else i)] + back[i]) / 2
            want = {"absolute": a, "distance": a - b, "ratio": a / b}[margin]
            assert got[f"p{i}"] == pytest.approx((want, a), abs=1e-9)


def test_duplicate_ids_and_different_dimensions_are_rejected(spark: "SparkSession") -> None:
    vectors: npt.NDArray[Any] = VECTORS[0][:3]
    twice, fine = frame(spark, [1, 1, 2], vectors), frame(spark, range(3), vectors)
    with pytest.raises(InputError, match="Duplicate ids in the target table: 1"):
        st_spark.mine_bitext(fine, twice)
    with pytest.raises(InputError, match="The vectors of the source table have 6 values, of the target table 5"):
        st_spark.mine_bitext(fine, frame(spark, range(3), vectors[:, :5]))


def test_orthogonal_sides_give_no_nan_ratio(spark: "SparkSession") -> None:
    one, other = np.eye(4, 8, dtype=np.float32), np.eye(4, 8, 4, dtype=np.float32)
    made = [frame(spark, range(4), rows) for rows in (one, other)]
    for one_task, retrieval in itertools.product((10**6, 0), ("max", "union")):
        rule = Rule(retrieval=retrieval, threshold=float("-inf"), candidates="all")
        mined = mine(Corpus(made[0]), Corpus(made[1]), rule, one_task=one_task)
        assert mined.pairs.count() == 0
        assert "threshold" not in (mined.pairs.schema["score"].metadata or {})[METADATA_KEY]
        mined.close()
