"""What spark-submit says when it fails, as one line with a fix."""

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from st_airflow import failures
from st_airflow.connection import ConnectionMissingError
from st_airflow.quality_gate import GateError
from st_spark.errors import InputError, ModelError, PlatformError, StSparkError, TableError
from st_spark.jobs import result_file

SUBMIT = (
    "Cannot execute: spark-submit --master yarn submit.py. Error code is: {code}.\nLast spark-submit output:\n{out}"
)


def submitted(out: str, code: int = 1) -> AirflowException:
    return AirflowException(SUBMIT.format(code=code, out=out))


def test_what_the_driver_has_written_comes_first() -> None:
    written = result_file.failure("embed", ModelError("No folder '/m'.", "give one."))
    told = failures.explain(submitted("st-spark: error: Something else. Fix: none."), written)
    assert isinstance(told, ModelError)
    assert str(told) == "No folder '/m'. Fix: give one."


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("INFO x\nst-spark: error: No model. Fix: name one.\nbye", "No model. Fix: name one."),
        ("ERROR Application has been killed. Reason: All masters are unresponsive! Giving up.", "does not answer"),
        ("JAVA_HOME is not set", "finds no Java"),
        ("ModuleNotFoundError: No module named 'torch'", "has no module torch"),
        ("Exception in thread main java.lang.Foo: bar\n\tat x", "java.lang.Foo: bar"),
        ("", "exit code 7"),
    ],
)
def test_else_it_is_found_in_the_output(out: str, said: str) -> None:
    told = failures.explain(submitted(out, 7), None)
    assert said in str(told)
    assert "Fix: " in str(told)


def test_a_spark_submit_that_was_killed_says_so() -> None:
    assert "ran out of memory" in str(failures.explain(submitted("INFO x", -9), None))


@pytest.mark.parametrize(
    ("error", "lasting"),
    [
        (InputError("a", "b"), True),
        (TableError("a", "b"), True),
        (GateError("a", "b"), True),
        (ConnectionMissingError("a", "b"), True),
        (PlatformError("a", "b"), False),
        (ModelError("a", "b"), False),  # a hub may be reached again
    ],
)
def test_no_further_try_is_made_where_it_would_meet_the_same(error: StSparkError, lasting: bool) -> None:
    assert (type(failures.final(error)) is AirflowFailException) == lasting


def test_the_task_ends_with_one_line() -> None:
    assert str(failures.final(InputError("two\nlines", "do\n  this"))) == "two lines Fix: do this"
