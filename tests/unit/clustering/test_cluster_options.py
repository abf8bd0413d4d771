"""What cluster refuses, and what it says."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from st_spark.clustering.cluster import ClusterRequest
from st_spark.clustering.communities import ChooseCommunities, number_copies, pack_pairs
from st_spark.errors import InputError
from st_spark.topk.pairs import Pairs


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"method": "leader"}, "method='leader' is unknown. Fix: choose one of kmeans, communities"),
        ({"score": "manhattan"}, "score='manhattan' is unknown"),
        ({"k": 5, "threshold": 0.8}, "threshold is given, and the method is kmeans. Fix: leave it out, or choose the"),
        ({"method": "communities", "k": 5}, "k is given, and the method is communities"),
        ({"k": 0}, "k is 0. Fix: give a whole number, 1 or more"),
        ({"k": 5, "max_k": 9}, "k is given, and bounds for it, too"),
        ({"min_k": 9, "max_k": 5}, "min_k is 9, and max_k is 5"),
        ({"max_k": 1}, "max_k is 1. Fix: give a whole number, 2 or more"),
        ({"seed": -1}, "seed is -1"),
        ({"method": "communities", "threshold": 1.5}, "No cosine score reaches the threshold 1.5"),
        ({"method": "communities", "threshold": float("nan")}, "threshold is nan"),
        ({"method": "communities", "min_community_size": 0}, "min_community_size is 0"),
        ({"method": "communities", "max_pairs": 0}, "max_pairs is 0"),
        ({"method": "communities", "score": "dot"}, "score is 'dot'. Fix: choose the score cosine or euclidean"),
        ({"method": "communities", "score": "euclidean"}, "No threshold is given for the score euclidean"),
        ({"method": "communities", "score": "euclidean", "threshold": 0.5}, "it is minus the distance"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as error:
        ClusterRequest(**options)
    assert says in str(error.value)


def test_pairs_reach_the_choosing_task_and_too_many_are_refused() -> None:
    ids = pa.array(np.arange(3000, dtype=np.int32))
    ones, rest = np.zeros(2500, np.int64), np.arange(1, 2501)
    pairs = Pairs(ones, rest, np.ones(2500))
    parts = iter([pairs.take(np.arange(7)), pairs.take(np.arange(7, 2500))])
    packed = list(pack_pairs(ids, ids, parts))
    none = pa.nulls(len(packed[0]), pa.int32())
    batch = pa.RecordBatch.from_arrays([*packed[0].columns, none, none], ["left", "right", "weighted", "copies"])
    found = pa.Table.from_batches(ChooseCommunities(3000, 2501, 2500)(iter([batch])))
    assert len(batch) == 3
    assert found["number"].to_pylist() == list(range(2501))
    assert set(found["cluster"].to_pylist()) == {0}
    with pytest.raises(InputError, match=r"More than 2,499 pairs .* max_pairs is 2,499\. Fix: raise the threshold"):
        list(ChooseCommunities(3000, 2501, 2499)(iter([batch])))


def test_vectors_are_numbered_in_the_order_of_their_smallest_ids() -> None:
    batch = pa.RecordBatch.from_pydict({"id": ["d", "b", "c", "a"], "hash": [b"x", b"y", b"x", b"z"]})
    found = pa.Table.from_batches(number_copies(iter([batch]))).to_pydict()
    assert found == {
        "id": ["a", "b", "c", "d"],
        "number": [0, 1, 2, 2],
        "is_first": [True, True, True, False],
        "copies": [1, 1, 2, 2],
    }
