"""Listeners: each is held open by one worker, and commits each event before it takes the next.

A listener runs like this:

1. If no active AREA watches the source, let it rest.
2. Open the connection, and iterate over the connector's events.
3. For each event, wait until its user's backlog is short enough (`_room`): while it would take longer than
   `AREA_LONGEST_WAIT`, nothing more is taken in.
4. Commit the event with the listener's state in one transaction that checks the lease (`_hear`).
5. When the connector stops or raises, record the failure; the source is due again after a pause.

What isn't taken in is kept by the vendor or the network's flow control. A vendor that keeps nothing loses events once
its buffer is full.
"""

import asyncio
import contextlib
import functools
from typing import Any

import structlog

from area.db.away import DatabaseAwayError, asking
from area.engine import metrics
from area.engine.sources.leases import HEARD, STAND, STANDS_FOR, SUBSCRIBERS, Leases, Superseded, Watched
from area.kit.sentences import Sentence
from area.kit.text import clean_text, dump_json
from area.sdk import Event, Retry

log = structlog.get_logger()

LOOK_AGAIN = 1.0  # seconds between two checks of the backlog, at most


async def listen(leases: Leases, source: Watched) -> None:
    """Hold a listener open until it breaks or is cancelled. Errors are recorded with the source."""
    try:
        with asking():
            if not await leases.anybody(source):
                await leases.rest(source)
                return
            context = await leases.context(source)
        context.save = functools.partial(_save, leases, source)
        log.info("listener.started", source=source.id, action=source.action.key)
        async with contextlib.aclosing(source.action.function(context, source.params)) as events:
            async for event in events:
                await _room(leases, source)
                await _hear(leases, source, event)
        raise Retry(Sentence("The listener stopped and will be restarted."))
    except Superseded:
        log.info("source.superseded", source=source.id)
    except DatabaseAwayError as error:
        leases.away(source, error)
    except Exception as error:  # noqa: BLE001 - a connector's error must not end the worker
        metrics.polls.labels(source.action.service.slug, "failed").inc()
        await leases.failed(source, error)


async def _room(leases: Leases, source: Watched) -> None:
    """Wait until the user's backlog is short enough, as senders of webhooks have to."""
    state, user_id = leases.state, source.user_id or source.share_of
    waited = False
    while pause := state.load.pause(user_id, state.settings.longest_wait):
        if not waited:
            log.info("listener.full", source=source.id, action=source.action.key, seconds=round(pause, 1))
        waited = True
        await asyncio.sleep(min(pause, LOOK_AGAIN))


async def _save(leases: Leases, source: Watched) -> None:
    """Commit the listener's state without an event."""
    with asking():
        pool = await leases.state.database.pool()
        async with pool.acquire() as conn, conn.transaction():
            await leases.still_ours(conn, source)
            await conn.execute(HEARD, source.id, leases.owner, dump_json(source.state).decode())


async def _hear(leases: Leases, source: Watched, event: Event[Any]) -> None:
    with asking():
        pool = await leases.state.database.pool()
        async with pool.acquire() as conn, conn.transaction():
            await leases.still_ours(conn, source)
            subscribers = await conn.fetch(SUBSCRIBERS, source.id)
            await leases.accept(conn, subscribers, [event])
            await conn.execute(HEARD, source.id, leases.owner, dump_json(source.state).decode())
            await conn.execute(STAND, [source.id], STANDS_FOR, True, clean_text(event.id))
    source.failures = 0
    metrics.polls.labels(source.action.service.slug, "ok").inc()
