"""From the neighbours of both directions to the pairs that are kept. No Spark.

Rows are numbered in the order of their ids, so the smaller number is the smaller id. Of pairs the better one has the
higher score; of equal scores the smaller source id, then the smaller target id. That order is strict, so every choice
has one answer.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from st_spark.bitext.margins import Ranks, margins, means
from st_spark.choices import CANDIDATES, MARGINS, RETRIEVALS
from st_spark.errors import InputError
from st_spark.topk.pairs import pair_order
from st_spark.topk.scores import Places, Scores

Flags = npt.NDArray[np.bool_]

# What the direction of a pair is called, by whether it is a candidate of its source row and of its target row.
DIRECTIONS = {(True, False): "forward", (False, True): "backward", (True, True): "both"}


@dataclass(frozen=True)
class Rule:
    """How pairs are chosen.

    Attributes:
        k: Neighbours of each row.
        margin: One of spec.MARGINS.
        retrieval: One of spec.RETRIEVALS.
        candidates: One of spec.CANDIDATES.
        threshold: Only pairs with a score above it.

    Raises:
        InputError: A value that cannot work.
    """

    k: int = 4
    margin: str = "ratio"
    retrieval: str = "max"
    candidates: str = "best"
    threshold: float = 1.06

    def __post_init__(self) -> None:
        """Checks the fields."""
        if self.k < 1:
            raise InputError(f"k is {self.k}.", "ask for 1 neighbour or more.")
        for name, allowed in (("margin", MARGINS), ("retrieval", RETRIEVALS), ("candidates", CANDIDATES)):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name}={getattr(self, name)!r} is unknown.", f"choose one of {', '.join(allowed)}.")
        if math.isnan(self.threshold):
            raise InputError("The threshold is NaN.", "give a number, or -inf for all pairs.")
        if self.margin != "ratio" and self.threshold >= 1:
            raise InputError(
                f"No pair has a margin of kind {self.margin!r} above {self.threshold:g}.",
                "give a lower threshold: the default, 1.06, is for ratios.",
            )


@dataclass(frozen=True)
class Neighbours:
    """The nearest rows of the other side.

    Attributes:
        row: [neighbours] ascending.
        other: [neighbours] the row of the other side.
        cosine: [neighbours] descending for each row; of equal ones the smaller other row comes first.
        refused: [neighbours] those that count for the means, but make no pair.
    """

    row: Places
    other: Places
    cosine: Scores
    refused: Flags

    @property
    def rank(self) -> Ranks:
        """[neighbours] from 1 for the nearest of a row."""
        starts = np.flatnonzero(np.diff(self.row, prepend=-1))
        first = np.repeat(starts, np.diff(starts, append=len(self.row)))
        return (np.arange(len(self.row)) - first + 1).astype(np.int32)

    def taken(self, which: Places) -> "Neighbours":
        """Some of them."""
        return Neighbours(self.row[which], self.other[which], self.cosine[which], self.refused[which])


def nearest(row: Places, other: Places, cosine: Scores, refused: Flags, k: int) -> Neighbours:
    """The k nearest of each row, of neighbours in any order, each pair once."""
    found = Neighbours(row, other, cosine, refused).taken(pair_order(row, other, cosine))
    return found.taken(np.flatnonzero(found.rank <= k))


@dataclass(frozen=True)
class Scored:
    """Pairs with scores.

    Attributes:
        source: [pairs].
        target: [pairs].
        score: [pairs] the margin; never NaN.
        cosine: [pairs].
        forward_rank: [pairs] which of the source row's nearest the target row is, from 1; 0 for none of the k.
        backward_rank: [pairs] the same the other way round.
        forward: [pairs] whether it is a candidate of the source row.
        backward: [pairs] whether it is a candidate of the target row.
    """

    source: Places
    target: Places
    score: Scores
    cosine: Scores
    forward_rank: Ranks
    backward_rank: Ranks
    forward: Flags
    backward: Flags

    def taken(self, which: "Places | Flags") -> "Scored":
        """Some of them."""
        return Scored(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


def mined(forward: Neighbours, backward: Neighbours, rule: Rule) -> Scored:
    """The pairs that the rule keeps, the best first.

    Args:
        forward: The k nearest target rows of each source row.
        backward: The k nearest source rows of each target row; here `row` is the target row.
        rule: How to choose.
    """
    pairs = scored(forward, backward, rule)
    if rule.retrieval == "intersect":
        pairs = pairs.taken(pairs.forward & pairs.backward)
    elif rule.retrieval in ("forward", "backward"):
        pairs = pairs.taken(getattr(pairs, rule.retrieval))
    else:
        pairs = pairs.taken(pairs.forward | pairs.backward)
    pairs = pairs.taken(pairs.score > rule.threshold)
    pairs = pairs.taken(np.argsort(-pairs.score, kind="stable"))  # they stood by source and target
    return pairs.taken(one_to_one(pairs.source, pairs.target)) if rule.retrieval == "max" else pairs


def scored(forward: Neighbours, backward: Neighbours, rule: Rule) -> Scored:
    """Every pair of neighbours that has a score, with what it is a candidate of; by source, then by target."""
    sources, targets = (
        1 + max(int(one.row.max(initial=-1)), int(other.other.max(initial=-1)))
        for one, other in ((forward, backward), (backward, forward))
    )
    source_mean = means(forward.row, forward.rank, forward.cosine, sources)
    target_mean = means(backward.row, backward.rank, backward.cosine, targets)
    key = np.concatenate((forward.row * targets + forward.other, backward.other * targets + backward.row))
    key, first, place = np.unique(key, return_index=True, return_inverse=True)
    source, target = np.divmod(key, max(targets, 1))
    cosine = np.concatenate((forward.cosine, backward.cosine))[first]
    refused = np.concatenate((forward.refused, backward.refused))[first]
    ranks = np.zeros((2, len(key)), np.int32)
    ranks[0, place[: len(forward.row)]] = forward.rank
    ranks[1, place[len(forward.row) :]] = backward.rank
    score = margins(rule.margin, cosine, source_mean[source], target_mean[target])
    listed = ranks > 0
    pairs = Scored(source, target, score, cosine, ranks[0], ranks[1], listed[0], listed[1])
    pairs = pairs.taken(~refused & ~np.isnan(score))
    return pairs if rule.candidates == "all" else _best(pairs)


def _best(pairs: Scored) -> Scored:
    """The same with the best of each row for its only candidate."""
    order = np.argsort(-pairs.score, kind="stable")
    flags = []
    for row, listed in ((pairs.source, pairs.forward), (pairs.target, pairs.backward)):
        places = order[listed[order]][::-1]
        last = np.full(int(row.max(initial=-1)) + 1, -1)
        last[row[places]] = places  # of several the last one stays, which is the best
        best = np.zeros(len(row), bool)
        best[last[last >= 0]] = True
        flags.append(best)
    return Scored(**{**vars(pairs), "forward": flags[0], "backward": flags[1]})


def one_to_one(source: Places, target: Places) -> Places:
    """The places of the pairs that are taken, going from the first to the last: those with two rows not taken yet."""
    taken, places = (bytearray(int(rows.max(initial=-1)) + 1) for rows in (source, target)), []
    sources, targets = taken
    for place, (one, other) in enumerate(zip(source.tolist(), target.tolist(), strict=True)):
        if not sources[one] and not targets[other]:
            sources[one] = targets[other] = 1
            places.append(place)
    return np.array(places, np.int64)
