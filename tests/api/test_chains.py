"""Chains over REST: made, read, switched and deleted as trees."""

import pytest_asyncio
from sqlalchemy import text

from area import catalog
from area.connectors.area import service

GONE = """
delete from users;
delete from variables where component_id in (select id from components where service_id in
    (select id from services where name = 'AREA'));
delete from components where service_id in (select id from services where name = 'AREA');
delete from services where name = 'AREA'
"""


@pytest_asyncio.fixture(autouse=True)
async def with_links(state):
    """The service of links, for these tests alone: the database is shared."""
    state.registry.add(service)
    async with state.database.transaction() as session:
        await catalog.sync(session, state.registry)
    yield
    async with state.database.transaction() as session:
        for statement in GONE.split(";"):
            await session.execute(text(statement))


CHAIN = {
    "name": "Head",
    "action": {"component": "hall.found"},
    "reaction": {"component": "hall.say", "parameters": {"item": "{{title}}"}},
    "then": [
        {
            "name": "Second",
            "reaction": {"component": "hall.say", "parameters": {"item": "{{origin.title}}"}},
            "then": [
                {
                    "name": "Third",
                    "when": "failed",
                    "reaction": {"component": "hall.say", "parameters": {"item": "{{error.message}}"}},
                }
            ],
        }
    ],
}


def outline(link):
    return {link["name"]: [outline(below) for below in link["then"]]}


async def test_a_chain_is_one_tree(people):
    user = people.user
    made = await user.post("/api/areas", CHAIN)
    assert made.status == 201, made.json()
    head = made.json()
    assert outline(head["chain"]) == {"Head": [{"Second": [{"Third": []}]}]}
    second = head["chain"]["then"][0]
    assert (second["state"], second["when"], second["step"]) == ("never_fired", "success", "second")
    assert (await user.get(f"/api/areas/{second['id']}")).json()["chain"] == head["chain"]
    assert all(area["chain"] is None for area in (await user.get("/api/areas")).json()["items"])

    bad = {**CHAIN, "then": [{**CHAIN["then"][0], "only_if": "origin.titel == 'x'"}]}
    refused = await user.post("/api/areas", bad)
    assert refused.status == 422
    assert [(error["field"], error["message"]) for error in refused.json()["errors"]] == [
        ("then.0.only_if", 'origin has no value called "titel"; did you mean "title"?')
    ]
    assert len((await user.get("/api/areas")).json()["items"]) == 3  # nothing of it was kept

    named = (await user.get(f"/api/areas/{second['id']}/names", params={"when": "failed"})).json()["items"]
    assert [group["path"] for group in named] == ["origin", "steps.head", "steps.second", ""]

    off = await user.post(f"/api/areas/{second['id']}/disable", params={"chain": "true"})
    assert off.status == 200, off.json()
    assert {area["is_active"] for area in (await user.get("/api/areas")).json()["items"]} == {False}
    await user.post(f"/api/areas/{head['id']}/enable", params={"chain": "true"})

    asked = await user.delete(f"/api/areas/{second['id']}")
    assert asked.status == 409
    assert (await user.delete(f"/api/areas/{second['id']}", params={"then": "follow"})).status == 204
    assert outline((await user.get(f"/api/areas/{head['id']}")).json()["chain"]) == {"Head": [{"Third": []}]}
    assert (await user.delete(f"/api/areas/{head['id']}", params={"then": "delete"})).status == 204
    assert (await user.get("/api/areas")).json()["items"] == []


async def test_another_users_area_cannot_be_followed(people):
    head = (await people.other.post("/api/areas", {**CHAIN, "then": []})).json()
    form = {
        "name": "Mine",
        "action": {"component": "area.ran", "parameters": {"after": head["id"]}},
        "reaction": {"component": "hall.say", "parameters": {"item": "{{run}}"}},
    }
    refused = await people.user.post("/api/areas", form)
    assert refused.status == 422
    assert refused.json()["errors"][0]["field"] == "action.parameters.after"
    assert (await people.user.get(f"/api/areas/{head['id']}/names")).status == 404
