"""Which package may import which, and what a committed file must not contain."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PACKAGE = ROOT / "st_spark"

# A package, and the packages of this repository that it may import. The longest prefix of a module's name decides.
_BASE = {"st_spark.errors", "st_spark.choices"}
_DATA = {"st_spark.tables", "st_spark.spark", *_BASE}
_MODEL = _BASE | {"st_spark.hardware", "st_spark.model.catalog", "st_spark.model.parallel"}
_MODEL_STAGES = ("checkpoint", "inputs", "backbones", "modules")
ALLOWED: dict[str, set[str]] = {
    "st_spark.errors": set(),
    "st_spark.choices": set(),
    "st_spark.hardware": set(),
    "st_spark._version": set(),
    "st_spark.specs": _BASE,
    **{
        f"st_spark.model.{stage}": _MODEL | {f"st_spark.model.{left}" for left in _MODEL_STAGES[:place]}
        for place, stage in enumerate(_MODEL_STAGES)
    },
    "st_spark.model": _MODEL,
    "st_spark.topk": {"st_spark.hardware"},
    "st_spark.spark": {"st_spark.errors"},
    "st_spark.tables": {"st_spark.spark", *_BASE},
    "st_spark.embedding": {"st_spark.model", *_DATA},
    "st_spark.join.tasks": {"st_spark.topk", "st_spark.model.quantization", *_BASE},
    "st_spark.join": {"st_spark.topk", "st_spark.model.quantization", *_DATA},
    "st_spark.bitext": {"st_spark.join", "st_spark.topk", "st_spark._version", *_DATA},
    "st_spark.clustering": {"st_spark.join", "st_spark.topk", *_DATA},
    "st_spark.report": {"st_spark.model", "st_spark.topk", *_DATA},
    "st_spark.steps": {
        *(
            "st_spark.report",
            "st_spark.bitext",
            "st_spark.clustering",
            "st_spark.join",
            "st_spark.embedding",
            "st_spark.model",
            "st_spark.specs",
        ),
        *("st_spark._version", *_DATA),
    },
    "st_spark.jobs": {
        *(
            "st_spark.steps",
            "st_spark.report",
            "st_spark.bitext",
            "st_spark.clustering",
            "st_spark.join",
            "st_spark.embedding",
            "st_spark.model",
            "st_spark.specs",
        ),
        *("st_spark._version", *_DATA),
    },
    "st_spark.cli": {
        *(
            "st_spark.jobs",
            "st_spark.steps",
            "st_spark.report",
            "st_spark.specs",
            "st_spark.model",
            "st_spark.spark",
            "st_spark.hardware",
        ),
        *("st_spark._version", *_BASE),
    },
    "st_spark.util": {"st_spark.model", *_BASE},
    "st_spark.ml": {"st_spark.embedding", "st_spark.tables", *_BASE},
    "st_airflow": {"st_spark.specs", "st_spark.errors", "st_spark._version"},
}
# What no module of a package may reach, itself or through others.
SPARKLESS = ("st_spark.model", "st_spark.topk", "st_spark.join.tasks", "st_spark.specs")
STANDARD_LIBRARY = ("st_spark.specs", "st_spark.errors", "st_spark.choices", "st_spark._version")
HEAVY = {"torch", "transformers", "pyspark", "pandas", "pyarrow", "sentence_transformers", "airflow"}


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(file): file for file in sorted([*PACKAGE.rglob("*.py"), *(ROOT / "st_airflow").rglob("*.py")])}


def statements(nodes: Iterable[ast.AST]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield all imports in and below some nodes, also inside functions, except imports for the type checker."""
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from statements(node.orelse)
        else:
            yield from statements(ast.iter_child_nodes(node))


@cache
def imports(module: str) -> frozenset[str]:
    """Return what a module imports: full names of modules of this repository, top-level names of all others."""
    found = set()
    for statement in statements([ast.parse(FILES[module].read_text(encoding="utf-8"))]):
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        else:
            assert statement.level == 0, f"{module} has a relative import; write the full name"
            origin = statement.module or ""
            submodules = [f"{origin}.{alias.name}" for alias in statement.names]
            names = [name if name in FILES else origin for name in submodules]
        found |= {name if name in FILES else name.partition(".")[0] for name in names}
    return frozenset(found)


def reached(module: str) -> set[str]:
    """Return all names that a module imports, directly or through other modules of this repository."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        new = imports(waiting.pop()) - seen
        seen |= new
        waiting += [name for name in new if name in FILES]
    return seen


def run_python(code: str) -> str:
    """Run code in a new interpreter and return its output. An error in it fails the test."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def under(package: str) -> list[str]:
    return [name for name in FILES if name == package or name.startswith(f"{package}.")]


def longest(name: str, packages: Iterable[str]) -> str | None:
    return max((each for each in packages if name == each or name.startswith(f"{each}.")), key=len, default=None)


def test_every_module_imports_only_what_the_table_allows() -> None:
    offenders = []
    for module in sorted(set(FILES) - {"st_spark"}):
        home = longest(module, ALLOWED)
        assert home is not None, f"{module} belongs to no package of the table"
        for name in sorted(imports(module)):
            ours = name.partition(".")[0] in ("st_spark", "st_airflow")
            if ours and name not in ("st_spark", home) and longest(name, [home, *ALLOWED[home]]) is None:
                offenders.append(f"{module} imports {name}")
    assert offenders == []


def test_packages_without_spark_reach_neither_pyspark_nor_delta() -> None:
    modules = [module for package in SPARKLESS for module in under(package)]
    assert [module for module in modules if {"pyspark", "delta"} & reached(module)] == []


def test_specs_and_errors_need_the_standard_library_alone() -> None:
    modules = [module for package in STANDARD_LIBRARY for module in under(package)]
    others = {module: {name for name in reached(module) if name not in FILES} for module in modules}
    assert {module: found for module, found in others.items() if found - sys.stdlib_module_names} == {}


def test_only_st_airflow_imports_airflow_and_it_reaches_nothing_heavy() -> None:
    assert [module for module in under("st_spark") if {"airflow", "st_airflow"} & imports(module)] == []
    assert [module for module in under("st_airflow") if (HEAVY - {"airflow"}) & reached(module)] == []


def test_nothing_imports_sentence_transformers() -> None:
    assert [module for module in FILES if "sentence_transformers" in imports(module)] == []


def test_a_local_import_is_found_as_well_as_one_at_the_top() -> None:
    code = (
        "import a.b\nif TYPE_CHECKING:\n    import c\nelse:\n    import d\ndef f():\n    if x:\n        from e import g"
    )
    found = [ast.unparse(statement) for statement in statements([ast.parse(code)])]
    assert found == ["import a.b", "import d", "from e import g"]


@pytest.mark.parametrize(
    "module",
    ["st_spark", "st_spark.specs.jobs", "st_spark.cli.main", "st_airflow.provider"],
)
def test_entry_points_load_no_heavy_library(module: str) -> None:
    loaded = set(run_python(f"import sys, {module}; print(*sys.modules)").split())
    assert module in loaded
    assert not HEAVY & loaded


BLOCKED = """
import importlib, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pyspark", "delta"):
            raise ModuleNotFoundError(f"{name} is blocked", name=name)
sys.meta_path.insert(0, Blocker())
for name in %s:
    importlib.import_module(name)
print(*sys.modules)
"""


@pytest.mark.slow
def test_packages_without_spark_load_without_pyspark() -> None:
    loaded = run_python(BLOCKED % [module for package in SPARKLESS for module in under(package)]).split()
    assert "st_spark.model.encoder" in loaded
    assert "pyspark" not in loaded


def committed() -> list[Path]:
    """Return the files that git tracks or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [file for name in listed.splitlines() if (file := ROOT / name).is_file()]


def test_no_committed_file_has_an_absolute_path_of_one_machine() -> None:
    folders = re.compile(r"(?<![\w.])/(work|root|home|Users|tmp/\w+)/")
    for file in committed():
        if file.suffix == ".png":
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            assert not folders.search(line), f"{file.relative_to(ROOT)}:{number}: {line}"


def test_no_committed_file_is_larger_than_a_megabyte() -> None:
    assert [file.name for file in committed() if file.stat().st_size > 1_000_000] == []


def test_the_constraints_are_names_and_versions_alone() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[\w.]+", line)] == []
