"""Passages of 128 tokens that one core encodes in a second, by the shape of the model: SPEEDS of the catalog.

    python -m benchmarks.model_speed [--seconds 4] [--peer] [--price 0.05] [SHAPE ...]

The checkpoints have the true layers and widths, and random weights: these do not change the speed. Vocabularies are
small; their size costs memory, not time. The processor seconds of one thread are counted, and the fastest of several
calls: so other programs disturb little. A million passages cost the core hours that dtype auto takes, times the price.
"""

import random
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.race import parser, table
from benchmarks.word_embeddings import vocabulary
from benchmarks.word_embeddings import write as write_words
from st_spark.model.backbones import int8
from tests.support.checkpoints import WORDS, write_json, write_modules, write_pooling, write_wordpiece

TOKENS = 128
PASSAGES = 16
_GQA = {"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128}
_GEMMA = {"num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 256, "use_bidirectional_attention": True}


def _bert(layers: int, width: int, heads: int = 12) -> tuple[str, dict[str, Any]]:
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    return "bert", {**sizes, "intermediate_size": 4 * width}


def _like(kind: str, layers: int, width: int, feed: int, **more: object) -> tuple[str, dict[str, Any]]:
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "intermediate_size": feed}
    return kind, {"num_attention_heads": 12, **sizes, **more}


def _t5(layers: int, width: int, heads: int, feed: int = 4, per_head: int = 64) -> tuple[str, dict[str, Any]]:
    sizes = {"num_layers": layers, "d_model": width, "d_ff": feed * width, "num_heads": heads, "d_kv": per_head}
    return "t5", sizes


# A type of transformers and its sizes.
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert-3x384": _bert(3, 384),
    "bert-6x384": _bert(6, 384),
    "bert-12x384": _bert(12, 384),
    "bert-6x768": _bert(6, 768),
    "bert-12x768": _bert(12, 768),
    "bert-24x1024": _bert(24, 1024, 16),
    "mpnet-12x768": _like("mpnet", 12, 768, 3072, pad_token_id=1, max_position_embeddings=514),
    "albert-6x768": _like("albert", 6, 768, 3072, embedding_size=128),
    "t5-12x768": _t5(12, 768, 12),
    "t5-24x1024": _t5(24, 1024, 16),
    "t5-24x1024-xl": _t5(24, 1024, 32, 16, 128),
    "modernbert-12x384": _like("modernbert", 12, 384, 1536),
    "modernbert-22x768": _like("modernbert", 22, 768, 1152),
    "nomic-12x768": _like("nomic_bert", 12, 768, 3072),
    "qwen3-28x1024": _like("qwen3", 28, 1024, 3072, **_GQA),
    "gemma3-24x768": _like("gemma3_text", 24, 768, 1152, **_GEMMA),
    "clip-12x512": _like("clip", 12, 512, 2048, num_attention_heads=8),
    "clip-12x768": _like("clip", 12, 768, 3072),
    "static": ("static", {}),
    "words": ("words", {}),
}
# Shapes without products of matrices, and how the names of those begin that can compute in int8.
TABLES, INT8 = ("static", "words"), ("bert", "mpnet", "albert")


def main() -> None:
    """Print a line for each shape."""
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=4, help="processor seconds for each figure")
    options.add_argument("--peer", action="store_true", help="also sentence-transformers, in float32 and in bfloat16")
    options.add_argument("--price", type=float, default=0.05, help="of a core for an hour; default: 0.05")
    options.add_argument("shapes", nargs="*", default=SHAPES, metavar="SHAPE")
    given = options.parse_args()
    peers = ["peer float32", "peer bfloat16", "auto x best peer"] if given.peer else []
    print(table(["passages/s", "float32", "auto", "int8", *peers, "cost of a million"], []), flush=True)
    for name in given.shapes:
        cells = row(name, given.seconds, given.price, peer=given.peer)
        print("| " + " | ".join(cells) + " |", flush=True)


def row(name: str, seconds: float, price: float, *, peer: bool) -> list[str]:
    """Measure a shape; see main() for the arguments. Return its cells, empty for a format that it has not."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), *SHAPES[name])
        texts = passages(vocabulary() if name == "words" else WORDS)
        formats = ["float32", "auto", *(["int8"] if name.startswith(INT8) and int8.is_available() else [])]
        ours = [measure(load(folder, dtype), texts, seconds) for dtype in formats]
        cells = [f"{speed:.1f}" for speed in ours] + [""] * (3 - len(ours))
        if peer:
            formats = ["float32"] if name in TABLES else ["float32", "bfloat16"]
            theirs = [measure(load_peer(folder, name, dtype), texts, seconds) for dtype in formats]
            cells += [f"{speed:.1f}" for speed in theirs] + [""] * (2 - len(theirs))
            cells.append(f"{ours[1] / max(theirs):.2f}")
    return [name, *cells, f"{1e6 / ours[1] / 3600 * price:.2g}"]


def load(folder: str, dtype: str) -> Any:  # noqa: ANN401  (has encode, as the peer)
    """Load a model with one thread."""
    from st_spark import SentenceTransformer

    model = SentenceTransformer(folder, device="cpu", dtype=dtype, threads=1)
    model.max_seq_length = min(TOKENS, model.max_seq_length or TOKENS)  # CLIP has 77 positions
    return model


def load_peer(folder: str, name: str, dtype: str) -> Any:  # noqa: ANN401
    """Load a model in sentence-transformers with one thread."""
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    if name in TABLES:
        return SentenceTransformer(folder, device="cpu")
    model = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": dtype})
    model.max_seq_length = 77 if name.startswith("clip") else TOKENS
    return model


def measure(model: Any, texts: list[str], seconds: float) -> float:  # noqa: ANN401
    """Return the passages per processor second of one thread, in the fastest of several calls."""
    model.encode(texts)
    start, took = time.process_time(), list[float]()
    while sum(took) < seconds:
        model.encode(texts)
        took.append(time.process_time() - start - sum(took))
    return len(texts) / min(took)


def passages(words: list[str]) -> list[str]:
    """Return different texts of TOKENS words, which are as many tokens or more."""
    draw = random.Random(0)
    return [" ".join(draw.choices(words, k=TOKENS)) for _ in range(PASSAGES)]


def write(folder: Path, kind: str, sizes: dict[str, Any]) -> None:
    """Write a checkpoint with random weights."""
    if kind == "words":
        write_words(folder)
    elif kind == "static":
        _write_static(folder)
    else:
        _write_transformer(folder, kind, sizes)


def _write_static(folder: Path) -> None:
    """Write potion-base-8M: 30,000 tokens of 256 numbers."""
    from safetensors.torch import save_file

    write_wordpiece(folder)
    save_file({"embedding.weight": torch.randn(30_000, 256)}, folder / "model.safetensors")
    write_modules(folder, ("", "StaticEmbedding"))


def _write_transformer(folder: Path, kind: str, sizes: dict[str, Any]) -> None:
    from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding

    size = write_wordpiece(folder)
    if kind == "clip":
        vision = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 64}
        text = {**sizes, "vocab_size": size, "eos_token_id": 3}
        config = AutoConfig.for_model("clip", text_config=text, vision_config=vision)
        write_json(folder / "preprocessor_config.json", {"image_processor_type": "CLIPImageProcessor"})
    else:
        config = AutoConfig.for_model(kind, **{"pad_token_id": 0, **sizes, "vocab_size": size})
    auto: Any = AutoModelForTextEncoding if kind == "t5" else AutoModel
    auto.from_config(config).save_pretrained(folder)
    if kind == "clip":
        write_modules(folder, ("", "CLIPModel"))
        return
    write_modules(folder, ("", "Transformer"), ("1_Pooling", "Pooling"))
    write_pooling(folder, config.hidden_size)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": TOKENS})


if __name__ == "__main__":
    main()
