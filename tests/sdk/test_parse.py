"""What a vendor answered, as models: `sdk.parse`."""

import pytest
from pydantic import BaseModel

from area.sdk import Permanent, Response, parse


class Row(BaseModel):
    id: int
    tags: list[str] = []


@pytest.mark.parametrize("values", [{"id": 1}, b'{"id": 1}', Response(200, {}, b'{"id": 1}', "https://api.example/")])
def test_json_becomes_a_model_however_it_is_given(values):
    assert parse(Row, values, "The vendor") == Row(id=1)


def test_other_types_than_models_can_be_asked_for():
    assert parse(list[Row], b'[{"id": 1}]', "The vendor") == [Row(id=1)]
    assert parse(Row | None, b"null", "The vendor") is None


@pytest.mark.parametrize(
    ("values", "where"),
    [({"id": 1, "tags": [1]}, "tags.0"), ({}, "id"), (b"<html>", "the answer"), (None, "the answer")],
)
def test_what_is_not_as_documented_is_permanent_and_says_where(values, where):
    with pytest.raises(Permanent) as caught:
        parse(Row, values, "The vendor")
    assert str(caught.value) == f"Unexpected response from The vendor: {where}."
