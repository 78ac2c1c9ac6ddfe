"""Supervises the engine: overdue and failing sources, missed notifications, retention.

Every 30 seconds each worker tries to get a lock, and the one that gets it:

1. Catches up on work whose notification was missed (`catch_up`).
2. Tells owners about sources that are overdue or keep failing (`_dead`).
3. Once an hour, deletes what is older than the retention (`_purge`).
"""

import asyncio
import contextlib
import time
from datetime import timedelta
from typing import Any

import asyncpg
import orjson
import structlog

from area.accounts import sessions
from area.db import queue
from area.db.away import is_away
from area.db.locks import Lock
from area.db.session import Conn
from area.engine.ahead import Clock
from area.engine.sources import Sources
from area.engine.state import State
from area.kit.clock import now
from area.kit.sentences import Moment, Sentence, from_parts
from area.notices import notice
from area.runs import retention

log = structlog.get_logger()

WATCH_EVERY = 30.0  # seconds
PURGE_EVERY = 3600.0  # seconds
OVERDUE_INTERVALS = 3
LEAST_OVERDUE = timedelta(minutes=2)
LEAST_KNOWN = timedelta(days=90)

UNWATCHED = (
    "delete from sources s where not exists (select from triggers t where t.source_id = s.id)"
    " and not (s.due_at is not null and (s.state ? 'subscription' or"  # its subscription is being ended
    " exists (select from source_hints h where h.source_id = s.id and h.subscription is not null)))"
)

# mail limits look back one day, which is the shortest retention
MAILS = "delete from outgoing_mail where created_at < now() - $1::interval"
CHANGES = (
    "delete from email_links where expires_at < now()",
    "delete from email_changes where created_at < now() - interval '3 days'",
)

DEAD = """
select x.id, x.due_at, x.failing_since, x.last_error, x.said, c.name as component, s.name as service,
       coalesce(c.polling_interval, 60) as interval,
       exists (select from worker_lives where seen_at > now() - interval '30 seconds') as working
from sources x join components c on c.id = x.component_id join services s on s.id = c.service_id
where x.noticed_at is null and x.due_at is not null and (
    (x.due_at < now() - greatest(make_interval(secs => coalesce(c.polling_interval, 60) * $1), $2::interval)
     and (x.lease_until is null or x.lease_until < now()))
    or x.failing_since < now() - greatest(make_interval(secs => coalesce(c.polling_interval, 60) * $1), $2::interval))
"""
OLD_LIVES = "delete from worker_lives where seen_at < now() - interval '30 days'"
# late shared sources, charged to the watcher with the fewest due sources
SHARE_ANEW = """
update sources x set share_of = o.user_id from (
    select l.id, w.user_id from (
        select id from sources where lane = 'poll' and due_at < now() - interval '30 seconds'
          and (lease_until is null or lease_until < now()) order by due_at limit 500) l
    cross join lateral (
        select u.user_id from (
            select distinct a.user_id from triggers t join areas a on a.id = t.area_id and a.is_active
            where t.source_id = l.id limit 20) u
        order by (select count(*) from sources s where s.lane = 'poll' and s.share_of = u.user_id and s.due_at <= now())
        limit 1) w
) o where x.id = o.id and x.share_of <> o.user_id
"""
# sources that failed because of a connection that was renewed since, when nobody heard the notification
RENEWED = """
update sources x set due_at = now() from components c, connections us
where c.id = x.component_id and us.user_id = x.user_id and us.service_id = c.service_id
  and us.connection_id = x.connection_id
  and x.failures > 0 and x.due_at > now() and x.lease_until is null and us.updated_at > x.checked_at
  and not exists (select from connection_states cs where cs.user_id = us.user_id and cs.service_id = us.service_id
                  and cs.connection_id = us.connection_id and cs.status <> 'works')
"""
OWNERS = (
    "select a.id, a.name, a.user_id from triggers t join areas a on a.id = t.area_id and a.is_active"
    " where t.source_id = $1"
)


class Watch:
    """Runs on every worker; the one that holds the lock does the work."""

    def __init__(self, state: State, sources: Sources) -> None:
        self._state = state
        self._sources = sources
        self._clock = Clock(state, sources.leases)
        self._purged = time.monotonic() - PURGE_EVERY + 120.0

    async def run(self) -> None:
        """Look every 30 seconds, forever."""
        while True:
            await asyncio.sleep(WATCH_EVERY)
            try:
                await self.look()
            except Exception as error:  # this loop must not end: nothing else supervises
                if not is_away(error):
                    log.exception("watch.bug")
                log.warning("watch.waiting", error=str(error))

    async def look(self) -> None:
        """Do one round, if this worker gets the lock."""
        pool = await self._state.database.pool()
        async with pool.acquire() as conn:
            if not await conn.fetchval("select pg_try_advisory_lock($1)", Lock.WATCH):
                return
            try:
                await self.catch_up()
                await self._dead(conn)
                if time.monotonic() - self._purged > PURGE_EVERY:
                    self._purged = time.monotonic()
                    await self._purge(conn)
            finally:
                with contextlib.suppress(asyncpg.InterfaceError):
                    await conn.execute("select pg_advisory_unlock($1)", Lock.WATCH)

    async def catch_up(self) -> None:
        """Start work whose notification was missed.

        1. Bring back what a clock that was ahead left in the future (`ahead`).
        2. Charge late shared sources to a user who has free slots.
        3. Resume executions and sources whose connection works again.
        4. Revive resting sources that an AREA watches.
        """
        await self._clock.look()
        pool = await self._state.database.pool()
        await pool.execute(SHARE_ANEW)
        await queue.resume_all(pool)
        await pool.execute(RENEWED)
        await self._sources.revive()

    async def _purge(self, conn: Conn) -> None:
        """Delete what is older than the retention. Event ids stay longer, since a source may still return an
        old event.
        """
        keep = timedelta(days=self._state.settings.retention_days)
        removed = await retention.purge(conn, now() - keep, now() - max(2 * keep, LEAST_KNOWN))
        sources = await conn.execute(UNWATCHED)
        await conn.execute(OLD_LIVES)
        async with self._state.database.transaction() as session:
            access = await sessions.purge(session)
        await conn.execute(MAILS, keep)
        for statement in CHANGES:
            await conn.execute(statement)
        log.info("retention.purged", sources=int(sources.split()[1]), access=access, **removed)

    async def _dead(self, conn: Any) -> None:
        for row in await conn.fetch(DEAD, OVERDUE_INTERVALS, LEAST_OVERDUE):
            failing = row["failing_since"] is not None
            if not failing and row["working"]:
                await self._waits(conn, row)
                continue
            why = (
                Sentence(
                    "Failing since %(time)s: %(error)s",
                    time=Moment(row["failing_since"]),
                    error=from_parts(orjson.loads(row["said"] or "null"), row["last_error"]),
                )
                if failing
                else Sentence(
                    "The check due on %(time)s didn't happen. Is a worker running?",
                    time=Moment(row["due_at"]),
                )
            )
            log.error("source.dead", source=row["id"], component=row["component"], why=why)
            async with conn.transaction():
                for owner in await conn.fetch(OWNERS, row["id"]):
                    await notice(
                        conn,
                        self._state.settings,
                        owner["user_id"],
                        "warning",
                        Sentence("%(name)s is not receiving events", name=owner["name"]),
                        Sentence(
                            "AREA can't check %(name)s for events. %(error)s\n\nAREA retries automatically and catches"
                            " up on events that the service still shows.",
                            name=row["service"],
                            error=why,
                        ),
                        area_id=owner["id"],
                    )
                await conn.execute("update sources set noticed_at = now() where id = $1", row["id"])

    async def _waits(self, conn: Any, row: asyncpg.Record) -> None:
        """The source is late because it gets no slot: tell its owners, each at most once a day."""
        log.warning("source.waits", source=row["id"], component=row["component"], due=row["due_at"].isoformat())
        async with conn.transaction():
            for owner in await conn.fetch(OWNERS, row["id"]):
                await notice(
                    conn,
                    self._state.settings,
                    owner["user_id"],
                    "warning",
                    Sentence("%(name)s is being checked late", name=owner["name"]),
                    Sentence(
                        "The check was due on %(time)s and is still waiting its turn, because the services your"
                        " AREAs watch are slow to respond. Events aren't lost as long as the service still shows them.",
                        time=Moment(row["due_at"]),
                    ),
                    key=f"late:{row['due_at']:%Y-%m-%d}",
                    area_id=owner["id"],
                )
            await conn.execute("update sources set noticed_at = now() where id = $1", row["id"])
