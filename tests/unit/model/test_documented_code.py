"""The code of the documentation with only its import changed; tiny checkpoints answer to the models' names."""

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
# Runs each program of a JSON object by itself and prints what they printed, by name.
RUN = """
import contextlib, io, json, sys
def run(source):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(source, {"__name__": "__main__"})
    return printed.getvalue()
FLOAT32
print(json.dumps({name: run(source) for name, source in json.load(sys.stdin).items()}))
"""
# "auto" must mean float32 also on a processor with bfloat16, for the oracle knows nothing else on a CPU.
FLOAT32 = "from st_spark.model import precision; precision.cpu_flags = frozenset"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub cache that has the models, and the image of the last snippet beside it."""
    folder = tmp_path_factory.mktemp("hf")
    for name, write in MODELS.items():
        store = folder / "hub" / f"models--{name.replace('/', '--')}"
        write(store / "snapshots" / COMMIT)
        (store / "refs").mkdir()
        (store / "refs" / "main").write_text(COMMIT)
    image = clip_checkpoints.pictures()["landscape"]
    (folder / "two_dogs_in_snow.jpg").write_bytes(clip_checkpoints.file_of(image, "JPEG"))
    return folder


def printed(cache: Path, library: str) -> dict[str, str]:
    """What the snippets print with a library in place of the documented one."""
    sources = {name: re.sub(r"\bsentence_transformers\b", library, source) for name, source in SNIPPETS.items()}
    program = RUN.replace("FLOAT32", FLOAT32 if library == "st_spark" else "")
    own = {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    done = subprocess.run(
        [sys.executable, "-c", program],
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


@pytest.fixture(scope="module")
def both(cache: Path) -> tuple[dict[str, str], dict[str, str]]:
    """What ours prints, and what the oracle prints."""
    return printed(cache, "st_spark"), printed(cache, "sentence_transformers")


@pytest.mark.slow
@pytest.mark.parametrize("name", SNIPPETS)
def test_the_snippet_prints_the_oracles_numbers(name: str, both: tuple[dict[str, str], dict[str, str]]) -> None:
    ours, theirs = ([float(n) for n in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", each[name])] for each in both)
    assert len(ours) == len(theirs) > 0
    np.testing.assert_allclose(ours, theirs, atol=2e-4)  # they print four digits


def test_the_snippets_are_those_of_the_document() -> None:
    document = SHARED / "seeds" / "pretrained-models-docs.md"
    if not document.is_file():
        pytest.skip("the documents are not beside the repository")
    blocks = re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    known = [source.strip() for source in SNIPPETS.values()]
    assert [block.strip() for block in blocks if "model_name" not in block and block.strip() not in known] == []
    assert len(blocks) == 3
