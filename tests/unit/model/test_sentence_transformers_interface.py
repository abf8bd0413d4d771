"""Code for sentence-transformers runs with its import changed: names, positions, types, values, and clear errors."""

import copy
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from st_spark import SentenceTransformer, SimilarityFunction, util
from st_spark.errors import InputError
from tests.support import checkpoints, word_checkpoints
from tests.support.oracle import assert_close

TEXTS = ["a cat sat on the mat", "dog", "the weather is fine and the cat is on the mat", ""]
# Parameters of sentence-transformers that are not taken, or at another place: why.
OTHER = {
    "SentenceTransformer.__init__": {
        "modules": "refused: nothing is built from modules here",
        "model_card_data": "refused: nothing is saved here",
    },
    "SentenceTransformer.encode": {"kwargs": "task is a parameter; others are refused by name"},
}


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> SentenceTransformer:
    return SentenceTransformer(tiny_model, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def peer(tiny_model: Path) -> Any:
    from sentence_transformers import SentenceTransformer as Peer

    return Peer(str(tiny_model), device="cpu", model_kwargs={"dtype": "float32"})


def functions() -> dict[str, tuple[Callable[..., Any], Callable[..., Any]]]:
    """Return our functions and the oracle's of the same names."""
    import sentence_transformers
    from sentence_transformers import util as their_util

    methods = [
        *("__init__", "encode", "encode_query", "encode_document", "encode_multi_process", "similarity"),
        *("similarity_pairwise", "start_multi_process_pool", "stop_multi_process_pool", "truncate_embeddings"),
    ]
    found = {
        f"SentenceTransformer.{name}": (
            getattr(SentenceTransformer, name),
            getattr(sentence_transformers.SentenceTransformer, name),
        )
        for name in methods
    }
    same = set(util.__all__) & set(their_util.__all__) - {"SimilarityFunction", "mine_hard_negatives"}
    return found | {f"util.{name}": (getattr(util, name), getattr(their_util, name)) for name in sorted(same)}


@pytest.mark.slow
def test_every_parameter_of_the_oracle_has_its_name_and_place() -> None:
    """Where both take it by position; **options take the rest by name."""
    problems = []
    for name, (ours, theirs) in functions().items():
        known = inspect.signature(ours).parameters
        passes_on = any(each.kind is each.VAR_KEYWORD for each in known.values())
        for place, (parameter, wanted) in enumerate(inspect.signature(theirs).parameters.items()):
            if parameter in OTHER.get(name, {}) or wanted.kind in (wanted.VAR_POSITIONAL, wanted.VAR_KEYWORD):
                continue
            by_name = parameter in known or passes_on or old_name(name, parameter)
            by_place = wanted.kind is wanted.KEYWORD_ONLY or parameter not in known or list(known)[place] == parameter
            if not (by_name and by_place):
                problems.append(f"{name}({parameter}), position {place}")
    assert problems == []


def old_name(function: str, parameter: str) -> bool:
    """Whether a parameter is taken by a decorator."""
    return parameter in {"SentenceTransformer.__init__": ("use_auth_token",)}.get(function, ("sentences",))


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [TEXTS, "a cat", ["dog"], [("a cat", "the mat"), ("dog", "x")]], ids=repr)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"convert_to_tensor": True},
        {"convert_to_numpy": False},
        {"convert_to_numpy": False, "convert_to_tensor": True},
        {"precision": None},
        {"precision": "binary", "convert_to_tensor": True},
        {"precision": "ubinary", "convert_to_numpy": False},
        {"truncate_dim": 8, "normalize_embeddings": True},
        {"prompt": "query: ", "batch_size": 2, "show_progress_bar": False, "device": "cpu", "chunk_size": 3},
        {"output_value": "token_embeddings"},
    ],
    ids=str,
)
def test_encode_returns_what_the_oracle_returns(model: Any, peer: Any, inputs: Any, options: Any) -> None:
    assert_same(model.encode(inputs, **options), peer.encode(inputs, **options))


def assert_same(ours: Any, theirs: Any) -> None:
    assert type(ours) is type(theirs)
    if isinstance(ours, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
        return
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), atol=1e-5)


@pytest.mark.slow
def test_everything_of_a_text_is_what_the_oracle_has_before_the_padding(model: Any, peer: Any) -> None:
    for text in TEXTS[:3]:
        ours, theirs = (each.encode(text, output_value=None, prompt="a ") for each in (model, peer))
        assert set(ours) == set(theirs)
        assert ours["prompt_length"] == theirs["prompt_length"] and ours["modality"] == theirs["modality"]
        for name in ("input_ids", "attention_mask", "token_type_ids", "token_embeddings", "sentence_embedding"):
            np.testing.assert_allclose(np.asarray(ours[name]), np.asarray(theirs[name]), atol=1e-5)
    several = model.encode(TEXTS, output_value=None, truncate_dim=4)
    assert [len(each["input_ids"]) for each in several] == model.embed(TEXTS).n_tokens.tolist()
    assert {each["sentence_embedding"].shape for each in several} == {(4,)}


def test_token_embeddings_of_words_are_rows_of_the_table(tmp_path: Path) -> None:
    words = SentenceTransformer(word_checkpoints.write_words(tmp_path / "words"), device="cpu")
    one, none = words.encode(["the cat", ""], output_value="token_embeddings")
    np.testing.assert_allclose(one.mean(dim=0), words.encode("the cat"), atol=1e-6)
    assert len(none) == 0


def test_model_without_token_embeddings_says_so(tiny_clip: Path, digits: Path) -> None:
    clip = SentenceTransformer(tiny_clip, device="cpu")
    with pytest.raises(InputError, match="output_value='token_embeddings' cannot be given"):
        clip.encode(next(digits.glob("[0-9]*.png")), output_value="token_embeddings")


def test_arguments_have_the_positions_and_old_names_of_sentence_transformers(model: Any) -> None:
    expected = model.encode(TEXTS, prompt="a ", convert_to_tensor=True, truncate_dim=5)
    given = (None, "a ", 2, False, "sentence_embedding", "float32", True, True, None, False, 5, None, None)
    for method in (model.encode, model.encode_query, model.encode_document):
        assert torch.allclose(method(TEXTS, *given), expected, atol=1e-6)
        assert torch.allclose(method(sentences=TEXTS, prompt="a ", convert_to_tensor=True, truncate_dim=5), expected)
    with pytest.raises(InputError, match="encode takes no 18 arguments"):
        model.encode_query(TEXTS, *given, None, None, None)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"foo": 1}, r"SentenceTransformer.encode takes no argument 'foo'\. Fix: leave it out; there are inputs, "),
        ({"normalise_embeddings": True}, "did you mean 'normalize_embeddings'"),
        ({"processing_kwargs": {"text": {}}}, r"no argument 'processing_kwargs'\. Fix: set model.max_seq_length"),
        ({"sentences": ["x"], "inputs": ["y"]}, "sentences and inputs are the same"),
        ({"output_value": "sentence"}, "output_value='sentence' is unknown. Fix: give \"sentence_embedding\""),
        ({"output_value": True}, "output_value=True is unknown"),
        ({"output_value": None, "precision": "int8"}, "precision='int8' is for sentence embeddings"),
        ({"precision": "int4"}, "precision='int4' is unknown"),
        ({"device": "meta"}, "device is 'meta', but the model is on 'cpu'"),
        ({"device": ["cpu", "meta"]}, r"device is \['cpu', 'meta'\], but"),
        ({"chunk_size": 0}, "chunk_size is 0"),
    ],
)
def test_argument_of_encode_that_is_not_supported_is_named(model: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        model.encode(**{"inputs": ["cat"], **options})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"modules": [1]}, "takes no argument 'modules'. Fix: save the model"),
        ({"model_card_data": {}}, "takes no argument 'model_card_data'"),
        ({"subfolder": "x"}, "takes no argument 'subfolder'. Fix: give the folder itself"),
        ({"prompt": "x"}, r"takes no argument 'prompt' \(did you mean 'prompts'\?\)"),
        ({"backend": "onnx"}, "backend='onnx' is not supported"),
        ({"model_kwargs": {"provider": "x"}}, r"model_kwargs\['provider'\] is not supported"),
        ({"model_kwargs": {"quantization_config": 1}}, r"model_kwargs\['quantization_config'\] is not supported"),
        ({"model_kwargs": {"device_map": "balanced"}}, r"model_kwargs\['device_map'\] is 'balanced'"),
        ({"model_kwargs": {"dtype": torch.bfloat16}, "dtype": "float32"}, "Two number formats are given: bfloat16, "),
        ({"model_kwargs": {"torch_dtype": torch.float64}}, "dtype='float64' is unknown"),
        ({"default_prompt_name": "passage"}, "default_prompt_name='passage' is unknown. Fix: choose one of query"),
        ({"prompts": {"passage": 3}}, r"prompts\['passage'\] is 3 \(int\)"),
        ({"similarity_fn_name": "maxsim"}, "similarity_fn_name='maxsim' is unknown. Fix: choose one of cosine"),
        ({"truncate_dim": 0}, "truncate_dim is 0"),
        ({"device": "gpu"}, "device='gpu' cannot be used"),
    ],
)
def test_argument_of_the_constructor_that_is_not_supported_is_named(tiny_model: Path, options: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        SentenceTransformer(tiny_model, **options)


def test_arguments_that_change_nothing_are_taken(tiny_model: Path, model: SentenceTransformer) -> None:
    """As the cards of models on the hub give them."""
    options: Any = {
        "modules": None,
        "trust_remote_code": True,
        "model_kwargs": {"attn_implementation": "flash_attention_2", "device_map": "auto", "torch_dtype": "float32"},
        "tokenizer_kwargs": {"padding_side": "left"},
        "use_auth_token": None,
    }
    same = SentenceTransformer(tiny_model, device="cpu", **options)
    np.testing.assert_array_equal(same.encode(TEXTS), model.encode(TEXTS))
    assert same.eval().to("cpu") is same


def test_arguments_of_the_constructor_replace_what_is_stored(tiny_model: Path, model: SentenceTransformer) -> None:
    options: Any = {"model_kwargs": {"dtype": torch.bfloat16, "device_map": {"": "cpu"}}}
    given = SentenceTransformer(
        tiny_model,
        prompts={"passage": "passage: ", "query": "q: "},
        default_prompt_name="passage",
        similarity_fn_name=SimilarityFunction.DOT_PRODUCT,  # type: ignore[arg-type]
        truncate_dim=8,
        processor_kwargs={"model_max_length": 9},
        config_kwargs={"hidden_act": "relu"},
        **options,
    )
    assert given.prompts == {"query": "q: ", "document": "", "passage": "passage: "}
    assert (given.similarity_fn_name, given.dtype, given.device.type) == ("dot", "bfloat16", "cpu")
    assert given.get_embedding_dimension() == given.get_sentence_embedding_dimension() == 8
    assert given.max_seq_length == given.get_max_seq_length() == 9
    assert given.embed(["cat " * 50]).n_tokens.tolist() == [9]
    np.testing.assert_array_equal(given.encode("cat"), given.encode("cat", prompt="passage: "))
    relu = SentenceTransformer(tiny_model, dtype="float32", device="cpu", config_kwargs={"hidden_act": "relu"})
    assert np.abs(relu.encode("cat") - model.encode("cat")).max() > 1e-4


def test_settings_of_transformers_for_a_model_of_words_are_refused(tmp_path: Path) -> None:
    folder = word_checkpoints.write_words(tmp_path / "words")
    with pytest.raises(InputError, match="processor_kwargs is given, and a WordEmbeddings has no such settings"):
        SentenceTransformer(folder, processor_kwargs={"model_max_length": 9})


def test_tokenizer_is_a_copy_that_cannot_change_vectors(tiny_model: Path) -> None:
    """A call of transformers switches the padding of the tokenizer itself on."""
    model = SentenceTransformer(tiny_model, device="cpu", dtype="float32")
    expected = model.encode(TEXTS)
    tokens = model.tokenizer(TEXTS, padding="max_length", truncation=True, max_length=5)["input_ids"]
    assert [len(ids) for ids in tokens] == [5] * len(TEXTS)
    assert model.tokenizer("the cat")["input_ids"] == model.encode("the cat", output_value=None)["input_ids"].tolist()
    np.testing.assert_array_equal(model.encode(TEXTS), expected)
    model.max_seq_length = 12
    assert model.tokenizer.model_max_length == 12


def test_pool_gives_the_vectors_of_one_process(model: SentenceTransformer) -> None:
    pool = model.start_multi_process_pool(["cpu", "cpu"])
    expected = model.encode(TEXTS)
    np.testing.assert_array_equal(model.encode(TEXTS, pool=pool, chunk_size=1), expected)
    np.testing.assert_array_equal(model.encode(TEXTS, device=["cpu", "cpu"]), expected)
    np.testing.assert_array_equal(model.encode_multi_process(TEXTS, pool, batch_size=2), expected)
    model.stop_multi_process_pool(pool)
    with pytest.raises(InputError, match="target_devices is"):
        model.start_multi_process_pool(["meta"])


def test_truncation_inside_a_with_statement_ends_with_it(model: SentenceTransformer) -> None:
    with model.truncate_embeddings(7):
        assert model.encode("cat").shape == (7,)
        with model.truncate_embeddings(None):
            assert model.encode("cat").shape == (32,)
    assert model.encode("cat").shape == (32,)


@pytest.mark.parametrize("name", [*SimilarityFunction])
def test_pairwise_scores_are_the_diagonal(tiny_model: Path, name: SimilarityFunction) -> None:
    model = SentenceTransformer(tiny_model, device="cpu", dtype="float32")
    model.similarity_fn_name = name  # type: ignore[assignment]
    a, b = model.encode(TEXTS), model.encode(TEXTS[::-1])
    assert torch.allclose(model.similarity_pairwise(a, b), model.similarity(a, b).diagonal(), atol=1e-5)


@pytest.mark.parametrize("name", ["fit", "save", "push_to_hub", "half", "cuda", "tokenize", "compile"])
def test_missing_method_says_what_to_use(model: SentenceTransformer, name: str) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{name}'. Fix: "):
        getattr(model, name)
    assert not hasattr(model, "anything")


@pytest.mark.parametrize("write", [checkpoints.write_bert, word_checkpoints.write_words])
def test_model_can_be_copied(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    model = SentenceTransformer(write(tmp_path / "model"), device="cpu")
    other = copy.deepcopy(model)
    other.max_seq_length = 3
    other.prompts["query"] = "x"
    assert_close(other.encode("cat"), model.encode("cat"))
    assert model.max_seq_length != 3 and model.prompts["query"] == ""


def test_progress_bar_is_shown_where_the_log_level_is_info(model: Any, capfd: Any, caplog: Any) -> None:
    with caplog.at_level("WARNING", logger="st_spark"):
        model.encode(["cat"])
    assert "texts" not in capfd.readouterr().err
    with caplog.at_level("INFO", logger="st_spark"):
        model.encode(["cat"])
        model.encode(["cat"], show_progress_bar=False)
    assert capfd.readouterr().err.count("0/1") == 1
