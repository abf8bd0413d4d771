"""Errors hide secrets, and say where a text is damaged."""

from typing import Any

import pytest

from st_spark.errors import InputError, StSparkError, check_list, check_text, mask_secrets


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("s3a://KEY:SECRET@bucket/x", "s3a://***@bucket/x"),
        ("s3a://KEY:SEC/RET@bucket/x", "s3a://***@bucket/x"),
        ("s3a://KEY:123@bucket", "s3a://***@bucket"),
        (
            "cannot read ftp://me:p@ss@host/a, jdbc:postgresql://u:p@h/db",
            "cannot read ftp://***@host/a, jdbc:postgresql://***@h/db",
        ),
        ("abfss://container@account.dfs.core.windows.net/x", None),
        ("hdfs://name:8020/me@home/x", None),
        ("hdfs://me@name:8020/x", None),
        ("https://host:443", None),
        ("a time 10:30 me@home", None),
    ],
)
def test_secrets_in_uris_are_masked(text: str, masked: str | None) -> None:
    assert mask_secrets(text) == (masked or text)
    assert StSparkError(text, "f").problem == (masked or text)


@pytest.mark.parametrize(("text", "place"), [("\ud83d", 0), ("ab\udce9", 2), ("\udc00x", 0)])
def test_half_a_surrogate_pair_is_an_error_with_its_place(text: str, place: int) -> None:
    with pytest.raises(InputError, match=f"The prompt has half a surrogate pair, .* at character {place}"):
        check_text("The prompt", text)
    check_text("The prompt", "é 😀 \x00")


@pytest.mark.parametrize("values", [{"a"}, frozenset("a"), {"a": 1}, None, 3])
def test_a_list_must_have_an_order(values: Any) -> None:
    with pytest.raises(InputError, match=f"labels is a {type(values).__name__}. Fix: give a list"):
        check_list("labels", values)
    assert check_list("labels", "ab") == ("ab",)
    assert check_list("labels", (word for word in ["a", "b"])) == check_list("labels", ["a", "b"]) == ("a", "b")
