"""A real Airflow runs the example DAGs, and jobs on a standalone Spark. Workers die, tasks are cancelled and fail."""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.end_to_end.airflow_server import Airflow, airflow, spark_settings, wait
from tests.end_to_end.cluster import Cluster, cluster
from tests.support.browser import open_page
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

ROWS, COPIES = 110, 10
MANY = 600
QUESTIONS = 20


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for /data of the example DAGs: a corpus by day, with repeated rows and "German" rows."""
    folder = tmp_path_factory.mktemp("data")
    jargon = (ROOT / "demo" / "jargon.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [str(json.loads(line)["text"]) for line in jargon]
    middle = [text for text in texts if 60 < len(text) < 400]
    german = [swapped(text) for text in middle[COPIES : 2 * COPIES]]
    corpus = [*middle[: ROWS - 2 * COPIES], *middle[:COPIES], *german]
    for day in (datetime.now(UTC) - timedelta(days=ago) for ago in (0, 1)):
        write(folder / "corpus" / f"day={day:%Y-%m-%d}", corpus, ROWS - COPIES)
    write(folder / "many", texts[:MANY])
    write(folder / "texts", [f"{text} " * 3 for text in middle[:ROWS]])
    write(folder / "questions", [" ".join(text.split()[:12]) for text in middle[:QUESTIONS]])
    return folder


def swapped(text: str) -> str:
    """Return a text with a similar meaning: the second half first."""
    words = text.split()
    return " ".join([*words[len(words) // 2 :], *words[: len(words) // 2]])


def write(folder: Path, texts: Sequence[str], english: int = 0) -> None:
    folder.mkdir(parents=True)
    ids = list(range(len(texts)))
    languages = ["en" if number < english else "de" for number in ids]
    pq.write_table(pa.table({"id": ids, "text": texts, "language": languages}), folder / "part.parquet")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SPARK_MASTER_OPTS", "-Dspark.worker.timeout=600")  # see airflow_server.settings
        with cluster(tmp_path_factory.mktemp("cluster"), workers=1) as running:
            yield running


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, nodes: Cluster, data: Path, minilm: Path) -> Iterator[Airflow]:
    """Airflow with the example DAGs (for the test's folders and model) and the DAGs of the tests."""
    folder = tmp_path_factory.mktemp("airflow")
    dags = folder / "dags"
    dags.mkdir()
    for file in (ROOT / "dags").glob("*.py"):
        source = file.read_text(encoding="utf-8").replace("/data/", f"{data}/")
        (dags / file.name).write_text(source.replace("all-MiniLM-L6-v2", str(minilm)), encoding="utf-8")
    shutil.copy(ROOT / "tests" / "end_to_end" / "airflow_dags.py", dags)
    settings = {
        # Jobs that nothing disturbs run in one process: that takes less time than an application on the cluster.
        "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps({"conn_type": "spark", "host": "local[1]"}),
        "AIRFLOW_CONN_SPARK_CLUSTER": json.dumps({"conn_type": "spark", "host": nodes.master}),
        "ST_SPARK_TEST_DATA": str(data),
        "ST_SPARK_TEST_MODEL": str(minilm),
        "SPARK_CONF_DIR": str(spark_settings(folder / "conf")),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    with airflow(folder / "instance", dags, **settings) as found:
        yield found


@pytest.fixture(scope="module")
def embedded(running: Airflow) -> str:
    """The first run of embed_corpus. Its schedule starts it; its asset then starts the other DAGs."""
    for dag in ("find_duplicates", "mine_bitext", "embed_corpus"):
        running.unpause(dag)
    run = running.first_run("embed_corpus")
    assert running.finished("embed_corpus", run) == "success"
    return run


def test_airflow_lists_the_provider(running: Airflow) -> None:
    listed = running.call("GET", "providers?limit=100")["providers"]
    assert "st-spark" in [each["package_name"] for each in listed]


def test_schedule_embeds_the_rows_of_yesterday(running: Airflow, embedded: str, data: Path) -> None:
    result = running.xcom("embed_corpus", embedded, "embed")
    assert result["rows"] | {"in": ROWS, "out": ROWS, "null": 0, "duplicate_id": 0} == result["rows"]
    assert result["duplicates"] == COPIES
    table = Path(result["output"]["path"])
    start = running.call("GET", f"dags/embed_corpus/dagRuns/{embedded}")["data_interval_start"]
    assert table == data / "corpus_embedded" / f"day={start[:10]}"
    rows = pq.read_table(table).to_pydict()
    assert sorted(rows["id"]) == list(range(ROWS))
    assert {len(vector) for vector in rows["embedding"]} == {384}


def test_return_value_has_no_vector(running: Airflow, embedded: str) -> None:
    result = running.xcom("embed_corpus", embedded, "embed")
    assert len(json.dumps(result)) < 3_000
    assert result["model"]["dim"] == 384


def test_asset_starts_the_search_for_duplicates(running: Airflow, embedded: str, data: Path) -> None:
    run = running.first_run("find_duplicates")
    assert running.finished("find_duplicates", run) == "success"
    (event,) = running.call("GET", f"dags/find_duplicates/dagRuns/{run}/upstreamAssetEvents")["asset_events"]
    assert event["extra"] == running.xcom("embed_corpus", embedded, "embed")
    result = running.xcom("find_duplicates", run, "find_duplicates")
    groups = pq.read_table(data / "duplicates").to_pylist()
    assert sorted(row["id"] for row in groups) == list(range(ROWS))
    assert result["groups"]["all"] == len({row["group"] for row in groups}) == ROWS - result["duplicates"]
    group = {row["id"]: row["group"] for row in groups}
    assert all(group[ROWS - 2 * COPIES + number] == group[number] for number in range(COPIES))
    assert result["copies"] == COPIES


def test_asset_starts_the_mining_of_translations(running: Airflow, embedded: str, data: Path) -> None:
    run = running.first_run("mine_bitext")
    assert running.finished("mine_bitext", run) == "success"
    pairs = pq.read_table(data / "bitext").to_pylist()
    assert {row["source_id"]: row["target_id"] for row in pairs} == {
        ROWS - COPIES + i: COPIES + i for i in range(COPIES)
    }
    assert running.xcom("mine_bitext", run, "mine_bitext")["pairs"] == COPIES


def test_every_morning_questions_are_answered_from_an_index_of_chunks(running: Airflow, data: Path) -> None:
    run = running.trigger("answer_questions")
    assert running.finished("answer_questions", run) == "success"
    chunks, index, search = (running.xcom("answer_questions", run, task) for task in ("embed", "index", "search"))
    assert index["rows"]["indexed"] == chunks["rows"]["out"] >= chunks["rows"]["in"] == ROWS
    assert search["queries"]["answered"] == QUESTIONS
    assert search["index"]["lists"] == index["lists"]
    hits = pq.read_table(data / "answers" / "hits").to_pylist()
    assert {row["chunk_id"].partition(":")[0] == str(row["id"]) for row in hits} == {True}
    first = {row["query_id"]: row["id"] for row in hits if row["rank"] == 1}
    assert sum(first[number] == number for number in first) >= QUESTIONS * 0.8


def test_task_links_to_its_report(running: Airflow, embedded: str) -> None:
    links = running.call("GET", f"dags/embed_corpus/dagRuns/{embedded}/taskInstances/embed/links")["extra_links"]
    assert json.loads(Path(links["Report"]).read_text())["rows"]["in"] == ROWS


def test_cleared_day_runs_again_and_gives_the_same_table(running: Airflow, embedded: str, data: Path) -> None:
    for dag in ("find_duplicates", "mine_bitext"):  # no test below needs more of them
        running.call("PATCH", f"dags/{dag}", {"is_paused": True})
    before = running.xcom("embed_corpus", embedded, "embed")
    running.clear("embed_corpus", embedded, "embed")
    assert running.finished("embed_corpus", embedded) == "success"
    again = running.xcom("embed_corpus", embedded, "embed")
    assert again["spark"]["application"] != before["spark"]["application"]
    assert (again["rows"], again["output"]["path"]) == (before["rows"], before["output"]["path"])
    assert sorted(pq.read_table(again["output"]["path"])["id"].to_pylist()) == list(range(ROWS))


@pytest.fixture(scope="module")
def failed(running: Airflow) -> str:
    run = running.trigger("failing")
    assert running.finished("failing", run) == "failed"
    return run


@pytest.mark.parametrize(
    ("task", "problem", "fix"),
    [
        ("no_connection", "There is no connection 'nobody'.", "make it (airflow connections add nobody"),
        ("no_column", "no column 'nothing'", "the table has id, text, language"),
    ],
)
def test_log_of_a_failed_task_ends_with_one_line_and_a_fix(
    running: Airflow, failed: str, task: str, problem: str, fix: str
) -> None:
    entries = [each for each in running.log("failing", failed, task) if not each["event"].startswith("::")]
    (error,) = entries[-1]["error_detail"]
    assert problem in error["exc_value"]
    assert f"Fix: {fix}" in error["exc_value"]
    assert "\n" not in error["exc_value"]
    assert running.task("failing", failed, task)["try_number"] == 1


def submitted(output: Path) -> psutil.Process:
    """Return the spark-submit of the job that writes a table, after it has begun to write."""
    found: list[psutil.Process] = []

    def look() -> bool:
        lines = ((each, " ".join(each.info["cmdline"] or [])) for each in psutil.process_iter(["cmdline"]))
        found[:] = [each for each, line in lines if "SparkSubmit" in line and f"--output={output}" in line]
        return bool(found) and any(output.parent.glob(f".{output.name}.st-spark-new-*"))

    wait(look, f"no job writes {output}")
    return found[0]


def gone(process: psutil.Process) -> bool:
    """Return whether a process has ended, also if nobody has waited for it."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_job_of_a_killed_worker_leaves_one_table_without_duplicates(running: Airflow, data: Path) -> None:
    output = data / "killed"
    run = running.trigger("disturbed", output=str(output))
    job = submitted(output)
    worker = job.parent()
    assert worker is not None
    worker.kill()
    wait(lambda: gone(job), "the job goes on without its task", 30)
    assert running.finished("disturbed", run) == "success"
    assert running.task("disturbed", run, "embed")["try_number"] == 2
    assert running.xcom("disturbed", run, "embed")["rows"]["out"] == MANY
    assert sorted(pq.read_table(output)["id"].to_pylist()) == list(range(MANY))
    assert [path.name for path in data.glob(".killed*")] == []


def test_cancelled_task_ends_its_spark_application(running: Airflow, nodes: Cluster, data: Path) -> None:
    output = data / "cancelled"
    run = running.trigger("disturbed", output=str(output))
    job = submitted(output)
    assert nodes.executors()
    running.call("PATCH", f"dags/disturbed/dagRuns/{run}/taskInstances/embed", {"new_state": "failed"})
    wait(lambda: gone(job), "spark-submit is still there")
    wait(lambda: not nodes.executors(), "the executors are still there")
    assert running.finished("disturbed", run) == "failed"
    assert not output.exists()


def test_page_of_the_run_shows_success(running: Airflow, embedded: str, tmp_path: Path) -> None:
    page = f"{running.url}/dags/embed_corpus/runs/{quote(embedded)}"
    picture = Path(os.environ.get("ST_SPARK_SCREENSHOT", tmp_path / "run.png"))
    shown = open_page(page, picture, "--window-size=1400,800", "--virtual-time-budget=30000")
    assert "embed_corpus" in shown
    assert "Success" in shown
    assert picture.stat().st_size > 20_000
