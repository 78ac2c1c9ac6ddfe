"""Hints that a vendor is asked for: with them a poll is asked as soon as something changed, and less often else.

A subscription is its source's, and serves all the AREAs that share it. The address and the secret are committed before the vendor is
asked, since some try the address before they answer; what was subscribed just before a crash is found by that address, or ends by
itself. None of this keeps a poll from being asked: a refusal is logged and tried again later, and until the vendor was heard at the
address nobody relies on it.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import structlog

from area.engine import subscriptions
from area.engine.away import DatabaseAwayError, asking
from area.engine.state import State
from area.kit.clock import now
from area.kit.crypto import Undecryptable, hash_token, new_token
from area.sdk import Action, ConnectorError, Context, Hint, Hook, Retry, Service, Subscription

log = structlog.get_logger()

RARER = 10  # times as long as usual between polls, while a vendor tells of news
RAREST = timedelta(minutes=15)  # though, since what it tells may get lost
LIMIT = 30.0  # seconds for a vendor to answer
AT_LEAST = timedelta(days=7)  # between looks after what does not end by itself
SOON, LATER = (
    timedelta(minutes=15),
    timedelta(hours=6),
)  # before it is asked again: what failed for now, what was refused

READ = """
select token, secret, subscription, server, expires_at, due_at, heard_at is not null as heard
from source_hints where source_id = $1
"""
MAKE = """
insert into source_hints (source_id, token_hash, token, secret)
select id, $2, $3, $4 from sources where id = $1 on conflict do nothing
"""
TOLD = """
update source_hints h set subscription = $3, server = $4, expires_at = $5, due_at = $6, secret = coalesce($7, h.secret)
from sources x where h.source_id = $1 and x.id = h.source_id and x.lease_owner = $2
"""
REFUSED = "update source_hints set due_at = $2 where source_id = $1"
FORGET = "delete from source_hints where source_id = $1"
ENDED = "update source_hints set subscription = null, expires_at = null, due_at = now(), heard_at = null where source_id = $1"
AGAIN = """
update source_hints h set due_at = now() from sources x, components c, services s
where x.id = h.source_id and c.id = x.component_id and s.id = c.service_id and x.user_id = $1 and s.name = $2
"""
BY_ADDRESS = """
select x.id, x.due_at is not null as watched, c.name as component, s.name as service, h.secret, h.heard_at is not null as heard
from source_hints h join sources x on x.id = h.source_id
join components c on c.id = x.component_id join services s on s.id = c.service_id where h.token_hash = $1
"""
HEARD = "update source_hints set heard_at = now() where source_id = $1"


@dataclass(frozen=True, slots=True)
class Found:
    """Whose address it is; `watched` says whether anybody needs the source."""

    source: int
    service: Service
    hint: Hint
    secret: str
    watched: bool
    heard: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """What there is of a source: its address, and what the vendor knows of it."""

    token: str
    secret: str
    subscription: str | None
    server: str | None
    expires_at: datetime | None
    due_at: datetime
    heard: bool

    def hook(self, server: str) -> Hook:
        """The address, at this server."""
        return Hook(f"{server}/hints/{self.token}", self.secret)

    def until(self) -> datetime | None:
        """When a subscription that can be relied on has to be seen to."""
        over = self.expires_at is not None and self.expires_at <= now()
        return None if self.subscription is None or over or not self.heard else self.due_at


def patience(every: timedelta) -> timedelta:
    """How long a poll may wait while the vendor tells of news."""
    return max(every, min(every * RARER, RAREST))


async def settle(
    state: State, context: Context, action: Action, params: Any, source: int, owner: str
) -> datetime | None:
    """Have the vendor tell of news. Returns until when that can be relied on; None when it can't, for whatever reason."""
    server = state.settings.public_url
    assert server is not None  # noqa: S101 - nobody could be told where to call otherwise
    with asking():
        pool = await state.database.pool()
        kept = await _read(pool, state, source) or await _make(pool, state, source)
    if kept is None:
        return None  # the source is gone
    standing = kept.subscription
    moved = kept.server if standing is not None and kept.server != server else None
    if kept.due_at > now() and not moved:
        return kept.until()
    try:
        async with asyncio.timeout(LIMIT):
            if standing is not None and moved:
                old = kept.hook(moved)
                await subscriptions.end(context, action, params, old, standing, subscriptions.GIVE_UP)
                with asking():
                    await pool.execute(ENDED, source)
                standing = None
            made = await subscriptions.ask(context, action, params, kept.hook(server), standing)
    except DatabaseAwayError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the poll goes on
        await _refused(pool, action, source, error)
        return None if moved else kept.until()
    with asking():
        await _told(pool, state, source, owner, made, server)
        log.info("hint.subscribed", source=source, action=action.key, expires=made.expires_at)
        kept = await _read(pool, state, source)  # the vendor may have been heard meanwhile
    return kept.until() if kept else None


async def end(state: State, context: Context, action: Action, params: Any, source: int, failures: int) -> None:
    """Unsubscribe, where something was subscribed. Raises `Retry` until that has failed too often."""
    with asking():
        pool = await state.database.pool()
        kept = await _read(pool, state, source)
    if kept is None or kept.subscription is None or kept.server is None:
        return
    await subscriptions.end(context, action, params, kept.hook(kept.server), kept.subscription, failures)
    with asking():
        await pool.execute(ENDED, source)


async def of_token(state: State, token_hash: str) -> Found | None:
    """Whose address it is."""
    pool = await state.database.pool()
    row = await pool.fetchrow(BY_ADDRESS, token_hash)
    if row is None:
        return None
    service = next((one for one in state.registry.services.values() if one.name == row["service"]), None)
    action = service and service.actions.get(row["component"])
    if not action or action.hint is None:
        return None  # it left the code
    secret = state.keyring.decrypt(row["secret"], f"source:{row['id']}|secret")
    return Found(row["id"], action.service, action.hint, secret, row["watched"], row["heard"])


async def heard(state: State, source: int) -> None:
    """The vendor was heard at the address: it does reach this server."""
    pool = await state.database.pool()
    await pool.execute(HEARD, source)


async def ended(state: State, source: int) -> None:
    """The vendor says that it tells no more: nobody relies on it, and the next look asks it anew."""
    pool = await state.database.pool()
    await pool.execute(ENDED, source)
    log.info("hint.ended", source=source)


async def _read(pool: asyncpg.Pool, state: State, source: int) -> Kept | None:
    """What there is; None when there is nothing, or nothing that can still be read."""
    row = await pool.fetchrow(READ, source)
    if row is None:
        return None
    try:
        token, secret = (state.keyring.decrypt(row[name], f"source:{source}|{name}") for name in ("token", "secret"))
    except Undecryptable:
        log.exception("hint.undecryptable", source=source)
        await pool.execute(FORGET, source)
        return None
    return Kept(token, secret, row["subscription"], row["server"], row["expires_at"], row["due_at"], row["heard"])


async def _make(pool: asyncpg.Pool, state: State, source: int) -> Kept | None:
    """An address and a secret."""
    token, secret = new_token(), new_token()
    sealed = [
        state.keyring.encrypt(value, f"source:{source}|{name}")
        for name, value in (("token", token), ("secret", secret))
    ]
    await pool.execute(MAKE, source, hash_token(token), *sealed)
    return await _read(pool, state, source)


async def _told(pool: asyncpg.Pool, state: State, source: int, owner: str, made: Subscription, server: str) -> None:
    secret = None if made.secret is None else state.keyring.encrypt(made.secret, f"source:{source}|secret")
    due = subscriptions.last_third(now(), made.expires_at) if made.expires_at else now() + AT_LEAST
    await pool.execute(TOLD, source, owner, made.id, server, made.expires_at, due, secret)


async def _refused(pool: asyncpg.Pool, action: Action, source: int, error: Exception) -> None:
    if isinstance(error, ConnectorError | TimeoutError):
        log.warning("hint.refused", source=source, action=action.key, error=str(error) or "no answer in time")
    else:
        log.error("hint.bug", source=source, action=action.key, exc_info=error)
    pause = SOON if isinstance(error, Retry | TimeoutError) else LATER
    if isinstance(error, Retry) and error.after:
        pause = max(pause, error.after)
    with asking():
        await pool.execute(REFUSED, source, now() + pause)
