"""Events to executions and jobs, in one transaction: none is acknowledged before, none is accepted twice.

`accept` describes the order. `lanes.py` commits events that arrive together in one go, with one job for the group.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from area.db import queue
from area.db.session import Conn
from area.engine import metrics
from area.kit.budget import MAX_EVENT
from area.kit.clock import now
from area.kit.sentences import Number, Sentence, SentenceError
from area.kit.text import clean_text
from area.runs.record import KEEP, RECORDS, Reason, RunRecord, as_rows

GROUP = 64  # members of one job
CARRIED = 32 * 1024  # bytes of data that a job carries; more is read from the execution

NORMAL, BULK = 0, -1  # priorities: an event of a user who floods waits behind everybody else's

ANY = "select id from areas where id = any($1::int[]) order by id for no key update"
SWITCHED_ON = "select id from areas where id = any($1::int[]) and is_active order by id for no key update"
KNOWN = (
    "select h.area_id, h.state_key, h.state_value from hook_states h"
    " join unnest($1::int[], $2::text[]) as o(area_id, key) on h.area_id = o.area_id and h.state_key = o.key"
)
REMEMBER = (
    "insert into hook_states (area_id, state_key, state_value, last_checked_at)"
    " select area_id, key, value, now() from unnest($1::int[], $2::text[], $3::text[]) as o(area_id, key, value)"
)
# counting first locks the AREA, and shows whether it still exists and is on
LIVE = """live as (
    update areas a set triggered_count = a.triggered_count + o.n, last_triggered_at = timezone('utc', now())
    from (select area, count(*) as n from unnest($1::int[]) as area group by area) o
    where a.id = o.area and a.is_active returning a.id
)"""
INSERT = f"""
with {LIVE} insert into area_executions (area_id, trigger_data)
select o.area, o.data::jsonb from unnest($1::int[], $2::text[]) with ordinality as o(area, data, n)
join live on live.id = o.area order by o.n returning id, area_id
"""  # noqa: S608 - of a constant
# the same, with their jobs, in one statement
ACCEPT = f"""
with {LIVE}, offered as (
    select o.area, o.data, o.priority, row_number() over (order by o.n) as n
    from unnest($1::int[], $2::text[], $3::int[]) with ordinality as o(area, data, priority, n)
    join live on live.id = o.area
), fresh as (
    insert into area_executions (area_id, trigger_data) select area, data::jsonb from offered order by n
    returning id, area_id
), members as (
    select f.id, o.priority, (row_number() over (partition by o.priority order by f.id) - 1) / {GROUP} as part,
        f.id || ' ' || o.area || ' ' || case when octet_length(o.data) <= {CARRIED} then o.data else '' end as line
    from (select id, row_number() over (order by id) as n from fresh) f join offered o using (n)
), {queue.ENQUEUE_MEMBERS}
select id, area_id from fresh
"""  # noqa: S608 - of constants
# a skipped event is not a run: it is neither counted nor enqueued
SKIP = (
    "insert into area_executions (area_id, status, trigger_data, error_message, completed_at, execution_time_ms)"
    " select o.area, 'skipped', o.data::jsonb, o.why, timezone('utc', now()), 0"
    " from unnest($1::int[], $2::text[], $3::text[]) with ordinality as o(area, data, why, n)"
    " join areas a on a.id = o.area order by o.n returning id, area_id"
)
RECORD = KEEP + RECORDS.format("$1")
OWN_JOB = (
    "insert into execution_jobs (execution_id, job_id, reason, due_at)"
    " select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::timestamptz[])"
    " on conflict (execution_id)"
    " do update set job_id = excluded.job_id, reason = excluded.reason, due_at = excluded.due_at"
)


class EventTooLargeError(SentenceError):
    """An event of more than `MAX_EVENT` bytes. The message is for its sender."""


def check_size(data: bytes) -> None:
    """Raises `EventTooLargeError` if an event's JSON is too large."""
    if len(data) > MAX_EVENT:
        raise EventTooLargeError(
            Sentence(
                "This event has %(size)s bytes; the limit is %(most)s. Send less, or select a part of it.",
                size=Number(len(data)),
                most=Number(MAX_EVENT),
            )
        )


@dataclass(slots=True)
class Offer:
    """One event for one AREA. `data` is JSON text. Events without an `event_id` are never recognized as duplicates.

    With a `record` (of a chain), the execution gets its own job for the `reason`. With `skipped`, the execution is only
    recorded, with that sentence, whether its AREA is on or off. Raises `EventTooLargeError`.
    """

    area_id: int
    event_id: str
    data: bytes
    priority: int = NORMAL
    record: RunRecord | None = None
    reason: Reason = "chain"
    skipped: str = ""

    def __post_init__(self) -> None:
        check_size(self.data)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of an offer: its execution. `known`: it had been accepted before."""

    execution_id: int | None
    known: bool = False


REFUSED = Accepted(None)  # the AREA is gone or switched off


@dataclass(slots=True)
class LaterJob:
    """An execution that gets its own job."""

    execution_id: int
    due: datetime
    reason: Reason
    priority: int = NORMAL


def state_key(event_id: str) -> str:
    """The event's key in `hook_states`. Long ids are hashed, and characters that PostgreSQL can't store are
    replaced.
    """
    key = f"event:{clean_text(event_id)}"
    return key if len(key) <= 255 else f"event:sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def is_simple(offers: Sequence[Offer]) -> bool:
    """Whether `accept` is a single statement, which needs no transaction around it."""
    return not any(offer.event_id or offer.record or offer.skipped for offer in offers)


async def accept(conn: Conn, offers: Sequence[Offer], *, locked: bool = False) -> list[Accepted]:
    """Accept offers, in the caller's transaction. Returns what became of each, in their order. `locked`: the caller has
    locked their AREAs.

    1. Record the offers that must not run as skipped (`_skip`).
    2. Lock the AREAs that are on, and drop the events they know already (`_drop_known`).
    3. Insert an execution for each remaining offer whose AREA is on, count it with the AREA, and enqueue jobs, one for
       each group of `GROUP` (`ACCEPT`).
    4. Do the same for those with a record, but store that, and enqueue a job for each (`_accept_recorded`).
    5. Remember the ids of their events (`_remember`).
    """
    outcome: list[Accepted] = [REFUSED] * len(offers)
    skipped = [(place, offer) for place, offer in enumerate(offers) if offer.skipped]
    if skipped:
        await _skip(conn, skipped, outcome)
    waiting = [(place, offer) for place, offer in enumerate(offers) if not offer.skipped]
    if any(offer.event_id for _, offer in waiting):
        waiting = await _drop_known(conn, waiting, outcome, None if locked else SWITCHED_ON)
    plain = [(place, offer) for place, offer in waiting if not offer.record]
    if plain:
        rows = await conn.fetch(
            ACCEPT,
            [offer.area_id for _, offer in plain],
            [offer.data.decode() for _, offer in plain],
            [offer.priority for _, offer in plain],
        )
        metrics.accepted.inc(len(await _remember(conn, plain, rows, outcome)))
    if len(plain) < len(waiting):
        await _accept_recorded(conn, [(place, offer) for place, offer in waiting if offer.record], outcome)
    return outcome


async def _accept_recorded(conn: Conn, offers: list[tuple[int, Offer]], outcome: list[Accepted]) -> None:
    """Accept offers that have a record."""
    rows = await conn.fetch(
        INSERT, [offer.area_id for _, offer in offers], [offer.data.decode() for _, offer in offers]
    )
    taken = await _remember(conn, offers, rows, outcome)
    records = as_rows({execution_id: offer.record for offer, execution_id in taken if offer.record})
    if records:
        await conn.execute(RECORD, records)
    moment = now()
    jobs = [LaterJob(execution_id, moment, offer.reason, offer.priority) for offer, execution_id in taken]
    if jobs:
        await enqueue_later(conn, jobs)
    metrics.accepted.inc(len(taken))


async def _skip(conn: Conn, offers: list[tuple[int, Offer]], outcome: list[Accepted]) -> None:
    """Record offers that must not run, unless their events are known."""
    fresh = await _drop_known(conn, offers, outcome, ANY)
    if fresh:
        areas, data = [offer.area_id for _, offer in fresh], [offer.data.decode() for _, offer in fresh]
        rows = await conn.fetch(SKIP, areas, data, [offer.skipped for _, offer in fresh])
        await _remember(conn, fresh, rows, outcome)


async def _remember(
    conn: Conn, offers: list[tuple[int, Offer]], rows: list[asyncpg.Record], outcome: list[Accepted]
) -> list[tuple[Offer, int]]:
    """Match offers, in order, with the executions inserted for them, and remember their events' ids."""
    live = {row[1] for row in rows}
    ids = sorted(row[0] for row in rows)
    taken = []
    for (place, offer), execution_id in zip((pair for pair in offers if pair[1].area_id in live), ids, strict=True):
        outcome[place] = Accepted(execution_id)
        taken.append((offer, execution_id))
    named = [(offer, execution_id) for offer, execution_id in taken if offer.event_id]
    if named:
        await conn.execute(
            REMEMBER,
            [offer.area_id for offer, _ in named],
            [state_key(offer.event_id) for offer, _ in named],
            [str(execution_id) for _, execution_id in named],
        )
    return taken


async def _drop_known(
    conn: Conn, offers: list[tuple[int, Offer]], outcome: list[Accepted], lock: str | None
) -> list[tuple[int, Offer]]:
    """Lock the AREAs, if a `lock` is given, and drop events they know already or that are offered twice at once."""
    if lock is not None:
        await conn.fetch(lock, sorted({offer.area_id for _, offer in offers}))
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


async def enqueue_later(conn: Conn, jobs: Sequence[LaterJob]) -> None:
    """Give executions jobs of their own, in the caller's transaction. A former job of an execution is superseded."""
    moment = now()
    job_ids = await queue.enqueue(
        conn,
        queue.LATER,
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
