"""The documented models: purpose, sizes, and published scores and speeds.

The facts come from the pretrained-models documentation of Sentence-Transformers and from the models' files. What they
do not say is None. Models that are not listed can be loaded too.
"""

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

TASKS: Mapping[str, str] = {
    "general": "sentences and short texts for any purpose",
    "paraphrase": "sentences that mean the same",
    "search": "passages that answer a query",
    "multilingual": "similar sentences within and across languages",
    "bitext": "sentences that are translations of each other",
    "image-text": "images and texts in one space: image search, zero-shot classification",
    "instructions": "texts with an instruction as their prompt",
    "papers": "scientific publications, as title[SEP]abstract",
    "questions": "Wikipedia passages, as [title, text], that answer a question",
    "words": "averages of word vectors: fast, less exact",
}
_FIFTY = """ar bg ca cs da de el en es et fa fi fr fr-ca gl gu he hi hr hu hy id it ja ka ko ku lt lv mk mn mr ms my nb
nl pl pt pt-br ro ru sk sl sq sr sv th tr uk ur vi zh-cn zh-tw"""
# The documentation says 15 and names these 13.
_FIFTEEN = "Arabic Chinese Dutch English French German Italian Korean Polish Portuguese Russian Spanish Turkish"
LANGUAGES: Mapping[str, tuple[str, ...]] = {"50+": tuple(_FIFTY.split()), "15": tuple(_FIFTEEN.split())}
MEASURES: Mapping[str, str] = {
    "average": "average over sentence embedding and semantic search data sets",
    "search": "semantic search, 6 data sets",
    "msmarco": "MRR@10 on the dev set of MS MARCO",
    "nq": "MRR@10 on the small dev set of Natural Questions",
    "imagenet": "zero-shot top-1 accuracy on ImageNet",
}

# name, task, kind, dim, max_length, score, unit_length, languages, size_mb, sentences_per_second (V100),
# queries_per_second on a GPU and on a CPU, measures
_TABLE = """
all-mpnet-base-v2    general MPNet    768 384 cosine yes - 420  2800 - - average=63.30
all-mpnet-base-v1    general MPNet    768 512 cosine yes -   -     - - - -
all-distilroberta-v1 general RoBERTa  768 512 cosine yes - 290  4000 - - average=59.84
all-roberta-large-v1 general RoBERTa 1024 256 cosine yes -   -     - - - -
all-MiniLM-L12-v2    general BERT     384 128 cosine yes - 120  7500 - - average=59.76
all-MiniLM-L12-v1    general BERT     384   - cosine yes -   -     - - - -
all-MiniLM-L6-v2     general BERT     384 256 cosine yes -  80 14200 - - average=58.80
all-MiniLM-L6-v1     general BERT     384 128 cosine yes -   -     - - - -
sentence-t5-base  general T5+Dense - - cosine yes - - - - - -
sentence-t5-large general T5+Dense - - cosine yes - - - - - -
sentence-t5-xl    general T5+Dense - - cosine yes - - - - - -
sentence-t5-xxl   general T5+Dense - - cosine yes - - - - - -
gtr-t5-base  search T5+Dense - - cosine yes - - - - - -
gtr-t5-large search T5+Dense - - cosine yes - - - - - -
gtr-t5-xl    search T5+Dense - - cosine yes - - - - - -
gtr-t5-xxl   search T5+Dense - - cosine yes - - - - - -
paraphrase-mpnet-base-v2         paraphrase MPNet   - - - - -  -     - - - -
paraphrase-distilroberta-base-v2 paraphrase RoBERTa - - - - -  -     - - - -
paraphrase-albert-small-v2       paraphrase ALBERT  - - - - - 43  5000 - - average=52.25
paraphrase-TinyBERT-L6-v2        paraphrase BERT    - - - - -  -     - - - -
paraphrase-MiniLM-L12-v2         paraphrase BERT    - - - - -  -     - - - -
paraphrase-MiniLM-L6-v2          paraphrase BERT    - - - - -  -     - - - -
paraphrase-MiniLM-L3-v2          paraphrase BERT    - - - - - 61 19000 - - average=50.74
multi-qa-mpnet-base-cos-v1 search MPNet      768 512 cosine yes -   -     -  4000 170 search=57.46
multi-qa-distilbert-cos-v1 search DistilBERT 768 512 cosine yes - 250  4000  7000 350 average=59.41 search=52.83
multi-qa-MiniLM-L6-cos-v1  search BERT       384 512 cosine yes -  80 14200 18000 750 average=58.08 search=51.83
multi-qa-mpnet-base-dot-v1 search MPNet      768 512 dot    no  - 420  2800  4000 170 average=62.18 search=57.60
multi-qa-distilbert-dot-v1 search DistilBERT 768 512 dot    no  -   -     -  7000 350 search=52.51
multi-qa-MiniLM-L6-dot-v1  search BERT       384 512 dot    no  -   -     - 18000 750 search=49.19
msmarco-distilbert-cos-v5     search DistilBERT 768 512 cosine yes - - -  7000 350 search=44.98 msmarco=33.79
msmarco-MiniLM-L12-cos-v5     search BERT       384 512 cosine yes - - - 11000 400 search=43.89 msmarco=32.75
msmarco-MiniLM-L6-cos-v5      search BERT       384 512 cosine yes - - - 18000 750 search=42.16 msmarco=32.27
msmarco-bert-base-dot-v5      search BERT       768 512 dot    no  - - -  4000 170 search=52.11 msmarco=38.08
msmarco-distilbert-dot-v5     search DistilBERT 768 512 dot    no  - - -  7000 350 search=49.47 msmarco=37.25
msmarco-distilbert-base-tas-b search DistilBERT 768 512 dot    no  - - -  7000 350 search=49.25 msmarco=34.43
distiluse-base-multilingual-cased-v1 multilingual DistilBERT+Dense 512 128 - no 15  480 4000 - - average=45.59
distiluse-base-multilingual-cased-v2 multilingual DistilBERT+Dense 512 128 - no 50+ 480 4000 - - average=43.77
paraphrase-multilingual-mpnet-base-v2 multilingual XLM-R 768 128 - no 50+ 970 2500 - - average=53.75
paraphrase-multilingual-MiniLM-L12-v2 multilingual BERT  384 128 - no 50+ 420 7500 - - average=51.72
LaBSE bitext BERT+Dense 768 256 cosine yes 109 - - - - -
clip-ViT-L-14                 image-text CLIP             768  77 - no -   - - - - imagenet=75.4
clip-ViT-B-16                 image-text CLIP             512  77 - no -   - - - - imagenet=68.1
clip-ViT-B-32                 image-text CLIP             512  77 - no -   - - - - imagenet=63.3
clip-ViT-B-32-multilingual-v1 image-text DistilBERT+Dense 512 128 - no 50+ - - - - -
hkunlp/instructor-base  instructions T5+Dense 768 512 cosine yes - - - - - -
hkunlp/instructor-large instructions T5+Dense 768 512 cosine yes - - - - - -
hkunlp/instructor-xl    instructions T5+Dense 768 512 cosine yes - - - - - -
allenai-specter papers BERT 768 512 - no - - - - - -
nq-distilbert-base-v1 questions DistilBERT 768 512 cosine no - - - - - nq=72.36
facebook-dpr-ctx_encoder-single-nq-base      questions BERT 768 509 dot no - - - - - -
facebook-dpr-question_encoder-single-nq-base questions BERT 768 509 dot no - - - - - -
facebook-dpr-ctx_encoder-multiset-base       questions BERT 768 509 dot no - - - - - -
facebook-dpr-question_encoder-multiset-base  questions BERT 768 509 dot no - - - - - -
average_word_embeddings_glove.6B.300d words WordEmbeddings 300 1000000 - no - 420 34000 - - average=36.25
average_word_embeddings_komninos words WordEmbeddings 300 1000000 - no - 240 22000 - - average=36.39
average_word_embeddings_levy_dependency words WordEmbeddings 300 1000000 - no - - - - - -
average_word_embeddings_glove.840B.300d words WordEmbeddings 300 1000000 - no - - - - - -
"""


@dataclass(frozen=True)
class CatalogModel:
    """One documented model.

    Attributes:
        name: The documented name; a name without "/" belongs to sentence-transformers on the hub.
        task: A key of TASKS.
        kind: Architecture, with "+Dense" if a projection follows the pooling.
        dim: Dimensions of the vectors.
        max_length: Maximum number of tokens of a text, special ones included.
        score: The function that the model was trained for, "cosine" or "dot". A model that stores none compares by
            cosine, even if it was trained for dot: give score="dot" for such a model.
        unit_length: Whether the vectors have length 1.
        languages: Number of languages: "15", "50+" or "109".
        language_names: The languages that the documentation names, as codes or words.
        size_mb: Size of the weights in megabytes.
        sentences_per_second: On one V100 GPU.
        queries_per_second: On a GPU and on a CPU.
        measures: Published results in percent, with keys of MEASURES.
    """

    name: str
    task: str
    kind: str
    dim: int | None
    max_length: int | None
    score: str | None
    unit_length: bool | None
    languages: str | None
    language_names: tuple[str, ...]
    size_mb: int | None
    sentences_per_second: int | None
    queries_per_second: tuple[int, int] | None
    measures: tuple[tuple[str, float], ...]

    @property
    def hub_name(self) -> str:
        """Return the name with its organisation."""
        return self.name if "/" in self.name else f"sentence-transformers/{self.name}"

    def to_dict(self) -> dict[str, Any]:
        """Return the model as JSON values."""
        return {**asdict(self), "hub_name": self.hub_name, "measures": dict(self.measures)}


def _read(line: str) -> CatalogModel:
    name, task, kind, dim, length, score, unit, languages, size, speed, gpu, cpu, *measures = line.split()
    return CatalogModel(
        name=name,
        task=task,
        kind=kind,
        dim=_number(dim),
        max_length=_number(length),
        score=None if score == "-" else score,
        unit_length={"yes": True, "no": False}.get(unit),
        languages=None if languages == "-" else languages,
        language_names=LANGUAGES.get(languages, ()),
        size_mb=_number(size),
        sentences_per_second=_number(speed),
        queries_per_second=None if gpu == "-" else (int(gpu), int(cpu)),
        measures=tuple((key, float(value)) for key, _, value in (each.partition("=") for each in measures) if value),
    )


def _number(word: str) -> int | None:
    return None if word == "-" else int(word)


MODELS: tuple[CatalogModel, ...] = tuple(map(_read, _TABLE.strip().splitlines()))
_BY_NAME = {model.hub_name.lower(): model for model in MODELS}


def find(name: str) -> CatalogModel | None:
    """Return the documented model with this name, None if there is none.

    Args:
        name: A name in upper or lower case, with or without the organisation.
    """
    return _BY_NAME.get(name.lower()) or _BY_NAME.get(f"sentence-transformers/{name.lower()}")


def close_matches(name: str, most: int = 3) -> list[str]:
    """Return the documented names that are closest to a mistyped one, best first, often none.

    Args:
        name: The mistyped name; its organisation is ignored.
        most: Maximum number of names.
    """
    known = {model.name.rpartition("/")[2].lower(): model.name for model in MODELS}
    near = difflib.get_close_matches(name.rpartition("/")[2].lower(), list(known), n=most, cutoff=0.7)
    return [known[each] for each in near]
