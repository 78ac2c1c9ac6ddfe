"""PostgreSQL's NOTIFY: the channels, and the loop that listens.

Processes of two versions run side by side during an upgrade, so names and payloads must not change.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any

import asyncpg
import structlog

from area.db.away import is_away

log = structlog.get_logger()

CONNECT_WITHIN = 5.0  # seconds
PROBE_EVERY = 15.0  # seconds between checks that the connection still answers
SHORTEST_PAUSE = 0.2  # seconds before it reconnects
LONGEST_PAUSE = 5.0


class Channel(StrEnum):
    """The channels, each with its payload; "" if it has none."""

    ACCESS_CHANGED = "access_changed"  # a user's id: sessions ended
    AREA_CHANGED = "area_changed"  # an AREA's id
    CATALOG_CHANGED = "catalog_changed"  # ""
    CLEANUP_QUEUED = "cleanup_queued"  # ""
    CONNECTION_CHANGED = "connection_changed"  # a `vault.Ref`
    EXECUTION_CANCELLED = "execution_cancelled"  # an execution's id
    EXECUTIONS_CHANGED = "executions_changed"  # JSON: {"users": {user id: [execution ids]}}
    LOAD = "load"  # JSON: what a process accepted and did, see engine/load.py
    MAIL_QUEUED = "mail_queued"  # ""
    NOTICES_CHANGED = "notices_changed"  # a user's id
    RUN_ANSWERED = "run_answered"  # the id of a run's first execution
    SOURCES_CHANGED = "sources_changed"  # a source's id, or ""


async def listen(
    dsn: str,
    channels: Iterable[str],
    heard: Callable[[str, str], None],
    *,
    listening: Callable[[], None],
    lost: Callable[[], None] | None = None,
) -> None:
    """Listen until cancelled, and reconnect whenever the connection breaks.

    `dsn` is a libpq address. `heard` gets channel and payload. `listening` is called whenever listening begins, since
    earlier notifications were missed. `lost` is called when the connection is lost or can't be made.
    """
    pause = SHORTEST_PAUSE
    while True:
        connection: asyncpg.Connection | None = None
        try:
            connection = await asyncpg.connect(dsn, timeout=CONNECT_WITHIN)
            closed = asyncio.Event()
            connection.add_termination_listener(lambda _, closed=closed: closed.set())
            for channel in channels:
                await connection.add_listener(channel, lambda _c, _p, name, payload: heard(name, payload))
            listening()
            pause = SHORTEST_PAUSE
            while not closed.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PROBE_EVERY):
                        await closed.wait()
                if not closed.is_set():
                    await connection.execute("select 1", timeout=10)  # a dead connection is silent otherwise
        except Exception as error:  # this loop must not end: the process would miss everything
            if is_away(error):
                log.warning("listen.lost", error=str(error), kind=type(error).__name__)
            else:
                log.exception("listen.lost")
        finally:
            if connection is not None:
                connection.terminate()
        if lost is not None:
            lost()
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


async def send(conn: Any, channel: Channel, payload: str = "") -> None:
    """NOTIFY on an asyncpg connection or pool, once its transaction commits. For an SQLAlchemy session use
    `session.notify`.
    """
    await conn.execute("select pg_notify($1, $2)", channel, payload)
