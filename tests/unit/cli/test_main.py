"""The command line: help, one-line errors with exit codes, results as JSON, text_table."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from st_spark._version import __version__
from st_spark.cli import main, text_table
from st_spark.spark import session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Capture = pytest.CaptureFixture[str]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from st_spark.cli.main import main; "
        "codes = [main(words.split()) for words in ('--help', '--version', 'embed --help', 'search --help')]; "
        "loaded = [m for m in ('torch', 'pyspark', 'numpy', 'pyarrow', 'transformers') if m in sys.modules]; "
        "sys.exit(str((codes, loaded)) if any(codes) or loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: st-spark") == 3
    assert f"st-spark {__version__}" in done.stdout


@pytest.mark.parametrize(("words", "code"), [(["--version"], 0), (["embed", "--nonsense"], 2)])
def test_the_program_ends_with_the_exit_code_after_all_exit_handlers_and_output(words: list[str], code: int) -> None:
    program = (
        "import atexit, sys; from st_spark.cli import main; run = main.main; "
        "main.main = lambda: (atexit.register(print, 'handler'), run())[1]; sys.exit(main.program())"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "handler" in done.stdout
    assert ("--nonsense" in done.stderr) == (code == 2)


def test_help_lists_every_command_and_option(capsys: Capture) -> None:
    main.main([])
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("embed", "search", "clean", "doctor", "--version"))
    main.main(["embed", "--help"])
    shown = capsys.readouterr().out
    flags = ("--input", "--text-column", "--mode", "--spec", "--result", "--truncate-dim")
    assert all(flag in shown for flag in flags)
    titles = ("Input table:", "Output table:", "New column:", "Model:", "embed options:")
    places = [shown.index(title) for title in titles]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["embd"], "invalid choice: 'embd'"),
        (["embed"], "embed needs input. Fix: give --input"),
        (["embed", "--imput", "x"], "did you mean '--input'?"),
        (["embed", "--mode", "replace"], "invalid choice: 'replace'"),
        (["embed", "--spec", "/no/such.json"], "Cannot read the spec /no/such.json"),
        (["search", "q"], "search needs table"),
        (["clean"], "the following arguments are required: OUTPUT"),
        (["clean", "docs", "--older-than", "7"], "older_than is '7'. Fix: give a number and a unit: 30m, 12h or 7d."),
        (["search", "q", "--table", "t", "-k", "0"], "k is 0"),
        (["search", "q", "--table", "t", "--result", "/no/such/r.json"], "There is no folder for the result"),
    ],
)
def test_wrong_command_is_a_one_line_error_with_a_fix(capsys: Capture, argv: list[str], message: str) -> None:
    assert main.main(argv) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("st-spark: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert "Fix: " in error


Write = Callable[[str], str]


@pytest.fixture
def csv(tmp_path: Path) -> str:
    """Three rows, one of them without a text."""
    path = tmp_path / "in.csv"
    path.write_text("id,text\n1,the cat sat\n2,\n3,rain and sun\n", encoding="utf-8")
    return str(path)


@pytest.mark.slow
def test_embed_and_search_print_a_summary(
    spark: "SparkSession", csv: str, tiny_model: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    out, result = str(tmp_path / "out"), tmp_path / "r.json"
    result.write_text("of an earlier run", encoding="utf-8")
    argv = ["--input", csv, "--text-column", "text", "--id-column", "id", "--model", str(tiny_model), "--output", out]
    assert main.main(["embed", *argv, "--result", str(result)]) == 0
    shown = capsys.readouterr()
    assert "3 rows in" in shown.out
    assert "1 without a text" in shown.out
    assert f"table {out} (parquet)" in shown.out
    assert "Encoding 3 rows on" in shown.err
    assert json.loads(result.read_text(encoding="utf-8"))["rows"]["null"] == 1

    assert main.main(["search", "rain and sun", "--table", out, "-k", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rank", "score", "id", "text"]
    assert lines[1].split() == ["1", "1.0000", "3", "rain", "and", "sun"]
    assert "1 without a vector" in lines[2]


@pytest.mark.slow
def test_flags_override_a_saved_spec(
    spark: "SparkSession", csv: str, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    spec = {"input": csv, "output": "/elsewhere", "model": str(tiny_model), "text_column": ["text"]}
    (tmp_path / "job.json").write_text(json.dumps(spec), encoding="utf-8")
    argv = ["embed", "--spec", str(tmp_path / "job.json"), "--output", str(tmp_path / "out"), "--result", "-"]
    assert main.main(argv) == 0
    assert json.loads(capsys.readouterr().out)["output"]["path"] == str(tmp_path / "out")


@pytest.mark.slow
def test_failed_job_leaves_no_result_and_no_traceback(
    spark: "SparkSession", csv: str, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    result = tmp_path / "r.json"
    result.write_text("of an earlier run", encoding="utf-8")
    argv = ["--input", csv, "--text-column", "txt", "--model", str(tiny_model), "--output", str(tmp_path / "o")]
    assert main.main(["embed", *argv, "--result", str(result)]) == 2
    error = capsys.readouterr().err
    assert "has no column 'txt'" in error.splitlines()[-1]
    assert "Traceback" not in error
    assert not result.exists()


@pytest.mark.parametrize("command", ["embed", "classify --labels a,b", "dedup"])
def test_a_wrong_option_of_the_model_is_an_error_before_spark_starts(
    csv: str, tiny_model: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(session, "start", lambda **_: pytest.fail("Spark was started"))
    argv = ["--input", csv, "--text-column", "text", "--model", str(tiny_model), "--output", str(tmp_path / "o")]
    assert main.main([*command.split(), *argv, "--max-seq-length", "1024"]) == 2
    assert "max_seq_length=1024 is more than the 512 positions of the model" in capsys.readouterr().err


@pytest.mark.parametrize("own_log", [True, False])
def test_the_log_has_the_traceback_of_an_unknown_error(
    csv: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, own_log: bool
) -> None:
    def start(**_: object) -> None:
        raise LookupError("a fault of ours")

    log = tmp_path / "spark.log"
    monkeypatch.setattr(session, "start", start)
    monkeypatch.setattr(session, "keep_log", lambda: log if own_log else None)
    assert main.main(["dedup", "--input", csv, "--output", str(tmp_path / "o")]) == 1
    *before, last = capsys.readouterr().err.splitlines()
    assert last.startswith("st-spark: error: LookupError: a fault of ours Fix: see the log.")
    found = log.read_text(encoding="utf-8") if own_log else "\n".join(before)
    assert "Traceback (most recent call last)" in found
    assert "in start" in found


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=80)), max_size=5), st.integers(30, 120))
def test_no_line_of_a_text_table_is_wider_than_the_terminal(rows: list[tuple[str, str]], width: int) -> None:
    printable = [tuple("".join(c for c in cell if c.isprintable()) for cell in row) for row in rows]
    for line in text_table.table(["id", "text"], printable, width).splitlines():
        assert text_table.cells(line) <= width


def test_wide_characters_take_two_cells_and_cut_texts_end_with_dots() -> None:
    assert text_table.cells("日本") == 4
    assert text_table.cells("e\u0301") == 1
    assert text_table.cut("日本語の文", 6) == "日本…"
    assert text_table.cut("short", 5) == "short"
