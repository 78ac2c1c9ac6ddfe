"""How fast a user's events are admitted."""

import asyncio
from types import SimpleNamespace

import pytest

from area.engine import load as load_module
from area.engine import pace
from area.engine.load import Load
from area.engine.pace import FREE, LONGEST, Pace
from tests.engine.senders import report

from .conftest import until


@pytest.fixture
def clock(monkeypatch):
    """The time that `Load` and `Pace` see."""
    times = [1000.0]
    for module in (load_module, pace):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: times[0]))
    return times


async def enter(admissions, users):
    """Admit one event for each of these; returns the tasks."""
    tasks = [asyncio.create_task(admissions.enter(user)) for user in users]
    await asyncio.sleep(0)
    return tasks


def admitted(tasks):
    return sum(task.done() for task in tasks)


async def test_a_few_are_admitted_at_once(clock):
    load = Load()
    admissions = Pace(load)
    assert admitted(await enter(admissions, [1] * FREE)) == FREE
    assert admitted(await enter(admissions, [1] * 5)) == 0, "none of them has been committed"
    for _ in range(FREE):
        admissions.leave(1)
    assert admitted(await enter(admissions, [1])) == 0, "first come, first served"


async def test_others_are_not_held(clock):
    load = Load()
    admissions = Pace(load)
    await enter(admissions, [1] * (FREE + 1))
    assert admitted(await enter(admissions, [2])) == 1


async def test_a_backlog_of_a_quarter_of_a_second_is_admitted(clock):
    load = Load()
    load.heard(report({1: 8000}))
    load.accepted(1, 1900)
    admissions = Pace(load)
    assert admitted(await enter(admissions, [1] * 101)) == 100


async def test_held_events_go_on_as_workers_are_assumed_to_do(clock):
    load = Load()
    load.heard(report({1: 8000}))
    load.accepted(1, 2000)
    admissions = Pace(load)
    tasks = await enter(admissions, [1] * 300)
    assert admitted(tasks) == 0
    clock[0] += 0.02  # 160 are done by now
    await until(lambda: admitted(tasks))
    assert admitted(tasks) == 160
    load.heard(report({1: 1000}))
    await until(lambda: admitted(tasks) == 300)


async def test_nothing_is_held_for_long(clock):
    load = Load()
    load.heard(report({1: 10}))
    load.accepted(1, 100_000)
    admissions = Pace(load)
    tasks = await enter(admissions, [1] * 50)
    assert admitted(tasks) == 0
    clock[0] += LONGEST
    await until(lambda: admitted(tasks) == 50)


async def test_who_is_gone_takes_no_turn(clock):
    load = Load()
    admissions = Pace(load)
    await enter(admissions, [1] * FREE)
    gone, stays = await enter(admissions, [1, 1])
    gone.cancel()
    admissions.leave(1)
    await until(stays.done)
    for _ in range(FREE):
        admissions.leave(1)
    assert not admissions._entered
    assert not admissions._held


async def test_a_turn_that_comes_as_its_request_ends_is_given_back(clock):
    admissions = Pace(Load())
    await enter(admissions, [1] * FREE)
    (held,) = await enter(admissions, [1])
    admissions.leave(1)
    admissions._tick()
    held.cancel()
    await asyncio.gather(held, return_exceptions=True)
    assert admissions._entered[1] == FREE - 1
