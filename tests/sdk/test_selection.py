"""Parts of JSON that users name by a JMESPath."""

import pytest
from pydantic import TypeAdapter, ValidationError

from area.sdk.fields import Form
from area.sdk.selection import JmesPath, select

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
    ("path", "said"),
    [
        ("a[", "no JMESPath"),
        ("foo(a)", "Unknown function"),
        ("(" * 400 + "a" + ")" * 99, "no JMESPath"),
        ("a" * 501, "500"),
        ("|".join(["[@,@][]"] * 30), "multiply"),
    ],
)
def test_what_is_no_path_is_refused(path, said):
    with pytest.raises(ValidationError, match=said):
        PATH.validate_python(path)


def test_of_a_form_what_is_left_blank_is_left_out():
    class Call(Form):
        method: str = "POST"
        tries: int | None = None

    assert Call.model_validate({"method": "", "tries": ""}) == Call(method="POST", tries=None)
    assert Call(method="PUT", tries=0).tries == 0
