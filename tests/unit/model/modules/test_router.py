"""Routers: the route for a task, and broken configs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from st_spark import SentenceTransformer
from st_spark.errors import InputError, ModelError
from st_spark.model.modules.router import Router
from tests.support.word_checkpoints import write_asym, write_router

ROUTES: dict[str, list[Any]] = {"query": ["q"], "document": ["d"]}


@pytest.mark.parametrize(
    ("task", "modality", "chosen"),
    [
        ("search", "text", "query"),
        ("search", "image", "document"),
        ("other", "image", "query"),
        ("other", "text", "document"),
    ],
)
def test_the_closest_mapping_wins(task: str, modality: str, chosen: Any) -> None:
    """Task and modality, then the task alone, then the modality alone, then the mapping for all."""
    mappings = {
        "('search', 'text')": "query",
        "('search', None)": "document",
        "(None, 'image')": "query",
        "(None, None)": "document",
    }
    assert Router(ROUTES, {"route_mappings": mappings}).choose(task, modality) is ROUTES[chosen]


@pytest.mark.parametrize(
    ("parameters", "chosen"),
    [({}, "query"), ({"default_route": "document"}, "document"), ({"allow_empty_key": True}, "query")],
)
def test_without_a_task_the_default_route_is_chosen(parameters: dict[str, Any], chosen: Any) -> None:
    assert Router(ROUTES, parameters).choose(None) is ROUTES[chosen]
    assert Router(ROUTES, parameters).choose("document") is ROUTES["document"]


def test_a_router_without_a_default_asks_for_a_task() -> None:
    router = Router(ROUTES, {"allow_empty_key": False})
    with pytest.raises(InputError, match=r"needs a task, and none was given. Fix: give task='query' or 'document'"):
        router.choose(None)
    assert router.typical() is ROUTES["query"]


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"default_route": "answer"}, "the route 'answer'"),
        ({"route_mappings": {"(None, 'text')": "answer"}}, "the route 'answer'"),
        ({"route_mappings": {"__import__('os')": "query"}}, "route mapping"),
        ({"route_mappings": {"('a', 'b', 'c')": "query"}}, "route mapping"),
    ],
)
def test_a_broken_config_is_rejected(parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(ModelError, match=named):
        Router(ROUTES, parameters)


def test_a_task_chooses_modules_and_their_tokenizer(tmp_path: Path) -> None:
    model = SentenceTransformer(write_router(tmp_path / "router"), device="cpu", dtype="float32")
    query, document = (model.embed(["the cat sat"], task=task) for task in ("query", "document"))
    assert (query.n_tokens.tolist(), document.n_tokens.tolist()) == ([3], [5])  # without and with special tokens
    assert np.array_equal(model.encode_query(["the cat sat"]), query.vectors)
    assert np.array_equal(model.encode(["the cat sat"]), document.vectors)


def test_a_router_can_follow_the_pooling(tmp_path: Path) -> None:
    model = SentenceTransformer(write_asym(tmp_path / "asym"), device="cpu", dtype="float32")
    assert model.get_sentence_embedding_dimension() == 12
    assert np.abs(model.encode("cat", task="query") - model.encode("cat", task="doc")).max() > 1e-3
    model.max_seq_length = 3
    assert model.embed(["the cat sat"]).truncated.tolist() == [True]
