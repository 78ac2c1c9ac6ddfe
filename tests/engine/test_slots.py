"""A user's slots: in turn, and never lost to who has left."""

import asyncio

from area.engine.execution.fairness import Semaphore


async def test_who_waits_is_served_in_turn_and_who_left_is_passed_over():
    semaphore = Semaphore(1)
    await semaphore.acquire()
    order = []

    async def work(name):
        await semaphore.acquire()
        order.append(name)

    tasks = [asyncio.create_task(work(name)) for name in "abcd"]
    await asyncio.sleep(0)
    tasks[0].cancel()  # while it waits
    semaphore.release()  # to b
    tasks[1].cancel()  # with the slot, before it ran: it goes on to c
    await asyncio.wait(tasks[:3])
    assert order == ["c"]
    semaphore.release()
    await asyncio.wait(tasks)
    assert order == ["c", "d"]
    semaphore.release()
    assert not semaphore.locked()
    await semaphore.acquire()
    assert semaphore.locked()
