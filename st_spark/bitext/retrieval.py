"""Choose pairs among the nearest rows of both directions. NumPy and Arrow, no Spark.

Rows are numbered in the order of their ids, so a smaller number is a smaller id. The pair with the higher score is
better. Of equal scores the smaller source id is better, then the smaller target id. Every choice has one answer.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from st_spark.bitext.margins import margins, means
from st_spark.choices import CANDIDATES, MARGINS, RETRIEVALS
from st_spark.errors import check_choice, check_count, check_margin, check_number
from st_spark.topk.pairs import Pairs, ranks
from st_spark.topk.scores import Places, Scores

Flags = npt.NDArray[np.bool_]
Ranks = npt.NDArray[np.int32]

# Columns of a neighbour: whether the target is near the source (else the other way round), both ids, their cosine.
FORWARD, SOURCE, TARGET, COSINE = "_forward", "source_id", "target_id", "cosine"
# Columns of a pair: the rank of the target among the k nearest of the source, and of the source among the k nearest of
# the target (null if it is not among them); and why the texts are no translations, null for most.
FORWARD_RANK, BACKWARD_RANK, REJECTED = "forward_rank", "backward_rank", "_rejected"
SCORE, DIRECTION = "score", "direction"
# Columns of the result.
PAIR_COLUMNS = (SOURCE, TARGET, SCORE, COSINE, DIRECTION, FORWARD_RANK, BACKWARD_RANK)

_BATCH_ROWS = 1 << 16


@dataclass(frozen=True)
class Rule:
    """How pairs are chosen; mine_bitext() explains the fields.

    Raises:
        InputError: A value is not valid.
    """

    k: int = 4
    margin: str = "ratio"
    retrieval: str = "max"
    candidates: str = "best"
    threshold: float = 1.06

    def __post_init__(self) -> None:
        """Check the fields."""
        check_count("k", self.k)
        check_number("threshold", self.threshold)
        for name, allowed in (("margin", MARGINS), ("retrieval", RETRIEVALS), ("candidates", CANDIDATES)):
            check_choice(name, getattr(self, name), allowed)
        check_margin(self.margin, self.threshold)


@dataclass(frozen=True)
class ScoredPairs:
    """Pairs with scores.

    Attributes:
        source, target: [pairs] row numbers.
        score, cosine: [pairs]; the score is the margin, never NaN.
        forward_rank: [pairs] rank of the target among the k nearest of the source, from 1; 0 if it is not among them.
        backward_rank: [pairs] rank of the source among the k nearest of the target.
        forward, backward: [pairs] whether the pair is a candidate of its source row, of its target row.
    """

    source: Places
    target: Places
    score: Scores
    cosine: Scores
    forward_rank: Ranks
    backward_rank: Ranks
    forward: Flags
    backward: Flags

    def take(self, which: "Places | Flags | slice") -> "ScoredPairs":
        """Return the pairs at some places."""
        return ScoredPairs(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


def choose_pairs(batches: Iterator[pa.RecordBatch], rule: Rule) -> Iterator[pa.RecordBatch]:
    """Choose pairs in one task. Yields PAIR_COLUMNS, the best pair first.

    Args:
        batches: SOURCE, TARGET, COSINE and FORWARD: all neighbours in any order; or FORWARD_RANK, BACKWARD_RANK and
            REJECTED in place of FORWARD, with each pair in one row.
        rule: How to choose.
    """
    rows = list(batches)
    if not rows:
        return
    table = pa.Table.from_batches(rows)
    del rows
    sources, source = _numbered(table.column(SOURCE))
    targets, target = _numbered(table.column(TARGET))
    cosine = table.column(COSINE).to_numpy()
    rejected = None
    if FORWARD in table.column_names:
        forward = table.column(FORWARD).to_numpy()
        backward = ~forward
    else:
        forward, backward, no = (_is_valid(table, name) for name in (FORWARD_RANK, BACKWARD_RANK, REJECTED))
        rejected = source[no], target[no]
    near = Pairs(source[forward], target[forward], cosine[forward]).sorted().first(rule.k)
    back = Pairs(target[backward], source[backward], cosine[backward]).sorted().first(rule.k)
    yield from _batches(select(near, back, rule, rejected), sources, targets)


def select(forward: Pairs, backward: Pairs, rule: Rule, rejected: tuple[Places, Places] | None = None) -> ScoredPairs:
    """Return the pairs that the rule keeps, the best first.

    Args:
        forward: The k nearest target rows (right) of each source row (left), sorted.
        backward: The k nearest source rows (right) of each target row (left), sorted.
        rule: How to choose.
        rejected: Source rows and target rows of neighbours that count for the means but cannot be chosen.
    """
    pairs = _scored(forward, backward, rule, rejected)
    wanted = {"forward": pairs.forward, "backward": pairs.backward, "intersect": pairs.forward & pairs.backward}
    pairs = pairs.take(wanted.get(rule.retrieval, pairs.forward | pairs.backward) & (pairs.score > rule.threshold))
    pairs = pairs.take(np.argsort(-pairs.score, kind="stable"))  # equal scores stay sorted by source and target
    return pairs.take(one_to_one(pairs.source, pairs.target)) if rule.retrieval == "max" else pairs


def one_to_one(source: Places, target: Places) -> Places:
    """Go through pairs in their order, and return the places of the pairs whose two rows are not taken yet."""
    taken, places = [bytearray(int(rows.max(initial=-1)) + 1) for rows in (source, target)], []
    sources, targets = taken
    for place, (one, other) in enumerate(zip(source.tolist(), target.tolist(), strict=True)):
        if not sources[one] and not targets[other]:
            sources[one] = targets[other] = 1
            places.append(place)
    return np.array(places, np.int64)


def _scored(forward: Pairs, backward: Pairs, rule: Rule, rejected: tuple[Places, Places] | None) -> ScoredPairs:
    """Score each pair of neighbours once and mark the candidates; sorted by source, then target."""
    sources, targets = (
        1 + max(int(one.left.max(initial=-1)), int(other.right.max(initial=-1)))
        for one, other in ((forward, backward), (backward, forward))
    )
    source_mean = means(forward.left, forward.score, sources)
    target_mean = means(backward.left, backward.score, targets)
    key = np.concatenate((forward.left * targets + forward.right, backward.right * targets + backward.left))
    key, first, place = np.unique(key, return_index=True, return_inverse=True)
    source, target = np.divmod(key, max(targets, 1))
    cosine = np.concatenate((forward.score, backward.score))[first]
    rank = np.zeros((2, len(key)), np.int32)
    rank[0, place[: len(forward.left)]] = 1 + ranks(forward.left)
    rank[1, place[len(forward.left) :]] = 1 + ranks(backward.left)
    score = margins(rule.margin, cosine, source_mean[source], target_mean[target])
    valid = ~np.isnan(score)
    if rejected is not None:
        valid &= ~np.isin(key, rejected[0] * targets + rejected[1])
    pairs = ScoredPairs(source, target, score, cosine, *rank, *(rank > 0)).take(valid)
    return pairs if rule.candidates == "all" else _best_per_row(pairs)


def _best_per_row(pairs: ScoredPairs) -> ScoredPairs:
    """Leave each row its best pair as its only candidate."""
    order = np.argsort(-pairs.score, kind="stable")
    flags = []
    for row, candidate in ((pairs.source, pairs.forward), (pairs.target, pairs.backward)):
        places = order[candidate[order]][::-1]
        last = np.full(int(row.max(initial=-1)) + 1, -1)
        last[row[places]] = places  # the last assignment of a row wins: its best pair
        best = np.zeros(len(row), bool)
        best[last[last >= 0]] = True
        flags.append(best)
    return replace(pairs, forward=flags[0], backward=flags[1])


def _is_valid(table: pa.Table, column: str) -> Flags:
    return np.asarray(table.column(column).is_valid().to_numpy())


def _numbered(column: pa.ChunkedArray) -> tuple[pa.Array, Places]:
    """Return the distinct ids, sorted (strings by their UTF-8 bytes), and the place of each row's id among them."""
    if pa.types.is_integer(column.type):
        ids, places = np.unique(column.to_numpy(), return_inverse=True)
        return pa.array(ids, column.type), places
    ids = pc.unique(column)
    ids = ids.take(pc.sort_indices(ids))
    return ids, np.asarray(pc.index_in(column, value_set=ids).to_numpy().astype(np.int64))


def _batches(pairs: ScoredPairs, sources: pa.Array, targets: pa.Array) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(pairs.source), _BATCH_ROWS):
        some = pairs.take(slice(start, start + _BATCH_ROWS))
        direction = np.where(some.forward, np.where(some.backward, "both", "forward"), "backward")
        columns = [
            sources.take(pa.array(some.source)),
            targets.take(pa.array(some.target)),
            *(pa.array(values) for values in (some.score, some.cosine, direction)),
            *(pa.array(rank, mask=rank == 0) for rank in (some.forward_rank, some.backward_rank)),
        ]
        yield pa.RecordBatch.from_arrays(columns, names=list(PAIR_COLUMNS))
