"""Programs as the documentation of sentence-transformers has them: with the import changed they find the same."""

from pathlib import Path
from typing import Any

import pytest

from tests.support import checkpoints

pytestmark = pytest.mark.slow
PACKAGES = ("sentence_transformers", "st_spark")

SEARCH = """
from PACKAGE import SentenceTransformer, util

model = SentenceTransformer("all-MiniLM-L6-v2")
corpus = ["Someone is having lunch.", "A child pushes a swing.", "A chef cuts onions.", "Two dogs run over a field."]
corpus_embeddings = model.encode(corpus, convert_to_tensor=True)
query_embedding = model.encode("A cook prepares vegetables", convert_to_tensor=True)
hits = util.semantic_search(query_embedding, corpus_embeddings, top_k=2)[0]
found = [corpus[hit["corpus_id"]] for hit in hits]
scores = [hit["score"] for hit in hits] + util.pytorch_cos_sim(query_embedding, corpus_embeddings)[0].tolist()
"""
PARAPHRASES = """
from PACKAGE import SentenceTransformer
from PACKAGE.util import paraphrase_mining

model = SentenceTransformer("all-MiniLM-L6-v2", device="cpu")
sentences = ["The cat sits outside", "A man plays guitar", "I love pasta", "The new movie is awesome",
             "The cat plays in the garden", "A woman watches TV", "The new film is great", "Pasta is what I love"]
pairs = paraphrase_mining(model, sentences, top_k=3, max_pairs=5)
found = [(sentences[i], sentences[j]) for _, i, j in pairs]
scores = [score for score, _, _ in pairs]
"""
CLUSTERS = """
from PACKAGE import SentenceTransformer, util

model = SentenceTransformer("all-MiniLM-L6-v2")
sentences = ["How do I learn Python?", "What is the best way to learn Python?", "How can I start to learn Python?",
             "Is it cold in Oslo?", "How cold is Oslo in winter?", "How cold does Oslo get?", "Who wrote Faust?"]
embeddings = model.encode(sentences, batch_size=64, show_progress_bar=False, convert_to_tensor=True)
found = util.community_detection(embeddings, min_community_size=2, threshold=0.6)
scores = util.pairwise_cos_sim(embeddings[:-1], embeddings[1:]).tolist()
"""
RETRIEVAL = """
import torch
from PACKAGE import SentenceTransformer

model = SentenceTransformer(
    "all-MiniLM-L6-v2",
    prompts={"query": "Represent this question for a search: ", "document": "passage: "},
    model_kwargs={"attn_implementation": "sdpa", "torch_dtype": torch.float32},
    tokenizer_kwargs={"padding_side": "right"},
    truncate_dim=256,
)
queries = ["Who wrote Faust?", "What is the capital of Norway?"]
documents = ["Oslo is the capital of Norway.", "Faust is a tragedy by Goethe.", "Onions are vegetables."]
similarities = model.similarity(model.encode_query(queries), model.encode_document(documents))
found = similarities.argmax(dim=1).tolist() + [model.get_sentence_embedding_dimension(), model.max_seq_length]
scores = similarities.flatten().tolist()
"""
IMAGES = """
from pathlib import Path

from PIL import Image
from PACKAGE import SentenceTransformer, util

model = SentenceTransformer("clip-ViT-B-32")
images = [Image.open(path).convert("RGB") for path in sorted(Path("photos").glob("[0-9]*.png"))[:6]]
image_embeddings = model.encode(images, batch_size=4, convert_to_tensor=True, show_progress_bar=False)
text_embedding = model.encode(["two dogs in the snow"], convert_to_tensor=True)
hits = util.semantic_search(text_embedding, image_embeddings, top_k=3)[0]
found = [hit["corpus_id"] for hit in hits]
scores = util.cos_sim(text_embedding, image_embeddings)[0].tolist() + [hit["score"] for hit in hits]
"""


@pytest.fixture
def models(tmp_path: Path, minilm: Path, tiny_clip: Path, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with the models of the programs, under their names on the hub."""
    for name, folder in (("all-MiniLM-L6-v2", minilm), ("clip-ViT-B-32", tiny_clip), ("photos", digits)):
        (tmp_path / name).symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ST_SPARK_DTYPE", "float32")


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    "program",
    [SEARCH, PARAPHRASES, CLUSTERS, RETRIEVAL, IMAGES],
    ids=["semantic search", "paraphrase mining", "clustering", "retrieval with prompts", "image search"],
)
def test_program_finds_the_same_with_its_import_changed(program: str) -> None:
    results: dict[str, dict[str, Any]] = {}
    for package in PACKAGES:
        results[package] = {}
        exec(program.replace("PACKAGE", package), results[package])
    theirs, ours = (results[package] for package in PACKAGES)
    assert ours["found"] == theirs["found"] and len(ours["found"]) > 1
    assert ours["scores"] == pytest.approx(theirs["scores"], abs=1e-5)


def test_hub_names_and_old_arguments_reach_the_same_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with its organisation, as a folder would have it, and use_auth_token."""
    from st_spark import SentenceTransformer

    checkpoints.write_bert(tmp_path / "sentence-transformers" / "tiny")
    monkeypatch.chdir(tmp_path)
    model = SentenceTransformer("sentence-transformers/tiny", use_auth_token=False)  # type: ignore[call-arg]
    assert model.encode(sentences=["cat"]).shape == (1, 32)  # type: ignore[call-arg]
