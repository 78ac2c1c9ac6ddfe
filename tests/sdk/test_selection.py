"""Parts of JSON that users name by a JMESPath."""

import time

import pytest
from pydantic import TypeAdapter, ValidationError

from area.sdk.fields import Form
from area.sdk.selection import JmesPath, TooMuch, select

PATH = TypeAdapter(JmesPath)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a.b[0]", 1), ("a.b[?@ > `1`] | [0]", 2), ("nothing.there", None), ("@", {"a": {"b": [1, 2]}})],
)
def test_what_a_path_selects(path, expected):
    assert select(PATH.validate_python(path), {"a": {"b": [1, 2]}}) == expected


def test_a_path_that_does_not_fit_says_why():
    with pytest.raises(ValueError, match="length"):
        select("length(a)", {"a": 1})


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a[", "a valid JMESPath"),
        ("foo(a)", "Unknown function"),
        ("(" * 400 + "a" + ")" * 99, "a valid JMESPath"),
        ("a" * 501, "500"),
    ],
)
def test_what_is_no_path_is_refused(path, message):
    with pytest.raises(ValidationError, match=message):
        PATH.validate_python(path)


@pytest.mark.parametrize(
    "path",
    [
        "[" + " || ".join(["?@ == `9`"] + ["@ == `9`"] * 39) + "] | length(@)",
        "[" + ",".join("@" * 100) + "]",
        "|".join(["[@,@]"] * 80),
        "|".join(["[@,@]"] * 40) + "|to_string(@)",
        "|".join(["[@,@][]"] * 40),
        'map(&`"' + "x" * 400 + '"`, @)',
        "contains([*].[@][], `[1]`) || sort(@) | reverse(@) | [*].[@,@,@]",
    ],
)
def test_what_is_too_much_to_select_says_so(path):
    before = time.process_time()
    with pytest.raises(TooMuch, match="more to look at"):
        select(PATH.validate_python(path), [1] * 150_000)
    assert time.process_time() - before < 1


def test_the_sentence_of_a_wrong_type_does_not_write_the_value_out():
    with pytest.raises(ValueError, match=r"abs\(\) takes number, not array") as refusal:
        select("|".join(["[@,@]"] * 60) + "|abs(@)", [1])
    assert len(str(refusal.value)) < 100


def test_of_a_form_what_is_left_blank_is_left_out():
    class Call(Form):
        method: str = "POST"
        tries: int | None = None

    assert Call.model_validate({"method": "", "tries": ""}) == Call(method="POST", tries=None)
    assert Call(method="PUT", tries=0).tries == 0
