"""max_seq_length is checked before work starts, without the weights, as the loaded model would check it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from st_spark.errors import InputError
from st_spark.model.checkpoint import checkpoint
from st_spark.model.encoder import SentenceTransformer
from st_spark.model.modules.length_check import check_max_seq_length
from tests.support import checkpoints, clip_checkpoints, text_checkpoints, word_checkpoints

# A model, the smallest and the largest max_seq_length; None for no end.
MODELS: dict[str, tuple[Callable[[Path], Path], int, int | None]] = {
    "bert": (checkpoints.write_bert, 3, 512),
    "distilbert": (checkpoints.write_distilbert, 3, 512),
    "mpnet": (checkpoints.write_mpnet, 3, 512),
    "roberta": (checkpoints.write_roberta, 3, 512),
    "xlm-roberta": (checkpoints.write_xlm_roberta, 3, 512),
    "t5": (text_checkpoints.write_t5, 2, None),
    "albert": (text_checkpoints.write_albert, 3, 512),
    "clip": (clip_checkpoints.write_clip, 3, 77),
    "words": (word_checkpoints.write_words, 1, None),
    "static": (word_checkpoints.write_static, 1, None),
    "router": (word_checkpoints.write_router, 3, 512),
    "asym": (word_checkpoints.write_asym, 3, 512),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_driver_and_the_model_accept_the_same_lengths(name: str, tmp_path: Path) -> None:
    write, least, most = MODELS[name]
    folder = write(tmp_path / name)
    modules, model = checkpoint.read(folder).modules, SentenceTransformer(folder, device="cpu", dtype="float32")
    for value in (least, 100_000 if most is None else most):
        check_max_seq_length(modules, value)
        model.max_seq_length = value
    wrong: list[Any] = [least - 1, *([] if most is None else [most + 1]), True, 2.5]
    for value in wrong:
        with pytest.raises(InputError) as ours:
            check_max_seq_length(modules, value)
        with pytest.raises(InputError) as theirs:
            model.max_seq_length = value
        assert str(ours.value) == str(theirs.value)
    if most is not None:
        with pytest.raises(InputError, match=rf"max_seq_length={most + 1} is more than the {most} positions"):
            check_max_seq_length(modules, most + 1)


@pytest.mark.parametrize("name", ["bert", "static", "words", "router"])
def test_none_restores_the_limits_of_the_checkpoint(name: str, tmp_path: Path) -> None:
    model = SentenceTransformer(MODELS[name][0](tmp_path / name), device="cpu", dtype="float32")
    text, tasks = ["cat " * 1000], ["query", "document"] if name == "router" else [None]
    before = model.max_seq_length, [model.embed(text, task=task).n_tokens[0] for task in tasks]
    model.max_seq_length = 4
    assert {model.embed(text, task=task).n_tokens[0] for task in tasks} == {4}
    model.max_seq_length = None
    assert (model.max_seq_length, [model.embed(text, task=task).n_tokens[0] for task in tasks]) == before
