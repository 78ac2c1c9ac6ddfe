"""How a worker's slots are shared, what makes room for others, and what a stopping worker hands back."""

import asyncio

import pytest
from structlog.testing import capture_logs

from area.engine import runtime
from area.engine.execution import executor, fairness, outcome
from area.engine.intake import BULK
from area.engine.sources import polls
from area.runs import figures

from .conftest import make_area, make_user, offer, rows, settled, until, worker

JOBS = "select j.execution_id, j.reason, q.priority from execution_jobs j join pgqueuer q on q.id = j.job_id"


class Gate:
    """Reactions with the text `slow` wait until it opens; `most` of them waited at the same time."""

    def __init__(self):
        self.opened = asyncio.Event()
        self.inside = self.most = 0

    async def __call__(self, ctx, params, attempt):
        if params.text != "slow":
            return
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.opened.wait()
        finally:
            self.inside -= 1


@pytest.fixture
def gate(world):
    world.behaviour = Gate()
    return world.behaviour


async def slow_area(state, user):
    return await make_area(state, user, action="webhook.received", text="slow")


def slots(state, number):
    state.settings = state.settings.model_copy(update={"max_running": number})


async def test_no_more_of_a_user_run_than_the_setting_allows(state, user, gate):
    slots(state, 2)
    area = await slow_area(state, user)
    async with worker(state) as running:
        for _ in range(5):
            await offer(state, area, {})
        await until(
            lambda: gate.inside == 2 and sum(execution.waits_for_slot for execution in running.executor.running) == 3
        )
        gate.opened.set()
        await until(lambda: settled(state))
    assert gate.most == 2


async def test_who_fills_a_worker_makes_room_for_others(state, user, world, gate, monkeypatch):
    slots(state, 1)
    monkeypatch.setattr(executor, "HELD", 4)
    monkeypatch.setattr(fairness, "LOOK_FOR_ROOM", 0.01)
    monkeypatch.setattr(outcome, "CROWDED", (1, 2))
    crowd = await slow_area(state, user)
    other = await make_area(state, await make_user(state, "bob"), action="webhook.received", text="quick")
    async with worker(state) as running:
        for _ in range(4):
            await offer(state, crowd, {})
        await until(lambda: gate.inside == 1 and running.executor.held == 4)
        assert not await rows(state, JOBS), "nobody else waits"
        await offer(state, other, {})
        await until(lambda: any(text == "quick" for _, text in world.sent))
        jobs = await until(lambda: rows(state, JOBS))
        assert {job["reason"] for job in jobs} == {"crowded"}
        assert {job["priority"] for job in jobs} == {BULK - 1}, "they queue behind the others"
        gate.opened.set()
        await until(lambda: settled(state), 120)
    assert [text for _, text in world.sent].count("slow") == 4
    assert not await rows(state, JOBS)


async def test_what_a_stopping_worker_does_not_finish_is_handed_back(state, user, world, gate, monkeypatch):
    monkeypatch.setattr(runtime, "GRACE", 0.05)
    area = await slow_area(state, user)
    async with worker(state):
        execution = await offer(state, area, {})
        await until(lambda: gate.inside)
    (job,) = await rows(state, JOBS)
    assert (job["execution_id"], job["reason"]) == (execution.execution_id, "handed_back")
    gate.opened.set()
    async with worker(state):
        await until(lambda: settled(state))
    assert set(world.attempts.values()) == {2}, "with the same key"
    assert len(world.sent) == 1


async def test_a_poll_takes_only_so_many_events(state, user, world, monkeypatch):
    monkeypatch.setattr(polls, "MOST_EVENTS", 3)
    await make_area(state, user)
    with capture_logs() as logs:
        async with worker(state):
            await until(lambda: rows(state, "select 1 from triggers where not baseline"))
            for number in range(5):
                world.publish(f"item {number}", "Hello")
            await until(lambda: len(world.sent) >= 3)
            looks = world.polls["default"]
            await until(lambda: world.polls["default"] >= looks + 2)
    assert len(await rows(state)) == 3
    cut = next(entry for entry in logs if entry["event"] == "source.cut")
    assert (cut["action"], cut["events"], cut["log_level"]) == ("probe.item", 3, "warning")


async def test_the_runs_of_the_last_minute_are_those_of_all_users(state, user):
    for owner in (user, await make_user(state, "bob")):
        area = await slow_area(state, owner)
        await offer(state, area, {})
    await offer(state, area, {})
    pool = await state.database.pool()
    await pool.execute(
        "update area_executions set created_at = created_at - interval '61 s' where id = (select max(id) from area_executions)"
    )
    async with state.database.sessions() as session:
        assert await figures.last_minute(session) == 2
