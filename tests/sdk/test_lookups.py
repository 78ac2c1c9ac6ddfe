"""Look-ups: what the SDK adds to each, and what it refuses."""

from typing import Annotated

import pytest

from area.registry import registry
from area.sdk import Context, NothingFound, Output, Service, output, param
from area.sdk.fields import by_name, form_fields

SERVICES = registry().services.values()
LOOKUPS = [reaction for service in SERVICES for reaction in service.reactions.values() if reaction.finds]


class Row(Output):
    id: str = output("a.b", "ID", "1")
    tags: list[str] = output("tags", "Tags", ["x"], [])


def declared(service: Service):
    @service.lookup("Find a row")
    async def find_row(ctx: Context, name: Annotated[str, param("Name", "x")]) -> Row | None:
        """Find a row."""
        return Row.model_validate({"a": {"b": "1"}, "tags": ["y"]}) if name == "x" else None

    return find_row


async def test_it_says_what_it_found_and_stops_or_goes_on_without():
    find = declared(Service("rows", "Rows", "Rows of a test."))
    assert (find.finds, find.on_crash, find.idempotent) == (True, "retry", "same")
    assert [field.name for field in form_fields(find.params)] == ["name", "if_nothing"]
    assert {name: field.type for name, field in by_name(find.returns).items()} == {
        "found": "boolean", "id": "string", "tags": "json",
    }  # fmt: skip
    row = await find.function(None, find.params(name="x"))
    assert row.model_dump() == {"found": True, "id": "1", "tags": ["y"]}
    with pytest.raises(NothingFound, match="Nothing was found"):
        await find.function(None, find.params(name="y"))
    empty = await find.function(None, find.params(name="y", if_nothing="go_on"))
    assert empty.model_dump() == {"found": False, "id": None, "tags": []}


def test_what_it_returns_has_to_be_declared():
    service = Service("rows", "Rows", "Rows of a test.")

    async def find(ctx: Context) -> Row:
        raise AssertionError

    with pytest.raises(TypeError, match=r"Model \| None"):
        service.lookup("Find")(find)

    class Taken(Output):
        found: bool = output("found", "Found", True)

    async def find_taken(ctx: Context) -> Taken | None:
        raise AssertionError

    with pytest.raises(TypeError, match="what the SDK adds"):
        service.lookup("Find")(find_taken)


@pytest.mark.parametrize("reaction", LOOKUPS, ids=lambda reaction: reaction.key)
def test_its_name_says_that_it_only_reads(reaction):
    assert reaction.title.startswith(("Find ", "Get "))
