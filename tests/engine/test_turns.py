"""Users take turns at a worker's slots, timers wait for nobody's I/O, and what is late is not taken for missed."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from pydantic import BaseModel, Field

from area import catalog
from area.engine.cache import Cache
from area.engine.sources import POLLS, Leases, timers
from area.engine.sources.life import Life
from area.engine.sources.turns import Due, Slots, in_turn
from area.engine.watch import SHARE_ANEW
from area.kit.clock import now
from area.sdk import Context, Event, Service

from .conftest import Item, make_area, make_user, rows, until, worker

MOMENT = datetime.fromisoformat("2026-01-01T00:00:00+00:00")


def due(**users):
    """So many sources of each user, one second apart; user `a1` is number 1."""
    results, number = [], 0
    for user, many in users.items():
        for place in range(many):
            number += 1
            results.append(Due(number, int(user[1:]), MOMENT + timedelta(seconds=place)))
    return results


def users_of(result, ids):
    names = {row.id: row.user_id for row in result}
    return [names[number] for number in ids]


def test_who_has_fewest_goes_first():
    result = due(a1=10, a2=2, a3=1)
    own, lent = in_turn(result, {1: 1}, 0, Slots(6, 10))
    assert users_of(result, own) == [2, 3, 1, 2, 1]  # there is room for five beside the one that runs
    assert lent == []


def test_nobody_has_more_than_a_share_while_others_wait():
    result = due(a1=30, a2=3)
    own, lent = in_turn(result, {}, 0, Slots(5, 3, 10))
    assert sorted(users_of(result, own)) == [1, 1, 1, 2, 2]
    assert lent == []


def test_what_nobody_else_needs_is_lent():
    result = due(a1=30)
    own, lent = in_turn(result, {}, 4, Slots(50, 3, 10))
    assert len(own) == 3
    assert len(lent) == 6  # four of ten are lent already
    assert own + lent == list(range(1, 10))  # what is due longest, first


def test_slots_that_are_lent_keep_nobody_out():
    result = due(a2=1)
    own, _ = in_turn(result, {1: 10}, 40, POLLS)
    assert own == [1]


class Number(BaseModel):
    number: int = Field(0, description="Which", examples=[1])


class Slow:
    """A service whose answers come when the test says so."""

    def __init__(self):
        self.answer = asyncio.Event()
        self.asked = 0
        self.service = Service("slow", "Slow", "A service that takes long.", auth=None)

        @self.service.poll("It answers", every=timedelta(seconds=1))
        async def answers(ctx: Context, params: Number, since: datetime) -> AsyncIterator[Event[Item]]:
            self.asked += 1
            await self.answer.wait()
            yield Event(id="1", data=Item(title="late"))


@pytest.fixture
async def slow(state):
    started = Slow()
    state.registry.add(started.service)
    async with state.database.transaction() as session:
        await catalog.sync(session, state.registry)
    return started


async def test_one_users_slow_polls_hold_up_nobodys_polls_and_timers(state, user, world, slow):
    bob = await make_user(state, "bob")
    for number in range(100):
        await make_area(state, user, "slow.answers", action_parameters={"number": number})
    async with worker(state) as running:
        await until(lambda: slow.asked == POLLS.each + POLLS.lent)  # nobody else waits, so the rest is lent
        await make_area(state, bob, action_parameters={"topic": "bob"})
        timer = await make_area(state, bob, "probe.every_second", text="tick")
        await until(lambda: world.polls["bob"] >= 3)
        fired = "select 1 from area_executions where area_id = $1"
        await until(lambda: _at_least(state, 3, fired, timer.id))
        assert slow.asked == POLLS.each + POLLS.lent  # all of them still wait for their answer
        held = [source.share_of for source in running.sources._held.values() if source.action.key == "slow.answers"]
        assert held == [user] * (POLLS.each + POLLS.lent)
        slow.answer.set()
        await until(lambda: slow.asked >= 100)


async def _at_least(state, number, query, *values):
    return len(await rows(state, query, *values)) >= number


async def test_a_shared_source_counts_for_who_has_fewest_due(state, user, world, slow):
    """Another's flood does not delay what a user watches too, whoever began to watch it."""
    bob = await make_user(state, "bob")
    await make_area(state, user, action_parameters={"topic": "shared"})
    await make_area(state, bob, action_parameters={"topic": "shared"})
    for number in range(100):
        await make_area(state, user, "slow.answers", action_parameters={"number": number})
    pool = await state.database.pool()
    await pool.execute("update sources set due_at = now() - interval '1 minute' where params->>'topic' = 'shared'")
    await pool.execute(SHARE_ANEW)  # before a worker can claim it
    (shared,) = await rows(state, "select share_of from sources where params->>'topic' = 'shared'")
    assert shared["share_of"] == bob
    async with worker(state):
        await until(lambda: world.polls["shared"] >= 3)
        slow.answer.set()


@pytest.fixture
async def fire(state):
    """Fire a timer with `missed=skip` that was planned ten minutes ago, in a worker that has run for so long."""

    async def fire(running_for, *lives):
        pool = await state.database.pool()
        leases = Leases(state, Cache(state))
        life, moment = Life(leases.owner), now()
        life.since = moment - running_for
        for since, until_ in lives:
            await pool.execute("insert into worker_lives values ('another', $1, $2)", moment - since, moment - until_)
        await pool.execute("update sources set due_at = $1, planned_at = $1", moment - timedelta(minutes=10))
        (number,) = await rows(state, "select id from sources")
        (source,) = await leases.claim([number["id"]], "timer")
        await timers.fire(leases, life, source)
        (planned,) = await rows(state, "select planned_at, lease_owner from sources")
        assert planned["planned_at"] > moment
        assert planned["lease_owner"] is None
        return len(await rows(state))

    return fire


MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("running_for", "lives", "fired"),
    [
        (11 * MINUTE, [], 1),  # it ran all the time, and had no slot or no database
        (5 * MINUTE, [], 0),  # nobody ran
        (5 * MINUTE, [(60 * MINUTE, 4 * MINUTE)], 1),  # another did
        (5 * MINUTE, [(60 * MINUTE, 9 * MINUTE)], 0),  # another did, and was gone for four minutes
        (5 * MINUTE, [(60 * MINUTE, 9 * MINUTE), (8.5 * MINUTE, 5.5 * MINUTE)], 1),  # restarts of half a minute
        (0.1 * MINUTE, [(60 * MINUTE, 0.2 * MINUTE)], 1),
    ],
)
async def test_late_is_not_missed(state, user, fire, running_for, lives, fired):
    area = await make_area(state, user, "probe.every_second", action_parameters={"missed": "skip"}, text="x")
    pool = await state.database.pool()
    await pool.execute("update triggers set since = now() - interval '1 day' where area_id = $1", area.id)
    assert await fire(running_for, *lives) == fired


def test_a_machine_that_slept_begins_a_new_life(monkeypatch):
    clock = [MOMENT]
    monkeypatch.setattr("area.engine.sources.life.now", lambda: clock[0])
    life = Life("me")
    for _ in range(30):
        clock[0] += timedelta(seconds=5)
        life.tick()
    assert life.since == MOMENT
    clock[0] += timedelta(hours=8)
    life.tick()
    assert life.since == clock[0]
    clock[0] -= timedelta(days=366)
    life.tick()
    assert life.since == clock[0]


async def test_a_source_of_an_older_version_finds_its_lane(state, user, world):
    """Older web processes write no lane."""
    timer = await make_area(state, user, "probe.every_second", text="tick")
    listener = await make_area(state, user, "probe.heard")
    pool = await state.database.pool()
    await pool.execute("update sources set lane = default, share_of = default")
    async with worker(state):
        world.heard.put_nowait("1")
        for area in (timer, listener):
            await until(
                lambda area=area: _at_least(state, 1, "select 1 from area_executions where area_id = $1", area.id)
            )
    assert sorted(row["lane"] for row in await rows(state, "select lane from sources")) == ["listen", "timer"]
