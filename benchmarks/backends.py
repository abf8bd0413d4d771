"""One encoder of benchmarks.regimes, in a Python that may have other packages than this project's.

Reads lines from the standard input. For each it encodes the texts of a regime once, and prints its seconds.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.texts import passages, phrases

Texts = Callable[[], list[str]]


def documents(count: int) -> list[str]:
    """Return texts of about 250 tokens."""
    parts = passages(5 * count)
    return [" ".join(parts[5 * place : 5 * place + 5]) for place in range(count)]


# Texts, how many of them a call encodes (0: all), and threads.
REGIMES: dict[str, tuple[Texts, int, int]] = {
    "queries, 10 tokens": (partial(phrases, 600), 0, 2),
    "passages, 50 tokens": (partial(passages, 300), 0, 2),
    "documents, 250 tokens": (partial(documents, 60), 0, 2),
    "one query at a time": (partial(phrases, 100), 1, 2),
    "300 queries and a document": (lambda: phrases(300) + documents(1), 0, 2),
    "queries, 1 thread": (partial(phrases, 500), 0, 1),
    "passages, 1 thread": (partial(passages, 150), 0, 1),
    "one query at a time, 1 thread": (partial(phrases, 100), 1, 1),
}
# ONNX has other int8 products for processors with VNNI.
QUANTIZATION: Any = "avx512_vnni" if "avx512_vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8") else "avx2"
INT8_FILE = {"avx2": "onnx/model_quint8_avx2.onnx", "avx512_vnni": "onnx/model_qint8_avx512_vnni.onnx"}
# Of sentence-transformers: backend and the arguments of the constructor.
PEERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "torch float32": ("torch", {}),
    "torch bfloat16": ("torch", {"dtype": "bfloat16"}),
    "onnx": ("onnx", {"file_name": "onnx/model.onnx"}),
    "onnx O3": ("onnx", {"file_name": "onnx/model_O3.onnx"}),
    "onnx int8": ("onnx", {"file_name": INT8_FILE[QUANTIZATION]}),
    "openvino": ("openvino", {}),
}


def inputs(regime: str) -> list[str]:
    """Return the texts of a regime."""
    return REGIMES[regime][0]()


def main() -> None:
    """Export a model, or encode."""
    if sys.argv[1] == "export":
        export(*map(Path, sys.argv[2:]))
        return
    import numpy as np

    name, folder, regime, vectors = sys.argv[1:]
    _, size, threads = REGIMES[regime]
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    encode, texts = encoder(name, folder, threads), inputs(regime)
    for number, _ in enumerate(sys.stdin):
        start = time.perf_counter()
        found = [
            encode(texts[place : place + (size or len(texts))]) for place in range(0, len(texts), size or len(texts))
        ]
        print("seconds", time.perf_counter() - start, flush=True)
        if not number:
            np.save(vectors, np.concatenate(found))


def encoder(name: str, folder: str, threads: int) -> Callable[[Sequence[str]], Any]:
    """Load a model, and return the function that encodes texts."""
    if name.startswith("st-spark"):
        from st_spark import SentenceTransformer as Ours

        dtype = "int8" if name.endswith("int8") else "auto"
        return Ours(folder, device="cpu", threads=threads, dtype=dtype).encode
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    backend, arguments = PEERS[name]
    return SentenceTransformer(folder, device="cpu", backend=backend, model_kwargs=arguments).encode


def export(source: Path, folder: Path) -> None:
    """Copy a model, and add its files for ONNX (also optimised, and in int8) and OpenVINO."""
    from sentence_transformers import (
        SentenceTransformer,
        export_dynamic_quantized_onnx_model,
        export_optimized_onnx_model,
    )

    shutil.copytree(source, folder, dirs_exist_ok=True)
    backends: tuple[Any, ...] = ("onnx", "openvino")
    for backend in backends:
        model = SentenceTransformer(str(folder), backend=backend, model_kwargs={"export": True})
        model.save_pretrained(str(folder))
        if backend == "onnx":
            export_optimized_onnx_model(model, "O3", str(folder))
            export_dynamic_quantized_onnx_model(model, QUANTIZATION, str(folder))
    (folder / "exported.json").write_text("{}", encoding="utf-8")


if __name__ == "__main__":
    main()
