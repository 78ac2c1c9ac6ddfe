"""What the built-in services may do in AREA, always as the AREA's owner; and what happens when a connection expires."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import orjson

from area.connections.vault import Ref
from area.db.away import asking
from area.db.notify import Channel, send
from area.db.session import Conn
from area.engine.intake import EventTooLargeError, Offer, accept
from area.engine.state import State
from area.kit.sentences import Sentence
from area.kit.text import clean_text, dump_json, dump_parts
from area.notices import UnmailableError, mail_notice, notice
from area.runs.record import RunRecord
from area.sdk import Failure, Permanent, Reply

LONGEST_CHAIN = 8  # AREAs that run each other

FAILURES = """
select e.id, e.completed_at at time zone 'utc' as at, a.id as area_id, a.name, e.error_message, r.chain
from areas a
join lateral (select * from area_executions x where x.area_id = a.id order by x.id desc limit 200) e on true
left join execution_records r on r.execution_id = e.id
where a.user_id = $1 and a.id <> all($2::int[]) and e.status = 'failed'
  and e.completed_at >= $3 at time zone 'utc'
"""
ANSWER = (
    "insert into run_answers (root, execution_id, reply)"
    " select coalesce((select root from execution_links where execution_id = $1), $1), $1, $2::text::jsonb"
    " on conflict (root) do update set root = excluded.root returning root, execution_id"
)
# AREAs that react to failures, and the links of their chains
LISTENING = """
with recursive down (id) as (
    select a.id from areas a join components c on c.id = a.component_action_id join services s on s.id = c.service_id
    where a.user_id = $1 and s.name = 'AREA' and c.name <> 'ran'
    union select l.area_id from down join area_links l on l.follows = down.id)
select id from down
"""
SWITCHED_OFF = """
select a.id, a.name, h.switched_off_at, h.reason from area_health h join areas a on a.id = h.area_id
where a.user_id = $1 and h.switched_off_at >= $2
"""
EXPIRE = (
    "insert into connection_states (user_id, service_id, connection_id, status, last_error, said, checked_at)"
    " select $1, id, $3, 'expired', $4, $5::text::jsonb, now() from services where name = $2"
    " on conflict (user_id, service_id, connection_id)"
    " do update set status = 'expired', last_error = excluded.last_error, said = excluded.said, checked_at = now()"
    " where connection_states.status <> 'expired' returning service_id"
)
# Whoever renews the connection in another transaction is waited for, so that the next statement sees what they stored.
LOCK_STATE = (
    "select from connection_states cs join services s on s.id = cs.service_id"
    " where cs.user_id = $1 and s.name = $2 and cs.connection_id = $3 for update of cs"
)
RENEWED_SINCE = (
    "select exists (select from connections c join services s on s.id = c.service_id"
    " where c.user_id = $1 and s.name = $2 and c.connection_id = $3 and c.updated_at > $4)"
)


@dataclass(slots=True)
class UserPlatform:
    """Implements `sdk.Platform` for one user. `chain` lists the AREAs that led to this run, the current one last. So
    many of them are `links` that follow each other, and don't count as runs by another AREA. `execution` is this run,
    if it is recorded.
    """

    state: State
    user_id: int
    area_id: int
    chain: list[int] = field(default_factory=list)
    key: str = ""
    links: int = 0
    execution: int = 0

    async def post_notice(self, title: str, body: str, level: str) -> int:
        """Put a notice into the user's inbox; a retry of the same attempt returns the same notice."""
        key = f"execution:{self.key}" if self.key else None
        async with self._transaction() as conn:
            number = await notice(
                conn, self.state.settings, self.user_id, level, title, body, key=key, area_id=self.area_id or None
            )
            if number is None:
                number = await conn.fetchval(
                    "select id from notices where user_id = $1 and key = $2", self.user_id, key
                )
        return int(number)

    async def mail_notice(self, title: str, body: str) -> int:
        """Put a notice into the user's inbox and mail it to them; a retry of the same attempt returns the same notice.
        Raises `Permanent` if they can't be mailed.
        """
        key = f"execution:{self.key}" if self.key else None
        async with self._transaction() as conn:
            try:
                return await mail_notice(
                    conn, self.state.settings, self.user_id, title, body, key=key, area_id=self.area_id or None
                )
            except UnmailableError as error:
                raise Permanent(str(error)) from error

    async def answer(self, reply: Reply) -> bool:
        """Answer the request that started this run; a retry of the same attempt answers once. Returns whether this is
        the run's first answer: later ones change nothing.
        """
        if not self.execution:
            return False
        async with self._transaction() as conn:
            ((root, first),) = await conn.fetch(ANSWER, self.execution, dump_json(asdict(reply)).decode())
            await send(conn, Channel.RUN_ANSWERED, str(root))
        return bool(first == self.execution)

    async def run_area(self, area: int, data: dict[str, Any]) -> int:
        """Run another AREA of the user once. Raises `Permanent` if that would be a loop."""
        if area in self.chain:
            path = " → ".join(str(number) for number in [*self.chain, area])
            raise Permanent(
                Sentence(
                    "AREA %(number)s is already part of this chain (%(path)s), so running it again would never end.",
                    number=area,
                    path=path,
                )
            )
        if len(self.chain) - self.links >= LONGEST_CHAIN:
            raise Permanent(
                Sentence("%(number)s AREAs have already run in this chain, which is the limit.", number=LONGEST_CHAIN)
            )
        await self._own(area)
        try:
            offer = Offer(
                area_id=area,
                event_id=f"run:{self.key}" if self.key else "",
                data=dump_json(data),
                record=RunRecord(chain=self.chain),
            )
        except EventTooLargeError as error:
            raise Permanent(str(error)) from error
        async with self._transaction() as conn:
            (accepted,) = await accept(conn, [offer])
        if accepted.execution_id is None:
            raise Permanent(
                Sentence("AREA %(number)s is switched off, so it can't be run. Switch it on first.", number=area)
            )
        return accepted.execution_id

    async def switch_area(self, area: int, *, active: bool) -> None:
        """Switch another AREA of the user on or off."""
        from area import areas

        await self._own(area)
        with asking():
            async with self.state.database.transaction() as session:
                await areas.set_active(session, self.state.scope, self.user_id, area, active=active)

    async def areas(self) -> list[tuple[int, str]]:
        """Ids and names of the user's AREAs, newest first."""
        with asking():
            pool = await self.state.database.pool()
            rows = await pool.fetch("select id, name from areas where user_id = $1 order by id desc", self.user_id)
        return [(row["id"], row["name"]) for row in rows]

    async def failures(self, since: datetime) -> AsyncIterator[Failure]:
        """Failed executions of the user's AREAs, except those that such failures triggered themselves."""
        with asking():
            pool = await self.state.database.pool()
            listening = await pool.fetch(LISTENING, self.user_id)
            ours = [row["id"] for row in listening]
            rows = await pool.fetch(FAILURES, self.user_id, ours, since)
        for row in rows:
            if row["chain"] and set(orjson.loads(row["chain"])) & set(ours):
                continue
            yield Failure(
                id=str(row["id"]),
                at=row["at"],
                area_id=row["area_id"],
                area_name=row["name"],
                reason=row["error_message"] or "",
                execution_id=row["id"],
            )

    async def switched_off(self, since: datetime) -> AsyncIterator[Failure]:
        """The user's AREAs that AREA switched off itself."""
        with asking():
            pool = await self.state.database.pool()
            rows = await pool.fetch(SWITCHED_OFF, self.user_id, since)
        for row in rows:
            yield Failure(
                id=f"{row['id']}:{row['switched_off_at'].isoformat()}",
                at=row["switched_off_at"],
                area_id=row["id"],
                area_name=row["name"],
                reason=row["reason"] or "",
                execution_id=None,
            )

    async def connection_expired(self, ref: Ref, error: str, since: datetime | None = None) -> None:
        """Mark a connection as expired, pause what needs it, and notify the user once.

        Does nothing if the connection was renewed after `since`, when the caller read it.
        """
        service = self.state.registry.services[ref.slug]
        place = (self.user_id, service.name, ref.number)
        async with self._transaction() as conn:
            await conn.execute(LOCK_STATE, *place)
            if since is not None and await conn.fetchval(RENEWED_SINCE, *place, since):
                return
            if await conn.fetchval(EXPIRE, *place, clean_text(error), dump_parts(error)) is None:
                return
            named = await conn.fetchval("select name from named_connections where id = $1", ref.number)
            title = f"{service.name} ({named})" if named else service.name
            await notice(
                conn,
                self.state.settings,
                self.user_id,
                "error",
                Sentence("%(name)s must be reconnected", name=title),
                Sentence(
                    "%(error)s\n\nAREAs that need it wait and catch up once you reconnect it.",
                    error=error,
                ),
            )
            await send(conn, Channel.CONNECTION_CHANGED, str(ref))

    async def _own(self, area: int) -> None:
        with asking():
            pool = await self.state.database.pool()
            owner = await pool.fetchval("select user_id from areas where id = $1", area)
        if owner != self.user_id:
            raise Permanent(Sentence("You have no AREA %(number)s.", number=area))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Conn]:
        with asking():
            pool = await self.state.database.pool()
            async with pool.acquire() as conn, conn.transaction():
                yield conn
