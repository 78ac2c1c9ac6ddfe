"""The leases that a worker holds on sources, and all writes to a source by its holder.

A source's life, as these statements write it:

1. `CLAIM` takes a lease on a due source for 30 seconds; `RENEW` extends it while the work goes on. 2. `LOCK` checks the
lease inside the transaction that writes; without it nothing is written (`Superseded`). 3. `LOOKED` stores the cursor,
the known ids and the next due time, and releases the lease. 4. `FAILED` stores the error and a later due time, and
releases the lease. 5. `REST` makes a source that nobody watches due never; `REVIVE` makes it due again once somebody
does. 6. `STAND` shows an AREA's owner where its source stands.

One module, since a lease decides in each of its steps whether what was seen may still be written.
"""

import asyncio
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import orjson
import structlog

from area import notices
from area.areas.triggers import STANDS, Lane, lane_of, opened
from area.connections.vault import Ref
from area.db.away import is_away
from area.db.session import Conn
from area.engine import access, proof
from area.engine.cache import Cache
from area.engine.intake import BULK, NORMAL, EventTooLargeError, Offer, accept
from area.engine.platform import UserPlatform
from area.engine.state import State
from area.kit.clock import now
from area.kit.sentences import Sentence
from area.kit.text import clean_text, dump_json, dump_model, dump_parts
from area.sdk import Action, AuthExpired, ConnectorError, Context, Event, Retry
from area.sdk.dedupe import Seen

log = structlog.get_logger()

LEASE = timedelta(seconds=30)
LOOK_LIMIT = 60.0  # seconds for one poll
LONGEST_PAUSE = timedelta(hours=1)
AWAY_PAUSE = 1.0  # seconds before a look that ended because the database was away is repeated
EXPIRED_RECHECK = timedelta(hours=6)
LONGEST_WAIT = timedelta(days=1)  # between looks, however long a server asks to wait
STANDS_FOR = timedelta(minutes=10)  # at most this old in `hook_states`, for sources polled that often
FLOOD = 100  # executions of one look; if there are more, they queue behind other users' events
LOCK_LIMIT = "set local lock_timeout = '5s'"  # a locked AREA must not exhaust the connection pool
SAMPLE = 20  # users of a shared source to compare

COLUMNS = """
id, key, component_id, user_id, connection_id, share_of, lane, params, state, seen, due_at, planned_at, nudged_at,
failures, (select c.name || E'\\n' || s.name from components c join services s on s.id = c.service_id
           where c.id = component_id) as component
"""
CLAIM = f"""
update sources set lease_owner = $1, lease_until = now() + $2
where id in (
    select id from sources
    where id = any($3::int[]) and due_at <= now() and (lease_until is null or lease_until < now())
    order by id for update skip locked)
returning {COLUMNS}
"""  # noqa: S608 - of constants
LOCK = "select id from sources where id = $1 and lease_owner = $2 for update"
SUBSCRIBERS = """
select t.area_id, t.baseline, t.since, a.user_id from triggers t
join areas a on a.id = t.area_id and a.is_active
join users u on u.id = a.user_id and u.is_active
join components c on c.id = a.component_action_id and c.is_active
join services s on s.id = c.service_id and s.is_active
where t.source_id = $1 order by t.area_id
"""
# the same, with whether the record of where the source stands is stale
WATCHERS = SUBSCRIBERS.replace(
    "a.user_id from triggers t",
    "a.user_id, coalesce(h.last_checked_at < now() - $2::interval, true) as stale from triggers t",
).replace(
    "where t.source_id",
    f"left join hook_states h on h.area_id = t.area_id and h.state_key = '{STANDS}'\nwhere t.source_id",
)
# Record where these sources stand for the AREAs that watch them, if the last record is older than `$2` or `$3` is true.
# Skips AREAs that are being deleted, so it never waits for a lock.
STAND = f"""
with source as (
    select id, jsonb_strip_nulls(jsonb_build_object(
        'since', seen->'since',
        'last', coalesce($4, (select key from jsonb_each_text(seen->'ids') order by value desc, key desc limit 1)),
        'cursor', case when state <> '{{}}' and length(state::text) <= 1000 then state end)) as stands
    from sources where id = any($1::int[])
), watching as (
    select t.area_id, s.stands from source s join triggers t on t.source_id = s.id
    join areas a on a.id = t.area_id and a.is_active
), known as (
    select h.area_id from hook_states h join watching w on w.area_id = h.area_id
    where h.state_key = '{STANDS}' and ($3 or h.last_checked_at < now() - $2::interval)
    for no key update of h skip locked
), moved as (
    update hook_states h set state_value = (coalesce(h.state_value, '{{}}')::jsonb || w.stands)::text,
        last_checked_at = now(), updated_at = now()
    from watching w, known k where k.area_id = w.area_id and h.area_id = w.area_id and h.state_key = '{STANDS}'
), fresh as (
    select a.id, w.stands from areas a join watching w on w.area_id = a.id
    where not exists (select from hook_states h where h.area_id = a.id and h.state_key = '{STANDS}')
    for key share of a skip locked
)
insert into hook_states (area_id, state_key, state_value, last_checked_at)
select id, '{STANDS}', stands::text, now() from fresh
on conflict do nothing
"""  # noqa: S608 - of constants
# a resting source that an AREA watches (its user, component or service was switched on again) starts over
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
LOOKED = """
update sources set state = $3, seen = coalesce($4, seen), planned_at = $6, checked_at = $7,
    due_at = case when nudged_at > $7 then now() else $5 end, -- a nudge arrived during the look
    lease_owner = null, lease_until = null, failures = 0, failing_since = null, last_error = null, noticed_at = null
where id = $1 and lease_owner = $2
"""
FAILED = """
update sources set due_at = $3, checked_at = now(), failures = failures + 1, last_error = $4, said = $5::text::jsonb,
    failing_since = coalesce(failing_since, now()), lease_owner = null, lease_until = null
where id = $1 and lease_owner = $2
"""
CHANGE_LANE = "update sources set lane = $3, lease_owner = null, lease_until = null where id = $1 and lease_owner = $2"
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
    " where c.id = x.component_id and x.user_id = $1 and s.name = $2 and x.connection_id = $3"
)
FREE = "update sources set lease_owner = null, lease_until = null where lease_owner = $1 and id <> all($2::int[])"
RELEASE = (
    "update sources set lease_owner = null, lease_until = null, due_at = coalesce(due_at, now()) where lease_owner = $1"
)
# charge a shared source to the user with the fewest due sources: a flood of another user must not delay it
SHARE = """
update sources set share_of = (
    select u.id from unnest($2::int[]) as u(id)
    order by (select count(*) from sources s where s.lane = 'poll' and s.share_of = u.id and s.due_at <= now()), u.id
    limit 1)
where id = $1
"""


class Superseded(Exception):
    """Another worker holds the source now."""


@dataclass(slots=True)
class Watched:
    """A claimed source. `share_of` is the user whose share of the slots it takes."""

    id: int
    action: Action
    params: Any
    user_id: int | None
    connection: int
    share_of: int
    state: dict[str, Any]
    seen: Seen | None
    due_at: datetime
    planned_at: datetime | None
    nudged_at: datetime | None
    failures: int
    since: datetime | None = None  # of the connection in use
    lent: bool = False  # it has a slot beyond its user's share


@dataclass
class Leases:
    """The leases of one worker. `unsure`: the database may hold leases of this worker that it does not know of."""

    state: State
    cache: Cache
    owner: str = field(default_factory=lambda: uuid.uuid4().hex)
    unsure: bool = False

    async def claim(self, ids: Sequence[int], lane: Lane) -> list[Watched]:
        """Claim those of the sources that are still due and free. A source that can't be read fails for an hour."""
        pool = await self.state.database.pool()
        claimed = []
        for row in await pool.fetch(CLAIM, self.owner, LEASE, ids):
            try:
                source = self.watched(row)
            except Exception as error:  # one unreadable source must not block the others
                log.exception("source.unreadable", source=row["id"])
                why = Sentence("Its settings can't be read: %(error)s", error=error)
                due = now() + LONGEST_PAUSE
                await pool.execute(FAILED, row["id"], self.owner, due, clean_text(why), dump_parts(why))
                continue
            if source is None:
                await pool.execute(REST, row["id"], self.owner)
            elif lane_of(source.action) != lane:  # written by an older version, or the connector changed
                await pool.execute(CHANGE_LANE, source.id, self.owner, lane_of(source.action))
            else:
                claimed.append(source)
        return claimed

    def watched(self, row: asyncpg.Record) -> Watched | None:
        """A row of `COLUMNS` as a source; None if its action is no longer in the code."""
        name, _, service_name = row["component"].partition("\n")
        service = self.state.registry.by_name.get(service_name)
        action = service.actions.get(name) if service else None
        if action is None:
            return None  # no longer in the code; its AREAs show that
        seen = orjson.loads(row["seen"]) if row["seen"] else None
        return Watched(
            id=row["id"],
            action=action,
            params=opened(self.state.keyring, row["key"], action, orjson.loads(row["params"])),
            user_id=row["user_id"],
            connection=row["connection_id"],
            share_of=row["share_of"],
            state=orjson.loads(row["state"]),
            seen=_seen(seen) if seen else None,
            due_at=row["due_at"],
            planned_at=row["planned_at"],
            nudged_at=row["nudged_at"],
            failures=row["failures"],
        )

    async def free_unknown(self, known: Sequence[int]) -> None:
        """After the database was away: release leases that were taken without this worker learning of it."""
        if self.unsure:
            pool = await self.state.database.pool()
            await pool.execute(FREE, self.owner, known)
            self.unsure = False

    async def anybody(self, source: Watched) -> bool:
        """Whether an active AREA watches the source."""
        pool = await self.state.database.pool()
        return bool(await pool.fetchval(f"select exists ({SUBSCRIBERS})", source.id))

    async def rest(self, source: Watched) -> None:
        """Release the lease, and make the source due never: no active AREA watches it."""
        pool = await self.state.database.pool()
        await pool.execute(REST, source.id, self.owner)

    async def still_ours(self, conn: Conn, source: Watched) -> None:
        """Lock the source in the caller's transaction. Raises `Superseded` when another worker holds it."""
        await conn.execute(LOCK_LIMIT)
        if await conn.fetchval(LOCK, source.id, self.owner) is None:
            raise Superseded

    async def looked(
        self,
        conn: Conn,
        source: Watched,
        due: datetime | None,
        *,
        planned: datetime | None = None,
        seen: Seen | None = None,
        begun: datetime,
    ) -> None:
        """Store the result of a look in the caller's transaction, and release the lease. `due` None: the
        source rests.
        """
        state = dump_json(source.state).decode()
        seen_text = _seen_json(seen) if seen else None
        await conn.execute(LOOKED, source.id, self.owner, state, seen_text, due, planned, begun)

    async def stands(self, conn: Conn, source: Watched, subscribers: Sequence[asyncpg.Record], *, heard: bool) -> None:
        """Record where the source stands, in the caller's transaction, if it had events or the last record is old."""
        if heard or any(row["stale"] for row in subscribers):
            await conn.execute(STAND, [source.id], stale_after(source.action.every), heard, None)

    async def count_for(self, conn: Conn, source: Watched, subscribers: Sequence[asyncpg.Record]) -> None:
        """Charge the source to one of the users who watch it."""
        users = {row["user_id"] for row in subscribers}
        if users and users != {source.share_of}:
            sample = random.sample(sorted(users), min(SAMPLE, len(users)))
            await conn.execute(SHARE, source.id, sample)

    async def accept(self, conn: Conn, subscribers: Sequence[asyncpg.Record], events: Sequence[Event[Any]]) -> None:
        """Offer each event to each AREA, in the caller's transaction. Very many executions of one look queue behind
        other users' events.
        """
        if not events or not subscribers:
            return
        priority = BULK if len(subscribers) * len(events) > FLOOD else NORMAL
        offers, owners = [], []
        for event in events:
            data = dump_model(event.data)
            try:
                offers += [Offer(row["area_id"], event.id, data, priority) for row in subscribers]
            except EventTooLargeError as error:  # drop it for good, or every later look would fail on it too
                for row in subscribers:
                    await notices.event_left_out(conn, self.state.settings, row["area_id"], event.id, str(error))
                continue
            owners += [row["user_id"] for row in subscribers]
        for user_id, accepted in zip(owners, await accept(conn, offers), strict=True):
            if accepted.execution_id is not None and not accepted.known:
                self.state.load.accepted(user_id, 1)

    async def failed(self, source: Watched, error: Exception) -> None:
        """Store the error, and look again after a pause that grows with each failure in a row."""
        if isinstance(error, AuthExpired) and source.user_id is not None:
            error = await self._meaning(
                source, Ref(source.user_id, source.action.service.slug, source.connection), error
            )
        known = isinstance(error, ConnectorError | TimeoutError)
        text = str(error) or Sentence("No response within %(number)s s.", number=f"{LOOK_LIMIT:.0f}")
        if not known:
            log.error("source.bug", source=source.id, action=source.action.key, exc_info=error)
            text = Sentence(
                "%(name)s had an internal error (%(kind)s). See the server's log.",
                name=source.action.key,
                kind=type(error).__name__,
            )
        every = source.action.every or timedelta(seconds=1)
        pause = min(LONGEST_PAUSE, every * 2 ** min(source.failures, 10)) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        if isinstance(error, Retry) and error.after:
            pause = min(max(pause, error.after), LONGEST_WAIT)
        if isinstance(error, AuthExpired):
            pause = EXPIRED_RECHECK
        log.warning(
            "source.failed", source=source.id, action=source.action.key, error=text, failures=source.failures + 1
        )
        try:
            if isinstance(error, AuthExpired) and source.user_id is not None:
                platform = UserPlatform(self.state, source.user_id, 0)
                ref = Ref(source.user_id, source.action.service.slug, source.connection)
                await platform.connection_expired(ref, str(error), source.since)
            pool = await self.state.database.pool()
            due = now() + max(pause, timedelta(seconds=1))
            await pool.execute(FAILED, source.id, self.owner, due, clean_text(text), dump_parts(text))
        except Exception as failure:
            if not is_away(failure):
                raise
            self.away(source, failure)

    async def _meaning(self, source: Watched, ref: Ref, error: AuthExpired) -> Exception:
        try:
            credential = (await self.cache.connection(*ref)).credential
            return await proof.meaning(self.state, self.cache.tokens, source.action.service, ref, credential, error)
        except Exception as failure:
            if not is_away(failure):
                raise
            return failure

    def away(self, source: Watched, error: Exception) -> None:
        """The database went away during a look: whether it was stored is unknown, so the source is claimed
        again soon.
        """
        log.warning("source.database_away", source=source.id, error=str(error))
        asyncio.get_running_loop().call_later(AWAY_PAUSE, self._doubt)

    def _doubt(self) -> None:
        self.unsure = True

    async def context(self, source: Watched) -> Context:
        """The connector's context. Raises `Retry` without a connection, `AuthExpired` when it has expired."""
        service = source.action.service
        credential = None
        ref = None if source.user_id is None else Ref(source.user_id, service.slug, source.connection)
        if service.auth is not None and ref is not None:
            connection = await self.cache.connection(*ref)
            credential = connection.credential
            source.since = connection.since
            if connection.status in ("missing", "gone"):
                raise Retry(Sentence("Connect %(name)s first.", name=service.name), EXPIRED_RECHECK)
            if connection.status != "works":
                raise AuthExpired(
                    Sentence("Reconnect %(name)s. AREA then catches up on missed events.", name=service.name)
                )
        tokens = self.cache.tokens
        return access.context(self.state, tokens, service, ref, credential, memory=source.state, source=source.id)


def stale_after(every: timedelta | None) -> timedelta:
    """The age at which the record of where a source stands is written again, given the interval between looks."""
    return max(timedelta(), STANDS_FOR - 1.2 * (every or timedelta(minutes=5)))


def _seen(value: dict[str, Any]) -> Seen:
    ids = {key: datetime.fromisoformat(at) for key, at in value["ids"].items()}
    return Seen(datetime.fromisoformat(value["since"]), ids, value.get("signs", {}), value.get("looks", 0))


def _seen_json(seen: Seen) -> str:
    written = {"since": seen.since.isoformat(), "ids": {key: at.isoformat() for key, at in seen.ids.items()}}
    signs = {"signs": dict(seen.signs), "looks": seen.looks} if seen.signs else {}
    return dump_json(written | signs).decode()
