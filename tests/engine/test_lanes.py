"""What can't be committed just now holds up nobody else's answer."""

import asyncio

import pytest

from area.engine import lanes
from area.engine.intake import Offer
from area.engine.lanes import Intake

from .conftest import make_area, make_user, rows


@pytest.fixture
async def intake(state):
    started = Intake(state.database.dsn)
    started.start()
    yield started
    await started.stop()


async def test_a_locked_area_holds_up_nobody_else(state, user, intake):
    """By the order in which they are answered: whoever holds the row lets it go when all others have theirs."""
    locked = await make_area(state, user)
    other = await make_area(state, await make_user(state, "bob"))
    pool = await state.database.pool()
    async with pool.acquire() as conn:
        async with conn.transaction():
            await conn.execute("select 1 from areas where id = $1 for update", locked.id)
            waiting = []
            for number in range(5):
                waiting.append(asyncio.create_task(intake.take(Offer(locked.id, f"{number}", b"{}"))))
                taken = await asyncio.gather(*(intake.take(Offer(other.id, "", b"{}")) for _ in range(20)))
                assert all(accepted.execution_id for accepted in taken)
            assert not any(task.done() for task in waiting)
            # nor is what is large
            large = b'{"text": "%b"}' % (b"x" * 200_000)
            assert (await intake.take(Offer(other.id, "", large))).execution_id
            assert not any(task.done() for task in waiting)
        assert all(accepted.execution_id for accepted in await asyncio.gather(*waiting))
    assert len(await rows(state, "select 1 from area_executions where area_id = $1", locked.id)) == 5


async def test_a_lock_that_stays_is_given_up(state, user, intake, monkeypatch):
    monkeypatch.setattr(lanes, "PATIENCE", 0.3)
    locked = await make_area(state, user)
    pool = await state.database.pool()
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("select 1 from areas where id = $1 for update", locked.id)
        with pytest.raises(Exception, match="locked"):
            await intake.take(Offer(locked.id, "", b"{}"))
    assert (await intake.take(Offer(locked.id, "", b"{}"))).execution_id
    assert len(await rows(state)) == 1


async def test_a_large_one_is_committed_beside_the_others(state, user, intake):
    """The small ones that come after it don't wait for it, and a group is bounded in bytes."""
    mine = await make_area(state, user)
    order = []

    async def take(name, data):
        await intake.take(Offer(mine.id, "", data))
        order.append(name)

    other = await make_area(state, await make_user(state, "bob"))
    pool = await state.database.pool()
    async with pool.acquire() as conn:
        async with conn.transaction():
            await conn.execute("select 1 from areas where id = $1 for update", mine.id)
            large = asyncio.create_task(take("large", b'"%b"' % (b"x" * 500_000)))
            await intake.take(Offer(other.id, "", b"{}"))
            order.append("small")
        await large
    assert order == ["small", "large"]
