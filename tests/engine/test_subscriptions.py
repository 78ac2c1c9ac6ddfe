"""Webhooks that AREA asks a vendor for: subscribed, renewed, ended, and never lost track of."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta

import orjson
import pytest
from pydantic import BaseModel, Field, SecretStr

from area import areas, catalog, connections
from area.areas import AreaPatch, Part
from area.engine import control, pickers
from area.engine.cache import Cache
from area.engine.lanes import Intake
from area.engine.watch import UNWATCHED
from area.hooks import Hooks
from area.kit.clock import now
from area.kit.problems import Conflict, NotFound
from area.registry import Malformed, Registry
from area.sdk import (
    Access,
    AuthExpired,
    Context,
    Credentials,
    Event,
    Hook,
    Option,
    Permanent,
    Pick,
    Reply,
    Request,
    Retry,
    Service,
    Subscription,
    hmac_sha256,
)  # fmt: skip
from tests.engine.conftest import Item, Topic, make_area, rows, until, worker
from tests.engine.senders import send


class Vendor:
    """Where hooks are kept, and what went wrong there."""

    def __init__(self):
        self.hooks = {}  # id: (url, secret, topic)
        self.numbers = itertools.count(1)
        self.calls = []
        self.error = None
        self.lasts = None
        self.own_secret = None
        self.retries = 0
        self.keys = []  # what hooks were ended with
        self.gate = None  # what a subscription waits for


@pytest.fixture
async def vendor(state):
    it = Vendor()
    service = Service("vendor", "Vendor", "A service that takes webhooks.")

    def challenge(request: Request) -> Reply | None:
        return Reply(request.query["challenge"]) if "challenge" in request.query else None

    @service.webhook("Something is pushed", verify=hmac_sha256("X-Signature"), handshake=challenge)
    async def pushed(ctx: Context, params: Topic, request: Request) -> AsyncIterator[Event[Item]]:
        if it.retries:
            it.retries -= 1
            raise Retry("Not just now.", timedelta(seconds=7))
        yield Event(request.json()["id"], Item(title=params.topic))

    def check(call):
        it.calls.append(call)
        if it.error:
            raise it.error

    @pushed.subscribe
    async def add(ctx: Context, params: Topic, hook: Hook) -> Subscription:
        check("add")
        if it.gate:
            await it.gate.wait()
        number = f"n{next(it.numbers)}"
        it.hooks[number] = (hook.url, hook.secret, params.topic)
        return Subscription(number, now() + it.lasts if it.lasts else None, it.own_secret)

    @pushed.renew
    async def prolong(ctx: Context, params: Topic, hook: Hook, subscription: str) -> Subscription:
        check("renew")
        if subscription not in it.hooks:
            raise Permanent("404")
        return Subscription(subscription, now() + it.lasts)

    @pushed.unsubscribe
    async def remove(ctx: Context, params: Topic, hook: Hook, subscription: str) -> None:
        check("remove")
        it.keys.append(ctx.credential.key.get_secret_value() if ctx.credential else None)
        if it.hooks.pop(subscription, None) is None:
            raise Permanent("404")

    state.settings = state.settings.model_copy(update={"public_url": "https://area.example"})
    state.registry.add(service)
    async with state.database.transaction() as session:
        await catalog.sync(session, state.registry)
    it.service = service
    return it


class Key(BaseModel):
    key: SecretStr = Field(description="Key")


async def works(ctx: Context, credential: Key) -> None:
    """A credential that needs no try."""


async def change(state, user, area_id, **patch):
    async with state.database.transaction() as session:
        return await areas.change(session, control.scope(state), user, area_id, AreaPatch(**patch))


async def source(state, area_id):
    (row,) = await rows(
        state, "select s.* from sources s join triggers t on t.source_id = s.id where t.area_id = $1", area_id
    )
    return row


async def test_a_deleted_account_ends_its_hooks(state, user, vendor):
    async with worker(state):
        await make_area(state, user, action="vendor.pushed", action_parameters={"topic": "a"})
        await until(lambda: vendor.hooks)
        await until(lambda: rows(state, "select 1 from sources where state ? 'subscription'"))
        pool = await state.database.pool()
        await pool.execute("delete from users where id = $1", user)
        await until(lambda: not vendor.hooks)
        await until(lambda: rows(state, "select 1 from audit where action = 'vendor.unsubscribe'"))
    assert not await rows(state, "select * from vendor_cleanups")


async def test_a_hook_that_was_made_while_its_account_was_deleted_is_ended(state, user, vendor):
    vendor.gate = asyncio.Event()
    async with worker(state):
        await make_area(state, user, action="vendor.pushed", action_parameters={"topic": "a"})
        await until(lambda: vendor.calls)
        pool = await state.database.pool()
        await pool.execute("delete from users where id = $1", user)
        vendor.gate.set()
        await until(lambda: vendor.calls == ["add", "remove"])
        await until(lambda: not vendor.hooks)


async def test_a_hook_is_ended_with_the_credential_of_the_deleted_connection(state, user, vendor):
    """The vendor needs it, fails for now, and is asked again before the credential is let go."""
    service = vendor.service
    service.auth = Credentials(Key, test=works, access=lambda key: Access({"X-Key": key.key.get_secret_value()}))
    async with state.database.transaction() as session:
        await catalog.sync(session, state.registry)
    async with state.database.transaction() as session:
        await connections.keep(session, state.keyring, service, user, {"key": "k-1234"}, "")
    pool = await state.database.pool()
    async with worker(state) as running:
        await make_area(state, user, action="vendor.pushed", action_parameters={"topic": "a"})
        await until(lambda: rows(state, "select 1 from sources where state ? 'subscription'"))
        vendor.error = Retry("Not now.")
        await pool.execute("delete from users where id = $1", user)
        await until(lambda: rows(state, "select 1 from vendor_cleanups where kind = 'unsubscribe' and attempts = 1"))
        await until(lambda: rows(state, "select 1 from vendor_cleanups where last_error = 'Not now.'"))
        assert await rows(state, "select 1 from vendor_cleanups where kind = 'revoke' and attempts = 0")
        vendor.error = None
        await pool.execute("update vendor_cleanups set next_attempt_at = now()")
        running.cleanups.wake()
        await until(lambda: not vendor.hooks)
        assert vendor.keys[-1] == "k-1234"
        await until(lambda: rows(state, "select 1 where not exists (select from vendor_cleanups)"))


async def test_switched_on_off_and_deleted(state, user, vendor):
    async with worker(state):
        area = await make_area(state, user, action="vendor.pushed", action_parameters={"topic": "a"})
        assert (area.webhook_url, area.webhook_secret) == (None, None), "nothing for the user to do"
        await until(lambda: vendor.hooks)
        ((url, secret, topic),) = vendor.hooks.values()
        assert url.startswith("https://area.example/hooks/")
        assert (len(secret) > 30, topic) == (True, "a")
        await change(state, user, area.id, is_active=False)
        await until(lambda: not vendor.hooks)
        await change(state, user, area.id, is_active=True)
        await until(lambda: vendor.hooks)
        await change(state, user, area.id, name="other")
        await change(state, user, area.id, action=Part(component="vendor.pushed", parameters={"topic": "b"}))
        await until(lambda: [topic for _, _, topic in vendor.hooks.values()] == ["b"])
        async with state.database.transaction() as session:
            await areas.renew_address(session, control.scope(state), user, area.id)
        await until(lambda: [address for address, _, _ in vendor.hooks.values() if address != url])
        await until(lambda: len(vendor.hooks) == 1)
        async with state.database.transaction() as session:
            await areas.remove(session, user, area.id)
        await until(lambda: not vendor.hooks)
        await until(lambda: _ended(state))
    pool = await state.database.pool()
    await pool.execute(UNWATCHED)
    assert not await rows(state, "select * from sources")


async def test_an_address_that_is_renewed_while_it_is_told_is_told_anew(state, user, vendor):
    vendor.gate = asyncio.Event()
    async with worker(state):
        area = await make_area(state, user, action="vendor.pushed")
        await until(lambda: vendor.calls == ["add"])
        async with state.database.transaction() as session:
            await areas.renew_address(session, control.scope(state), user, area.id)
            vendor.gate.set()
            await until(lambda: vendor.hooks)
            ((old, _, _),) = vendor.hooks.values()
            await asyncio.sleep(0.3)  # the look that told the old one ends meanwhile, or waits
        await until(lambda: [address for address, _, _ in vendor.hooks.values() if address != old])
        await until(lambda: len(vendor.hooks) == 1)


async def _ended(state):
    return not await rows(state, "select * from sources where state ? 'subscription'")


async def test_events_come_in_signed_by_the_secret_that_was_agreed(state, user, vendor):
    import hashlib
    import hmac

    vendor.own_secret = "the vendor's own"
    intake = Intake(state.database.dsn)
    intake.start()
    cache = Cache(state)
    hooks = Hooks(state, cache, intake)
    async with worker(state):
        area = await make_area(state, user, action="vendor.pushed")
        await until(lambda: vendor.hooks)
        ((url, _, _),) = vendor.hooks.values()
        assert (await source(state, area.id))["failing_since"] is None
        body = orjson.dumps({"id": "7"})
        signature = hmac.new(vendor.own_secret.encode(), body, hashlib.sha256).hexdigest()

        async def kept():
            cache.forget("area_changed", str(area.id))
            return (await cache.area(area.id)).secret == vendor.own_secret

        await until(kept)
        vendor.retries = 1
        status, _, headers = await send(hooks, url, body, {"X-Signature": signature})
        assert (status, headers[b"retry-after"]) == (503, b"7"), "to be sent again, for nothing was kept"
        for expected in (202, 200):
            assert (await send(hooks, url, body, {"X-Signature": signature}))[0] == expected
        assert (await send(hooks, url, body, {"X-Signature": "0" * 64}))[0] == 401
        assert (await send(hooks, url, body, {}))[0] == 401
    assert len(await rows(state)) == 1
    await intake.stop()


async def test_the_challenge_is_given_back_as_text(state, user, vendor):
    hooks = Hooks(state, Cache(state), Intake(state.database.dsn))
    async with worker(state):
        await make_area(state, user, action="vendor.pushed")
        await until(lambda: vendor.hooks)
    ((url, _, _),) = vendor.hooks.values()
    sent = []

    async def receive():
        return {"type": "http.request", "body": b""}

    async def answer(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/hooks/" + url.rpartition("/")[2], "headers": []}
    await hooks(scope | {"query_string": b"challenge=%3Cb%3E"}, receive, answer)
    headers = dict(sent[0]["headers"])
    assert (sent[0]["status"], sent[1]["body"]) == (200, b"<b>")
    assert (headers[b"content-type"], headers[b"x-content-type-options"]) == (b"text/plain", b"nosniff")


async def test_what_ends_by_itself_is_renewed_and_what_is_gone_made_anew(state, user, vendor):
    vendor.lasts = timedelta(hours=3)
    async with worker(state):
        area = await make_area(state, user, action="vendor.pushed")
        await until(lambda: vendor.hooks)
        row = await until(lambda: _settled(state, area.id))
        assert timedelta(hours=1, minutes=55) < row["due_at"] - now() < timedelta(hours=2)
        await _age(state, row, timedelta(hours=2, minutes=30))
        await until(lambda: vendor.calls == ["add", "renew"])
        row = await until(lambda: _settled(state, area.id))
        vendor.hooks.clear()
        await _age(state, row, timedelta(hours=2, minutes=30))
        await until(lambda: vendor.calls == ["add", "renew", "renew", "add"])
        assert len(vendor.hooks) == 1


async def _settled(state, area_id):
    row = await source(state, area_id)
    return row if row["due_at"] and row["due_at"] > now() and row["lease_owner"] is None else None


async def _age(state, row, by):
    stored = orjson.loads(row["state"])
    for name in ("since", "expires_at"):
        stored["subscription"][name] = (now().fromisoformat(stored["subscription"][name]) - by).isoformat()
    pool = await state.database.pool()
    await pool.execute(
        "update sources set state = $2, due_at = now() where id = $1", row["id"], orjson.dumps(stored).decode()
    )


async def test_a_refusal_is_told_and_tried_again(state, user, vendor):
    vendor.error = Permanent("You may not add hooks to this repository.")
    async with worker(state) as running:
        area = await make_area(state, user, action="vendor.pushed")

        async def seen():
            async with state.database.sessions() as session:
                return await areas.get(session, control.scope(state), user, area.id)

        view = await until(lambda: _failing(seen))
        assert "You may not add hooks" in view.reason
        vendor.error = None
        pool = await state.database.pool()
        await pool.execute("update sources set due_at = now()")
        running.sources.wake()
        await until(lambda: vendor.hooks)
        assert (await until(lambda: _well(seen))).reason is None


async def _failing(seen):
    view = await seen()
    return view if view.state == "failing" else None


async def _well(seen):
    view = await seen()
    return view if view.state == "never_fired" else None


async def test_without_a_public_address_nothing_is_asked(state, user, vendor):
    state.settings = state.settings.model_copy(update={"public_url": None})
    async with worker(state):
        area = await make_area(state, user, action="vendor.pushed")
        await until(lambda: _failed(state, area.id))
    assert "AREA_PUBLIC_URL" in (await source(state, area.id))["last_error"]
    assert not vendor.calls


async def _failed(state, area_id):
    return (await source(state, area_id))["last_error"]


@pytest.mark.parametrize("error", [AuthExpired("gone"), Permanent("404")])
async def test_what_cannot_be_ended_is_left_to_the_vendor(state, user, vendor, error):
    async with worker(state):
        area = await make_area(state, user, action="vendor.pushed")
        await until(lambda: vendor.hooks)
        await until(lambda: _settled(state, area.id))
        vendor.error = error
        await change(state, user, area.id, is_active=False)
        await until(lambda: vendor.calls == ["add", "remove"])
        await until(lambda: _resting(state, area.id))


async def _resting(state, area_id):
    row = await source(state, area_id)
    return row["due_at"] is None and orjson.loads(row["state"]) == {}


async def test_ending_is_tried_again_also_when_the_area_is_gone(state, user, vendor):
    async with worker(state) as running:
        area = await make_area(state, user, action="vendor.pushed")
        await until(lambda: vendor.hooks)
        await until(lambda: _settled(state, area.id))
        vendor.error = Retry("busy")
        async with state.database.transaction() as session:
            await areas.remove(session, user, area.id)
        await until(lambda: vendor.calls == ["add", "remove"])
        pool = await state.database.pool()
        await until(lambda: rows(state, "select * from sources where failures = 1"))
        await pool.execute(UNWATCHED)
        vendor.error = None
        await pool.execute("update sources set due_at = now()")
        running.sources.wake()
        await until(lambda: not vendor.hooks)


# Pickers


async def test_options_of_a_picker(state, user):
    service = Service("shop", "Shop", "A shop.")

    class Shelf(BaseModel):
        """Which shelf."""

        room: str = Field("", description="Room", examples=["hall"])
        shelf: str | None = Field(None, description="Shelf", examples=["top"])

    @service.picker
    async def shelves(ctx: Context, form: dict[str, str]) -> list[Option]:
        if not form.get("room"):
            raise Permanent("Choose a room first.")
        return [Option(f"{form['room']}-{n}", f"Shelf {n}") for n in range(1, 2000)]

    from typing import Annotated

    class Chosen(Shelf):
        """With a list to choose from."""

        shelf: Annotated[str, Pick("shelves")] | None = Field(None, description="Shelf", examples=["top"])

    @service.reaction("Put")
    async def put(ctx: Context, params: Chosen) -> Item:
        return Item(title=params.shelf or "")

    Registry().add(service)
    cache = Cache(state)
    result = await pickers.options(state, cache, user, put, "shelf", {"room": "hall"})
    assert (result[0], len(result)) == (Option("hall-1", "Shelf 1"), 1000)
    with pytest.raises(Conflict, match="Choose a room first"):
        await pickers.options(state, cache, user, put, "shelf", {})
    with pytest.raises(NotFound, match="no list"):
        await pickers.options(state, cache, user, put, "room", {})


def test_what_is_malformed_stops_the_start():
    service = Service("odd", "Odd", "Odd.")

    class Wrong(BaseModel):
        """A picker that is not there, or a secret."""

        password: SecretStr = Field(description="Password")

    @service.webhook("Hook", verify=hmac_sha256("X"))
    async def hook(ctx: Context, params: Wrong, request: Request) -> AsyncIterator[Event[Item]]:
        yield Event("1", Item(title=""))

    Registry().add(service)

    @hook.subscribe
    async def add(ctx: Context, params: Wrong, hook: Hook) -> Subscription:
        return Subscription("1")

    with pytest.raises(Malformed, match="unsubscribed, too"):
        Registry().add(service)

    @hook.unsubscribe
    async def remove(ctx: Context, params: Wrong, hook: Hook, subscription: str) -> None:
        pass

    with pytest.raises(Malformed, match="password is a secret"):
        Registry().add(service)
    with pytest.raises(TypeError, match="must be"):
        hook.subscribe(remove)
