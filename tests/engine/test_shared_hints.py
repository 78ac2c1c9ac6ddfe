"""Subscriptions that several polls share, whose vendor calls the one address of the service and says which of them it
means.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import aiohttp
import orjson
import pytest
from aiohttp.test_utils import RawTestServer
from pydantic import SecretStr

from area import catalog
from area.engine.cache import Cache
from area.engine.lanes import Intake
from area.hooks import Hooks
from area.kit.keys import Keys
from area.registry import Malformed
from area.sdk import (
    Context,
    Credentials,
    Event,
    Hint,
    Hook,
    Inbound,
    Permanent,
    Request,
    Service,
    Subscription,
    hmac_sha256,
)
from tests.engine import conftest
from tests.engine.conftest import Item, Login, Topic, make_area, make_user, rows, until, worker
from tests.engine.hinting import (
    HINTS,
    Vendor,
    change,
    quiet,
    renew,
    serving,
    signature,
    soon,
    unsubscribe,
    waits,
)

SIGNING = "what it signs with"


async def subscribe(ctx: Context, params: Topic, hook: Hook) -> Subscription:
    answer = {"url": hook.url, "secret": "", "topic": params.topic}
    for registered in await ctx.http.get("/hooks"):
        if (registered["url"], registered["topic"]) == (answer["url"], answer["topic"]):
            return await renew(ctx, params, hook, registered["id"])
    created = await ctx.http.post("/hooks", json=answer)
    return Subscription(created["id"], datetime.fromisoformat(created["expires_at"]))


def named(request: Request) -> list[str]:
    answer = request.json()
    if "ids" not in answer:
        raise Permanent("It names nothing.")
    return answer["ids"]


def service_at(url, *, scopes=()):
    async def works(ctx: Context, credential: Login) -> None:
        return None

    service = Service(
        "wall", "Wall", "A wall that tells of notes.", base_url=url, auth=Credentials(Login, works),
        inbound=Inbound(hmac_sha256("X-Signature"), subscriptions=named),
    )  # fmt: skip
    hint = Hint(None, subscribe, unsubscribe, scopes=scopes)

    async def notes(ctx: Context, params: Topic, since: datetime) -> AsyncIterator[Event[Item]]:
        for name in await ctx.http.get("/notes"):
            yield Event(name, Item(title=name))

    for name in ("note_written", "note_changed"):
        notes.__name__ = name
        service.poll(name, every=timedelta(minutes=1), hint=hint)(notes)
    return service


@pytest.fixture
async def vendor(state, request):
    it = Vendor()
    it.knocks = False
    app = Hooks(state, Cache(state), Intake(state.database.dsn))
    async with aiohttp.ClientSession() as it.client, RawTestServer(it) as server, serving(app) as it.here:
        it.url = str(server.make_url("")).rstrip("/")
        state.registry.add(service_at(it.url, scopes=getattr(request, "param", ())))
        keys = {"wall": Keys("id", SecretStr("secret"), SecretStr(SIGNING))}
        state.settings = state.settings.model_copy(update={"public_url": it.here, "clients": keys})
        async with state.database.transaction() as session:
            await catalog.sync(session, state.registry)
        yield it


async def connect(state, user):
    await conftest.connect(state, user, slug="wall")
    return user


@pytest.fixture
async def connected(state, user, vendor):
    return await connect(state, user)


async def make(state, user, action="note_written", topic="a"):
    return await make_area(state, user, action=f"wall.{action}", action_parameters={"topic": topic})


async def tell(vendor, *ids, signed=SIGNING, body=None):
    body = orjson.dumps({"ids": ids}) if body is None else body
    headers = {"X-Signature": signature(signed, body)}
    async with vendor.client.post(f"{vendor.here}/webhooks/wall", data=body, headers=headers) as answer:
        return answer.status, await answer.read()


async def test_one_serves_all_polls_that_find_it(state, connected, vendor):
    async with worker(state) as running:
        await make(state, connected)
        await until(lambda: quiet(state, 1))
        await make(state, connected, "note_changed")
        await make(state, connected, topic="b")
        await until(lambda: quiet(state, 3))
        assert {hook["url"] for hook in vendor.hooks.values()} == {f"{vendor.here}/webhooks/wall"}
        assert sorted(hook["topic"] for hook in vendor.hooks.values()) == ["a", "b"]
        assert await waits(state) == [1, 1, 1], "it was not heard yet"

        shared = next(number for number, hook in vendor.hooks.items() if hook["topic"] == "a")
        vendor.notes.append("new")
        status, answer = await tell(vendor, shared, signed="wrong")
        assert (status, orjson.loads(answer)["code"]) == (401, "signature-refused")
        assert (await tell(vendor, body=b"{}"))[0] == 400
        assert await tell(vendor, "nobody's") == (202, b'{"nudged":0}')
        assert not await rows(state), "nothing of this moved anything"
        assert await tell(vendor, shared, "nobody's") == (202, b'{"nudged":2}')
        await until(lambda: _ran(state, 2))
        await until(lambda: quiet(state, 3))
        assert [bool(row["heard_at"]) for row in await rows(state, HINTS)] == [True, True, False]
        pool = await state.database.pool()
        await pool.execute("update sources set nudged_at = null")
        await soon(state, running)
        await until(lambda: _waits(state, [10, 10, 1]))
        for row in await rows(state, HINTS):
            token = state.keyring.decrypt(row["token"], f"source:{row['source_id']}|token")
            async with vendor.client.post(f"{vendor.here}/hints/{token}") as answer:
                assert answer.status == 404, "it has no address of its own"


async def _ran(state, number):
    return len(await rows(state)) == number


async def _waits(state, expected):
    return await quiet(state, len(expected)) and await waits(state) == expected


async def test_it_is_ended_with_the_last_of_them(state, connected, vendor):
    other = await connect(state, await make_user(state, "bob"))
    async with worker(state):
        results = [await make(state, connected), await make(state, connected, "note_changed"), await make(state, other)]
        await until(lambda: quiet(state, 3))
        assert len(vendor.hooks) == 1
        for area, user, left in zip(results, (connected, connected, other), (2, 1, 0), strict=True):
            assert vendor.hooks
            await change(state, user, area.id, is_active=False)
            await until(lambda: quiet(state, left))  # noqa: B023 - it is called at once
            await until(lambda: _standing(state, left))  # noqa: B023 - as above
        assert not vendor.hooks
        assert vendor.calls.count("DELETE") == 1


async def test_of_all_that_ask_at_once_the_first_makes_it_and_of_all_that_end_at_once_the_last_ends_it(
    state, connected, vendor
):
    async with worker(state):
        results = [await make(state, connected, name) for name in ("note_written", "note_changed")]
        await until(lambda: quiet(state, 2))
        assert len(vendor.hooks) == 1, "of all that ask at once the first makes it"
        for area in results:
            await change(state, connected, area.id, is_active=False)
        await until(lambda: _standing(state, 0))
        await until(lambda: quiet(state, 0))
        assert (vendor.hooks, vendor.calls.count("DELETE")) == ({}, 1)


async def _standing(state, number):
    return sum(row["subscription"] is not None for row in await rows(state, HINTS)) == number


async def test_when_this_server_moves_all_of_them_move(state, connected, vendor):
    async with worker(state) as running:
        for name in ("note_written", "note_changed"):
            await make(state, connected, name)
        await until(lambda: quiet(state, 2))
        async with serving(Hooks(state, Cache(state), Intake(state.database.dsn))) as there:
            state.settings = state.settings.model_copy(update={"public_url": there})
            await soon(state, running)
            await until(lambda: [hook["url"] for hook in vendor.hooks.values()] == [f"{there}/webhooks/wall"])
            await until(lambda: _moved(state, there))
        assert len({row["subscription"] for row in await rows(state, HINTS)}) == 1


async def _moved(state, there):
    records = await rows(state, HINTS)
    return all(row["subscription"] and row["server"] == there for row in records) and await quiet(state, len(records))


@pytest.mark.parametrize("vendor", [("tell",)], indirect=True)
async def test_without_the_scope_for_it_it_is_polled_as_ever_and_the_vendor_not_asked(state, connected, vendor):
    async with worker(state) as running:
        created = await make(state, connected)
        await until(lambda: quiet(state, 1))
        assert (vendor.calls, await waits(state), created.reason) == ([], [1], None)
        pool = await state.database.pool()
        await pool.execute("update connection_states set scopes = 'read tell'")
        await soon(state, running)
        await until(lambda: vendor.hooks)
        await until(lambda: quiet(state, 1))


async def test_a_hint_without_an_address_needs_a_service_that_has_one(state):
    wall = service_at("https://wall.example")
    wall.inbound = None
    with pytest.raises(Malformed, match="no `inbound` that tells subscriptions"):
        state.registry.add(wall)
