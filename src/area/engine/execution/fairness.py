"""How a worker is shared: each user has a number of slots, and a user whose slow executions fill the worker makes room
for others.
"""

import asyncio
from collections import deque

import structlog

from area.db import queue
from area.engine.cache import Cache
from area.engine.execution.running import RunningExecutions
from area.engine.intake import BULK
from area.engine.state import State

log = structlog.get_logger()

LOOK_FOR_ROOM = 0.25  # seconds between two checks whether one user fills the worker while another waits


class Semaphore:
    """As asyncio's, which looks through all who wait at each release."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: deque[asyncio.Future[None]] = deque()

    def locked(self) -> bool:
        """Whether `acquire` would wait."""
        return self._free == 0

    async def acquire(self) -> None:
        """Take a slot, in order of arrival."""
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.release()  # it was given just as the wait was cancelled
            raise

    def release(self) -> None:
        """Pass a slot on, or put it back."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Slots:
    """A semaphore per user, for the reactions of the user that run at a time."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._of: dict[int, Semaphore] = {}

    def of(self, user_id: int) -> Semaphore:
        """The user's semaphore."""
        slot = self._of.get(user_id)
        if slot is None:
            slot = self._of[user_id] = Semaphore(self._each)
        return slot


async def make_room(state: State, cache: Cache, running: RunningExecutions, room: asyncio.Event) -> None:
    """While one user's slow executions fill the worker and another user's wait to be claimed, evict the former. Every
    quarter of a second:

    1. Do nothing while the worker has `room` or no execution waits for a slot.
    2. Find the user with the most executions that wait for a slot.
    3. Do nothing unless another user's executions wait in the queue.
    4. End the waiting ones: they leave with jobs of their own, behind the others.
    """
    while True:
        await asyncio.sleep(LOOK_FOR_ROOM)
        waiting: dict[int, int] = {}
        for execution in running:
            if execution.waits_for_slot:
                waiting[execution.owner] = waiting.get(execution.owner, 0) + 1
        if room.is_set() or not waiting:
            continue
        crowd = max(waiting, key=waiting.__getitem__)
        try:
            if not await _somebody_else_waits(state, cache, crowd):
                continue
        except Exception as error:  # noqa: BLE001 - the next round tries again
            log.warning("make_room.failed", error=str(error), kind=type(error).__name__)
            continue
        evicted = [execution for execution in running if execution.waits_for_slot and execution.owner == crowd]
        log.info("executor.crowded", user=crowd, executions=len(evicted))
        for execution in evicted:
            execution.end("crowded")


async def _somebody_else_waits(state: State, cache: Cache, user_id: int) -> bool:
    """Whether another user's events are next in the queue. Jobs of this user alone step back behind them."""
    pool = await state.database.pool()
    jobs = await queue.next_in_line(pool)
    areas = await cache.areas({area_id for ids in jobs.values() for area_id in ids})
    theirs = {area_id for area_id, area in areas.items() if area is None or area.user_id == user_id}
    crowd = [job_id for job_id, ids in jobs.items() if ids and theirs.issuperset(ids)]
    if crowd:
        await queue.step_back(pool, crowd, BULK)
    return len(crowd) < len(jobs)
