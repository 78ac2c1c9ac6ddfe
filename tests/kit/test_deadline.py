"""A deadline does what `asyncio.timeout` does, whether it has a timer of its own or not."""

import asyncio

import pytest

from area.kit import deadline
from area.kit.deadline import Deadline

pytestmark = pytest.mark.usefixtures("short")


@pytest.fixture(params=[0.0, 60.0], ids=["checked", "timer"])
def short(request, monkeypatch):
    """All deadlines are checked together, or each has a timer."""
    monkeypatch.setattr(deadline, "SHORTEST", request.param)
    monkeypatch.setattr(deadline, "LOOK_EVERY", 0.005)


async def test_what_is_late_times_out():
    with pytest.raises(TimeoutError):
        async with Deadline(0.01):
            await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task.cancelling() == 0
    await asyncio.sleep(0)  # nothing is cancelled any more


async def test_what_is_in_time_does_not():
    async with Deadline(30):
        await asyncio.sleep(0)
    with pytest.raises(LookupError):
        async with Deadline(30):
            {}["missing"]


async def test_a_cancellation_stays_one():
    async def wait():
        async with Deadline(30):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_beside_a_late_one_stays_one():
    async def wait():
        async with Deadline(0.01):
            try:
                await asyncio.Event().wait()
            finally:
                asyncio.current_task().cancel()

    task = asyncio.create_task(wait())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_they_nest():
    with pytest.raises(TimeoutError):
        async with Deadline(0.01), Deadline(30):
            await asyncio.Event().wait()
    async with Deadline(30):
        with pytest.raises(TimeoutError):
            async with Deadline(0.01):
                await asyncio.Event().wait()
        await asyncio.sleep(0)


async def test_an_end_after_the_deadline_is_no_timeout():
    """As with `asyncio.timeout`: what ends by itself has its result."""

    async def work():
        async with Deadline(0.01):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return "done"

    assert await work() == "done"
    assert asyncio.current_task().cancelling() == 0


async def test_nothing_is_left_behind():
    async with Deadline(30):
        pass
    while asyncio.get_running_loop() in Deadline._running:
        await asyncio.sleep(0.001)
