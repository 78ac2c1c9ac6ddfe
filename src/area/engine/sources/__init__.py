"""Events that AREA fetches itself: due polls and timers, and running listeners.

Each worker runs `Sources`. It has one loop per lane: polls and subscriptions (I/O), timers (database only) and
listeners. A loop does this:

1. Read which sources of the lane are due and free (`turns.waiting`).
2. Choose among them so that users take turns within their shares of the slots (`turns.in_turn`).
3. Claim the chosen ones by a lease (`Leases.claim`).
4. Start a task for each: `polls.look` or `listeners.listen`. Timers fire within the loop (`timers.fire_all`).
5. Wait until a task ends, a notification arrives or the next source is due, for at most a second, and start over.

Beside them `_renew` extends the leases every eight seconds.

The events of a look are committed together with the source's own memory (cursor, known ids, next due time), in one
transaction that checks the lease. So a crash repeats a look and never skips one, and a worker that lost its lease
changes nothing. AREAs that watch the same thing share one source: one fetch serves them all.
"""

import asyncio
import contextlib
import functools
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

import structlog

from area.areas.triggers import Lane
from area.connections.vault import Ref
from area.db.away import is_away
from area.engine import hints, metrics
from area.engine.cache import Cache
from area.engine.sources import turns
from area.engine.sources.leases import (
    AGAIN,
    LEASE,
    RELEASE,
    RENEW,
    REST,
    REVIVE,
    STAND,
    STEADY,
    SUBSCRIBERS,
    Leases,
    Watched,
    stale_after,
)
from area.engine.sources.life import Life
from area.engine.sources.listeners import listen
from area.engine.sources.polls import look
from area.engine.sources.timers import fire_all
from area.engine.state import State
from area.kit.clock import now
from area.kit.fair import user, working_for

log = structlog.get_logger()

RENEW_EVERY = 8.0  # seconds
STANDS_EVERY = timedelta(minutes=1)  # for listeners without events
TICK = 1.0  # seconds between two looks for due sources, at most
BREATH = 0.02  # seconds between two claims, at least
POLLS = turns.Slots(50, 10, 40)
LISTENERS = turns.Slots(2000, 400, 1000)
TIMERS = turns.Slots(64, 64)  # per claim

Work: TypeAlias = Callable[[Leases, Watched], Coroutine[Any, Any, None]]


@dataclass
class Sources:
    """The sources that one worker holds."""

    state: State
    cache: Cache
    leases: Leases = field(init=False)
    life: Life = field(init=False)
    _tasks: dict[Lane, dict[int, asyncio.Task[None]]] = field(
        default_factory=lambda: {"poll": {}, "timer": {}, "listen": {}}
    )
    _held: dict[int, Watched] = field(default_factory=dict)
    _wake: dict[Lane, asyncio.Event] = field(
        default_factory=lambda: {"poll": asyncio.Event(), "timer": asyncio.Event(), "listen": asyncio.Event()}
    )

    _claiming: asyncio.Lock = field(default_factory=asyncio.Lock)  # held until claimed sources are in `_held`

    def __post_init__(self) -> None:
        self.leases = Leases(self.state, self.cache)
        self.life = Life(self.owner)

    @property
    def owner(self) -> str:
        """The name under which this worker holds its leases."""
        return self.leases.owner

    def wake(self) -> None:
        """Look for due sources now: something may be due earlier than expected."""
        for event in self._wake.values():
            event.set()

    async def run(self) -> None:
        """Claim and run due sources, forever."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self.life.run(), name="life")
            loops.create_task(self._renew(), name="leases")
            loops.create_task(self._claim("timer", self._fire_due), name="timers")
            loops.create_task(self._claim("poll", functools.partial(self._start_due, "poll", look, POLLS)))
            loops.create_task(self._claim("listen", functools.partial(self._start_due, "listen", listen, LISTENERS)))

    async def stop(self) -> None:
        """Cancel all looks and listeners, and release their leases."""
        tasks = [task for lane in self._tasks.values() for task in lane.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            pool = await self.state.database.pool()
            await self.life.tell(pool)
            await pool.execute(RELEASE, self.owner)
        except Exception as error:  # noqa: BLE001 - the leases expire anyway
            log.warning("sources.not_released", error=str(error))

    # Claiming

    async def _claim(self, lane: Lane, start_due: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        """Run one lane's loop: start what is due (`start_due` returns whether anything was), then wait for more."""
        wake = self._wake[lane]
        while True:
            wake.clear()
            try:
                async with self._claiming:
                    await self.leases.free_unknown(list(self._held))
                pause = BREATH if await start_due() else await self._until_next(lane)
            except Exception as error:  # if this loop ended, the lane would stop
                if not is_away(error):
                    log.exception("sources.bug", lane=lane)
                log.warning("sources.waiting", lane=lane, error=str(error))
                pause, self.leases.unsure = TICK, True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await wake.wait()

    async def _until_next(self, lane: Lane) -> float:
        pool = await self.state.database.pool()
        due = await pool.fetchval(turns.NEXT, lane)
        if due is None:
            return TICK
        return min(TICK, max(BREATH, float((due - now()).total_seconds())))

    async def _fire_due(self) -> bool:
        due = await turns.waiting(await self.state.database.pool(), "timer")
        ids, _ = turns.in_turn(due, {}, 0, TIMERS)
        if not ids:
            return False
        async with self._claiming:
            claimed = {source.id: source for source in await self.leases.claim(ids, "timer")}
            self._held |= claimed
        order = [claimed[number] for number in ids if number in claimed]
        for source in order:
            _late(source)
        try:
            await fire_all(self.leases, self.life, order)
        finally:
            for number in claimed:
                self._held.pop(number, None)
        return bool(claimed)

    async def _start_due(self, lane: Lane, work: Work, slots: turns.Slots) -> bool:
        tasks = self._tasks[lane]
        sources = [self._held[number] for number in tasks]
        held = Counter(source.share_of for source in sources if not source.lent)
        lent = sum(source.lent for source in sources)
        if held.total() >= slots.all and lent >= slots.lent:
            return False  # a task that ends wakes this loop
        due = await turns.waiting(await self.state.database.pool(), lane)
        due = [source for source in due if source.id not in tasks]  # else its last look is just ending
        own, beyond = turns.in_turn(due, held, lent, slots)
        if not own and not beyond:
            return False
        users = {source.id: source.user_id for source in due}
        async with self._claiming:
            claimed = await self.leases.claim([*own, *beyond], lane)
            for source in claimed:
                source.share_of, source.lent = users[source.id], source.id in beyond
                with working_for(user(source.share_of)):
                    task = asyncio.create_task(work(self.leases, source), name=f"source-{source.id}")
                tasks[source.id], self._held[source.id] = task, source
                task.add_done_callback(functools.partial(self._ended, lane, source.id))
                _late(source)
        return bool(claimed)

    def _ended(self, lane: Lane, number: int, _: asyncio.Task[None]) -> None:
        self._tasks[lane].pop(number, None)
        self._held.pop(number, None)
        self._wake[lane].set()

    # From outside

    async def revive(self) -> None:
        """Make resting sources due again that an active AREA watches."""
        pool = await self.state.database.pool()
        await pool.execute(REVIVE)
        self.wake()

    async def tidy(self) -> None:
        """End the listeners that no active AREA needs."""
        pool = await self.state.database.pool()
        for number, task in list(self._tasks["listen"].items()):
            if not await pool.fetch(SUBSCRIBERS, number):
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await pool.execute(REST, number, self.owner)

    async def reconnect(self, ref: Ref) -> None:
        """A connection changed: restart its listeners, and retry the sources that failed because of it."""
        listeners = self._tasks["listen"]
        for number, source in list(self._held.items()):
            used = (
                None if source.user_id is None else Ref(source.user_id, source.action.service.slug, source.connection)
            )
            if used == ref and number in listeners:
                listeners[number].cancel()
        pool = await self.state.database.pool()
        service = self.state.registry.services[ref.slug].name
        await pool.execute(AGAIN, ref.user_id, service, ref.number)
        await pool.execute(hints.AGAIN, ref.user_id, service, ref.number)
        self.wake()

    # Leases

    async def _renew(self) -> None:
        """Keep the leases of sources whose work takes long. Every eight seconds:

        1. Record that this worker is alive.
        2. Extend the leases of all held sources.
        3. Clear the failures of listeners that have been open since the last round; once a minute, record where they
           stand.
        4. End the listeners that no AREA needs.
        5. Cancel the tasks whose lease is lost.
        """
        before: set[int] = set()
        recorded = -STANDS_EVERY.total_seconds()
        while True:
            try:
                pool = await self.state.database.pool()
                await self.life.tell(pool)
                held = {**self._tasks["poll"], **self._tasks["listen"]}
                renewed = {row[0] for row in await pool.fetch(RENEW, list(self._held), self.owner, LEASE)}
                steady = [number for number in self._tasks["listen"] if number in before]
                await pool.execute(STEADY, steady, self.owner)
                if steady and time.monotonic() - recorded > STANDS_EVERY.total_seconds():
                    recorded = time.monotonic()
                    await pool.execute(STAND, steady, stale_after(2 * STANDS_EVERY), False, None)
                before = set(self._tasks["listen"])
                await self.tidy()
                for number, task in held.items():
                    if number not in renewed and not task.done():
                        log.warning("source.lease_lost", source=number)
                        task.cancel()
            except Exception as error:  # noqa: BLE001 - without this loop all leases would expire
                log.warning("sources.not_renewed", error=str(error), kind=type(error).__name__)
            await asyncio.sleep(RENEW_EVERY)


def _late(source: Watched) -> None:
    metrics.poll_lag.observe(max(0.0, (now() - source.due_at).total_seconds()))
