"""The known models: purpose, sizes, languages, licence, measured speed and published results.

The facts are in catalog_table.py. They come from the pretrained-models documentation of Sentence-Transformers, from the
pages of the models and from their files. Models that are not listed can be loaded too.
"""

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from st_spark.model import catalog_table

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
MEASURES: Mapping[str, str] = {
    "average": "average over sentence embedding and semantic search data sets",
    "search": "semantic search, 6 data sets",
    "msmarco": "MRR@10 on the dev set of MS MARCO",
    "nq": "MRR@10 on the small dev set of Natural Questions",
    "imagenet": "zero-shot top-1 accuracy on ImageNet",
}
# Its authors publish no list of these languages.
MANY = "100+"


@dataclass(frozen=True)
class CatalogModel:
    """One known model.

    Attributes:
        name: The documented name; a name without "/" belongs to sentence-transformers on the hub.
        documented: Whether the documentation of Sentence-Transformers names it. The others come from the community.
        task: A key of TASKS.
        kind: Architecture, with "+Dense" if a projection follows the pooling.
        dim: Dimensions of the vectors.
        max_length: Maximum number of tokens of a text, special ones included; None for no limit.
        score: The function that the model was trained for, "cosine" or "dot". A model that stores none compares by
            cosine, even if it was trained for dot: give score="dot" for such a model.
        unit_length: Whether the vectors have length 1; None if unknown.
        languages: Codes of one or two languages, or their number: "15", "50+", "100+".
        language_names: The languages as codes; empty for "100+".
        licence: The licence on the page of the model, "none" if it names none, "?" if unknown.
        parameters: Number of weights in millions.
        passages_per_second: Passages of 128 tokens that one core encodes in a second, in float32 and with dtype="auto",
            measured on a model of the same shape; None if not measured.
        sentences_per_second: On one V100 GPU, as Sentence-Transformers published it.
        queries_per_second: On a GPU and on a CPU, as Sentence-Transformers published it.
        measures: Published results in percent, with keys of MEASURES.
    """

    name: str
    documented: bool
    task: str
    kind: str
    dim: int
    max_length: int | None
    score: str
    unit_length: bool | None
    languages: str
    language_names: tuple[str, ...]
    licence: str
    parameters: float
    passages_per_second: tuple[float, float] | None
    sentences_per_second: int | None
    queries_per_second: tuple[int, int] | None
    measures: tuple[tuple[str, float], ...]

    @property
    def hub_name(self) -> str:
        """Return the name with its organisation."""
        return self.name if "/" in self.name else f"sentence-transformers/{self.name}"

    @property
    def size_mb(self) -> int:
        """Return the size of the weights in megabytes, in float32."""
        return round(self.parameters * 4)

    def speaks(self, language: str) -> bool:
        """Return whether the model knows a language; "zh" stands for "zh-cn", too."""
        codes = self.language_names
        return self.languages == MANY or any(code.split("-")[0] == language or code == language for code in codes)

    def to_dict(self) -> dict[str, Any]:
        """Return the model as JSON values."""
        values = {**asdict(self), "hub_name": self.hub_name, "size_mb": self.size_mb}
        return {**values, "measures": dict(self.measures)}


def _read() -> tuple[CatalogModel, ...]:
    lists = _rows(catalog_table.LANGUAGES.replace("\n    ", " "))
    speeds, published = _rows(catalog_table.SPEEDS), _rows(catalog_table.PUBLISHED)
    tables = ((catalog_table.DOCUMENTED, True), (catalog_table.COMMUNITY, False))
    return tuple(
        _model(name, documented, cells, lists, speeds.get(cells[-1]), published.get(name, ["-"] * 3))
        for table, documented in tables
        for name, cells in _rows(table).items()
    )


def _rows(table: str) -> dict[str, list[str]]:
    """Return the words of each line by the first one."""
    return {name: cells for name, *cells in map(str.split, table.strip().splitlines())}


def _model(
    name: str,
    documented: bool,
    cells: list[str],
    lists: Mapping[str, list[str]],
    speeds: list[str] | None,
    published: list[str],
) -> CatalogModel:
    task, kind, dim, length, score, unit, languages, licence, parameters, _ = cells
    speed, gpu, cpu, *measures = published
    return CatalogModel(
        name=name,
        documented=documented,
        task=task,
        kind=kind,
        dim=int(dim),
        max_length=None if length == "any" else int(length),
        score=score,
        unit_length={"yes": True, "no": False}.get(unit),
        languages=languages,
        language_names=() if languages == MANY else tuple(lists.get(languages, languages.split(","))),
        licence=licence,
        parameters=float(parameters),
        passages_per_second=None if speeds is None else (float(speeds[0]), float(speeds[1])),
        sentences_per_second=None if speed == "-" else int(speed),
        queries_per_second=None if gpu == "-" else (int(gpu), int(cpu)),
        measures=tuple((key, float(value)) for key, _, value in (each.partition("=") for each in measures)),
    )


MODELS = _read()
_BY_NAME = {model.hub_name.rpartition("/")[2].lower(): model for model in MODELS}


def find(name: str) -> CatalogModel | None:
    """Return the known model with this name, None if there is none.

    Args:
        name: A name in upper or lower case, with or without the organisation.
    """
    organisation, _, short = name.lower().rpartition("/")
    found = _BY_NAME.get(short)
    return found if found and organisation in ("", found.hub_name.lower().rpartition("/")[0]) else None


def close_matches(name: str, most: int = 3) -> list[str]:
    """Return the known names that are closest to a mistyped one, best first, often none.

    Args:
        name: The mistyped name; its organisation is ignored.
        most: Maximum number of names.
    """
    near = difflib.get_close_matches(name.rpartition("/")[2].lower(), list(_BY_NAME), n=most, cutoff=0.7)
    return [_BY_NAME[each].name for each in near]
