"""A client's own credentials for an API: one token for many runs, got anew when it has ended, and a client that is
refused.
"""

import asyncio
from datetime import timedelta

import pytest_asyncio

from area import areas, catalog
from area.areas import AreaIn
from area.connections.vault import Ref
from area.connectors.http import service as http
from area.engine import control, granted
from area.engine.granted import GrantedTokens
from area.engine.runtime import worker
from area.kit.clock import now
from tests.engine.conftest import offer, rows, settled, statuses, until
from tests.oauth.conftest import nowhere
from tests.oauth.vendor import MACHINE, SECRET

NEW = "a secret that is newer"


def given(server, secret=SECRET):
    own = {"token_url": f"{server.issuer}/token", "client_id": MACHINE, "client_secret": secret}
    return {"kind": "oauth2", "url": f"{server.issuer}/app"} | own


async def connect(client, credential):
    return await client.request("POST", "/api/connections/http", json=credential, params={"name": "machine"})


@pytest_asyncio.fixture
async def area(ann, server, state):
    """An AREA whose reaction asks the API, with a credential that was found to work."""
    state.registry.add(http)
    async with state.database.transaction() as session:
        await catalog.sync(session, state.registry)
    answer = await connect(ann, given(server))
    assert (answer.status, answer.json()["status"]) == (200, "works"), answer.body
    reaction = {
        "component": "http.request",
        "parameters": {"method": "GET", "url": f"{server.issuer}/app"},
        "connection": "machine",
    }
    expected = AreaIn.model_validate({"name": "call", "action": {"component": "probe.item"}, "reaction": reaction})
    async with state.database.transaction() as session:
        return await areas.create(session, control.scope(state), ann.id, expected)


async def run(state, area, count):
    for number in range(count):
        await offer(state, area, {"title": str(number)})
    await until(lambda: settled(state))


async def requests(server):
    return (await server.set())["app"]


async def test_runs_share_a_token_until_it_has_ended_and_get_one_anew(ann, server, state, area, monkeypatch, logs):
    before = await requests(server)
    async with worker(state):
        await run(state, area, 20)
        assert await requests(server) == before + 1
        monkeypatch.setattr(granted, "now", lambda: now() + timedelta(hours=1))
        await server.set(slow=300)  # so that they all wait for it
        await run(state, area, 20)
        assert await requests(server) == before + 2
    results = await rows(state, "select execution_result from area_executions")
    assert len(results) == 40
    assert all(MACHINE in executed["execution_result"] for executed in results)
    seen = await server.set()
    await nowhere(state, ann, logs, SECRET, *filter(None, seen["tokens"]))


async def test_who_needs_one_at_the_same_time_waits_for_one_answer(ann, server, state, area):
    (row,) = await rows(state, "select id from named_connections")
    ref, tokens = Ref(ann.id, "http", row["id"]), GrantedTokens(state)
    grant = http.auth.grant(http.auth.read(given(server)))
    before = (await server.set(slow=300))["app"]
    got = await asyncio.gather(*(tokens.good(ref, http, grant) for _ in range(25)))
    assert len({value.get_secret_value() for value in got}) == 1
    assert await requests(server) == before + 1
    assert (await GrantedTokens(state).good(ref, http, grant)) == got[0], "another process reads what was kept"
    stale = got[0].get_secret_value()
    got = await asyncio.gather(*(tokens.good(ref, http, grant, stale) for _ in range(25)))
    assert stale not in {value.get_secret_value() for value in got}
    assert await requests(server) == before + 2


async def test_a_token_that_is_refused_is_got_anew_once(server, state, area):
    before = await requests(server)
    async with worker(state):
        await run(state, area, 1)
        await server.end_access()
        await run(state, area, 20)
    assert await requests(server) == before + 2
    assert set(await statuses(state)) == {"success"}
    assert not await rows(state, "select * from notices")


async def test_a_client_that_is_refused_is_to_be_reconnected_and_its_runs_go_on_then(ann, server, state, area, logs):
    await server.change_secret(MACHINE, NEW)
    async with worker(state):
        for number in range(5):
            await offer(state, area, {"title": str(number)})
        await until(lambda: waiting(state, 5))
        (notice,) = await rows(state, "select * from notices")
        assert notice["title"] == "HTTP (machine) must be reconnected"
        assert "The token endpoint rejected the client" in notice["body"]
        stored = (await ann.get("/api/connections/http", params={"name": "machine"})).json()
        assert stored["status"] == "expired"
        view = (await ann.get(f"/api/areas/{area.id}")).json()
        assert (view["state"], view["waits_for"]) == ("waiting_for_connection", "http")
        refused = (await server.set())["refused"]
        await offer(state, area, {"title": "5"})
        await until(lambda: waiting(state, 6))
        assert (await server.set())["refused"] == refused, "a client that was refused is not tried again"
        answer = await connect(ann, given(server))
        assert answer.status == 422
        answer = await connect(ann, given(server, NEW))
        assert answer.status == 200, answer.body
        await until(lambda: settled(state))
    assert await statuses(state) == ["success"] * 6
    seen = await server.set()
    await nowhere(state, ann, logs, SECRET, NEW, *filter(None, seen["tokens"]))


async def waiting(state, number):
    return len(await rows(state, "select * from execution_jobs where reason = 'connection'")) == number
