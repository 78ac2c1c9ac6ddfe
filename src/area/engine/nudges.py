"""A hint that something changed: the poll becomes due immediately. It comes from a vendor, for an account, a
subscription or a source, or from a user who wants to see an AREA's news now.

A nudge is a hint, not an event: the poll reads what happened, and would have found it anyway. So a lost nudge loses
nothing, and a repeated one triggers nothing twice.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from area.db.models import Area
from area.db.notify import Channel, send
from area.db.session import notify
from area.engine.state import State
from area.kit.problems import Conflict, NotFound
from area.sdk import Service

PAUSE = timedelta(seconds=2)  # between two looks, however many nudges arrive
BY_HAND = timedelta(seconds=30)  # the same, for nudges by users

NUDGE = """
update sources x set nudged_at = clock_timestamp(), due_at = greatest(now(), coalesce(x.checked_at + $3, now()))
from connection_states cs, services s, components c
where cs.account_id = any($2::text[]) and s.id = cs.service_id and s.name = $1 and cs.status = 'works'
  and x.user_id = cs.user_id and x.connection_id = cs.connection_id and c.id = x.component_id
  and c.service_id = s.id and c.polling_interval is not null
  and x.due_at is not null and x.failures = 0
returning x.id
"""
NUDGE_ONE = """
update sources set nudged_at = clock_timestamp(), due_at = greatest(now(), coalesce(checked_at + $2, now()))
where id = $1 and due_at is not null and failures = 0 returning id
"""
NUDGE_SUBSCRIPTIONS = """
update sources x set nudged_at = clock_timestamp(), due_at = greatest(now(), coalesce(x.checked_at + $3, now()))
from source_hints h, components c, services s
where h.subscription = any($2::text[]) and x.id = h.source_id and c.id = x.component_id and s.id = c.service_id
  and s.name = $1
  and x.due_at is not null and x.failures = 0
returning x.id
"""
CHECK = text("""
update sources x set nudged_at = clock_timestamp(),
    due_at = least(x.due_at, greatest(now(), coalesce(x.checked_at + :pause, now())))
from triggers t join areas a on a.id = t.area_id, components c
where t.area_id = :area and a.user_id = :user and a.is_active and x.id = t.source_id and x.lane = 'poll'
  and c.id = x.component_id and c.polling_interval is not null and x.due_at is not null and x.failures = 0
returning x.due_at
""")


class Checking(BaseModel):
    """When the AREA's service is checked next."""

    due_at: datetime


async def check_now(session: AsyncSession, user_id: int, area_id: int) -> datetime:
    """Make the poll of a user's AREA due now, or `BY_HAND` after its last look. Returns when it is due.

    Its turn comes by the same rules as always. Raises `NotFound`, and `Conflict` if the AREA doesn't poll, is off or
    waits for a connection, or its source fails: a failing source keeps its pause.
    """
    due: datetime | None = await session.scalar(CHECK, {"area": area_id, "user": user_id, "pause": BY_HAND})
    if due is not None:
        await notify(session, Channel.SOURCES_CHANGED, "")
        return due
    area = await session.get(Area, area_id)
    if area is None or area.user_id != user_id:
        raise NotFound("There is no AREA %(number)s.", number=area_id)
    if not area.is_active:
        raise Conflict("This AREA is off. Switch it on to check for news.")
    raise Conflict(
        "This AREA can't be checked now: its action isn't polled, waits for a connection, or failed last time."
    )


async def nudge(state: State, service: Service, accounts: Sequence[str]) -> int:
    """Make the polls of these accounts (ids as in `Account.id`) due now. Returns how many. Failing sources keep their
    pause.
    """
    return await _nudge(state, NUDGE, service.name, [account[:255] for account in accounts], PAUSE)


async def nudge_subscriptions(state: State, service: Service, subscriptions: Sequence[str]) -> int:
    """Make the sources of these subscriptions due now. Returns how many. Failing sources keep their pause."""
    return await _nudge(state, NUDGE_SUBSCRIPTIONS, service.name, subscriptions, PAUSE)


async def nudge_source(state: State, source: int) -> int:
    """Make one source due now. Returns how many that were. A failing source keeps its pause."""
    return await _nudge(state, NUDGE_ONE, source, PAUSE)


async def _nudge(state: State, statement: str, *values: Any) -> int:
    pool = await state.database.pool()
    async with pool.acquire() as conn, conn.transaction():
        sources = await conn.fetch(statement, *values)
        if sources:
            await send(conn, Channel.SOURCES_CHANGED)
    return len(sources)
