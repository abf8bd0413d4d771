"""The documented code, with only the import changed, on tiny checkpoints with the names of the models."""

import contextlib
import inspect
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support import checkpoints, clip_checkpoints, text_checkpoints
from tests.support.paths import ROOT, SHARED

SEARCH = """
from sentence_transformers import SentenceTransformer, util
model = SentenceTransformer('multi-qa-MiniLM-L6-cos-v1')

query_embedding = model.encode('How big is London')
passage_embedding = model.encode(['London has 9,787,426 inhabitants at the 2011 census',
                                  'London is known for its finacial district'])

print("Similarity:", util.dot_score(query_embedding, passage_embedding))
"""
PAIRS = """
from sentence_transformers import SentenceTransformer, util
model = SentenceTransformer('nq-distilbert-base-v1')

query_embedding = model.encode('How many people live in London?')

#The passages are encoded as [ [title1, text1], [title2, text2], ...]
passage_embedding = model.encode([['London', 'London has 9,787,426 inhabitants at the 2011 census.']])

print("Similarity:", util.cos_sim(query_embedding, passage_embedding))
"""
USAGE = """
from sentence_transformers import SentenceTransformer

# Load
model = SentenceTransformer("all-mpnet-base-v2")
embeddings = model.encode([
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium.",
])
similarities = model.similarity(embeddings, embeddings)
print(similarities)
"""
SEMANTIC = """
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("multi-qa-mpnet-base-cos-v1")

query_embedding = model.encode("How big is London")
passage_embeddings = model.encode([
    "London is known for its finacial district",
    "London has 9,787,426 inhabitants at the 2011 census",
    "The United Kingdom is the fourth largest exporter of goods in the world",
])

similarity = model.similarity(query_embedding, passage_embeddings)
print(similarity)
"""
INSTRUCTIONS = """
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("hkunlp/instructor-large")
embeddings = model.encode(
    [
        "Dynamical Scalar Degree of Freedom in Horava-Lifshitz Gravity",
        "Comparison of Atmospheric Neutrino Flux Calculations at Low Energies",
        "Fermion Bags in the Massive Gross-Neveu Model",
        "QCD corrections to Associated t-tbar-H production at the Tevatron",
    ],
    prompt="Represent the Medicine sentence for clustering: ",
)
print(embeddings.shape)
print(embeddings)
"""
RETRIEVAL = """
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import cos_sim

model = SentenceTransformer("hkunlp/instructor-large")
query = "where is the food stored in a yam plant"
query_instruction = (
    "Represent the Wikipedia question for retrieving supporting documents: "
)
corpus = [
    'Yams are perennial herbaceous vines native to Africa, Asia, and the Americas and cultivated for their tubers.',
    "The disparate impact theory is especially controversial under the Fair Housing Act.",
    "Disparate impact in United States labor law refers to practices in employment, housing, and other areas.",
]
corpus_instruction = "Represent the Wikipedia document for retrieval: "

query_embedding = model.encode(query, prompt=query_instruction)
corpus_embeddings = model.encode(corpus, prompt=corpus_instruction)
similarities = cos_sim(query_embedding, corpus_embeddings)
print(similarities)
"""
IMAGES = """
from sentence_transformers import SentenceTransformer, util
from PIL import Image

model = SentenceTransformer('clip-ViT-B-32')
img_emb = model.encode(Image.open('two_dogs_in_snow.jpg'))
text_emb = model.encode(['Two dogs in the snow', 'A cat on a table', 'A picture of London at night'])
cos_scores = util.cos_sim(img_emb, text_emb)
print(cos_scores)
hits = util.semantic_search(text_emb, img_emb[None], top_k=3)
print([round(hit[0]["score"], 4) for hit in hits])
"""
SNIPPETS = {
    "semantic search in the older document": SEARCH,
    "pairs of title and text": PAIRS,
    "usage": USAGE,
    "semantic search in the newer document": SEMANTIC,
    "instructions": INSTRUCTIONS,
    "retrieval by instructions": RETRIEVAL,
    "images and texts": IMAGES,
}
MODELS: dict[str, Callable[[Path], object]] = {
    "sentence-transformers/multi-qa-MiniLM-L6-cos-v1": checkpoints.write_bert,
    "sentence-transformers/nq-distilbert-base-v1": checkpoints.write_distilbert,
    "sentence-transformers/all-mpnet-base-v2": checkpoints.write_mpnet,
    "sentence-transformers/multi-qa-mpnet-base-cos-v1": checkpoints.write_mpnet,
    "hkunlp/instructor-large": text_checkpoints.write_t5,
    "sentence-transformers/clip-ViT-B-32": clip_checkpoints.write_clip,
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def run(source: str) -> str:
    """Run a program and return its output."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(source, {"__name__": "__main__"})
    return printed.getvalue()


# "auto" must mean float32 even on a processor with fast bfloat16: the oracle uses nothing else on a CPU.
RUN = f"""
import contextlib, io, json, sys
from st_spark.model import precision
precision.gemm_rates = lambda: {{"float32": 1.0}}
{inspect.getsource(run)}
print(json.dumps({{name: run(source) for name, source in json.load(sys.stdin).items()}}))
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub cache, and folders with the names of its models. An image is beside both."""
    top = tmp_path_factory.mktemp("hf")
    image = clip_checkpoints.file_of(clip_checkpoints.pictures()["landscape"], "JPEG")
    (top / "folders" / "hkunlp").mkdir(parents=True)
    for folder in (top, top / "folders"):
        (folder / "two_dogs_in_snow.jpg").write_bytes(image)
    for name, write in MODELS.items():
        store = top / "hub" / f"models--{name.replace('/', '--')}"
        write(store / "snapshots" / COMMIT)
        (store / "refs").mkdir()
        (store / "refs" / "main").write_text(COMMIT)
        (top / "folders" / name.removeprefix("sentence-transformers/")).symlink_to(store / "snapshots" / COMMIT)
    return top


@pytest.fixture(scope="module")
def ours(cache: Path) -> dict[str, str]:
    """The output of a fresh process that has st_spark in place of the documented library, and the cache alone."""
    sources = {name: re.sub(r"\bsentence_transformers\b", "st_spark", source) for name, source in SNIPPETS.items()}
    own = {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps(sources),
        cwd=cache,
        env={**kept, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return answer


def numbers(text: str) -> list[float]:
    return [float(n) for n in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text)]


@pytest.mark.slow
@pytest.mark.parametrize("name", SNIPPETS)
def test_documented_snippet_prints_the_oracles_numbers(
    name: str, cache: Path, ours: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(cache / "folders")  # where the oracle finds the models by their names
    found, expected = numbers(ours[name]), numbers(run(SNIPPETS[name]))
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found, expected, atol=2e-4)  # they print four digits


def test_snippets_equal_the_document() -> None:
    document = SHARED / "seeds" / "pretrained-models-docs.md"
    if not document.is_file():
        pytest.skip("the documents are not beside the repository")
    blocks = re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    known = [source.strip() for source in SNIPPETS.values()]
    assert [block.strip() for block in blocks if "model_name" not in block and block.strip() not in known] == []
    assert len(blocks) == 3
