"""What one user or address can't take from the others: hashing and searches. Whose work a request is."""

import asyncio
import threading

import pytest
from sqlalchemy import func, select

from area.accounts import attempts
from area.app import make_site
from area.db import search
from area.db.models import LoginAttempt
from area.engine.cache import Cache
from area.kit import crypto
from area.kit.fair import Fair, user, working_for

from .conftest import PASSWORD, Client


async def log_in(client, address, login="user", password=PASSWORD):
    with working_for(f"address {address}"):
        return await Client(client.app, address=address).post("/api/auth/login", {"login": login, "password": password})


@pytest.fixture
def slow_hashing(monkeypatch):
    """Passwords are looked at once `end` is set."""
    end, real = threading.Event(), crypto.check_password
    pool = Fair("test-hashing", "Many people are signing in.", slots=2, per_key=1, waiting=6, waiting_per_key=6)
    monkeypatch.setattr(crypto, "hashing", pool)
    monkeypatch.setattr(crypto, "check_password", lambda *provided: end.wait(60) and real(*provided))
    yield end
    end.set()


async def test_a_flood_of_log_ins_is_refused_beyond_a_queue_and_stops_nothing_else(
    people, nobody, state, slow_hashing, monkeypatch
):
    flood = [asyncio.create_task(log_in(nobody, f"198.51.100.{number}", f"ghost{number}")) for number in range(80)]
    done, waiting = set(), set(flood)
    while len(waiting) > 8:
        ended, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        done |= ended
    for task in done:
        answer = task.result()
        assert (answer.status, answer.header("retry-after")) == (429, "5")
        assert answer.json()["detail"] == "Many people are signing in."
    # threads of everybody's are free, and so are connections to the database
    assert await asyncio.to_thread(lambda: "read") == "read"
    assert (await people.user.get("/api/me")).status == 200
    # whoever was refused has not had an attempt, and cost the database nothing
    monkeypatch.setattr(attempts, "attempt", None)
    assert (await log_in(nobody, "198.51.100.200", "ghost")).status == 429
    ghosts = 0
    while ghosts < len(waiting):  # not all that have begun may have got so far
        async with state.database.sessions() as session:
            ghosts = await session.scalar(select(func.count()).where(LoginAttempt.address.startswith("198.51.100.")))
    assert ghosts == len(waiting) == 8
    slow_hashing.set()
    assert {task.result().status for task in (await asyncio.wait(waiting))[0]} == {401}


async def test_one_address_does_not_keep_another_from_signing_in(people, nobody, slow_hashing):
    flood = [asyncio.create_task(log_in(nobody, "198.51.100.1", f"ghost{number}")) for number in range(30)]
    while sum(task.done() for task in flood) < 23:
        await asyncio.sleep(0.001)
    mine = asyncio.create_task(log_in(nobody, "192.0.2.77"))
    await asyncio.sleep(0.05)
    assert not mine.done()  # at work: the second slot is free for it
    slow_hashing.set()
    assert (await mine).status == 200
    await asyncio.gather(*flood)


async def test_who_signs_in_from_where_they_did_before_does_not_wait_behind_strangers(people, nobody, slow_hashing):
    flood = [asyncio.create_task(log_in(nobody, f"198.51.100.{number}", f"ghost{number}")) for number in range(8)]
    while sum(map(len, crypto.hashing._queues.values())) < 6:
        await asyncio.sleep(0.001)
    mine = asyncio.create_task(log_in(nobody, "192.0.2.1"))
    theirs = asyncio.create_task(log_in(nobody, "192.0.2.2"))
    assert (await theirs).status == 429  # a stranger to the account
    while not crypto.hashing_known._busy:
        await asyncio.sleep(0.001)
    slow_hashing.set()
    assert (await mine).status == 200
    await asyncio.gather(*flood)


async def test_one_users_searches_wait_for_one_another_and_for_nobody_elses(people, monkeypatch):
    me = (await people.user.get("/api/me")).json()["id"]
    pool = Fair("test-searches", "Other searches.", slots=4, per_key=1, waiting_per_key=1)
    monkeypatch.setattr(search, "searches", pool)
    with working_for(user(me)):
        async with pool.slot():
            waiting = asyncio.create_task(people.user.get("/api/executions", params={"q": "a"}))
            await asyncio.sleep(0.2)
            assert not waiting.done()
            refused = await people.user.get("/api/executions", params={"q": "b"})
            assert (refused.status, refused.header("retry-after")) == (429, "5")
            assert (await people.user.get("/api/executions")).status == 200  # the list itself is no search
            assert (await people.other.get("/api/executions", params={"q": "a"})).status == 200
    assert (await waiting).status == 200


async def test_whose_work_a_request_is(people, make_state, database, monkeypatch):
    keys = []

    class Recorded(Fair):
        async def _acquire(self, key):
            keys.append(key)
            await super()._acquire(key)

    monkeypatch.setattr(crypto, "hashing", Recorded("recorded", "", slots=1, per_key=1))
    monkeypatch.setattr(crypto, "hashing_known", crypto.hashing)
    state = make_state(database, trusted_proxies="192.0.2.1")
    site, close = make_site(state, Cache(state))
    visitor = Client(site, headers={"x-forwarded-for": "2001:db8:1:2::7"})
    me = (await people.user.get("/api/me")).json()["id"]
    token = (await visitor.post("/api/auth/login", {"login": "user", "password": PASSWORD})).json()["token"]
    change = {"current_password": PASSWORD, "new_password": PASSWORD}
    await visitor.as_(token).post("/api/me/password", change)
    await close()
    await state.client.close()
    assert keys[0] == "address 2001:db8:1:2::/64"
    assert set(keys[1:]) == {f"user {me}"}
