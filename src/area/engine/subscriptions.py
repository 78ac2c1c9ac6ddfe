"""Webhooks that AREA subscribes to at a vendor: subscribed when an AREA is switched on, renewed in time, ended when no
AREA needs them.

Each is a source with one AREA. A look at it (`polls.look`) compares what the vendor has (`state["subscription"]`) with
what the AREA needs, and fixes the difference (`settle`). Lease, retries and notices are those of a poll.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import structlog

from area.db import contexts
from area.db.notify import Channel, send
from area.db.session import Conn
from area.engine.state import State
from area.kit.clock import now
from area.kit.crypto import hash_token
from area.kit.sentences import Sentence
from area.sdk import Action, AuthExpired, Context, Hook, Permanent, Retry, Subscription

log = structlog.get_logger()

EVERY = timedelta(days=1)  # between looks at a subscription that isn't due
LEAST = timedelta(minutes=1)
GIVE_UP = 10  # failed tries to end a subscription before it is left to the vendor

WANTED = """
select t.area_id, t.token, t.secret from triggers t
join areas a on a.id = t.area_id and a.is_active join users u on u.id = a.user_id and u.is_active
join components c on c.id = a.component_action_id and c.is_active
join services s on s.id = c.service_id and s.is_active
where t.source_id = $1 and t.token is not null
"""
KEEP_SECRET = "update triggers set secret = $2 where area_id = $1"  # noqa: S105 - a statement


@dataclass(frozen=True, slots=True)
class Wanted:
    """The AREA that a vendor should send its events to, and its webhook URL."""

    area_id: int
    hook: Hook
    address: str  # the hash of its token


async def wanted(conn: "Conn | asyncpg.Pool", state: State, source: int) -> Wanted | None:
    """The AREA that needs the subscription; None if none does."""
    row = await conn.fetchrow(WANTED, source)
    if row is None:
        return None
    area_id = row["area_id"]
    token = state.keyring.decrypt(row["token"], contexts.hook(area_id, "token"))
    secret = state.keyring.decrypt(row["secret"], contexts.hook(area_id, "secret")) if row["secret"] else ""
    return Wanted(area_id, Hook(f"{state.settings.base_url}/hooks/{token}", secret), hash_token(token))


@dataclass(frozen=True, slots=True)
class Ways:
    """How to subscribe: with a webhook's own functions, or with those of a poll's hint."""

    subscribe: Callable[[Context, Any, Hook], Awaitable[Subscription]]
    unsubscribe: Callable[[Context, Any, Hook, str], Awaitable[None]]
    renew: Callable[[Context, Any, Hook, str], Awaitable[Subscription]] | None


def ways(action: Action) -> Ways:
    """The functions of an action that has a subscription."""
    if action.hint is not None:
        return Ways(action.hint.subscribe, action.hint.unsubscribe, action.hint.renew)
    assert action.on_subscribe is not None and action.on_unsubscribe is not None  # noqa: S101, PT018 - the registry checks
    return Ways(action.on_subscribe, action.on_unsubscribe, action.on_renew)


async def settle(
    context: Context, action: Action, params: Any, need: Wanted | None, *, public: bool, failures: int
) -> tuple[Subscription | None, datetime]:
    """Make the vendor's subscription match what is needed.

    Returns the subscription if it is new or renewed, and when to look again. `context.state` holds the current one.
    Raises the SDK's three errors.
    """
    registered = context.state.get("subscription")
    if registered and (need is None or registered["address"] != need.address):
        await end(context, action, params, Hook("", ""), registered["id"], failures)
        del context.state["subscription"]
        registered = None
    if need is None:
        return None, now() + EVERY
    subscription = None
    if registered is None or _is_due(registered):
        if not public:
            raise Permanent(
                Sentence(
                    "%(name)s can't reach this server at %(address)s. An administrator has to set"
                    " AREA_PUBLIC_URL to its address on the internet.",
                    name=action.service.name,
                    address=need.hook.url.partition("/hooks/")[0],
                )
            )
        subscription = await ask(context, action, params, need.hook, registered and registered["id"])
        expires = subscription.expires_at
        context.state["subscription"] = registered = {
            "id": subscription.id,
            "address": need.address,
            "since": now().isoformat(),
            "expires_at": expires.isoformat() if expires else None,
        }
        log.info("hook.subscribed", area=need.area_id, action=action.key, expires=registered["expires_at"])
    return subscription, min(now() + EVERY, max(now() + LEAST, _due(registered) or now() + EVERY))


async def ask(context: Context, action: Action, params: Any, hook: Hook, registered: str | None) -> Subscription:
    """Subscribe, or renew the current subscription (`kept` is its id). Raises the SDK's three errors."""
    how = ways(action)
    if registered is None:
        return await how.subscribe(context, params, hook)
    if how.renew is not None:
        try:
            return await how.renew(context, params, hook, registered)
        except Permanent as error:  # it expired before the renewal: subscribe again
            log.warning("hook.not_renewed", action=action.key, error=str(error))
            return await how.subscribe(context, params, hook)
    subscription = await how.subscribe(context, params, hook)
    if subscription.id != registered:
        await end(context, action, params, hook, registered, 0)
    return subscription


async def end(context: Context, action: Action, params: Any, hook: Hook, subscription: str, failures: int) -> None:
    """Unsubscribe. A subscription that can't be ended is left to the vendor, whose deliveries get 404 or 410. Raises
    `Retry` until that failed `GIVE_UP` times.
    """
    try:
        await ways(action).unsubscribe(context, params, hook, subscription)
        log.info("hook.unsubscribed", action=action.key)
    except (Permanent, AuthExpired) as error:
        log.warning("hook.not_unsubscribed", action=action.key, error=str(error))
    except Retry as error:
        if failures < GIVE_UP:
            raise
        log.warning("hook.not_unsubscribed", action=action.key, error=str(error))


async def keep_secret(conn: Conn, state: State, need: Wanted, subscription: Subscription) -> None:
    """Store the secret that the vendor created, in place of ours."""
    if subscription.secret is not None:
        secret = state.keyring.encrypt(subscription.secret, contexts.hook(need.area_id, "secret"))
        await conn.execute(KEEP_SECRET, need.area_id, secret)
        await send(conn, Channel.AREA_CHANGED, str(need.area_id))


def _due(subscription: dict[str, Any]) -> datetime | None:
    if subscription["expires_at"] is None:
        return None
    return last_third(datetime.fromisoformat(subscription["since"]), datetime.fromisoformat(subscription["expires_at"]))


def last_third(since: datetime, expires: datetime) -> datetime:
    """When to renew what expires: after two thirds of its time."""
    return since + (expires - since) * 2 / 3


def _is_due(subscription: dict[str, Any]) -> bool:
    due = _due(subscription)
    return due is not None and due <= now()
