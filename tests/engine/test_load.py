"""How long what a user sends will wait, as the processes tell one another."""

from collections import Counter

import asyncpg

from area.engine.intake import Offer, accept
from area.engine.load import FEW, Load
from tests.engine.senders import report

from .conftest import make_area, rows, until, worker


def test_a_few_may_always_wait():
    load = Load()
    load.accepted(1, FEW)
    assert load.pause(1, 1) == 0


def test_the_wait_is_what_waits_by_what_is_done():
    load = Load()
    for _ in range(10):
        load.heard(report({1: 80, 2: 20}))
    load.accepted(1, 4000)
    load.accepted(2, 1000)
    assert load.rate(1) == 80
    assert load.rate(2) == 50  # an even share, since it may have more than it used
    assert load.pause(1, 60) == 0
    assert 10 <= load.pause(1, 40) < 10 + 40 / 3
    load.heard(report({1: 1000}))
    assert load.pause(1, 40) == 0


def test_workers_are_behind_when_seconds_of_work_wait():
    load = Load()
    load.accepted(1, 500)
    load.heard(report({1: 100}))
    assert load.behind
    load.heard(report({1: 300}))
    assert not load.behind


def test_workers_add_up():
    load = Load()
    load.heard(report({1: 100}, "one"))
    load.heard(report({1: 50}, "two"))
    assert load.rate(1) == 150


def test_a_worker_that_finds_nothing_ends_all_doubt():
    load = Load()
    load.accepted(1, 5000)
    load.heard(report({1: 10}))
    assert load.pause(1, 30) > 0
    load.heard(report({}, idle=True))
    assert load.pause(1, 30) == 0


def test_what_was_not_seen_coming_is_no_debt():
    load = Load()
    load.heard(report({1: 4000}))
    load.accepted(1, 3000)
    load.heard(report({1: 0}))
    assert load.pause(1, 0.5) > 0


async def test_processes_tell_one_another(state, user, world):
    """A web process that starts counts what waits; a worker says what it did, and that nothing is left."""
    area = await make_area(state, user)
    pool = await state.database.pool()
    async with pool.acquire() as conn, conn.transaction():
        await accept(conn, [Offer(area.id, "", b'{"title": "x"}')] * 700)
    web, text = Load(), []
    conn = await asyncpg.connect(state.database.dsn)
    try:
        await conn.add_listener(
            "load", lambda _conn, _pid, _channel, payload: text.append(payload) or web.heard(payload)
        )
        await web.tell(pool, worker=False)
        assert web.pause(user, 1) > 0
        web.accepted(user, 1)
        await web.tell(pool, worker=False)
        await until(lambda: text)
        async with worker(state):
            await until(lambda: len(world.sent) == 700)
            await until(lambda: '"idle":true' in text[-1])
    finally:
        await conn.close()
    assert web.pause(user, 0.001) == 0
    assert len(await rows(state)) == 700
    assert Counter(row["status"] for row in await rows(state)) == {"success": 700}
