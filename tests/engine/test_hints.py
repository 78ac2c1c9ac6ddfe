"""Vendors that are asked to tell of news: what is polled is asked at once then, seldom else, and never kept from being
polled.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp.test_utils import RawTestServer
from structlog.testing import capture_logs

from area import areas, catalog, connections, rotation
from area.engine import control, hints
from area.engine.cache import Cache
from area.engine.lanes import Intake
from area.engine.watch import UNWATCHED
from area.hooks import Hooks
from area.kit.clock import now
from area.kit.crypto import Keyring
from area.sdk import (
    Context,
    Credentials,
    Event,
    Hint,
    Hook,
    Reply,
    Request,
    Service,
    Subscription,
    hmac_sha256,
)
from tests.engine import conftest
from tests.engine.conftest import Item, Login, Topic, make_area, rows, until, worker
from tests.engine.hinting import HOUR, Vendor, change, read_subscription, renew, serving, soon, unsubscribe


def challenge(request: Request) -> Reply | None:
    return Reply(request.query["challenge"]) if "challenge" in request.query else None


async def subscribe(ctx: Context, params: Topic, hook: Hook) -> Subscription:
    for registered in await ctx.http.get("/hooks"):
        if registered["url"] == hook.url:
            return await renew(ctx, params, hook, registered["id"])
    answer = {"url": hook.url, "secret": hook.secret, "topic": params.topic}
    return read_subscription(await ctx.http.post("/hooks", json=answer))


@pytest.fixture
async def vendor(state):
    it = Vendor()

    async def works(ctx: Context, credential: Login) -> None:
        return None

    async with (
        aiohttp.ClientSession() as it.client,
        RawTestServer(it) as server,
        serving(Hooks(state, Cache(state), Intake(state.database.dsn))) as here,
    ):
        it.url, it.here = str(server.make_url("")).rstrip("/"), here
        service = Service("pad", "Pad", "A pad that tells of notes.", base_url=it.url, auth=Credentials(Login, works))
        hint = Hint(hmac_sha256("X-Signature"), subscribe, unsubscribe, renew, challenge)

        @service.poll("A note is written", every=timedelta(minutes=1), hint=hint)
        async def note_written(ctx: Context, params: Topic, since: datetime) -> AsyncIterator[Event[Item]]:
            for name in await ctx.http.get("/notes"):
                yield Event(name, Item(title=name))

        signed = replace(hint, signs_all=True, over=lambda request: request.body == b"over")
        service.add(replace(note_written, name="note_signed", hint=signed))

        state.settings = state.settings.model_copy(update={"public_url": here})
        state.registry.add(service)
        async with state.database.transaction() as session:
            await catalog.sync(session, state.registry)
        yield it


@pytest.fixture
async def connected(state, user, vendor):
    await connect(state, user)
    return user


async def connect(state, user):
    await conftest.connect(state, user, slug="pad")


async def make(state, user, topic="a", action="pad.note_written"):
    return await make_area(state, user, action=action, action_parameters={"topic": topic})


async def hint_of(state):
    (row,) = await rows(state, "select * from source_hints")
    return row


async def resting(state, looks=0):
    """The source, once nobody looks at it and it is not due."""
    records = await rows(state, "select * from sources where lease_owner is null and due_at > now() + interval '5 s'")
    return records[0] if records else None


async def test_it_is_subscribed_after_the_baseline_and_then_asked_seldom(state, connected, vendor):
    vendor.notes.append("old")
    async with worker(state):
        first = await make(state, connected)
        row = await until(lambda: resting(state))
        assert (vendor.looks, vendor.calls) == (2, ["GET", "POST"]), "the baseline does not wait for the vendor"
        assert timedelta(minutes=9) < row["due_at"] - row["checked_at"] < timedelta(minutes=11)
        ((url, secret, topic),) = [tuple(hook.values()) for hook in vendor.hooks.values()]
        assert url.startswith(f"{vendor.here}/hints/")
        assert (len(secret) > 30, topic) == (True, "a")
        second = await make(state, connected)
        await until(lambda: vendor.looks == 3)
        await until(lambda: resting(state))
        assert len(vendor.hooks) == 1, "one subscription serves all AREAs of the source"
        stored = await hint_of(state)
        assert secret not in str(stored), "kept encrypted"
        assert urlsplit(url).path.rpartition("/")[2] not in str(stored)

        vendor.notes.append("new")
        assert await vendor.tells() == [202]
        await until(lambda: _count(state, 2))
        row = await until(lambda: resting(state))
        assert row["due_at"] - row["checked_at"] < timedelta(seconds=70), "what is shown late is looked for, too"
    assert {row["area_id"] for row in await rows(state)} == {first.id, second.id}


async def _count(state, number):
    return len(await rows(state)) == number


async def test_a_crowd_of_hints_is_one_look(state, connected, vendor):
    async with worker(state):
        await make(state, connected)
        await until(lambda: resting(state))
        looks = vendor.looks
        assert [await vendor.tells() for _ in range(5)] == [[202]] * 5
        await until(lambda: vendor.looks == looks + 1)
        await until(lambda: resting(state))
        assert vendor.looks == looks + 1


async def test_what_is_not_signed_or_not_known_moves_nothing(state, connected, vendor):
    async with worker(state):
        created = await make(state, connected)
        await until(lambda: resting(state))
        looks, (hook,) = vendor.looks, vendor.hooks.values()
        for signed in ("wrong", ""):
            assert await vendor.tells(signed) == [401]
        assert await vendor.tell(hook["url"] + "x", hook["secret"]) == 404
        assert await vendor.tell(f"{vendor.here}/hints/", hook["secret"]) == 404
        assert await vendor.tells(body=b"x" * 1_000_001) == [413]
        assert (await rows(state, "select nudged_at from sources"))[0]["nudged_at"] is None
        assert vendor.looks == looks
        await change(state, connected, created.id, is_active=False)
        await until(lambda: not vendor.hooks)
        await until(lambda: _rests(state))
        assert await vendor.tell(hook["url"], hook["secret"]) == 410
        async with vendor.client.post(hook["url"], params={"challenge": "bye"}) as answer:
            assert await answer.text() == "bye", "some vendors ask whether it is meant when it is ended"


async def _rests(state):
    return await rows(state, "select * from sources where due_at is null and lease_owner is null")


async def test_it_is_ended_when_the_last_area_goes_also_a_deleted_one(state, connected, vendor):
    async with worker(state) as running:
        first, two = await make(state, connected), await make(state, connected)
        await until(lambda: resting(state))
        await change(state, connected, first.id, is_active=False)
        await until(lambda: resting(state))
        assert vendor.hooks, "the other one needs it"
        vendor.refuses = 503
        async with state.database.transaction() as session:
            await areas.remove(session, connected, two.id)
        await until(lambda: rows(state, "select * from sources where failures = 1"))
        pool = await state.database.pool()
        await pool.execute("delete from triggers")
        await pool.execute(UNWATCHED)
        vendor.refuses = 0
        await soon(state, running)
        await until(lambda: not vendor.hooks)
        await until(lambda: _rests(state))
        await pool.execute(UNWATCHED)
        assert not await rows(state, "select * from source_hints")


async def test_switched_on_again_it_is_subscribed_anew(state, connected, vendor):
    async with worker(state):
        created = await make(state, connected)
        await until(lambda: resting(state))
        for active in (False, True):
            await change(state, connected, created.id, is_active=active)
            await until(lambda: bool(vendor.hooks) == active)  # noqa: B023 - it is called at once
            await until(lambda: resting(state) if active else _rests(state))  # noqa: B023 - as above
        assert await vendor.tells() == [202]


async def test_it_is_renewed_in_the_last_third_and_made_anew_when_it_is_gone(state, connected, vendor):
    async with worker(state) as running:
        await make(state, connected)
        await until(lambda: resting(state))
        stored = await hint_of(state)
        assert timedelta(minutes=90) < stored["due_at"] - now() < timedelta(minutes=120)
        await soon(state, running)
        await until(lambda: vendor.looks == 3)
        await until(lambda: resting(state))
        assert vendor.calls == ["GET", "POST"], "not before"
        pool = await state.database.pool()
        for calls in (["PATCH"], ["PATCH", "GET", "POST"]):
            vendor.calls.clear()
            await pool.execute("update source_hints set due_at = now()")
            await soon(state, running)
            await until(lambda: vendor.calls == calls)  # noqa: B023 - it is called at once
            await until(lambda: resting(state))
            vendor.hooks.clear()
        assert (await hint_of(state))["due_at"] > now() + timedelta(minutes=90)


async def test_what_is_soon_to_be_renewed_is_looked_at_in_time(state, connected, vendor):
    vendor.lasts = timedelta(minutes=6)
    async with worker(state):
        await make(state, connected)
        row = await until(lambda: resting(state))
        assert timedelta(minutes=3) < row["due_at"] - row["checked_at"] < timedelta(minutes=5)


@pytest.mark.parametrize(("status", "pause"), [(403, 6 * HOUR), (503, timedelta(minutes=15))])
async def test_a_refusal_is_no_error_and_polling_goes_on_as_ever(state, connected, vendor, status, pause):
    vendor.refuses = status
    async with worker(state) as running:
        created = await make(state, connected)
        row = await until(lambda: resting(state))
        assert timedelta(seconds=50) < row["due_at"] - row["checked_at"] < timedelta(seconds=70)
        assert (row["failures"], row["last_error"]) == (0, None)
        assert pause / 2 < (await hint_of(state))["due_at"] - now() <= pause
        async with state.database.sessions() as session:
            assert (await areas.get(session, control.scope(state), connected, created.id)).reason is None
        vendor.notes.append("new")
        await soon(state, running)
        await until(lambda: _count(state, 1))
        assert len(vendor.calls) == 1, "it is not asked again with each look"
        vendor.refuses = 0
        await connect(state, connected)  # perhaps it may do more now
        await until(lambda: vendor.hooks)


async def test_without_a_public_address_it_is_polled_as_ever(state, connected, vendor):
    state.settings = state.settings.model_copy(update={"public_url": None})
    async with worker(state):
        await make(state, connected)
        row = await until(lambda: resting(state))
        assert (vendor.looks, vendor.calls) == (1, [])
        assert row["due_at"] - row["checked_at"] < timedelta(seconds=70)


async def test_until_the_vendor_was_heard_nobody_relies_on_it(state, connected, vendor):
    vendor.knocks = False
    async with worker(state) as running:
        await make(state, connected)
        row = await until(lambda: resting(state))
        assert vendor.hooks
        assert row["due_at"] - row["checked_at"] < timedelta(seconds=70)
        assert await vendor.tells() == [202]
        pool = await state.database.pool()
        await until(lambda: _heard(state))
        await until(lambda: resting(state))
        await pool.execute("update sources set nudged_at = null")
        await soon(state, running)
        await until(lambda: _patient(state))


async def _heard(state):
    return (await hint_of(state))["heard_at"]


async def _patient(state):
    row = await resting(state)
    return row and row["due_at"] - row["checked_at"] > timedelta(minutes=9)


async def test_after_a_crash_in_between_it_is_found_rather_than_made_twice(state, connected, vendor):
    vendor.dies = True
    async with worker(state) as running:
        await make(state, connected)
        await until(lambda: resting(state))
        assert (len(vendor.hooks), (await hint_of(state))["subscription"]) == (1, None)
        assert await vendor.tells() == [202], "it is listened to in any case"
        pool = await state.database.pool()
        await until(lambda: resting(state))
        await pool.execute("update source_hints set due_at = now()")
        await soon(state, running)
        await until(lambda: _subscribed(state))
    assert len(vendor.hooks) == 1


async def _subscribed(state):
    return (await hint_of(state))["subscription"]


async def test_when_this_server_moves_the_vendor_is_told(state, connected, vendor):
    async with worker(state) as running:
        await make(state, connected)
        await until(lambda: resting(state))
        async with serving(Hooks(state, Cache(state), Intake(state.database.dsn))) as there:
            state.settings = state.settings.model_copy(update={"public_url": there})
            await soon(state, running)
            await until(lambda: [hook["url"] for hook in vendor.hooks.values() if hook["url"].startswith(there)])
            await until(lambda: _patient(state))
            assert (len(vendor.hooks), await vendor.tells()) == (1, [202])


async def test_without_its_connection_it_is_left_to_the_vendor(state, connected, vendor):
    async with worker(state):
        created = await make(state, connected)
        await until(lambda: resting(state))
        async with state.database.transaction() as session:
            await connections.disconnect(session, state.registry, connected, "pad")
        await until(lambda: rows(state, "select * from sources where failures = 1 and lease_owner is null"))
        await change(state, connected, created.id, is_active=False)
        await until(lambda: _rests(state))
        assert await vendor.tells() == [410]


async def test_rotated_keys_open_it(state, connected, vendor):
    async with worker(state):
        await make(state, connected)
        await until(lambda: resting(state))
        old = state.settings.secret_keys()[0]
        new = Keyring(["n3w-" * 10 + "0123456789", old])
        async with state.database.transaction() as session:
            await rotation.rotate(session, new, state.registry)
        state.keyring = Keyring(["n3w-" * 10 + "0123456789"])
        assert await vendor.tells() == [202]


async def test_what_no_key_opens_is_made_anew(state, connected, vendor):
    async with worker(state) as running:
        created = await make(state, connected)
        await until(lambda: resting(state))
        ((old,), stored) = vendor.hooks.values(), await hint_of(state)
        pool = await state.database.pool()
        await pool.execute("update source_hints set secret = token")
        with capture_logs() as logged:
            await soon(state, running)
            await until(lambda: len(vendor.hooks) == 2)
        assert [entry["log_level"] for entry in logged if entry["event"] == "hint.undecryptable"] == ["error"]
        assert (await hint_of(state))["token_hash"] != stored["token_hash"]
        assert await vendor.tells() == [404, 202], "the old one ends by itself"
        await change(state, connected, created.id, is_active=False)
        await until(lambda: list(vendor.hooks.values()) == [old])


async def test_a_challenge_that_nobody_signed_is_not_answered_where_the_vendor_signs_all(state, connected, vendor):
    async with worker(state):
        await make(state, connected, action="pad.note_signed")
        row = await until(lambda: resting(state))
        assert (vendor.calls, await _heard(state)) == (["GET", "POST"], None)
        assert row["due_at"] - row["checked_at"] < timedelta(seconds=70)
        vendor.signs = True
        await connect(state, connected)  # so that the refusal is forgotten
        await until(lambda: _patient(state))
        (hook,) = vendor.hooks.values()
        async with vendor.client.post(hook["url"], params={"challenge": "me, too"}) as answer:
            assert answer.status == 401
            assert "me, too" not in await answer.text()


async def test_a_vendor_that_says_it_is_over_is_asked_anew_at_once(state, connected, vendor):
    vendor.signs = True
    async with worker(state) as running:
        await make(state, connected, action="pad.note_signed")
        await until(lambda: _patient(state))
        (old,) = vendor.hooks
        (hook,) = vendor.hooks.values()
        assert await vendor.tell(hook["url"], "wrong", b"over") == 401
        assert await _subscribed(state) == old
        vendor.hooks.clear()
        vendor.notes.append("new")
        assert await vendor.tell(hook["url"], hook["secret"], b"over") == 202
        await until(lambda: _count(state, 1))
        await until(lambda: vendor.hooks)
        await until(lambda: resting(state))
        pool = await state.database.pool()
        await pool.execute("update sources set nudged_at = null")
        await soon(state, running)
        await until(lambda: _patient(state))
        assert await _subscribed(state) not in (None, old)


def test_how_long_a_poll_may_wait():
    minutes = lambda number: timedelta(minutes=number)  # noqa: E731
    assert [hints.patience(minutes(number)) for number in (1, 2, 15, 60)] == [
        minutes(number) for number in (10, 15, 15, 60)
    ]


async def test_a_bug_of_a_hint_keeps_no_poll_from_being_asked(state, connected, vendor):
    async def broken(ctx: Context, params: Topic, hook: Hook) -> Subscription:
        raise ZeroDivisionError

    action = state.registry.services["pad"].actions["note_written"]
    action.hint = Hint(hmac_sha256("X-Signature"), broken, unsubscribe)
    with capture_logs() as logged:
        async with worker(state):
            await make(state, connected)
            row = await until(lambda: resting(state))
    assert (vendor.looks, row["failures"]) == (2, 0)
    assert [entry["log_level"] for entry in logged if entry["event"] == "hint.bug"] == ["error"]
