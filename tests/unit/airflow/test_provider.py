"""The description of the provider."""

import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points

from st_airflow.provider import get_provider_info


def test_entry_point_is_installed() -> None:
    (found,) = [each for each in entry_points(group="apache_airflow_provider") if each.value.startswith("st_airflow")]
    assert found.load()() == get_provider_info()


def test_description_fits_airflows_schema() -> None:
    import json
    from importlib.resources import files

    import jsonschema

    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(get_provider_info(), schema)


def test_every_named_module_and_class_exists() -> None:
    info = get_provider_info()
    for module in info["operators"][0]["python-modules"]:
        import_module(module)
    for link in info["extra-links"]:
        module, _, name = link.rpartition(".")
        assert hasattr(import_module(module), name)


def test_description_imports_neither_airflow_nor_spark() -> None:
    code = "import sys, st_airflow.provider; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "st_airflow" in loaded
    assert not {"airflow", "pyspark", "torch", "st_spark.cli.main"} & set(loaded)
