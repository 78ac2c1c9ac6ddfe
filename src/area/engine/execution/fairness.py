"""How a worker is shared: each user has so many slots, and whoever fills it with slow executions makes room for others."""

import asyncio

import structlog

from area.db import queue
from area.engine.cache import Cache
from area.engine.execution.running import Registry
from area.engine.intake import BULK
from area.engine.state import State

log = structlog.get_logger()

LOOK_FOR_ROOM = 0.25  # seconds between looks whether one user fills the worker while another waits


class Slots:
    """A semaphore for each user: the reactions of a user that are called at a time."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._of: dict[int, asyncio.Semaphore] = {}

    def of(self, user_id: int) -> asyncio.Semaphore:
        """The user's."""
        slot = self._of.get(user_id)
        if slot is None:
            slot = self._of[user_id] = asyncio.Semaphore(self._each)
        return slot


async def make_room(state: State, cache: Cache, running: Registry, room: asyncio.Event) -> None:
    """While one user's slow executions fill the worker and another user's wait to be claimed, send the former away.

    Every quarter of a second: 1. do nothing while there is `room`, or nobody waits for a slot; 2. find the user with the most executions
    that wait for one; 3. do nothing unless another user's executions wait in the queue; 4. end those that wait: they leave with a job of
    their own, behind the others.
    """
    while True:
        await asyncio.sleep(LOOK_FOR_ROOM)
        waiting: dict[int, int] = {}
        for one in running:
            if one.waits_for_slot:
                waiting[one.owner] = waiting.get(one.owner, 0) + 1
        if room.is_set() or not waiting:
            continue
        crowd = max(waiting, key=waiting.__getitem__)
        try:
            if not await _somebody_else_waits(state, cache, crowd):
                continue
        except Exception as error:  # noqa: BLE001 - it is looked again in a moment
            log.warning("make_room.failed", error=str(error), kind=type(error).__name__)
            continue
        evicted = [one for one in running if one.waits_for_slot and one.owner == crowd]
        log.info("executor.crowded", user=crowd, executions=len(evicted))
        for one in evicted:
            one.end("crowded")


async def _somebody_else_waits(state: State, cache: Cache, user_id: int) -> bool:
    """Whether another user's events wait; what waits of this user alone steps back behind them."""
    pool = await state.database.pool()
    jobs = await queue.next_in_line(pool)
    areas = await cache.areas({area_id for ids in jobs.values() for area_id in ids})
    theirs = {area_id for area_id, area in areas.items() if area is None or area.user_id == user_id}
    crowd = [job_id for job_id, ids in jobs.items() if ids and theirs.issuperset(ids)]
    if crowd:
        await queue.step_back(pool, crowd, BULK)
    return len(crowd) < len(jobs)
