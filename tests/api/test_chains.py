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


SAY = {"component": "hall.say", "parameters": {"item": "{{run}}"}}


def names(tree):
    """The ids of all links by name."""
    return {tree["name"]: tree["id"]} | {
        name: number for below in tree["then"] for name, number in names(below).items()
    }


async def change(user, head, then, status=200, **more):
    response = await user.patch(f"/api/areas/{head['id']}", {"then": then, **more})
    assert response.status == status, response.json()
    return response.json()


async def test_the_links_of_a_chain_are_changed_together(people):
    user = people.user
    head = (await user.post("/api/areas", CHAIN)).json()
    ids = names(head["chain"])
    third = {"name": "Third", "only_if": 'error.message == "no"', "delay": "5m"}
    changed = await change(
        user, head, [{"id": ids["Second"], "name": "2nd", "then": [third, {"name": "New", "reaction": SAY}]}]
    )
    assert outline(changed["chain"]) == {"Head": [{"2nd": [{"Third": []}, {"New": []}]}]}
    now = names(changed["chain"])
    assert (now["2nd"], now["Third"]) == (ids["Second"], ids["Third"])
    kept = changed["chain"]["then"][0]["then"][0]
    assert (kept["when"], kept["only_if"], kept["delay"]) == ("failed", 'error.message == "no"', "5m")
    assert kept["reaction"]["parameters"] == {"item": "{{error.message}}", "delay": "5m"}

    same = await change(user, head, [{"id": now["2nd"]}])  # what isn't named stays
    assert outline(same["chain"]) == outline(changed["chain"])
    assert same["chain"]["then"][0]["version"] == changed["chain"]["then"][0]["version"]

    turned = [{"name": "New", "then": [{"name": "2nd", "reaction": SAY, "then": []}]}]
    assert outline((await change(user, head, turned))["chain"]) == {"Head": [{"New": [{"2nd": []}]}]}
    assert (await user.get(f"/api/areas/{ids['Third']}")).status == 404

    between = [{"name": "Between", "reaction": SAY, "then": [{"name": "New", "then": []}]}, {"name": "2nd"}]
    moved = await change(user, head, between, name="Renamed")
    assert outline(moved["chain"]) == {"Renamed": [{"Between": [{"New": []}]}, {"2nd": []}]}
    assert names(moved["chain"])["New"] == now["New"]
    up = [{"name": "2nd"}, {"name": "New"}]  # in another order, without what was between
    assert outline((await change(user, head, up))["chain"]) == {"Renamed": [{"2nd": []}, {"New": []}]}
    assert (await change(user, head, []))["chain"] is None
    assert len((await user.get("/api/areas")).json()["items"]) == 1


async def test_a_link_that_follows_others_too_is_left_to_them(people):
    user = people.user
    head = (await user.post("/api/areas", {**CHAIN, "then": []})).json()
    other = (await user.post("/api/areas", {**CHAIN, "name": "Other", "then": []})).json()
    both = {"name": "Both", "reaction": SAY, "also_after": ["Other"]}
    twice = [{"name": "A", "reaction": SAY, "then": [both]}, {"name": "B", "reaction": SAY}]
    made = await change(user, head, twice)
    number = names(made["chain"])["Both"]
    again = [{"name": "A"}, {"name": "B", "then": [{"id": number}]}]
    made = await change(user, head, again)
    assert outline(made["chain"]) == {"Head": [{"A": [{"Both": []}]}, {"B": [{"Both": []}]}]}
    await change(user, head, [])
    left = (await user.get(f"/api/areas/{number}")).json()
    assert left["action"]["parameters"]["after"] == [other["id"]]
    assert outline(left["chain"]) == {"Other": [{"Both": []}]}


async def test_a_change_of_a_chain_is_made_whole_or_not_at_all(people):
    user = people.user
    head = (await user.post("/api/areas", CHAIN)).json()
    ids = names(head["chain"])
    other = (await people.other.post("/api/areas", {**CHAIN, "then": []})).json()
    new = {"name": "New", "reaction": SAY}
    loop = {"id": ids["Second"], "then": [{"id": ids["Third"], "then": [{"id": ids["Second"]}]}]}
    refusals = [
        ([{"name": "Second", "only_if": "origin.titel == 'x'"}], "then.0.only_if"),
        ([new, {"name": "Second", "then": [{"name": "Third", "for_each": "origin.title"}]}], "then.1.then.0.for_each"),
        ([{"name": "New"}], "then.0.reaction"),
        ([{"reaction": SAY}], "then.0.name"),
        ([{"id": other["id"]}], "then.0.id"),
        ([{"id": head["id"]}], "then.0.id"),
        ([{**new, "also_after": ["Nobody"]}], "then.0.also_after"),
        ([loop], "then.0.id"),
    ]
    for then, field in refusals:
        refused = await change(user, head, [*then], 422, name="Other name")
        assert refused["errors"][0]["field"] == field
    assert (await user.get(f"/api/areas/{head['id']}")).json()["chain"] == head["chain"]


async def test_a_chain_that_somebody_else_changed_meanwhile_is_not_changed(people):
    user = people.user
    made = await user.post("/api/areas", CHAIN)
    head = made.json()
    tag = (await user.get(f"/api/areas/{head['id']}")).header("etag")
    second = head["chain"]["then"][0]
    known = [{"id": second["id"], "version": second["version"], "when": "any"}]
    await change(user, head, known)
    assert (await change(user, head, known, 412))["status"] == 412
    response = await user.patch(f"/api/areas/{head['id']}", {"then": []}, headers={"if-match": tag})
    assert response.status == 412
    tag = (await user.get(f"/api/areas/{head['id']}")).header("etag")
    response = await user.patch(f"/api/areas/{head['id']}", {"then": []}, headers={"if-match": tag})
    assert response.status == 200
