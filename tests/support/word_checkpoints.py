"""Write tiny checkpoints of word models, static embeddings and routers, in their real file layout."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.support.checkpoints import (
    WORDS,
    wordpiece_tokenizer,
    write_bert,
    write_dense,
    write_json,
    write_modules,
    write_pooling,
)

DIM = 20
# Some words in one spelling only, punctuation, a number, other scripts; old versions put PADDING_TOKEN first.
VOCAB = [
    "PADDING_TOKEN",
    *dict.fromkeys(WORDS),
    "London's",
    "Cat",
    "MAT",
    "!",
    "11th",
    "1234567890",
    "שלום",
    "日本語",
    "x",
]
OLD = "sentence_transformers.models"


def write_table(folder: Path, words: int) -> None:
    """Write a random vector for each word, zeros for the first, in an old file."""
    weights = torch.randn(words, DIM)
    weights[0] = 0
    torch.save({"emb_layer.weight": weights}, folder / "pytorch_model.bin")


def write_words(
    folder: Path, *after: str, mode: str = "mean_tokens", stop_words: tuple[str, ...] = (), **more: Any
) -> Path:
    """Write average_word_embeddings_*: 0_WordEmbeddings in old files, then other modules, then the pooling."""
    torch.manual_seed(8)
    table = folder / "0_WordEmbeddings"
    tokenizer = f"{OLD}.tokenizer.WhitespaceTokenizer.WhitespaceTokenizer"
    config = {"tokenizer_class": tokenizer, "update_embeddings": False, "max_seq_length": 1_000_000}
    write_json(table / "wordembedding_config.json", config)
    words = {"vocab": VOCAB, "stop_words": list(stop_words), "do_lower_case": False}
    write_json(table / "whitespacetokenizer_config.json", words)
    write_table(table, len(VOCAB))
    paths = [f"{place}_{kind}" for place, kind in enumerate(after, 1)]
    write_modules(
        folder, ("0_WordEmbeddings", "WordEmbeddings"), *zip(paths, after, strict=True), ("1_Pooling", "Pooling")
    )
    write_pooling(folder, DIM, mode, **more)
    return folder


def write_stop_words(folder: Path) -> Path:
    """Write word embeddings with stop words in several spellings, at most four words, Dense and Normalize."""
    write_words(folder, stop_words=("the", "Cat", "word", ""))
    table = folder / "0_WordEmbeddings"
    tokenizer = "sentence_transformers.sentence_transformer.modules.tokenizer.whitespace.WhitespaceTokenizer"
    config = {"tokenizer_class": tokenizer, "update_embeddings": False, "max_seq_length": 4}
    write_json(table / "wordembedding_config.json", config)
    kinds = ("WordEmbeddings", "Pooling", "Dense", "Normalize")
    write_modules(folder, *zip(("0_WordEmbeddings", "1_Pooling", "2_Dense", "3_Normalize"), kinds, strict=True))
    write_dense(folder / "2_Dense", DIM, 12, activation="Tanh")
    return folder


def write_word_weights(folder: Path) -> Path:
    """Write word embeddings times the weights of their words, and all pooling modes that use the weights."""
    write_words(folder, "WordWeights", pooling_mode_weightedmean_tokens=True, pooling_mode_mean_sqrt_len_tokens=True)
    weights = {word: 0.1 + i / 10 for i, word in enumerate(VOCAB[1:60])}
    config = {"vocab": VOCAB, "word_weights": weights, "unknown_word_weight": 0.5}
    write_json(folder / "1_WordWeights" / "config.json", config)
    return folder


def write_cnn(folder: Path, **config: Any) -> Path:
    """Write word embeddings, convolutions of three widths, mean and maximum."""
    write_words(folder, "CNN", pooling_mode_max_tokens=True)
    config = {"in_word_embedding_dimension": DIM, "out_channels": 6, "kernel_sizes": [1, 3, 5], **config}
    write_json(folder / "1_CNN" / "cnn_config.json", config)
    convs = torch.nn.ModuleList(torch.nn.Conv1d(DIM, config["out_channels"], k) for k in config["kernel_sizes"])
    state = {f"convs.{name}": weight for name, weight in convs.state_dict().items()}
    torch.save(state, folder / "1_CNN" / "pytorch_model.bin")
    width = config["out_channels"] * len(config["kernel_sizes"])
    write_pooling(folder, width, pooling_mode_max_tokens=True)
    return folder


def write_lstm(folder: Path) -> Path:
    """Write word embeddings, two LSTM layers in both directions, mean and maximum."""
    write_words(folder, "LSTM", pooling_mode_max_tokens=True)
    config = {"word_embedding_dimension": DIM, "hidden_dim": 8, "num_layers": 2, "dropout": 0, "bidirectional": True}
    write_json(folder / "1_LSTM" / "lstm_config.json", config)
    layer = torch.nn.LSTM(DIM, 8, num_layers=2, bidirectional=True)
    state = {f"encoder.{name}": weight for name, weight in layer.state_dict().items()}
    torch.save(state, folder / "1_LSTM" / "pytorch_model.bin")
    write_pooling(folder, 16, pooling_mode_max_tokens=True)
    return folder


def write_bow(folder: Path, cumulative: bool = True) -> Path:
    """Write a bag of words: counts times weights, then Dense."""
    torch.manual_seed(9)
    config = {
        "vocab": [*VOCAB, "cat"],
        "word_weights": {"cat": 2.5, "london": 0.25, "the": 0.0},
        "unknown_word_weight": 1.5,
        "cumulative_term_frequency": cumulative,
    }
    write_json(folder / "0_BoW" / "config.json", config)
    write_dense(folder / "1_Dense", len(VOCAB), 12, bias=False, activation="Identity")
    write_modules(folder, ("0_BoW", "BoW"), ("1_Dense", "Dense"))
    return folder


def write_static(folder: Path, truncation: int | None = None) -> Path:
    """Write static-retrieval-mrl-en-v1: a WordPiece tokenizer, a table, Normalize."""
    from safetensors.torch import save_file

    torch.manual_seed(10)
    tokenizer = wordpiece_tokenizer()
    tokenizer.enable_padding()
    if truncation is not None:
        tokenizer.enable_truncation(truncation)
    module = folder / "0_StaticEmbedding"
    module.mkdir(parents=True)
    tokenizer.save(str(module / "tokenizer.json"))
    save_file({"embedding.weight": torch.randn(tokenizer.get_vocab_size(), DIM)}, module / "model.safetensors")
    write_modules(folder, ("0_StaticEmbedding", "StaticEmbedding"), ("1_Normalize", "Normalize"))
    return folder


def write_model2vec(folder: Path) -> Path:
    """Write potion-*: files in the root, rows that tokens share, a weight for each token, Normalize."""
    from safetensors.torch import save_file

    torch.manual_seed(11)
    tokenizer = wordpiece_tokenizer()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    size = tokenizer.get_vocab_size()
    tensors = {
        "embeddings": torch.randn(50, DIM),
        "mapping": torch.randint(0, 50, (size,)),
        "weights": torch.rand(size, dtype=torch.float64),
    }
    save_file(tensors, folder / "model.safetensors")
    write_modules(folder, ("", "StaticEmbedding"), ("1_Normalize", "Normalize"))
    return folder


def write_router(folder: Path) -> Path:
    """Write a Router as version 5 saves it: queries through static embeddings, documents through a BERT."""
    inner = "sentence_transformers.models."
    query, document, pooling = "query_0_StaticEmbedding", "document_0_Transformer", "document_1_Pooling"
    write_bert(folder / document, dim=DIM)
    write_static(folder / "static")
    (folder / "static" / "0_StaticEmbedding").rename(folder / query)
    (folder / document / "1_Pooling").rename(folder / pooling)
    types = {query: inner + "StaticEmbedding", document: inner + "Transformer", pooling: inner + "Pooling"}
    structure = {"query": [query], "document": [document, pooling]}
    parameters = {"default_route": "document", "allow_empty_key": True}
    write_json(folder / "router_config.json", {"types": types, "structure": structure, "parameters": parameters})
    write_modules(folder, ("", "Router"), ("1_Normalize", "Normalize"))
    return folder


def write_asym(folder: Path) -> Path:
    """Write an Asym, as old versions save it: one BERT, then a different Dense for each task."""
    write_bert(folder, dim=DIM)
    types = {}
    for task in ("query", "doc"):
        write_dense(folder / "2_Asym" / task, DIM, 12)
        types[task] = f"{OLD}.Dense"
    structure = {"query": ["query"], "doc": ["doc"]}
    config = {"types": types, "structure": structure, "parameters": {"allow_empty_key": True}}
    write_json(folder / "2_Asym" / "config.json", config)
    write_modules(folder, ("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Asym", "Asym"))
    return folder


WRITERS: dict[str, Callable[[Path], Path]] = {
    "words": write_words,
    "stop-words": write_stop_words,
    "word-weights": write_word_weights,
    "cnn": write_cnn,
    "lstm": write_lstm,
    "bow": write_bow,
    "static": write_static,
    "model2vec": write_model2vec,
    "router": write_router,
    "asym": write_asym,
}
