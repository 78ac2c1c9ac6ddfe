"""Repairs what a clock that was ahead leaves behind: times too far in the future.

Such a clock is common: a board without a battery, a virtual machine that was resumed, a real-time clock in local time.
Once it is right again, a job due "in ten seconds" would wait for as long as the clock was ahead, and time limits would
last as much longer. So the watch moves each time back to the latest it can be:

1. Sources are due at most two of their intervals from now, or a day if they fail (`SOURCES`). A timer is due at the
   next instant after now that its parameters give (`TIMERS`).
2. Jobs, and rows that have both a creation and an end, keep the intended wait (`SHIFTED`).
3. Leases, locks and limits are dropped if they begin in the future (`DROPPED`).
4. When the clock has gone back, everything derived from it is derived again: tokens are refreshed, subscriptions
   checked, and the positions of sources rewritten (`DERIVED`).
"""

import time
from datetime import timedelta
from typing import TypeAlias

import asyncpg
import structlog

from area.accounts.invitations import INVITATION_DAYS
from area.connections.consent import GOOD_FOR
from area.db import queue
from area.engine.hints import RAREST
from area.engine.sources.leases import COLUMNS, LONGEST_WAIT, Leases
from area.engine.state import State
from area.kit.clock import now

log = structlog.get_logger()

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

SKEW = timedelta(minutes=10)  # between the clocks of several machines
MOST_TIMERS = 500  # per look
DERIVE_EVERY = 3600.0  # seconds
MARK = "clock"  # in `meta`: the latest time that a watch has seen

SEEN_CLOCK = """
with before as (select value::timestamptz as at from meta where key = $1)
insert into meta (key, value) values ($1, now()::text)
on conflict (key) do update set value = excluded.value
returning coalesce((select at from before), now()) > now() + $2::interval
"""
# $1 is the tolerated skew, $2 the longest wait of a source, $3 that of one that is polled and doesn't fail
SOURCES = """
update sources x set due_at = now(), planned_at = null, nudged_at = null, checked_at = null,
    lease_owner = null, lease_until = null,
    seen = case when (seen->>'since')::timestamptz > now()
        then jsonb_set(seen, '{since}', to_jsonb(now())) else seen end
where due_at is not null and (checked_at > now() + $1::interval or lease_until > now() + $1::interval
    or nudged_at > now() + $1::interval or (checked_at is null and due_at > now() + $1::interval)
    or (lane <> 'timer' and due_at > now() + $1::interval + (
        select case when x.failures = 0 and c.polling_interval is not null
            then greatest(2 * make_interval(secs => c.polling_interval), $3::interval) else $2::interval end
        from components c where c.id = x.component_id)))
"""
# the columns, and those that move with them
SHIFTED = (
    ("outgoing_mail", "created_at", ("next_attempt_at", "attempted_at", "lease_until", "sent_at")),
    ("vendor_cleanups", "created_at", ("next_attempt_at", "lease_until")),
    ("invitations", "created_at", ("expires_at",)),
    ("pending_registrations", "created_at", ("expires_at",)),
    ("email_links", "created_at", ("expires_at",)),
    ("email_changes", "created_at", ()),
    ("access_tokens", "created_at", ("expires_at", "last_used_at")),
)
DROPPED = (
    "update triggers set since = now() where since > now() + $1::interval",
    "update connection_states set refreshing_until = null where refreshing_until > now() + $1::interval",
    "update connection_states set parked_until = null where parked_until > now() + $1::interval + interval '1 day'",
    "delete from worker_lives where since > now() + $1::interval or seen_at > now() + $1::interval",
    "delete from login_attempts where at > now() + $1::interval",
    "update known_places set last_at = now() where last_at > now() + $1::interval",
    (
        "update two_factor set last_step = extract(epoch from now())::bigint / 30"
        " where last_step > extract(epoch from now() + $1::interval)::bigint / 30"
    ),
    (
        "update outgoing_mail set next_attempt_at = now() where sent_at is null and given_up_at is null"
        " and next_attempt_at > now() + $1::interval + interval '1 day'"
    ),
    "update outgoing_mail set lease_until = null where lease_until > now() + $1::interval + interval '1 hour'",
    (
        "update vendor_cleanups set next_attempt_at = now(), lease_until = null"
        " where next_attempt_at > now() + $1::interval + interval '7 days' or lease_until > now() + $1::interval"
    ),
    "update access_tokens set last_used_at = now() where last_used_at > now() + $1::interval",
)
# a session or an invitation lasts no longer than a new one
LIMITED = (
    (
        "update access_tokens set expires_at = now() + $2 where kind = 'session'"
        " and expires_at > now() + $2::interval + $1::interval"
    ),
    "update invitations set expires_at = now() + $2 where expires_at > now() + $2::interval + $1::interval",
    "update consents set expires_at = now() + $2 where expires_at > now() + $2::interval + $1::interval",
)
# after the clock went back
DERIVED = (
    "update connection_states set refresh_at = now() where refresh_at > now()",
    "update connection_states set granted_at = now() where granted_at > now()",
    "update connection_states set checked_at = now() where checked_at > now()",
    "update source_hints set due_at = now() where due_at > now()",
    "update source_hints set heard_at = now() where heard_at > now()",
    "update sources set due_at = now() where lane = 'poll' and due_at > now()",
    "update hook_states set last_checked_at = now(), updated_at = now() where last_checked_at > now()",
)


# timers that are due later than now, in the order of their ids
TIMERS = f"""
select {COLUMNS} from sources where lane = 'timer' and due_at > now() + $1::interval and id > $2
  and (lease_until is null or lease_until < now()) order by id limit $3
"""  # noqa: S608 - of constants
SOONER = "update sources set due_at = $3, planned_at = $3 where id = $1 and due_at = $2"


class Clock:
    """Detects that a clock was ahead, and repairs the times it left behind."""

    def __init__(self, state: State, leases: Leases) -> None:
        self._state, self._leases = state, leases
        self._after = 0  # the last timer that was checked
        self._derived: float | None = None  # when `DERIVED` ran, by the monotonic clock

    async def look(self) -> None:
        """Correct everything that is due later than possible; of the timers, the next `MOST_TIMERS`."""
        pool = await self._state.database.pool()
        moved = await self._move(pool)
        back = await pool.fetchval(SEEN_CLOCK, MARK, SKEW)
        if not (back or moved):
            await self._check_timers(pool)
            return
        log.warning("watch.clock_was_ahead", moved=moved)
        self._after = 0
        while await self._check_timers(pool):
            pass
        # clocks of machines that differ for good look the same, and must not refresh all tokens each time
        if self._derived is None or time.monotonic() - self._derived > DERIVE_EVERY:
            self._derived = time.monotonic()
            for statement in DERIVED:
                await pool.execute(statement)

    async def _move(self, pool: Pool) -> int:
        """Returns how many rows were moved because they were written in the future."""
        moved = _count(await pool.execute(SOURCES, SKEW, LONGEST_WAIT, 2 * RAREST))
        for table, created, others in SHIFTED:
            changes = "".join(f"{column} = {column} - ({created} - now()), " for column in others)
            statement = f"update {table} set {changes}{created} = now() where {created} > now() + $1::interval"  # noqa: S608 - constants
            moved += _count(await pool.execute(statement, SKEW))
        for statement in DROPPED:
            moved += _count(await pool.execute(statement, SKEW))
        longest = (timedelta(days=self._state.settings.session_days), timedelta(days=INVITATION_DAYS), GOOD_FOR)
        for statement, most in zip(LIMITED, longest, strict=True):
            moved += _count(await pool.execute(statement, SKEW, most))
        return moved + await queue.set_clock_back(pool, SKEW)

    async def _check_timers(self, pool: Pool) -> bool:
        """Reschedule timers that are due later than their next time after now. Returns whether there are more."""
        rows = await pool.fetch(TIMERS, SKEW, self._after, MOST_TIMERS)
        self._after = rows[-1]["id"] if len(rows) == MOST_TIMERS else 0
        moment = now()
        for row in rows:
            try:
                source = self._leases.watched(row)
                upcoming = source.action.function(source.params, moment) if source else None
            except Exception as error:  # noqa: BLE001 - it fails when it is due, with its owner told
                log.warning("watch.timer_unreadable", source=row["id"], error=str(error))
                continue
            # after a failure it waits longer than until its next instant
            if upcoming is not None and row["due_at"] > upcoming + (LONGEST_WAIT if row["failures"] else SKEW):
                await pool.execute(SOONER, row["id"], row["due_at"], upcoming)
                log.warning("watch.clock_was_ahead", source=row["id"], due=row["due_at"], brought_back_to=upcoming)
        return self._after > 0


def _count(done: str) -> int:
    return int(done.rpartition(" ")[2])
