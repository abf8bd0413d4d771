"""What Airflow learns of the provider."""

import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points

import pytest

from st_airflow.provider import get_provider_info


def test_the_entry_point_is_installed() -> None:
    (found,) = [each for each in entry_points(group="apache_airflow_provider") if each.value.startswith("st_airflow")]
    assert found.load()() == get_provider_info()


def test_it_is_what_airflows_schema_asks_for() -> None:
    import json
    from importlib.resources import files

    import jsonschema

    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(get_provider_info(), schema)


def test_all_that_it_names_is_there() -> None:
    info = get_provider_info()
    for module in info["operators"][0]["python-modules"]:
        import_module(module)
    for link in info["extra-links"]:
        module, _, name = link.rpartition(".")
        assert hasattr(import_module(module), name)


@pytest.mark.parametrize("module", ["st_airflow", "st_airflow.provider"])
def test_asking_imports_nothing_of_airflow_or_spark(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"airflow", "pyspark", "torch", "st_spark.cli.main"} & set(loaded)
