"""Connections beside the default one: each is linked, refreshed, used and ended by itself."""

import json
from types import SimpleNamespace

import pytest_asyncio

from area.engine.runtime import worker
from area.kit.crypto import Keyring
from tests.engine.conftest import offer, rows, settled, statuses, until
from tests.oauth.conftest import link, nowhere
from tests.oauth.vendor import KEY, SECRET


@pytest_asyncio.fixture
async def both(ann, server):
    """Ann's own account at the vendor, and beside it Bob's under the name `Work`."""
    await link(ann, server)
    view = await link(ann, server, "bob", name="Work")
    assert (view["connected"], view["connection"], view["account"], view["status"]) == (True, "Work", "Bob", "works")
    return ann


async def area_of(client, connection=None):
    """An AREA that tells the vendor; what it returns is who it acted as."""
    reaction = {"component": "vendor.tell", "parameters": {"text": "{{title}}"}, "connection": connection}
    body = {"name": connection or "default", "action": {"component": "probe.item"}, "reaction": reaction}
    answer = await client.post("/api/areas", body)
    assert answer.status == 201, answer.body
    return SimpleNamespace(**answer.json())


async def act(state, *areas):
    """Start each AREA once; returns as whom they acted, in that order."""
    numbers = [(await offer(state, area, {"title": "x"})).execution_id for area in areas]
    await until(lambda: settled(state))
    results = [await rows(state, "select * from area_executions where id = $1", number) for number in numbers]
    assert [run["status"] for (run,) in results] == ["success"] * len(areas), results
    return [json.loads(run["execution_result"])["sub"] for (run,) in results]


async def tokens(state, table):
    (row,) = await rows(state, f"select oauth_token, refresh_token from {table}")
    return row


async def test_each_is_used_and_refreshed_by_itself_and_kept_apart(both, server, state, logs):
    own, work = await area_of(both), await area_of(both, "Work")
    named = await tokens(state, "named_connections")
    default = await tokens(state, "user_services")
    (number,) = (row["id"] for row in await rows(state, "select id from named_connections"))
    opened = Keyring([KEY]).decrypt(named["oauth_token"], f"{both.id}|vendor#{number}|oauth_token")
    assert opened in (await server.set())["tokens"]
    before = (await server.set())["refresh"]
    pool = await state.database.pool()
    await pool.execute("update named_connections set token_expires_at = timezone('utc', now()) - interval '1 second'")
    await pool.execute(
        "update connection_states set refresh_at = now() - interval '1 second' where connection_id = $1", number
    )
    async with worker(state):
        assert await act(state, own, *[work] * 10) == ["ann"] + ["bob"] * 10
    seen = await server.set()
    assert seen["refresh"] == before + 1
    assert await tokens(state, "user_services") == default
    renewed = await tokens(state, "named_connections")
    assert renewed["oauth_token"] != named["oauth_token"]
    assert renewed["refresh_token"] != named["refresh_token"]
    await nowhere(state, both, logs, SECRET, *filter(None, seen["tokens"]))


async def test_one_that_is_disconnected_is_revoked_and_the_default_one_stays(both, server, state, clean_up):
    own, work = await area_of(both), await area_of(both, "Work")
    before = (await server.set())["revoked"]
    left = (await both.request("DELETE", "/api/connections/vendor", params={"name": "Work"})).json()
    assert [area["id"] for area in left["areas"]] == [work.id]
    await clean_up()
    assert (await server.set())["revoked"] == before + 1
    assert await tokens(state, "named_connections") == {"oauth_token": None, "refresh_token": None}
    view = (await both.get(f"/api/areas/{work.id}")).json()
    assert (view["state"], view["waits_for"]) == ("waiting_for_connection", "vendor")
    assert (await both.get("/api/connections/vendor")).json()["status"] == "works"
    async with worker(state):
        held = (await offer(state, work, {"title": "held"})).execution_id
        await until(lambda: rows(state, "select 1 from execution_jobs where reason = 'connection'"))
        number = (await offer(state, own, {"title": "x"})).execution_id
        await until(lambda: done(state, number))
        assert not await done(state, held)
        await link(both, server, "bob", name="Work")
        await until(lambda: settled(state))
    assert set(await statuses(state)) == {"success"}
    assert (await server.set())["revoked"] == before + 1


async def done(state, number):
    return await rows(state, "select 1 from area_executions where id = $1 and status = 'success'", number)
