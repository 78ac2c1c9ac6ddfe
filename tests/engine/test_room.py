"""How a worker's slots are shared, what makes room for others, and what a stopping worker hands back."""

import asyncio
import uuid

import asyncpg
import pytest
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.ports.repository import EntrypointExecutionParameter
from structlog.testing import capture_logs

from area.db import queue
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


async def test_a_worker_that_has_much_to_do_claims_less_often(state, dsn, monkeypatch):
    """Larger claims cost less; a single execution waits for none."""
    monkeypatch.setattr(queue, "APART", 3600.0)

    class Handler:
        stopping = False
        room = staticmethod(lambda: asyncio.sleep(0))

        def claimed(self, jobs):
            return sum(job.payload.count(b"\n") + 1 for job in jobs)

    pool = await asyncpg.create_pool(dsn, min_size=1, max_size=1)
    queries = queue._queries(queue._CarefulQueries, AsyncpgPoolDriver(pool))
    queries.handler = Handler()
    entrypoints = {queue.EXECUTE: EntrypointExecutionParameter(concurrency_limit=0)}

    async def claim(*payloads):
        async with pool.acquire() as conn:
            await queue.enqueue(conn, queue.EXECUTE, payloads, [0] * len(payloads))
        return await queries.dequeue(10, entrypoints, uuid.uuid4(), None, queue.HEARTBEAT)

    try:
        assert await queries.eligible_queued_work([queue.EXECUTE]) == 0
        assert len(await claim(b"1 1 {}")) == 1
        assert len(await claim(b"\n".join([b"2 1 {}"] * (queue.CROWD + 1)))) == 1, "at once, after few"
        assert await queries.eligible_queued_work([queue.EXECUTE]) == 1, "expected, without a look"
        second = asyncio.create_task(claim(b"3 1 {}"))
        while not await pool.fetchval("select count(*) from pgqueuer where status = 'queued'"):
            await asyncio.sleep(0.01)
        assert not second.done()
        second.cancel()
    finally:
        await pool.close()
