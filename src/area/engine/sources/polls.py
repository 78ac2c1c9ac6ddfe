"""One look at a polled source, or at a subscription for an AREA's webhook. Both do I/O.

A poll goes like this:

1. If no active AREA watches the source, unsubscribe from its hints and let it rest.
2. Open the connection (`Leases.context`).
3. Where the vendor can send hints, subscribe to them or renew; with working hints the next look is later (`_pause`).
4. Ask the connector for its items since the last look (`_collect`), at most `MOST_EVENTS`.
5. Leave out the ids that are known (`sdk.dedupe.fresh`). The first look only remembers what is there and brings no
   events.
6. In one transaction that checks the lease, offer the events to the AREAs and store the memory and the next due time
   (`_looked`).

An error at any step is stored with the source, which is due again after a growing pause (`Leases.failed`).
"""

import asyncio
import contextlib
import random
from datetime import datetime, timedelta
from typing import Any

import structlog

from area.db.away import DatabaseAwayError, asking
from area.engine import hints, metrics, subscriptions
from area.engine.sources.leases import LOOK_LIMIT, WATCHERS, Leases, Superseded, Watched, stale_after
from area.kit.clock import now
from area.sdk import AuthExpired, Context, Event, Hook, Retry
from area.sdk.dedupe import Seen, fresh

log = structlog.get_logger()

MOST_EVENTS = 10_000  # per poll, known ones included; more means a malformed source
EXISTS = "select exists (select from sources where id = $1)"
BASELINED = "update triggers set baseline = false where source_id = $1 and baseline and since <= $2"


async def look(leases: Leases, source: Watched) -> None:
    """Poll the source or settle its subscription once, and store the result or the error."""
    service = source.action.service.slug
    try:
        await (_subscribe if source.action.kind == "webhook" else _poll)(leases, source)
        metrics.polls.labels(service, "ok").inc()
    except Superseded:
        log.info("source.superseded", source=source.id)
    except DatabaseAwayError as error:
        leases.away(source, error)
    except Exception as error:  # noqa: BLE001 - a connector's error must not end the worker
        metrics.polls.labels(service, "failed").inc()
        await leases.failed(source, error)


async def _poll(leases: Leases, source: Watched) -> None:
    with asking():
        anybody = await leases.anybody(source)
    if not anybody:
        await _end_hint(leases, source)
        with asking():
            await leases.rest(source)
        return
    with asking():
        context = await leases.context(source)
    pause = await _pause(leases, source, context)
    begun, events, seen = now(), [], source.seen
    offered = await _collect(source, context, begun)
    if offered or seen is None:
        new, seen = fresh(offered, seen or Seen(begun), begun, source.action.overlap)
        events = new if source.seen is not None else []
    with asking():
        await _looked(leases, source, begun + pause, begun, events, seen if seen is not source.seen else None)


async def _pause(leases: Leases, source: Watched, context: Context) -> timedelta:
    """How long to wait after this look. Subscribes to the vendor's hints first, where there are any."""
    state, every = leases.state, source.action.every or timedelta(minutes=5)
    if source.action.hint is not None and hints.server_of(state, source.action) is not None:
        if source.seen is None:
            return timedelta()  # the baseline must not wait for the vendor: subscribe before the next look
        until = await hints.settle(state, context, source.action, source.params, source.id, leases.owner)
        # an item may appear some time after its hint, so look once more after the usual interval
        if until is not None and not (source.nudged_at and source.nudged_at > now() - every):
            every = min(hints.patience(every), max(every, until - now()))
    return every * random.uniform(0.95, 1.05)  # noqa: S311 - spreads load


async def _end_hint(leases: Leases, source: Watched) -> None:
    if source.action.hint is None:
        return
    try:
        with asking():
            context = await leases.context(source)
    except (Retry, AuthExpired):
        return  # can't unsubscribe without a connection; deliveries get 404 or 410
    await hints.end(leases.state, context, source.action, source.params, source.id, source.failures)


async def _looked(
    leases: Leases, source: Watched, due: datetime, begun: datetime, events: list[Event[Any]], seen: Seen | None
) -> None:
    """Commit the events of a look, with the source's memory (`seen`, if it changed) and its next `due` time."""
    pool = await leases.state.database.pool()
    async with pool.acquire() as conn, conn.transaction():
        await leases.still_ours(conn, source)
        subscribers = await conn.fetch(WATCHERS, source.id, stale_after(source.action.every))
        listening = [row for row in subscribers if not row["baseline"]]
        await leases.accept(conn, listening, events)
        await conn.execute(BASELINED, source.id, begun)
        if any(row["baseline"] and row["since"] > begun for row in subscribers):
            due = now()
        await leases.looked(conn, source, due, seen=seen, begun=begun)
        await leases.stands(conn, source, subscribers, heard=bool(events))
        await leases.count_for(conn, source, subscribers)
    if events:
        log.info("source.events", source=source.id, action=source.action.key, events=len(events), areas=len(listening))


async def _collect(source: Watched, context: Context, begun: datetime) -> list[Event[Any]]:
    # a vendor that filters by `since` must still return items that appear late
    since = (source.seen.since if source.seen else begun) - source.action.lookback
    offered: list[Event[Any]] = []
    async with (
        asyncio.timeout(LOOK_LIMIT),
        contextlib.aclosing(source.action.function(context, source.params, since)) as events,
    ):
        async for event in events:
            offered.append(event)
            if len(offered) >= MOST_EVENTS:
                log.warning("source.cut", source=source.id, action=source.action.key, events=MOST_EVENTS)
                break
    return offered


async def _subscribe(leases: Leases, source: Watched) -> None:
    """Make the vendor send what one AREA waits for, or stop sending it."""
    state = leases.state
    with asking():
        pool = await state.database.pool()
        need = await subscriptions.wanted(pool, state, source.id)
        if need is None and "subscription" not in source.state:
            await leases.rest(source)
            return
        try:
            context = await leases.context(source)
        except (Retry, AuthExpired):
            if need is not None:
                raise
            await leases.rest(source)  # can't unsubscribe without a connection; deliveries get 404
            return
    public = state.settings.public_url is not None
    async with asyncio.timeout(LOOK_LIMIT):
        subscription, due = await subscriptions.settle(
            context, source.action, source.params, need, public=public, failures=source.failures
        )
    try:
        with asking():
            async with pool.acquire() as conn, conn.transaction():
                await leases.still_ours(conn, source)
                if need is not None and subscription is not None:
                    await subscriptions.keep_secret(conn, state, need, subscription)
                changed = await subscriptions.wanted(conn, state, source.id) != need
                due = now() if changed else due
                await leases.looked(conn, source, due if need or changed else None, begun=now())
    except Superseded:
        if subscription is not None and not await pool.fetchval(EXISTS, source.id):  # nobody else knows of it
            async with asyncio.timeout(LOOK_LIMIT):
                await subscriptions.end(context, source.action, source.params, Hook("", ""), subscription.id, 0)
        raise
