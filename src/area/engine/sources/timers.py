"""Timers: a planned firing becomes an event at its time. Their loop only uses the database, so no look at a vendor
delays it.

A timer fires like this:

1. If the planned time has passed, it triggers once, however many times were planned in between.
2. If AREA was down at the planned time (`Life.missed`) and the user chose to skip missed firings, it does not.
3. Compute the next planned time.
4. In one transaction that checks the lease, offer the event to the AREAs that watched before the planned time, and
   store the next one.
"""

import asyncio
from datetime import UTC

import structlog

from area.db.away import DatabaseAwayError, asking
from area.engine import metrics
from area.engine.sources.leases import SUBSCRIBERS, Leases, Superseded, Watched
from area.engine.sources.life import Life
from area.kit.clock import now
from area.sdk import Event, Timer
from area.sdk.timers import firing

log = structlog.get_logger()

SIDE_BY_SIDE = 4  # firings, each with a pooled connection


async def fire_all(leases: Leases, life: Life, sources: list[Watched]) -> None:
    """Fire these sources in order, `SIDE_BY_SIDE` at a time."""
    waiting = iter(sources)

    async def work() -> None:
        for source in waiting:
            await fire(leases, life, source)

    await asyncio.gather(*(work() for _ in range(min(SIDE_BY_SIDE, len(sources)))))


async def fire(leases: Leases, life: Life, source: Watched) -> None:
    """Fire a source if its time has come, and plan the next firing. Errors are recorded with the source."""
    service = source.action.service.slug
    try:
        with asking():
            await _fire(leases, life, source)
        metrics.polls.labels(service, "ok").inc()
    except Superseded:
        log.info("source.superseded", source=source.id)
    except DatabaseAwayError as error:
        leases.away(source, error)
    except Exception as error:  # noqa: BLE001 - a timer that can't be planned must not stop the others
        metrics.polls.labels(service, "failed").inc()
        await leases.failed(source, error)


async def _fire(leases: Leases, life: Life, source: Watched) -> None:
    """A late timer fires once, late. One missed because AREA was down does so too, or is skipped, as the user chose."""
    moment = now()
    planned = source.planned_at
    fires = planned is not None and planned <= moment
    pool = await leases.state.database.pool()
    if planned is not None and fires and isinstance(source.params, Timer) and source.params.missed == "skip":
        fires = not await life.missed(pool, planned, moment)
        if not fires:
            log.info("timer.missed", source=source.id, planned=planned.isoformat())
    upcoming = source.action.function(source.params, max(moment, planned or moment) if fires else moment)
    if planned is not None and planned > moment:
        upcoming = planned
    async with pool.acquire() as conn, conn.transaction():
        await leases.still_ours(conn, source)
        subscribers = await conn.fetch(SUBSCRIBERS, source.id)
        if not subscribers:
            await leases.looked(conn, source, None, begun=moment)
            return
        if fires and planned is not None:
            event = Event(id=planned.astimezone(UTC).isoformat(), data=firing(source.params, planned, moment))
            await leases.accept(conn, [row for row in subscribers if row["since"] < planned], [event])
        await leases.looked(conn, source, upcoming, planned=upcoming, begun=moment)
        await leases.count_for(conn, source, subscribers)
