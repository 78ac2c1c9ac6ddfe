"""Credentials that are typed in: no text of any of them ends a line in a protocol."""

import pytest
from pydantic import SecretStr, ValidationError

from area.registry import registry
from area.sdk import Credentials
from area.sdk.fields import fields

ENDS = ("\r\n", "\n", "\r", "\x00", "\x1b", "\x7f", "\x85", "\u2028")
FORMS = {slug: service.auth for slug, service in registry().services.items() if isinstance(service.auth, Credentials)}


@pytest.mark.parametrize("slug", FORMS)
@pytest.mark.parametrize("end", ENDS, ids=ascii)
def test_no_field_of_any_service_takes_a_control_character(slug, end):
    auth = FORMS[slug]
    texts = [field.name for field in fields(auth.model) if field.type not in ("number", "boolean")]
    assert texts
    for name in texts:
        for value in (f"x{end}X NOOP", SecretStr(f"x{end}X NOOP"), f"x{end}"):
            with pytest.raises(ValidationError) as caught:
                auth.read({name: value})
            messages = {error["loc"]: error["msg"] for error in caught.value.errors()}
            assert messages == {(name,): "Remove the line break or control character."}
            assert "NOOP" not in str(caught.value)


def test_texts_inside_other_values_are_looked_at_too():
    auth = next(iter(FORMS.values()))
    for value in ([f"a{ENDS[0]}b"], {"inner": {"deep": "a\nb"}}, {"a\nb": 1}):
        with pytest.raises(ValidationError, match="control character"):
            auth.read({"anything": value})
