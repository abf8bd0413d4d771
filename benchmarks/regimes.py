"""encode() by the kind of work, against sentence-transformers with each of its backends on a CPU.

    python3.11 -m venv build/backends && build/backends/bin/pip install 'sentence-transformers[onnx,openvino]'
    python -m benchmarks.regimes --backends build/backends/bin/python [--model NAME] [--rounds 3] [--only REGIME]

The backends ONNX and OpenVINO need an environment of their own, because their packages need an older transformers. A
model is exported to them once, into build/. Without --backends the peer is torch alone. It runs in float32, and in
bfloat16 if the processor is faster with it.

A contender is as good as float32 if each vector has a cosine of 0.9999 or more to the vector of sentence-transformers
in float32. The table names the fastest peer that is, and the fastest one of all. On CPUs with int8 products st-spark
also runs with dtype="int8", and is compared with the fastest one.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.backends import REGIMES, inputs
from benchmarks.encode import has_int8
from benchmarks.encoders import MODEL, model_folder
from benchmarks.race import Maker, Result, parser, race, scratch, table
from st_spark.hardware import faster, gemm_rates

BUILD = Path(__file__).parents[1] / "build"
# The cosine to float32 from which vectors count as equal.
CLOSE = 0.9999
OURS = ("st-spark", "st-spark int8")
TORCH = ("torch float32", "torch bfloat16")
OTHERS = ("onnx", "onnx O3", "onnx int8", "openvino")


@dataclass(frozen=True)
class Contender:
    """An encoder in a Python of its own, which benchmarks.backends runs.

    Attributes:
        python: The interpreter.
        encoder: A name of OURS, TORCH or OTHERS.
        folder: The model.
        regime: A name of REGIMES.
        vectors: File for the vectors of the first run.
    """

    python: str
    encoder: str
    folder: Path
    regime: str
    vectors: Path

    def __call__(self) -> Callable[[], object]:
        """Load the model; return the function that encodes."""
        about = [self.encoder, str(self.folder), self.regime, str(self.vectors)]
        command = [self.python, "-m", "benchmarks.backends", *about]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=BUILD.parent,
        )

        def run() -> float:
            assert process.stdin is not None and process.stdout is not None
            print("go", file=process.stdin, flush=True)
            for line in process.stdout:
                if line.startswith("seconds "):
                    return float(line.split()[1])
            raise SystemExit(f"{self.encoder} failed. Fix: run it to see why: {' '.join(command)}")

        return run


def export(python: str, model: str) -> Path:
    """Return a copy of the model that the other backends can load; make it if needed."""
    folder = BUILD / "exported" / Path(model).name.replace(":", "_")
    if not (folder / "exported.json").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        command = [python, "-m", "benchmarks.backends", "export", str(model_folder(model)), str(folder)]
        subprocess.run(command, check=True, cwd=BUILD.parent, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    return folder


def min_cosine(vectors: Path, wanted: Path) -> float:
    """Return the smallest cosine between two files of vectors, row by row."""
    ours, theirs = (np.load(file).astype(np.float64) for file in (vectors, wanted))
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float(((ours * theirs).sum(1) / lengths).min())


def compare(regime: str, model: str, backends: str | None, rounds: int) -> list[str]:
    """Race all contenders in a regime, and return the row of the table."""
    folder, place = model_folder(model), scratch()
    peers = TORCH if faster(gemm_rates(), "bfloat16") else TORCH[:1]
    ours = OURS if has_int8() else OURS[:1]
    encoders = dict.fromkeys((*ours, *peers), (sys.executable, folder))
    if backends:
        encoders |= dict.fromkeys(OTHERS, (backends, export(backends, model)))
    makers: dict[str, Maker] = {
        name: Contender(python, name, where, regime, place / f"{name}.npy")
        for name, (python, where) in encoders.items()
    }
    results = race(makers, rounds)
    cosines = {name: min_cosine(place / f"{name}.npy", place / f"{TORCH[0]}.npy") for name in makers}
    return row(regime, results, cosines)


def row(regime: str, results: Mapping[str, Result], cosines: Mapping[str, float]) -> list[str]:
    """Return a row of the table."""
    texts = len(inputs(regime))
    peers = sorted((name for name in results if name not in OURS), key=lambda name: -results[name].rate(texts))
    best = next(name for name in peers if cosines[name] >= CLOSE)
    fastest = peers[0]
    against = {OURS[0]: best, OURS[1]: fastest}

    def shown(name: str) -> str:
        return f"{results[name].rate(texts):,.0f} {name}"

    def ours(name: str, other: str) -> list[str]:
        ratios = (f"{results[name].times_faster_than(results[peer]):.2f}" for peer in (TORCH[0], other))
        return [f"{results[name].rate(texts):,.0f}", *ratios, f"{cosines[name]:.5f}"]

    return [
        regime,
        f"{results[TORCH[0]].rate(texts):,.0f}",
        shown(best),
        f"{shown(fastest)}, {cosines[fastest]:.4f}",
        *(cell for name in OURS if name in results for cell in ours(name, against[name])),
    ]


def main() -> None:
    """Run the races and print their table."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--model", default=MODEL)
    options.add_argument("--backends", help="a Python that has sentence-transformers with ONNX and OpenVINO")
    options.add_argument("--only", action="append", choices=REGIMES, help="a regime; can be repeated")
    given = options.parse_args()
    header = ["texts/s", "peer", "its best", "its fastest, min cosine", "st-spark"]
    header += ["x peer", "x best", "min cosine"]
    if has_int8():
        header += ["st-spark int8", "x peer", "x fastest", "min cosine"]
    lines = []
    for regime in given.only or REGIMES:
        lines.append(compare(regime, given.model, given.backends, given.rounds))
        print(json.dumps(lines[-1]), file=sys.stderr, flush=True)
    print(table(header, lines))


if __name__ == "__main__":
    main()
