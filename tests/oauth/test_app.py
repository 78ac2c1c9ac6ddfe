"""Requests in AREA's own name: one token for all who need it, renewed in time and on a 401, and nothing to the user's
connection.
"""

import asyncio
from datetime import timedelta

import pytest

from area.connections.vault import Ref
from area.engine import access, app_tokens
from area.engine.access import Tokens
from area.kit.clock import now
from area.sdk import Permanent, Retry
from tests.engine.conftest import rows
from tests.oauth.conftest import link, nowhere
from tests.oauth.vendor import SECRET


@pytest.fixture
def ours(state, ann):
    """The client of a connector that acts for Ann, whom nobody has connected."""
    service = state.registry.services["vendor"]
    return access.http(state, Tokens(state), service, Ref(ann.id, service.slug), None)


async def granted(server):
    return (await server.set())["app"]


async def test_one_token_serves_all_until_it_is_about_to_end(ann, server, state, ours, monkeypatch, logs):
    count = (await server.set(slow=300))["app"]
    answer = await asyncio.gather(*(ours.app.get("/app") for _ in range(25)))
    assert answer == [{"client": "area"}] * 25
    assert await granted(server) == count + 1, "who needs it meanwhile waits for it"
    monkeypatch.setattr(app_tokens, "now", lambda: now() + timedelta(minutes=45))
    await ours.app.get("/app")
    assert await granted(server) == count + 1
    monkeypatch.setattr(app_tokens, "now", lambda: now() + timedelta(minutes=59, seconds=59))
    await ours.app.get("/app")
    seen = await server.set(slow=0)
    assert seen["app"] == count + 2
    assert "app_token.granted" in "".join(logs)
    await nowhere(state, ann, logs, SECRET, *filter(None, seen["tokens"]))


async def test_what_the_vendor_no_longer_takes_is_renewed(server, ours):
    await ours.app.get("/app")
    count = await granted(server)
    await server.end_access()
    answer = await asyncio.gather(*(ours.app.get("/app") for _ in range(5)))
    assert answer == [{"client": "area"}] * 5
    assert await granted(server) == count + 1


async def test_a_user_is_somebody_else(ann, server, state, ours):
    await link(ann, server)
    assert (await ours.get("/me"))["sub"] == "ann"
    with pytest.raises(Permanent, match="401"):
        await ours.app.get("/me")
    assert [row["status"] for row in await rows(state, "select status from connection_states")] == ["works"]
    assert (await ours.get("/me"))["sub"] == "ann"


async def test_a_vendor_that_gives_none_is_left_alone_for_a_while(server, ours, logs):
    await server.set(down=True)
    with pytest.raises(Retry, match="Vendor rejected this server's client ID or secret: 127"):
        await ours.app.get("/app")
    count = (await server.set(down=False))["app"]
    with pytest.raises(Retry, match="returned 503") as caught:
        await ours.app.get("/app")
    assert (caught.value.after, await granted(server)) == (timedelta(seconds=10), count)
    assert SECRET not in "".join(logs)


async def test_without_a_registration_there_is_none(state, ours):
    state.settings = state.settings.model_copy(update={"clients": {}})
    with pytest.raises(Permanent, match="no client ID for Vendor"):
        await ours.app.get("/app")
    with pytest.raises(Permanent, match="isn't registered with Probe"):
        _ = state.registry.services["probe"].http(state.client).app
