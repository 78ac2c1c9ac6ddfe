"""Events to executions and jobs, in one transaction: nothing is acknowledged before, nothing is accepted twice.

Order inside the transaction: lock the AREAs that are switched on, drop the event ids that are known, insert the executions,
remember the ids, enqueue the jobs. Events that arrive together are one commit with one job for the group.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import asyncpg
import structlog
from pgqueuer import Queries
from pgqueuer.db import AsyncpgDriver

from area.db.session import Conn
from area.engine import metrics
from area.engine.away import is_away
from area.kit.clock import now
from area.kit.text import clean_text, dump_json

log = structlog.get_logger()

GROUP = 64  # members of one job
GATHER = 256  # events of one commit
WINDOW = 0.003  # seconds to wait for more, once more than `CROWD` came together
CROWD = 4
CARRIED = 32 * 1024  # bytes of data that a job carries by itself; more is read from the execution
RETRIES = 5  # of a transaction that met a deadlock

EXECUTE = "execute"  # a group of fresh executions: b"<id> <area> <data>" lines
LATER = "later"  # one execution by itself: b"<id>"
NORMAL, BULK = 0, -1  # priorities: an event of a user who floods waits behind everybody else's

SWITCHED_ON = "select id from areas where id = any($1::int[]) and is_active order by id for no key update"
KNOWN = (
    "select h.area_id, h.state_key, h.state_value from hook_states h"
    " join unnest($1::int[], $2::text[]) as o(area_id, key) on h.area_id = o.area_id and h.state_key = o.key"
)
REMEMBER = (
    "insert into hook_states (area_id, state_key, state_value, last_checked_at)"
    " select area_id, key, value, now() from unnest($1::int[], $2::text[], $3::text[]) as o(area_id, key, value)"
)
# counting first locks the AREA, and tells at once whether it is still there and switched on
INSERT = (
    "with live as (update areas a set triggered_count = a.triggered_count + o.n, last_triggered_at = timezone('utc', now())"
    " from (select area, count(*) as n from unnest($1::int[]) as area group by area) o"
    " where a.id = o.area and a.is_active returning a.id)"
    " insert into area_executions (area_id, trigger_data, execution_result)"
    " select o.area, o.data::jsonb, o.result::jsonb"
    " from unnest($1::int[], $2::text[], $3::text[]) with ordinality as o(area, data, result, n)"
    " join live on live.id = o.area order by o.n returning id, area_id"
)
OWN_JOB = (
    "insert into execution_jobs (execution_id, job_id, reason, due_at)"
    " select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::timestamptz[])"
    " on conflict (execution_id) do update set job_id = excluded.job_id, reason = excluded.reason, due_at = excluded.due_at"
)


@dataclass(slots=True)
class Offer:
    """One event for one AREA. `data` is JSON text; an empty `event_id`: there is nothing to know it by again.

    `result` is what its execution begins with (a chain), and gives it a job of its own for the `reason`.
    """

    area_id: int
    event_id: str
    data: bytes
    priority: int = NORMAL
    result: dict[str, Any] | None = None
    reason: str = "chain"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of an offer: its execution; `known` when it had been accepted before."""

    execution_id: int | None
    known: bool = False


REFUSED = Accepted(None)  # the AREA is gone or switched off


@dataclass(slots=True)
class LaterJob:
    """An execution that gets a job of its own."""

    execution_id: int
    due: datetime
    reason: str
    priority: int = NORMAL


def _queries(conn: Conn) -> Queries:
    """PgQueuer's statements on the caller's connection, inside its transaction."""
    return Queries(AsyncpgDriver(cast("asyncpg.Connection[asyncpg.Record]", conn)))


def state_key(event_id: str) -> str:
    """The event's key in `hook_states`; a long id is hashed, and what PostgreSQL can't hold replaced."""
    key = f"event:{clean_text(event_id)}"
    return key if len(key) <= 255 else f"event:sha256:{hashlib.sha256(key.encode()).hexdigest()}"


async def accept(conn: Conn, offers: Sequence[Offer]) -> list[Accepted]:
    """Take offers in, in order; the caller holds the transaction. Returns what became of each."""
    outcome: list[Accepted] = [REFUSED] * len(offers)
    waiting = list(enumerate(offers))
    if any(offer.event_id for offer in offers):
        waiting = await _drop_known(conn, waiting, outcome)
    if not waiting:
        return outcome
    rows = await conn.fetch(
        INSERT,
        [offer.area_id for _, offer in waiting],
        [offer.data.decode() for _, offer in waiting],
        [dump_json(offer.result).decode() if offer.result else None for _, offer in waiting],
    )
    live = {row[1] for row in rows}
    taken = [pair for pair in waiting if pair[1].area_id in live]
    ids = sorted(row[0] for row in rows)
    for (place, _), execution_id in zip(taken, ids, strict=True):
        outcome[place] = Accepted(execution_id)
    named = [(offer, execution_id) for (_, offer), execution_id in zip(taken, ids, strict=True) if offer.event_id]
    if named:
        await conn.execute(
            REMEMBER,
            [offer.area_id for offer, _ in named],
            [state_key(offer.event_id) for offer, _ in named],
            [str(execution_id) for _, execution_id in named],
        )
    await _enqueue(conn, [offer for _, offer in taken], ids)
    metrics.accepted.inc(len(ids))
    return outcome


async def _drop_known(conn: Conn, offers: list[tuple[int, Offer]], outcome: list[Accepted]) -> list[tuple[int, Offer]]:
    """Lock the AREAs, and leave out what they know already, and what is offered twice in one go."""
    await conn.fetch(SWITCHED_ON, sorted({offer.area_id for _, offer in offers}))
    named = [(offer.area_id, state_key(offer.event_id)) for _, offer in offers if offer.event_id]
    rows = await conn.fetch(KNOWN, [area for area, _ in named], [key for _, key in named])
    known: dict[tuple[int, str], str | None] = {(row[0], row[1]): row[2] for row in rows}
    fresh = []
    for place, offer in offers:
        if not offer.event_id:
            fresh.append((place, offer))
            continue
        key = (offer.area_id, state_key(offer.event_id))
        if key in known:
            first = known[key]
            outcome[place] = Accepted(int(first) if first else None, known=True)
            continue
        known[key] = None
        fresh.append((place, offer))
    return fresh


async def _enqueue(conn: Conn, offers: list[Offer], ids: list[int]) -> None:
    """One job for each group of what runs now, and one for each execution that waits or is special."""
    later = [
        LaterJob(execution_id, now(), offer.reason, offer.priority)
        for offer, execution_id in zip(offers, ids, strict=True)
        if offer.result
    ]
    lines: dict[int, list[bytes]] = {NORMAL: [], BULK: []}
    for offer, execution_id in zip(offers, ids, strict=True):
        if not offer.result:
            data = offer.data if len(offer.data) <= CARRIED else b""
            lines[offer.priority].append(b"%d %d %b" % (execution_id, offer.area_id, data))
    jobs = [
        (b"\n".join(members[start : start + GROUP]), priority)
        for priority, members in lines.items()
        for start in range(0, len(members), GROUP)
    ]
    if jobs:
        queries = _queries(conn)
        await queries.enqueue([EXECUTE] * len(jobs), [job[0] for job in jobs], [job[1] for job in jobs])
    if later:
        await enqueue_later(conn, later)


async def enqueue_later(conn: Conn, jobs: Sequence[LaterJob]) -> None:
    """Give executions jobs of their own, in the caller's transaction; a former one is superseded."""
    queries = _queries(conn)
    moment = now()
    job_ids = await queries.enqueue(
        [LATER] * len(jobs),
        [b"%d" % job.execution_id for job in jobs],
        [job.priority for job in jobs],
        [max(job.due - moment, moment - moment) for job in jobs],
    )
    await conn.execute(
        OWN_JOB,
        [job.execution_id for job in jobs],
        job_ids,
        [job.reason for job in jobs],
        [job.due for job in jobs],
    )


@dataclass(slots=True)
class _Waiting:
    offer: Offer
    done: "asyncio.Future[Accepted]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Intake:
    """Group commit for what arrives one by one, on a connection of its own. `take` returns once its event is committed."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._conn: asyncpg.Connection[asyncpg.Record] | None = None

    async def take(self, offer: Offer) -> Accepted:
        """Hand over one event. Raises the database's error when it could not be committed."""
        waiting = _Waiting(offer)
        self._queue.put_nowait(waiting)
        return await waiting.done

    @property
    def depth(self) -> int:
        """Events that wait for a commit."""
        return self._queue.qsize()

    def start(self) -> None:
        """Begin to commit."""
        self._task = asyncio.create_task(self._run(), name="intake")

    async def stop(self) -> None:
        """Commit what waits, then stop."""
        while self._task and not self._task.done() and not self._queue.empty():
            await asyncio.sleep(0.01)
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        last = 0
        try:
            while True:
                group = [await self._queue.get()]
                if last > CROWD:
                    await asyncio.sleep(WINDOW)
                while len(group) < GATHER and not self._queue.empty():
                    group.append(self._queue.get_nowait())
                last = len(group)
                await self._settle(group)
        finally:
            while not self._queue.empty():
                _fail(self._queue.get_nowait(), ConnectionError("The server is stopping."))
            if self._conn is not None:
                self._conn.terminate()

    async def _settle(self, group: list[_Waiting]) -> None:
        """Commit a group, and tell each what became of it."""
        try:
            if self._conn is None or self._conn.is_closed():
                self._conn = await asyncpg.connect(self._dsn, timeout=5)
            outcome = await self._commit(self._conn, [waiting.offer for waiting in group])
        except Exception as error:  # noqa: BLE001 - this loop must not end: every webhook would wait for it
            if len(group) > 1 and not is_away(error):
                for waiting in group:  # one of them can't be stored: let the others through
                    await self._settle([waiting])
                return
            log.warning("intake.failed", events=len(group), error=str(error), kind=type(error).__name__)
            for waiting in group:
                _fail(waiting, error)
            if self._conn is not None:
                self._conn.terminate()
                self._conn = None
            return
        for waiting, accepted in zip(group, outcome, strict=True):
            if not waiting.done.done():
                waiting.done.set_result(accepted)

    async def _commit(self, conn: Conn, offers: list[Offer]) -> list[Accepted]:
        for attempt in range(RETRIES):
            try:
                async with conn.transaction():
                    return await accept(conn, offers)
            except asyncpg.DeadlockDetectedError:
                log.info("intake.deadlock", attempt=attempt, events=len(offers))
        async with conn.transaction():
            return await accept(conn, offers)


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(error)


def utc(moment: datetime) -> datetime:
    """An aware time as the seed's columns without zone hold it."""
    return moment.astimezone(UTC).replace(tzinfo=None)
