"""Hints that AREA subscribes to at a vendor: a hint makes a poll due immediately, so that AREA can poll less often.

1. Before a poll, `settle` creates an address and a secret for the source and commits them, since some vendors try the
   address before they answer.
2. It subscribes at the vendor, or renews the subscription when that is due. A refusal is logged and tried again later;
   the poll goes on as usual.
3. A delivery to the address makes the poll due (`nudges`). Only once one has arrived are polls made rarer (`patience`).
4. When no AREA watches the source, `end` unsubscribes.

A subscription belongs to a source, and serves all AREAs that share it. If deliveries go to the address of the service,
several sources may share a subscription, which ends with the last of them. A subscription made just before a crash is
found by its address, or expires.
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

RARER = 10  # factor on the interval between polls while the vendor sends hints
RAREST = timedelta(minutes=15)  # at most, since hints may get lost
LIMIT = 30.0  # seconds for a vendor to answer
AT_LEAST = timedelta(days=7)  # between renewals of subscriptions that don't expire
SOON, LATER = (
    timedelta(minutes=15),
    timedelta(hours=6),
)  # before the next try: after a temporary failure, after a refusal

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
ENDED = (
    "update source_hints set subscription = null, expires_at = null, due_at = now(), heard_at = null"
    " where source_id = $1"
)
AGAIN = """
update source_hints h set due_at = now() from sources x, components c, services s
where x.id = h.source_id and c.id = x.component_id and s.id = c.service_id and x.user_id = $1 and s.name = $2
  and x.connection_id = $3
"""
BY_ADDRESS = """
select x.id, x.due_at is not null as watched, c.name as component, s.name as service, h.secret,
    h.heard_at is not null as heard
from source_hints h join sources x on x.id = h.source_id
join components c on c.id = x.component_id join services s on s.id = c.service_id where h.token_hash = $1
"""
HEARD = "update source_hints set heard_at = now() where source_id = $1"
# sources that share subscriptions of a service: $1 is its name, $2 the subscriptions
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
join connection_states cs on cs.user_id = x.user_id and cs.service_id = c.service_id
  and cs.connection_id = x.connection_id
where x.id = $1
"""

_asking: WeakValueDictionary[tuple[str, int | None, int], asyncio.Lock] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class HintAddress:
    """The source that an address belongs to. `watched`: an AREA needs the source."""

    source: int
    service: Service
    hint: Hint
    verify: Verify
    secret: str
    watched: bool
    heard: bool


@dataclass(frozen=True, slots=True)
class StoredHint:
    """The stored hint of a source: its address, and the subscription at the vendor."""

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
        """The hint's address on this server."""
        return address(action, server, self.token, self.secret)

    def until(self) -> datetime | None:
        """Until when the subscription can be relied on; None if it can't."""
        over = self.expires_at is not None and self.expires_at <= now()
        return None if self.subscription is None or over or not self.heard else self.due_at


def address(action: Action, server: str, token: str, secret: str) -> Hook:
    """A hint's address on `server`: its own, or the one that all hints of the service share."""
    if not _shares(action):
        return Hook(f"{server}/hints/{token}", secret)
    return Hook(server if _published(action) else f"{server}/webhooks/{action.service.slug}", secret)


def patience(every: timedelta) -> timedelta:
    """The interval between polls while the vendor sends hints."""
    return max(every, min(every * RARER, RAREST))


def server_of(state: State, action: Action) -> str | None:
    """Where the vendor can reach this server: its public URL, or the topic that is forwarded to it. None if it
    can't.
    """
    if not _published(action):
        return state.settings.public_url
    keys = keys_of(action.service, state.settings)
    return keys.topic if keys else None


async def settle(
    state: State, context: Context, action: Action, params: Any, source: int, owner: str
) -> datetime | None:
    """Make the vendor send hints. Returns until when they can be relied on; None if they can't, whatever the reason."""
    server = server_of(state, action)
    assert server is not None  # noqa: S101 - the caller checks
    with asking():
        pool = await state.database.pool()
        row = await _read(pool, state, source) or await _make(pool, state, source)
        granted = await _granted(pool, action, source)
    if row is None or not granted:
        return None  # the source is gone, or the user did not grant the scopes
    standing = row.subscription
    moved = row.server if standing is not None and row.server != server else None
    if row.due_at > now() and not moved:
        return row.until()
    try:
        async with asyncio.timeout(LIMIT):
            if standing is not None and moved:
                old = row.hook(action, moved)
                await subscriptions.end(context, action, params, old, standing, subscriptions.GIVE_UP)
                with asking():
                    await _ended(pool, action, source, standing)
                standing = None
            async with _one_by_one(action, row):
                subscription = await subscriptions.ask(context, action, params, row.hook(action, server), standing)
    except DatabaseAwayError:
        raise
    except Exception as error:  # noqa: BLE001 - the poll goes on without hints
        await _refused(pool, action, source, error)
        return None if moved else row.until()
    with asking():
        await _told(pool, state, source, owner, subscription, server)
        log.info("hint.subscribed", source=source, action=action.key, expires=subscription.expires_at)
        row = await _read(pool, state, source)  # a delivery may have arrived meanwhile
    return row.until() if row else None


async def end(state: State, context: Context, action: Action, params: Any, source: int, failures: int) -> None:
    """Unsubscribe, if there is a subscription. Raises `Retry` until that has failed too often."""
    with asking():
        pool = await state.database.pool()
        row = await _read(pool, state, source)
    if row is None or row.subscription is None or row.server is None:
        return
    if _shares(action):
        with asking():
            others = await _left_to_others(pool, action, source, row.subscription)
        if others:
            return
    await subscriptions.end(context, action, params, row.hook(action, row.server), row.subscription, failures)
    with asking():
        await pool.execute(ENDED, source)


async def of_token(state: State, token_hash: str) -> HintAddress | None:
    """The source of an address; None if there is none."""
    pool = await state.database.pool()
    row = await pool.fetchrow(BY_ADDRESS, token_hash)
    if row is None:
        return None
    service = state.registry.by_name.get(row["service"])
    action = service and service.actions.get(row["component"])
    if not action or action.hint is None or action.hint.verify is None:
        return None  # no longer in the code, or without an address of its own
    secret = state.keyring.decrypt(row["secret"], contexts.hint(row["id"], "secret"))
    return HintAddress(row["id"], action.service, action.hint, action.hint.verify, secret, row["watched"], row["heard"])


async def record_news(state: State, source: int) -> None:
    """A delivery arrived at the source's address, so the vendor reaches this server."""
    pool = await state.database.pool()
    await pool.execute(HEARD, source)


async def record_delivery(state: State, service: Service, named: Sequence[str]) -> None:
    """A delivery for these subscriptions arrived at the service's address, so the vendor reaches this server."""
    pool = await state.database.pool()
    await pool.execute(TOLD_ALL, service.name, named)


async def record_end(state: State, source: int) -> None:
    """The vendor ended the subscription: stop relying on it, and subscribe again with the next poll."""
    pool = await state.database.pool()
    await pool.execute(ENDED, source)
    log.info("hint.ended", source=source)


async def is_shared(pool: asyncpg.Pool, action: Action, subscription: str) -> bool:
    """Whether a watched source has this subscription, which several may share."""
    return _shares(action) and any(
        row["watched"] for row in await pool.fetch(SHARERS, action.service.name, [subscription])
    )


def _shares(action: Action) -> bool:
    """Whether several sources may share a subscription, whose deliveries go to the service's address."""
    return action.hint is not None and action.hint.verify is None


def _published(action: Action) -> bool:
    """Whether the vendor publishes to a topic."""
    inbound = action.service.inbound
    return _shares(action) and inbound is not None and inbound.topic


def _one_by_one(action: Action, hint: StoredHint) -> AbstractAsyncContextManager[None]:
    """Serialize a user's polls that share a subscription, so that each finds the one before's."""
    key = (action.service.slug, hint.user_id, hint.connection)
    return _asking.setdefault(key, asyncio.Lock()) if _shares(action) else nullcontext()


async def _granted(pool: asyncpg.Pool, action: Action, source: int) -> bool:
    """Whether the user granted the optional scopes that the hint needs."""
    needed = set(action.hint.scopes) if action.hint else set()
    return not needed or needed.issubset((await pool.fetchval(GRANTED, source) or "").split())


async def _left_to_others(pool: asyncpg.Pool, action: Action, source: int, subscription: str) -> bool:
    """Leave a subscription to other sources that need it, and return whether there are any. If two end it at once, the
    second finds none.
    """
    async with pool.acquire() as conn, conn.transaction():
        sharers = await conn.fetch(SHARERS, action.service.name, [subscription])
        others = any(row["watched"] and row["source_id"] != source for row in sharers)
        if others:
            await conn.execute(ENDED, source)
    return others


async def _ended(pool: asyncpg.Pool, action: Action, source: int, subscription: str) -> None:
    """The subscription ended for this source and all that share it."""
    if _shares(action):
        await pool.execute(ENDED_ALL, action.service.name, [subscription])
    else:
        await pool.execute(ENDED, source)


async def _read(pool: asyncpg.Pool, state: State, source: int) -> StoredHint | None:
    """The stored hint; None if there is none or it can't be decrypted."""
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
    return StoredHint(
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


async def _make(pool: asyncpg.Pool, state: State, source: int) -> StoredHint | None:
    """Create an address and a secret."""
    token, secret = new_token(), new_token()
    sealed = [
        state.keyring.encrypt(token, contexts.hint(source, "token")),
        state.keyring.encrypt(secret, contexts.hint(source, "secret")),
    ]
    await pool.execute(MAKE, source, hash_token(token), *sealed)
    return await _read(pool, state, source)


async def _told(
    pool: asyncpg.Pool, state: State, source: int, owner: str, subscription: Subscription, server: str
) -> None:
    secret = (
        None
        if subscription.secret is None
        else state.keyring.encrypt(subscription.secret, contexts.hint(source, "secret"))
    )
    due = subscriptions.last_third(now(), subscription.expires_at) if subscription.expires_at else now() + AT_LEAST
    await pool.execute(TOLD, source, owner, subscription.id, server, subscription.expires_at, due, secret)


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
