"""Tokens that vendors sent while no signing secret is set: administrators read and clear them, by page and by API."""

from pydantic import SecretStr
from sqlalchemy import text

from area.connections import introductions
from area.kit.keys import Keys
from area.sdk import Inbound, Service, hmac_sha256

from .conftest import PASSWORD

TOKENS = "/api/admin/clients/board/tokens"


async def test_they_are_read_and_cleared(people, state, monkeypatch):
    inbound = Inbound(verify=hmac_sha256("X-Signature"), accounts=lambda _: [], token=lambda _: None)
    monkeypatch.setitem(state.registry.services, "board", Service("board", "Board", "A board", inbound=inbound))
    clients = {"board": Keys("id", SecretStr("secret"))}
    state.settings = state.settings.model_copy(update={"clients": clients})

    async def send(token):
        async with state.database.transaction() as session:
            await introductions.keep(session, state.keyring, "board", token, "192.0.2.1")

    await send("first")
    await send("second")
    created = await people.admin.post("/api/me/tokens", {"name": "script", "password": PASSWORD, "scope": "admin"})
    script = people.admin.as_(created.json()["token"])
    listed = (await script.get(TOKENS)).json()["items"]
    assert [(row["token"], row["address"]) for row in listed] == [("first", "192.0.2.1"), ("second", "192.0.2.1")]
    assert (await script.delete(TOKENS)).status == 204
    assert (await script.get(TOKENS)).json()["items"] == []
    assert (await script.delete(TOKENS)).status == 204, "nothing is left to clear"
    async with state.database.transaction() as session:
        (entry,) = (
            await session.execute(text("select * from audit where action = 'registration.tokens_cleared'"))
        ).all()
    assert (entry.user_id, entry.subject) == (people.ids["admin"], "board")
    await send("third")
    state.settings = state.settings.model_copy(
        update={"clients": {"board": Keys("id", SecretStr("s"), SecretStr("set"))}}
    )
    assert (await script.get(TOKENS)).json()["items"] == [], "a signing secret is set"
