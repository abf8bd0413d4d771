"""Failures of spark-submit as one line with a fix."""

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from st_airflow import failures
from st_airflow.connection import ConnectionMissingError
from st_airflow.quality_gate import GateError
from st_spark.errors import BusyError, InputError, ModelError, PlatformError, RecipeError, StSparkError, TableError
from st_spark.steps import result_file

SUBMIT = (
    "Cannot execute: spark-submit --master yarn submit.py. Error code is: {code}.\nLast spark-submit output:\n{out}"
)


def submitted(out: str, code: int = 1) -> AirflowException:
    return AirflowException(SUBMIT.format(code=code, out=out))


def test_error_in_the_result_comes_first() -> None:
    written = result_file.failure("embed", ModelError("No folder '/m'.", "give one."))
    error = failures.explain(submitted("st-spark: error: Something else. Fix: none."), written)
    assert isinstance(error, ModelError)
    assert str(error) == "No folder '/m'. Fix: give one."


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("INFO x\nst-spark: error: No model. Fix: name one.\nbye", "No model. Fix: name one."),
        ("ERROR Application has been killed. Reason: All masters are unresponsive! Giving up.", "does not answer"),
        ("JAVA_HOME is not set", "finds no Java"),
        ("ModuleNotFoundError: No module named 'torch'", "has no module torch"),
        ("Exception in thread main java.lang.Foo: bar\n\tat x", "java.lang.Foo: bar"),
        ("", "exit code 7"),
    ],
)
def test_without_a_result_the_output_explains(out: str, message: str) -> None:
    error = failures.explain(submitted(out, 7), None)
    assert message in str(error)
    assert "Fix: " in str(error)


def test_killed_spark_submit_suggests_more_memory() -> None:
    assert "ran out of memory" in str(failures.explain(submitted("INFO x", -9), None))


@pytest.mark.parametrize(
    ("error", "lasting"),
    [
        (InputError("a", "b"), True),
        (TableError("a", "b"), True),
        (failures.from_result(result_file.failure("embed", RecipeError("a", "b"))), True),
        (GateError("a", "b"), True),
        (ConnectionMissingError("a", "b"), True),
        (BusyError("a", "b"), False),  # the other job ends
        (PlatformError("a", "b"), False),
        (ModelError("a", "b"), False),  # a hub may be reached again
    ],
)
def test_lasting_errors_are_not_retried(error: StSparkError, lasting: bool) -> None:
    assert (type(failures.final(error)) is AirflowFailException) == lasting


def test_final_error_is_one_line() -> None:
    assert str(failures.final(InputError("two\nlines", "do\n  this"))) == "two lines Fix: do this"
