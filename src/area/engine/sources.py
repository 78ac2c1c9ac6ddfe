"""The ways an event arrives by itself: polls and timers that are due, and listeners that run.

A worker claims due sources by a lease. What a look at a source brings is committed with the source's own memory (cursor,
known ids, next due time) in one transaction that checks the lease, so a crash re-reads and never skips, and a worker that
lost its lease changes nothing. AREAs that watch the same thing share one source: one fetch serves them all.
"""

import asyncio
import contextlib
import functools
import random
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson
import structlog

from area.db.session import Conn
from area.engine import access, hints, metrics, subscriptions
from area.engine.away import DatabaseAwayError, asking, is_away
from area.engine.cache import Cache
from area.engine.intake import BULK, NORMAL, Offer, accept
from area.engine.platform import UserPlatform
from area.engine.state import State
from area.kit.clock import now
from area.kit.text import clean_text, dump_json, dump_model
from area.plans import parse
from area.sdk import Action, AuthExpired, ConnectorError, Context, Event, Retry, Timer
from area.sdk.dedupe import Seen, fresh
from area.sdk.fields import fields
from area.sdk.timers import firing

log = structlog.get_logger()

LEASE = timedelta(seconds=30)
RENEW_EVERY = 8.0  # seconds
TICK = 1.0  # seconds between looks for what is due, at most
AT_ONCE = 50  # sources that a worker looks at at the same time
LISTENERS = 2000  # listeners that a worker runs
LOOK_LIMIT = 60.0  # seconds for one poll
MOST_EVENTS = 10_000  # of one poll, the known ones among them; more is a malformed source
LONGEST_PAUSE = timedelta(hours=1)
AWAY_PAUSE = 1.0  # seconds before a source is looked at again whose look the database's absence ended
LATE = timedelta(seconds=60)  # a timer's firing later than this was missed
EXPIRED_RECHECK = timedelta(hours=6)
FLOOD = 100  # AREAs served by one look; what is beyond waits behind other users' events

CLAIM = """
update sources set lease_owner = $1, lease_until = now() + $2
where id in (
    select id from sources
    where due_at <= now() and (lease_until is null or lease_until < now())
    order by due_at limit $3 for update skip locked)
returning id, component_id, user_id, params, state, seen, due_at, planned_at, nudged_at, failures,
    (select c.name || E'\\n' || s.name from components c join services s on s.id = c.service_id
     where c.id = component_id) as component
"""
NEXT = "select min(due_at) from sources where due_at is not null and (lease_until is null or lease_until < now())"
LOCK = "select id from sources where id = $1 and lease_owner = $2 for update"
SUBSCRIBERS = """
select t.area_id, t.baseline, t.since, a.user_id from triggers t
join areas a on a.id = t.area_id and a.is_active
join users u on u.id = a.user_id and u.is_active
join components c on c.id = a.component_action_id and c.is_active
join services s on s.id = c.service_id and s.is_active
where t.source_id = $1 order by t.area_id
"""
# a source that rests although somebody watches it (its user, component or service was switched on again) begins anew
REVIVE = """
with needed as (
    select x.id, c.polling_interval is not null as polled from sources x
    join components c on c.id = x.component_id and c.is_active join services s on s.id = c.service_id and s.is_active
    where x.due_at is null and (x.lease_until is null or x.lease_until < now()) and exists (
        select from triggers t join areas a on a.id = t.area_id and a.is_active
        join users u on u.id = a.user_id and u.is_active where t.source_id = x.id)
), told as (
    update triggers t set baseline = n.polled, since = now() from needed n where t.source_id = n.id
)
update sources x set due_at = now(), state = '{}', seen = null, planned_at = null from needed n where x.id = n.id
"""
BASELINED = "update triggers set baseline = false where source_id = $1 and baseline and since <= $2"
LOOKED = """
update sources set state = $3, seen = coalesce($4, seen), planned_at = $6, checked_at = $7,
    due_at = case when nudged_at > $7 then now() else $5 end, -- there was news while it was looked at
    lease_owner = null, lease_until = null, failures = 0, failing_since = null, last_error = null, noticed_at = null
where id = $1 and lease_owner = $2
"""
FAILED = """
update sources set due_at = $3, checked_at = now(), failures = failures + 1, last_error = $4,
    failing_since = coalesce(failing_since, now()), lease_owner = null, lease_until = null
where id = $1 and lease_owner = $2
"""
LET_GO = "update sources set lease_owner = null, lease_until = null where id = $1 and lease_owner = $2"
REST = "update sources set due_at = null, lease_owner = null, lease_until = null where id = $1 and lease_owner = $2"
HEARD = (
    "update sources set state = $3, checked_at = now(), failures = 0, failing_since = null, last_error = null,"
    " noticed_at = null where id = $1 and lease_owner = $2"
)
RENEW = "update sources set lease_until = now() + $3 where id = any($1::int[]) and lease_owner = $2 returning id"
STEADY = (
    "update sources set checked_at = now(), failures = 0, failing_since = null, last_error = null, noticed_at = null"
    " where id = any($1::int[]) and lease_owner = $2"
)
AGAIN = (
    "update sources x set due_at = now(), lease_owner = null, lease_until = null"
    " from components c join services s on s.id = c.service_id"
    " where c.id = x.component_id and x.user_id = $1 and s.name = $2"
)
FREE = "update sources set lease_owner = null, lease_until = null where lease_owner = $1 and id <> all($2::int[])"
RELEASE = (
    "update sources set lease_owner = null, lease_until = null, due_at = coalesce(due_at, now()) where lease_owner = $1"
)


class Superseded(Exception):
    """Another worker has the source now."""


@dataclass(slots=True)
class Watched:
    """A claimed source."""

    id: int
    action: Action
    params: Any
    user_id: int | None
    state: dict[str, Any]
    seen: Seen | None
    due_at: datetime
    planned_at: datetime | None
    nudged_at: datetime | None
    failures: int
    since: datetime | None = None  # of the connection that it is looked at with


@dataclass
class Sources:
    """Looks after the sources that this worker holds."""

    state: State
    cache: Cache
    owner: str = field(default_factory=lambda: uuid.uuid4().hex)
    _looks: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    _listeners: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    _held: dict[int, Watched] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _unsure: bool = False  # whether leases of ours may stand in the database that nobody here knows of

    def wake(self) -> None:
        """Something may be due earlier than thought."""
        self._wake.set()

    async def run(self) -> None:
        """Claim what is due, for ever."""
        renewing = asyncio.create_task(self._renew(), name="leases")
        try:
            while True:
                try:
                    busy = await self._claim()
                    pause = 0.05 if busy else await self._until_next()
                except Exception as error:  # this loop must not end: nothing would be looked at any more
                    if not is_away(error):
                        log.exception("sources.bug")
                    log.warning("sources.waiting", error=str(error))
                    pause, self._unsure = TICK, True
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            renewing.cancel()

    async def stop(self) -> None:
        """End looks and listeners, and give their leases back."""
        tasks = [*self._looks.values(), *self._listeners.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            pool = await self.state.database.pool()
            await pool.execute(RELEASE, self.owner)
        except Exception as error:  # noqa: BLE001 - they run out by themselves
            log.warning("sources.not_released", error=str(error))

    async def _claim(self) -> bool:
        """Claim what is due and look at it; whether there may be more."""
        free = AT_ONCE - len(self._looks)
        if free <= 0:
            return True
        pool = await self.state.database.pool()
        if self._unsure:
            await pool.execute(FREE, self.owner, [*self._looks, *self._listeners])
            self._unsure = False
        rows = await pool.fetch(CLAIM, self.owner, LEASE, free)
        for row in rows:
            try:
                source = self._watched(row)
            except Exception as error:  # one that can't be read must not keep the others from being looked at
                log.exception("source.unreadable", source=row["id"])
                said = clean_text(f"What it is to watch can't be read any more: {error}")
                await pool.execute(FAILED, row["id"], self.owner, now() + LONGEST_PAUSE, said)
                continue
            if source is None:
                await pool.execute(REST, row["id"], self.owner)
                continue
            metrics.poll_lag.observe(max(0.0, (now() - source.due_at).total_seconds()))
            tasks = self._listeners if source.action.kind == "listen" else self._looks
            if source.id in tasks:
                if tasks is self._looks:  # the last look is just ending; its successor is claimed in a moment
                    await pool.execute(LET_GO, source.id, self.owner)
                continue
            work = self._listen(source) if source.action.kind == "listen" else self._look(source)
            task = asyncio.create_task(work, name=f"source-{source.id}")
            tasks[source.id] = task
            self._held[source.id] = source
            task.add_done_callback(functools.partial(self._let_go, tasks, source.id))
        return len(rows) == free

    def _let_go(self, tasks: dict[int, asyncio.Task[None]], number: int, _: asyncio.Task[None]) -> None:
        tasks.pop(number, None)
        self._held.pop(number, None)

    def _watched(self, row: asyncpg.Record) -> Watched | None:
        name, _, service_name = row["component"].partition("\n")
        service = next((one for one in self.state.registry.services.values() if one.name == service_name), None)
        action = service.actions.get(name) if service else None
        if action is None:
            return None  # it left the code; its AREAs say so
        declared = {one.name: one for one in fields(action.params)}
        texts = orjson.loads(row["params"])
        values = {key: parse(text, declared[key]) for key, text in texts.items() if key in declared}
        seen = orjson.loads(row["seen"]) if row["seen"] else None
        return Watched(
            id=row["id"],
            action=action,
            params=action.params.model_validate(values),
            user_id=row["user_id"],
            state=orjson.loads(row["state"]),
            seen=_seen(seen) if seen else None,
            due_at=row["due_at"],
            planned_at=row["planned_at"],
            nudged_at=row["nudged_at"],
            failures=row["failures"],
        )

    async def _until_next(self) -> float:
        pool = await self.state.database.pool()
        due = await pool.fetchval(NEXT)
        if due is None:
            return TICK
        return min(TICK, max(0.0, float((due - now()).total_seconds())))

    # Polls and timers

    async def _look(self, source: Watched) -> None:
        service = source.action.service.slug
        try:
            if source.action.kind == "timer":
                with asking():
                    await self._fire(source)
            elif source.action.kind == "webhook":
                await self._subscribe(source)
            else:
                await self._poll(source)
            metrics.polls.labels(service, "ok").inc()
        except Superseded:
            log.info("source.superseded", source=source.id)
        except DatabaseAwayError as error:
            self._away(source, error)
        except Exception as error:  # noqa: BLE001 - whatever a connector raises must not end the worker
            metrics.polls.labels(service, "failed").inc()
            await self._failed(source, error)

    async def _poll(self, source: Watched) -> None:
        with asking():
            anybody = await self._anybody(source)
        if not anybody:
            await self._end_hint(source)
            with asking():
                await self._rest(source)
            return
        with asking():
            context = await self._context(source)
        pause = await self._pause(source, context)
        begun, events, seen = now(), [], source.seen
        offered = await self._collect(source, context, begun)
        if offered or seen is None:
            new, seen = fresh(offered, seen or Seen(begun), begun, source.action.overlap)
            events = new if source.seen is not None else []
        with asking():
            await self._looked(source, begun + pause, begun, events, seen if seen is not source.seen else None)

    async def _pause(self, source: Watched, context: Context) -> timedelta:
        """How long to wait after this look, once the vendor was asked to tell of news, if it can."""
        every = source.action.every or timedelta(minutes=5)
        if source.action.hint is not None and hints.server_of(self.state, source.action) is not None:
            if source.seen is None:
                return timedelta()  # the baseline must not wait for the vendor: it is asked before the next look
            until = await hints.settle(self.state, context, source.action, source.params, source.id, self.owner)
            # news may be shown some time after they were told of: so there is one more look after the usual time
            if until is not None and not (source.nudged_at and source.nudged_at > now() - every):
                every = min(hints.patience(every), max(every, until - now()))
        return every * random.uniform(0.95, 1.05)  # noqa: S311 - spreads load

    async def _end_hint(self, source: Watched) -> None:
        if source.action.hint is None:
            return
        try:
            with asking():
                context = await self._context(source)
        except (Retry, AuthExpired):
            return  # without a connection it can't be ended; the vendor is answered with 404 or 410
        await hints.end(self.state, context, source.action, source.params, source.id, source.failures)

    async def _looked(
        self, source: Watched, due: datetime, begun: datetime, events: list[Event[Any]], seen: Seen | None
    ) -> None:
        """Commit what a look brought, with the source's memory (`seen` where it changed) and when it is `due` next."""
        pool = await self.state.database.pool()
        async with pool.acquire() as conn, conn.transaction():
            await self._still_ours(conn, source)
            subscribers = await conn.fetch(SUBSCRIBERS, source.id)
            listening = [row for row in subscribers if not row["baseline"]]
            await self._accept(conn, listening, events)
            await conn.execute(BASELINED, source.id, begun)
            if any(row["baseline"] and row["since"] > begun for row in subscribers):
                due = now()
            await conn.execute(
                LOOKED,
                source.id,
                self.owner,
                dump_json(source.state).decode(),
                _seen_json(seen) if seen else None,
                due,
                None,
                begun,
            )
        if events:
            log.info(
                "source.events", source=source.id, action=source.action.key, events=len(events), areas=len(listening)
            )

    async def _collect(self, source: Watched, context: Context, begun: datetime) -> list[Event[Any]]:
        # a vendor that filters by it must still show what appears late
        since = (source.seen.since if source.seen else begun) - source.action.overlap
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

    async def _subscribe(self, source: Watched) -> None:
        """See to it that the vendor sends what one AREA waits for, or no longer does."""
        with asking():
            pool = await self.state.database.pool()
            need = await subscriptions.wanted(pool, self.state, source.id)
            if need is None and "subscription" not in source.state:
                await self._rest(source)
                return
            try:
                context = await self._context(source)
            except (Retry, AuthExpired):
                if need is not None:
                    raise
                await self._rest(
                    source
                )  # without a connection it can't be ended; the vendor is answered with 404 or 410
                return
        public = self.state.settings.public_url is not None
        async with asyncio.timeout(LOOK_LIMIT):
            made, due = await subscriptions.settle(
                context, source.action, source.params, need, public=public, failures=source.failures
            )
        with asking():
            async with pool.acquire() as conn, conn.transaction():
                await self._still_ours(conn, source)
                if need is not None and made is not None:
                    await subscriptions.keep_secret(conn, self.state, need, made)
                kept = dump_json(source.state).decode()
                changed = await subscriptions.wanted(conn, self.state, source.id) != need
                due = now() if changed else due
                await conn.execute(
                    LOOKED, source.id, self.owner, kept, None, due if need or changed else None, None, now()
                )

    async def _fire(self, source: Watched) -> None:
        """Fire what was planned, and plan the next. What was missed fires once, late, or is skipped, as the user chose."""
        moment = now()
        planned = source.planned_at
        fires = planned is not None and planned <= moment
        if planned is not None and fires and moment - planned > LATE:
            fires = not (isinstance(source.params, Timer) and source.params.missed == "skip")
        upcoming = source.action.function(source.params, max(moment, planned or moment) if fires else moment)
        if planned is not None and planned > moment:
            upcoming = planned
        pool = await self.state.database.pool()
        async with pool.acquire() as conn, conn.transaction():
            await self._still_ours(conn, source)
            subscribers = await conn.fetch(SUBSCRIBERS, source.id)
            if not subscribers:
                await conn.execute(REST, source.id, self.owner)
                return
            if fires and planned is not None:
                event = Event(id=planned.astimezone(UTC).isoformat(), data=firing(source.params, planned, moment))
                await self._accept(conn, [row for row in subscribers if row["since"] < planned], [event])
            await conn.execute(
                LOOKED, source.id, self.owner, dump_json(source.state).decode(), None, upcoming, upcoming, moment
            )

    async def _accept(self, conn: Conn, subscribers: list[asyncpg.Record], events: list[Event[Any]]) -> None:
        """Offer each event to each AREA; what one look brings to very many waits behind other users' events."""
        if not events or not subscribers:
            return
        priority = BULK if len(subscribers) * len(events) > FLOOD else NORMAL
        offers = []
        for event in events:
            data = dump_model(event.data)
            offers += [Offer(row["area_id"], event.id, data, priority) for row in subscribers]
        await accept(conn, offers)

    async def _failed(self, source: Watched, error: Exception) -> None:
        known = isinstance(error, ConnectorError | TimeoutError)
        text = str(error) or f"No answer within {LOOK_LIMIT:.0f} s."
        if not known:
            log.error("source.bug", source=source.id, action=source.action.key, exc_info=error)
            text = f"{source.action.key} met an error of its own ({type(error).__name__}); the server's log has it."
        every = source.action.every or timedelta(seconds=1)
        pause = min(LONGEST_PAUSE, every * 2 ** min(source.failures, 10)) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        if isinstance(error, Retry) and error.after:
            pause = max(pause, error.after)
        if isinstance(error, AuthExpired):
            pause = EXPIRED_RECHECK
        log.warning(
            "source.failed", source=source.id, action=source.action.key, error=text, failures=source.failures + 1
        )
        try:
            if isinstance(error, AuthExpired) and source.user_id is not None:
                platform = UserPlatform(self.state, source.user_id, 0)
                await platform.connection_expired(source.action.service.slug, str(error), source.since)
            pool = await self.state.database.pool()
            due = now() + max(pause, timedelta(seconds=1))
            await pool.execute(FAILED, source.id, self.owner, due, clean_text(text))
        except Exception as failure:
            if not is_away(failure):
                raise
            self._away(source, failure)

    def _away(self, source: Watched, error: Exception) -> None:
        """The database was away: what was seen is not known there, and is looked at again soon."""
        log.warning("source.database_away", source=source.id, error=str(error))
        asyncio.get_running_loop().call_later(AWAY_PAUSE, self._doubt)

    def _doubt(self) -> None:
        self._unsure = True

    # Listeners

    async def _listen(self, source: Watched) -> None:
        """Hold a listener open; each event is committed before it is asked for the next."""
        try:
            with asking():
                if not await self._anybody(source):
                    await self._rest(source)
                    return
                context = await self._context(source)
            context.save = functools.partial(self._save, source)
            log.info("listener.started", source=source.id, action=source.action.key)
            async with contextlib.aclosing(source.action.function(context, source.params)) as events:
                async for event in events:
                    await self._hear(source, event)
            raise Retry("The listener ended; it is started again.")
        except Superseded:
            log.info("source.superseded", source=source.id)
        except DatabaseAwayError as error:
            self._away(source, error)
        except Exception as error:  # noqa: BLE001 - whatever a connector raises must not end the worker
            metrics.polls.labels(source.action.service.slug, "failed").inc()
            await self._failed(source, error)

    async def _save(self, source: Watched) -> None:
        """Commit a listener's state by itself."""
        with asking():
            pool = await self.state.database.pool()
            async with pool.acquire() as conn, conn.transaction():
                await self._still_ours(conn, source)
                await conn.execute(HEARD, source.id, self.owner, dump_json(source.state).decode())

    async def _hear(self, source: Watched, event: Event[Any]) -> None:
        with asking():
            pool = await self.state.database.pool()
            async with pool.acquire() as conn, conn.transaction():
                await self._still_ours(conn, source)
                subscribers = await conn.fetch(SUBSCRIBERS, source.id)
                await self._accept(conn, subscribers, [event])
                await conn.execute(HEARD, source.id, self.owner, dump_json(source.state).decode())
        source.failures = 0
        metrics.polls.labels(source.action.service.slug, "ok").inc()

    async def revive(self) -> None:
        """Look again at what rests although somebody watches it."""
        pool = await self.state.database.pool()
        await pool.execute(REVIVE)
        self.wake()

    async def tidy(self) -> None:
        """End the listeners that nobody needs any more."""
        pool = await self.state.database.pool()
        for number, task in list(self._listeners.items()):
            if not await pool.fetch(SUBSCRIBERS, number):
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await pool.execute(REST, number, self.owner)

    async def reconnect(self, user_id: int, slug: str) -> None:
        """The user's connection changed: its listeners begin anew, and what failed for its sake is looked at again."""
        for number, source in list(self._held.items()):
            if source.user_id == user_id and source.action.service.slug == slug and number in self._listeners:
                self._listeners[number].cancel()
        pool = await self.state.database.pool()
        service = self.state.registry.services[slug].name
        await pool.execute(AGAIN, user_id, service)
        await pool.execute(hints.AGAIN, user_id, service)
        self.wake()

    # Helpers

    async def _renew(self) -> None:
        """Keep the leases of what takes long; end what was lost; a listener that holds is no longer failing."""
        before: set[int] = set()
        while True:
            await asyncio.sleep(RENEW_EVERY)
            held = {**self._looks, **self._listeners}
            if not held:
                continue
            try:
                pool = await self.state.database.pool()
                kept = {row[0] for row in await pool.fetch(RENEW, list(held), self.owner, LEASE)}
                steady = [number for number in self._listeners if number in before]
                await pool.execute(STEADY, steady, self.owner)
                before = set(self._listeners)
                await self.tidy()
            except Exception as error:  # noqa: BLE001 - this loop must not end either
                log.warning("sources.not_renewed", error=str(error), kind=type(error).__name__)
                continue
            for number, task in held.items():
                if number not in kept and not task.done():
                    log.warning("source.lease_lost", source=number)
                    task.cancel()

    async def _anybody(self, source: Watched) -> bool:
        pool = await self.state.database.pool()
        return bool(await pool.fetchval(f"select exists ({SUBSCRIBERS})", source.id))

    async def _rest(self, source: Watched) -> None:
        pool = await self.state.database.pool()
        await pool.execute(REST, source.id, self.owner)

    async def _still_ours(self, conn: Conn, source: Watched) -> None:
        if await conn.fetchval(LOCK, source.id, self.owner) is None:
            raise Superseded

    async def _context(self, source: Watched) -> Context:
        service = source.action.service
        credential = None
        if service.auth is not None and source.user_id is not None:
            connection = await self.cache.connection(source.user_id, service.slug)
            credential = connection.credential
            source.since = connection.since
            if connection.status == "missing":
                raise Retry(f"Connect {service.name} first.", EXPIRED_RECHECK)
            if connection.status != "works":
                raise AuthExpired(f"Reconnect {service.name}; what happens meanwhile is caught up afterwards.")
        return Context(
            http=access.http(self.state, self.cache.tokens, service, source.user_id, credential),
            guard=self.state.guard,
            platform=UserPlatform(self.state, source.user_id or 0, 0),
            credential=credential,
            state=source.state,
            log=log.bind(source=source.id),
        )


def _seen(value: dict[str, Any]) -> Seen:
    ids = {key: datetime.fromisoformat(at) for key, at in value["ids"].items()}
    return Seen(datetime.fromisoformat(value["since"]), ids)


def _seen_json(seen: Seen) -> str:
    return dump_json(
        {"since": seen.since.isoformat(), "ids": {key: at.isoformat() for key, at in seen.ids.items()}}
    ).decode()
