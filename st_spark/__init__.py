"""Sentence embeddings on Spark and Airflow: encode columns, join them by similarity, store them as tables."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from st_spark import util
    from st_spark.bitext.mining import mine_bitext
    from st_spark.bitext.scoring import score_pairs
    from st_spark.bitext.texts import TextFilters
    from st_spark.calibration import calibrate
    from st_spark.classification import classify
    from st_spark.functions import encode, register
    from st_spark.join.duplicates import near_duplicates
    from st_spark.join.similarity import similarity_join
    from st_spark.model.encoder import SentenceTransformer

__version__ = "0.1.0"
__all__ = [
    "SentenceTransformer",
    "TextFilters",
    "calibrate",
    "classify",
    "encode",
    "mine_bitext",
    "near_duplicates",
    "register",
    "score_pairs",
    "similarity_join",
    "util",
]

# Imported when first used: torch and pyspark take seconds, a DAG file or --help may not.
_HOMES = {
    "SentenceTransformer": "st_spark.model.encoder",
    "calibrate": "st_spark.calibration",
    "classify": "st_spark.classification",
    "TextFilters": "st_spark.bitext.texts",
    "encode": "st_spark.functions",
    "mine_bitext": "st_spark.bitext.mining",
    "near_duplicates": "st_spark.join.duplicates",
    "register": "st_spark.functions",
    "score_pairs": "st_spark.bitext.scoring",
    "similarity_join": "st_spark.join.similarity",
    "util": "st_spark.util",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Imports a public name from its room, once."""
    if name not in _HOMES:
        raise AttributeError(f"module 'st_spark' has no attribute {name!r}; it has {', '.join(__all__)}")
    room = import_module(_HOMES[name])
    value = room if room.__name__ == f"{__name__}.{name}" else getattr(room, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, also those not imported yet."""
    return sorted({*globals(), *__all__})
