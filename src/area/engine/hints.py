"""Hints that a vendor is asked for: with them a poll is asked as soon as something changed, and less often else.

A subscription is its source's, and serves all the AREAs that share it; one whose deliveries come to the address of its service may be
several sources', and ends with the last of them. The address and the secret are committed before the vendor is
asked, since some try the address before they answer; what was subscribed just before a crash is found by that address, or ends by
itself. None of this keeps a poll from being asked: a refusal is logged and tried again later, and until the vendor was heard at the
address nobody relies on it.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

import asyncpg
import structlog

from area.connections.registrations import keys_of
from area.db import contexts
from area.db.away import DatabaseAwayError, asking
from area.engine import subscriptions
from area.engine.state import State
from area.kit.clock import now
from area.kit.crypto import Undecryptable, hash_token, new_token
from area.sdk import Action, ConnectorError, Context, Hint, Hook, Retry, Service, Subscription, Verify

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
select h.token, h.secret, h.subscription, h.server, h.expires_at, h.due_at, h.heard_at is not null as heard, x.user_id,
    x.connection_id
from source_hints h join sources x on x.id = h.source_id where h.source_id = $1
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
  and x.connection_id = $3
"""
BY_ADDRESS = """
select x.id, x.due_at is not null as watched, c.name as component, s.name as service, h.secret, h.heard_at is not null as heard
from source_hints h join sources x on x.id = h.source_id
join components c on c.id = x.component_id join services s on s.id = c.service_id where h.token_hash = $1
"""
HEARD = "update source_hints set heard_at = now() where source_id = $1"
# what shares a subscription of a service: $1 its name, $2 the subscription
SHARED = """
from source_hints h join sources x on x.id = h.source_id
join components c on c.id = x.component_id join services s on s.id = c.service_id
where s.name = $1 and h.subscription = any($2::text[])
"""
TOLD_ALL = HEARD.replace("source_id = $1", f"heard_at is null and source_id in (select h.source_id {SHARED})")
ENDED_ALL = ENDED.replace("source_id = $1", f"source_id in (select h.source_id {SHARED})")
SHARERS = f"select h.source_id, x.due_at is not null as watched {SHARED} order by h.source_id for update of h"
GRANTED = """
select cs.scopes from sources x join components c on c.id = x.component_id
join connection_states cs on cs.user_id = x.user_id and cs.service_id = c.service_id and cs.connection_id = x.connection_id
where x.id = $1
"""

_asking: WeakValueDictionary[tuple[str, int | None, int], asyncio.Lock] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class Found:
    """Whose address it is; `watched` says whether anybody needs the source."""

    source: int
    service: Service
    hint: Hint
    verify: Verify
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
    user_id: int | None
    connection: int

    def hook(self, action: Action, server: str) -> Hook:
        """The address, at this server: its own, or what all hints of the service share."""
        if not _shares(action):
            return Hook(f"{server}/hints/{self.token}", self.secret)
        return Hook(server if _published(action) else f"{server}/webhooks/{action.service.slug}", self.secret)

    def until(self) -> datetime | None:
        """When a subscription that can be relied on has to be seen to."""
        over = self.expires_at is not None and self.expires_at <= now()
        return None if self.subscription is None or over or not self.heard else self.due_at


def patience(every: timedelta) -> timedelta:
    """How long a poll may wait while the vendor tells of news."""
    return max(every, min(every * RARER, RAREST))


def server_of(state: State, action: Action) -> str | None:
    """What the vendor may be told of this server: its address on the internet, or the topic that is passed on to it."""
    if not _published(action):
        return state.settings.public_url
    keys = keys_of(action.service, state.settings)
    return keys.topic if keys else None


async def settle(
    state: State, context: Context, action: Action, params: Any, source: int, owner: str
) -> datetime | None:
    """Have the vendor tell of news. Returns until when that can be relied on; None when it can't, for whatever reason."""
    server = server_of(state, action)
    assert server is not None  # noqa: S101 - nobody could be told where to call otherwise
    with asking():
        pool = await state.database.pool()
        kept = await _read(pool, state, source) or await _make(pool, state, source)
        granted = await _granted(pool, action, source)
    if kept is None or not granted:
        return None  # the source is gone, or the user did not agree to this
    standing = kept.subscription
    moved = kept.server if standing is not None and kept.server != server else None
    if kept.due_at > now() and not moved:
        return kept.until()
    try:
        async with asyncio.timeout(LIMIT):
            if standing is not None and moved:
                old = kept.hook(action, moved)
                await subscriptions.end(context, action, params, old, standing, subscriptions.GIVE_UP)
                with asking():
                    await _ended(pool, action, source, standing)
                standing = None
            async with _one_by_one(action, kept):
                made = await subscriptions.ask(context, action, params, kept.hook(action, server), standing)
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
    if _shares(action):
        with asking():
            others = await _left_to_others(pool, action, source, kept.subscription)
        if others:
            return
    await subscriptions.end(context, action, params, kept.hook(action, kept.server), kept.subscription, failures)
    with asking():
        await pool.execute(ENDED, source)


async def of_token(state: State, token_hash: str) -> Found | None:
    """Whose address it is."""
    pool = await state.database.pool()
    row = await pool.fetchrow(BY_ADDRESS, token_hash)
    if row is None:
        return None
    service = state.registry.by_name.get(row["service"])
    action = service and service.actions.get(row["component"])
    if not action or action.hint is None or action.hint.verify is None:
        return None  # it left the code, or has no address of its own
    secret = state.keyring.decrypt(row["secret"], contexts.hint(row["id"], "secret"))
    return Found(row["id"], action.service, action.hint, action.hint.verify, secret, row["watched"], row["heard"])


async def record_news(state: State, source: int) -> None:
    """The vendor was heard at the address: it does reach this server."""
    pool = await state.database.pool()
    await pool.execute(HEARD, source)


async def record_delivery(state: State, service: Service, named: Sequence[str]) -> None:
    """The vendor was heard at the address of the service: it does reach this server with these subscriptions."""
    pool = await state.database.pool()
    await pool.execute(TOLD_ALL, service.name, named)


async def record_end(state: State, source: int) -> None:
    """The vendor says that it tells no more: nobody relies on it, and the next look asks it anew."""
    pool = await state.database.pool()
    await pool.execute(ENDED, source)
    log.info("hint.ended", source=source)


def _shares(action: Action) -> bool:
    """Whether its subscription may be others', too, told of at the address of the service."""
    return action.hint is not None and action.hint.verify is None


def _published(action: Action) -> bool:
    """Whether the vendor publishes to a topic."""
    inbound = action.service.inbound
    return _shares(action) and inbound is not None and inbound.topic


def _one_by_one(action: Action, kept: Kept) -> AbstractAsyncContextManager[None]:
    """Have a user's polls that share a subscription find what the one before has made."""
    its = (action.service.slug, kept.user_id, kept.connection)
    return _asking.setdefault(its, asyncio.Lock()) if _shares(action) else nullcontext()


async def _granted(pool: asyncpg.Pool, action: Action, source: int) -> bool:
    """Whether the user agreed to what the hint needs, which nobody has to."""
    needed = set(action.hint.scopes) if action.hint else set()
    return not needed or needed.issubset((await pool.fetchval(GRANTED, source) or "").split())


async def _left_to_others(pool: asyncpg.Pool, action: Action, source: int, subscription: str) -> bool:
    """Leave a subscription to the others that need it, if there are any. Of two that end it at once, the second finds none."""
    async with pool.acquire() as conn, conn.transaction():
        sharers = await conn.fetch(SHARERS, action.service.name, [subscription])
        others = any(row["watched"] and row["source_id"] != source for row in sharers)
        if others:
            await conn.execute(ENDED, source)
    return others


async def _ended(pool: asyncpg.Pool, action: Action, source: int, subscription: str) -> None:
    """It is over for the source, and for all that shared it."""
    if _shares(action):
        await pool.execute(ENDED_ALL, action.service.name, [subscription])
    else:
        await pool.execute(ENDED, source)


async def _read(pool: asyncpg.Pool, state: State, source: int) -> Kept | None:
    """What there is; None when there is nothing, or nothing that can still be read."""
    row = await pool.fetchrow(READ, source)
    if row is None:
        return None
    try:
        token = state.keyring.decrypt(row["token"], contexts.hint(source, "token"))
        secret = state.keyring.decrypt(row["secret"], contexts.hint(source, "secret"))
    except Undecryptable:
        log.exception("hint.undecryptable", source=source)
        await pool.execute(FORGET, source)
        return None
    return Kept(
        token,
        secret,
        row["subscription"],
        row["server"],
        row["expires_at"],
        row["due_at"],
        row["heard"],
        row["user_id"],
        row["connection_id"],
    )


async def _make(pool: asyncpg.Pool, state: State, source: int) -> Kept | None:
    """An address and a secret."""
    token, secret = new_token(), new_token()
    sealed = [
        state.keyring.encrypt(token, contexts.hint(source, "token")),
        state.keyring.encrypt(secret, contexts.hint(source, "secret")),
    ]
    await pool.execute(MAKE, source, hash_token(token), *sealed)
    return await _read(pool, state, source)


async def _told(pool: asyncpg.Pool, state: State, source: int, owner: str, made: Subscription, server: str) -> None:
    secret = None if made.secret is None else state.keyring.encrypt(made.secret, contexts.hint(source, "secret"))
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
