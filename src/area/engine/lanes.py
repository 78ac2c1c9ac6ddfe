"""Group commit for events that arrive one by one: those that arrive together are one transaction.

There are two lanes, each with its own connection. Large events, and events of AREAs whose row is locked, take the
second, so that nobody else waits for them.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import asyncpg
import structlog
from cachetools import TTLCache

from area.db.away import is_away
from area.db.session import Conn
from area.engine.intake import Accepted, Offer, accept, is_simple
from area.engine.load import Load

log = structlog.get_logger()

GATHER = 256  # events per commit
GATHER_BYTES = 512 * 1024  # of data per commit
WINDOW = 0.003  # seconds to wait for more, after a group of more than `CROWD`, while more keeps coming
STEP = 0.0005
WIDE_WINDOW = 0.03  # while workers are behind: larger groups cost less, and there is no hurry
CROWD = 4
RETRIES = 5  # of a transaction after a deadlock
LARGE = 64 * 1024  # bytes of an event's data
LOCKED_FOR = 1.0  # seconds that an AREA is assumed locked after it was
PATIENCE = 5.0  # seconds that an event waits for a locked row
AGAIN = 0.1
REMEMBERED = 10_000  # AREAs
LIMITS = {"lock_timeout": "50ms", "statement_timeout": "5s", "idle_in_transaction_session_timeout": "10s"}

FREE = "select id from areas where id = any($1::int[]) for no key update skip locked"


@dataclass(slots=True)
class Waiting:
    """An event that waits for its commit."""

    offer: Offer
    since: float = field(default_factory=time.monotonic)
    done: "asyncio.Future[Accepted]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def settle(self, accepted: Accepted) -> None:
        """The event is committed."""
        if not self.done.done():
            self.done.set_result(accepted)

    def fail(self, error: Exception) -> None:
        """The event is not committed."""
        if not self.done.done():
            self.done.set_exception(error)


class Intake:
    """`take` returns once its event is committed. How many wait is bounded by the callers."""

    def __init__(self, dsn: str, load: Load | None = None) -> None:
        load = load or Load()
        self._quick = Lane(dsn, load, self._is_locked)
        self._slow = Lane(dsn, load, self._is_locked)
        self._locked: TTLCache[int, None] = TTLCache(REMEMBERED, LOCKED_FOR, time.monotonic)

    async def take(self, offer: Offer) -> Accepted:
        """Commit one event. Raises the database's error if it can't be committed."""
        waiting = Waiting(offer)
        slow = len(offer.data) > LARGE or offer.area_id in self._locked
        (self._slow if slow else self._quick).put(waiting)
        return await waiting.done

    @property
    def depth(self) -> int:
        """Events that wait for a commit."""
        return self._quick.depth + self._slow.depth

    def start(self) -> None:
        """Start committing."""
        self._quick.start("intake")
        self._slow.start("intake-slow")

    async def stop(self) -> None:
        """Commit what waits, then stop."""
        await asyncio.gather(self._quick.stop(), self._slow.stop())

    def _is_locked(self, waiting: Waiting) -> None:
        """The AREA's row is locked: retry in the slow lane, for up to `PATIENCE` seconds."""
        moment = time.monotonic()
        self._locked[waiting.offer.area_id] = None
        if moment - waiting.since > PATIENCE:
            waiting.fail(asyncpg.LockNotAvailableError("the AREA is locked"))
        else:
            asyncio.get_running_loop().call_later(AGAIN, self._slow.put, waiting)


class Lane:
    """Commits one group after another. `locked` is called with each event that a lock blocks."""

    def __init__(self, dsn: str, load: Load, locked: Callable[[Waiting], None]) -> None:
        self._dsn = dsn
        self._load = load
        self._locked = locked
        self._queue: deque[Waiting] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._conn: asyncpg.Connection[asyncpg.Record] | None = None

    @property
    def depth(self) -> int:
        """Events that wait for a commit."""
        return len(self._queue)

    def put(self, waiting: Waiting) -> None:
        """Queue an event. Fails it if the lane has stopped."""
        if self._task is None or self._task.done():
            waiting.fail(ConnectionError("The server is stopping."))
        else:
            self._queue.append(waiting)
            self._wake.set()

    def start(self, name: str) -> None:
        """Start committing."""
        self._task = asyncio.create_task(self._run(), name=name)

    async def stop(self) -> None:
        """Commit what waits, then stop."""
        while self._task and not self._task.done() and self._queue:
            await asyncio.sleep(0.01)
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        last = 0
        try:
            while True:
                while not self._queue:
                    self._wake.clear()
                    await self._wake.wait()
                group = [self._queue.popleft()]
                if last > CROWD:
                    await self._gather()
                size = len(group[0].offer.data)
                while len(group) < GATHER and size < GATHER_BYTES and self._queue:
                    group.append(self._queue.popleft())
                    size += len(group[-1].offer.data)
                last = len(group)
                await self._settle(group)
        finally:
            while self._queue:
                self._queue.popleft().fail(ConnectionError("The server is stopping."))
            if self._conn is not None:
                self._conn.terminate()

    async def _gather(self) -> None:
        """Wait for more events, as long as they keep coming."""
        if self._load.behind:
            await asyncio.sleep(WIDE_WINDOW)
            return
        for _ in range(round(WINDOW / STEP)):
            before = len(self._queue)
            await asyncio.sleep(STEP)
            if len(self._queue) == before:
                return

    async def _settle(self, group: list[Waiting]) -> None:
        """Commit a group, and settle or fail each event."""
        try:
            if self._conn is None or self._conn.is_closed():
                self._conn = await asyncpg.connect(self._dsn, timeout=5, server_settings=LIMITS)
            try:
                outcome = await self._commit(self._conn, [waiting.offer for waiting in group])
            except asyncpg.LockNotAvailableError:
                await self._without_locked(self._conn, group)
                return
        except Exception as error:  # noqa: BLE001 - if this loop ended, every webhook would wait
            if len(group) > 1 and not is_away(error):
                for waiting in group:  # one of them can't be stored: let the others through
                    await self._settle([waiting])
                return
            log.warning("intake.failed", events=len(group), error=str(error), kind=type(error).__name__)
            for waiting in group:
                waiting.fail(error)
            if self._conn is not None:
                self._conn.terminate()
                self._conn = None
            return
        for waiting, accepted in zip(group, outcome, strict=True):
            waiting.settle(accepted)

    async def _without_locked(self, conn: Conn, group: list[Waiting]) -> None:
        """Commit the events of a group whose AREAs are not locked."""
        free = {row[0] for row in await conn.fetch(FREE, sorted({waiting.offer.area_id for waiting in group}))}
        left = [waiting for waiting in group if waiting.offer.area_id in free]
        if len(left) == len(group):  # it was just unlocked, or it was another lock: going one by one shows which event
            left = group[1:] if len(group) > 1 else []
            self._locked(group[0])
        else:
            for waiting in group:
                if waiting.offer.area_id not in free:
                    self._locked(waiting)
        if left:
            await self._settle(left)

    async def _commit(self, conn: Conn, offers: list[Offer]) -> list[Accepted]:
        for attempt in range(RETRIES):
            try:
                return await self._accept(conn, offers)
            except asyncpg.DeadlockDetectedError:
                log.info("intake.deadlock", attempt=attempt, events=len(offers))
        return await self._accept(conn, offers)

    async def _accept(self, conn: Conn, offers: list[Offer]) -> list[Accepted]:
        if is_simple(offers):
            return await accept(conn, offers)
        async with conn.transaction():
            return await accept(conn, offers)
