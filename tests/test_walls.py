"""Who may import whom: the walls between the rooms, and what may not stand in a committed file."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "st_spark"

# Read by DAG files, by the command line's --help, and wherever nothing is installed.
PLAIN = {"st_spark.errors", "st_spark.spec", "st_spark.model.checkpoint", "st_spark.model.batching"}
# Tested in milliseconds, and run where there is no Spark, as on a machine with a GPU; so is all of model/.
SPARKLESS = {"st_spark.encoding", "st_spark.windows", "st_spark.options"}
_JOIN = (
    "cells counting forest grid kernel kmeans leaders matches merging placement regions request searching "
    "sides sweep tagging tile tiles truth vectors visits"
)
SPARKLESS |= {f"st_spark.join.{name}" for name in _JOIN.split()}
SPARKLESS |= {f"st_spark.bitext.{name}" for name in "columns exchange margins retrieval selection".split()}
HEAVY = {"torch", "transformers", "pyspark", "pandas", "pyarrow", "sentence_transformers", "airflow"}


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(file): file for file in sorted([*PACKAGE.rglob("*.py"), *(ROOT / "st_airflow").rglob("*.py")])}
SCHEDULING = sorted(name for name in FILES if name.partition(".")[0] == "st_airflow")
WITHOUT_SPARK = PLAIN | SPARKLESS | {name for name in FILES if name.startswith("st_spark.model.")}


def statements(nodes: Iterable[ast.AST]) -> Iterator[ast.Import | ast.ImportFrom]:
    """All imports in and below some nodes, also those inside functions; not those for the type checker alone."""
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from statements(node.orelse)
        else:
            yield from statements(ast.iter_child_nodes(node))


@cache
def imports(module: str) -> frozenset[str]:
    """What the file of a module imports: full names of our own modules, top names of all others."""
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
    """All names that a module imports, itself or through our other modules."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        new = imports(waiting.pop()) - seen
        seen |= new
        waiting += [name for name in new if name in FILES]
    return seen


def run_python(code: str) -> str:
    """What a fresh interpreter prints; an error there is one here."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_walls_name_rooms_that_exist() -> None:
    assert set(FILES) >= PLAIN | SPARKLESS
    assert len(WITHOUT_SPARK) > len(PLAIN | SPARKLESS)


@pytest.mark.parametrize("module", sorted(PLAIN))
def test_a_plain_room_needs_the_standard_library_and_numpy_alone(module: str) -> None:
    others = {name for name in reached(module) if name not in FILES}
    assert others <= sys.stdlib_module_names | {"numpy"}


@pytest.mark.parametrize("module", sorted(WITHOUT_SPARK))
def test_a_room_that_does_not_know_spark_does_not_reach_it(module: str) -> None:
    assert not {"pyspark", "delta"} & reached(module)


@pytest.mark.parametrize("module", sorted(FILES))
def test_no_room_imports_the_library_that_it_is_measured_against(module: str) -> None:
    assert "sentence_transformers" not in imports(module)


@pytest.mark.parametrize("module", SCHEDULING)
def test_the_airflow_side_knows_the_specs_alone_of_st_spark(module: str) -> None:
    ours = {name for name in imports(module) if name.partition(".")[0] == "st_spark"}
    assert ours <= {"st_spark", "st_spark.errors", "st_spark.options", "st_spark.spec"}
    assert not (HEAVY - {"airflow"}) & reached(module)


@pytest.mark.parametrize("module", sorted(set(FILES) - set(SCHEDULING)))
def test_st_spark_knows_nothing_of_airflow(module: str) -> None:
    assert not {"airflow", "st_airflow"} & {name.partition(".")[0] for name in imports(module)}


def test_a_local_import_is_found_as_well_as_one_at_the_top() -> None:
    code = (
        "import a.b\nif TYPE_CHECKING:\n    import c\nelse:\n    import d\ndef f():\n    if x:\n        from e import g"
    )
    found = [ast.unparse(statement) for statement in statements([ast.parse(code)])]
    assert found == ["import a.b", "import d", "from e import g"]


@pytest.mark.parametrize("module", ["st_spark", "st_spark.spec", "st_spark.cli", "st_airflow", "st_airflow.provider"])
def test_the_face_of_the_package_loads_no_heavy_library(module: str) -> None:
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
def test_the_rooms_without_spark_load_where_there_is_no_pyspark() -> None:
    loaded = run_python(BLOCKED % sorted(WITHOUT_SPARK)).split()
    assert "st_spark.model.encoder" in loaded
    assert "pyspark" not in loaded


def committed() -> list[Path]:
    """The files that git has, or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [file for name in listed.splitlines() if (file := ROOT / name).is_file()]


def test_no_committed_file_names_a_folder_of_one_machine() -> None:
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
