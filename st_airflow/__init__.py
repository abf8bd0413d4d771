"""Airflow operators for the jobs of st_spark, with quality checks, assets and lineage."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from st_airflow.assets import table
    from st_airflow.operators import (
        BitextMiningOperator,
        ClassifyOperator,
        ClusterOperator,
        EmbedOperator,
        IndexOperator,
        NearDuplicatesOperator,
        SearchOperator,
        SimilarityJoinOperator,
    )

__all__ = [
    "BitextMiningOperator",
    "ClassifyOperator",
    "ClusterOperator",
    "EmbedOperator",
    "IndexOperator",
    "NearDuplicatesOperator",
    "SearchOperator",
    "SimilarityJoinOperator",
    "table",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import a public name when it is first used: every Airflow process imports this package for its provider."""
    if name not in __all__:
        raise AttributeError(f"module 'st_airflow' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module("st_airflow.assets" if name == "table" else "st_airflow.operators"), name)
