"""Tells vendors that a deleted connection or source is over: revokes tokens, and ends subscriptions.

Database triggers put each deleted token and subscription into `vendor_cleanups`, whatever deleted its row: a user, an
administrator, or a cascade when an account is deleted. Each worker does this with them:

1. Claim due ones for `LEASE`. A revocation waits while subscriptions are left that need its tokens (`CLAIM`).
2. End the subscription with the user's connection, or if that is deleted, with its tokens in `vendor_cleanups`; or
   revoke the tokens.
3. Delete the row once it worked, or the vendor refuses; otherwise try again after a growing pause, for `TOO_OLD`. The
   audit log tells how it ended.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import asyncpg
import orjson
import structlog
from pydantic import SecretStr

from area.areas import triggers
from area.connections import grants, registrations
from area.connections.grants import StoredTokens
from area.connections.vault import Ref
from area.db import contexts
from area.db.away import is_away
from area.db.types import naive_utc
from area.engine import access, hints, subscriptions
from area.engine.app_tokens import AppBearer
from area.engine.cache import Cache
from area.engine.state import State
from area.kit import oauth2
from area.kit.clock import now
from area.kit.crypto import Undecryptable
from area.kit.fair import user, working_for
from area.kit.keys import Keys
from area.kit.oauth2 import GrantFailed
from area.kit.sentences import Sentence
from area.sdk import Action, AuthExpired, Context, Hook, OAuth2, Permanent, Retry, Service
from area.sdk.context import alone
from area.sdk.http import Fixed

log = structlog.get_logger()

LOOK_EVERY = 30.0  # seconds, without a notification of a new one
BATCH = 20
LEASE = timedelta(minutes=2)
LIMIT = 30.0  # seconds for a vendor
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=6)
TOO_OLD = timedelta(days=3)
SOON = timedelta(seconds=5)

CLAIM = """
update vendor_cleanups set lease_until = now() + $2::interval, attempts = attempts + 1
where id in (
    select c.id from vendor_cleanups c
    where c.next_attempt_at <= now() and (c.lease_until is null or c.lease_until < now())
      and not (c.kind = 'revoke' and exists (
          select from vendor_cleanups o where o.kind <> 'revoke' and o.user_id = c.user_id
          and o.service_id = c.service_id and o.connection_id = c.connection_id))
    order by c.next_attempt_at, c.id limit $1 for update skip locked)
returning id, kind, user_id, service_id, connection_id, account_id, oauth_token, refresh_token, token_expires_at,
    source_id, source_key, params, state, subscription, server, token, secret, created_at, attempts,
    (select name from services s where s.id = service_id) as service,
    (select name from components c where c.id = component_id) as component
"""
DONE = "delete from vendor_cleanups where id = $1"
LATER = "update vendor_cleanups set next_attempt_at = $2, lease_until = null, last_error = $3 where id = $1"
WAITS = """
update vendor_cleanups set next_attempt_at = now() + $2::interval, lease_until = null, attempts = attempts - 1
where id = $1
"""
TELL = "insert into audit (action, subject, detail) values ($1, $2, $3)"
# tokens of the same connection that wait for their revocation
LEFT = """
select id, oauth_token, refresh_token, token_expires_at from vendor_cleanups
where kind = 'revoke' and user_id = $1 and service_id = $2 and connection_id = $3 order by id desc limit 1
"""
REFRESHED = "update vendor_cleanups set oauth_token = $2, refresh_token = $3, token_expires_at = $4 where id = $1"
# whether a user still has a connection whose tokens a revocation would take along: of one of these services, and, as
# far as is known, of the same account
SHARES = """
select exists (
    select from connections c join services s on s.id = c.service_id
    left join connection_states cs on cs.user_id = c.user_id and cs.service_id = c.service_id
        and cs.connection_id = c.connection_id
    where c.user_id = $1 and s.name = any($2::text[]) and (c.oauth_token is not null or c.connection_id = 0)
      and ($3::text is null or coalesce(cs.account_id, $3) = $3))
"""
# whether subscriptions are left that need tokens which a revocation would take along
NEEDED = """
select exists (
    select from vendor_cleanups o join services s on s.id = o.service_id
    where o.kind <> 'revoke' and o.user_id = $1 and s.name = any($2::text[]))
"""

Outcome = Literal["done", "refused", "waits", "left_to_others"]


@dataclass(frozen=True, slots=True)
class Cleanup:
    """One that this worker has claimed."""

    id: int
    kind: Literal["revoke", "unsubscribe", "end_hint"]
    user_id: int | None
    service_id: int
    connection_id: int
    account_id: str | None
    oauth_token: str | None
    refresh_token: str | None
    token_expires_at: datetime | None
    source_id: int | None
    source_key: str | None
    params: str | None
    state: str | None
    subscription: str | None
    server: str | None
    token: str | None
    secret: str | None
    created_at: datetime
    attempts: int
    service: str
    component: str | None

    def ref(self, service: Service) -> Ref | None:
        """The connection that it used; None for a source that needs none."""
        return None if self.user_id is None else Ref(self.user_id, service.slug, self.connection_id)


class Cleanups:
    """Runs on every worker."""

    def __init__(self, state: State, cache: Cache) -> None:
        self._state = state
        self._cache = cache
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There is a new one."""
        self._wake.set()

    async def run(self) -> None:
        """Clean up, forever."""
        while True:
            self._wake.clear()
            try:
                while await self.work():
                    pass
            except Exception as error:  # this loop must not end: nothing else tells the vendors
                if not is_away(error):
                    log.exception("cleanup.bug")
                log.warning("cleanup.waiting", error=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._wake.wait()

    async def work(self) -> int:
        """Try one batch. Returns how many were tried."""
        pool = await self._state.database.pool()
        claimed = [Cleanup(**row) for row in await pool.fetch(CLAIM, BATCH, LEASE)]
        await asyncio.gather(*(self._try(pool, cleanup) for cleanup in claimed))
        return len(claimed)

    async def _try(self, pool: "asyncpg.Pool[asyncpg.Record]", cleanup: Cleanup) -> None:
        """Do one, and record the result."""
        with working_for(user(cleanup.user_id)):
            try:
                async with asyncio.timeout(LIMIT):
                    outcome = await self._do(pool, cleanup)
            except (Permanent, AuthExpired, Undecryptable) as error:
                await self._over(pool, cleanup, "refused", str(error))
            except GrantFailed as error:
                if error.refused:
                    await self._over(pool, cleanup, "refused", str(error))
                else:
                    await self._later(pool, cleanup, str(error))
            except (Retry, TimeoutError) as error:
                pause = error.after if isinstance(error, Retry) else None
                await self._later(pool, cleanup, str(error) or f"No answer within {LIMIT:.0f} s.", pause)
            except Exception as error:
                if is_away(error):
                    raise
                log.exception("cleanup.bug", cleanup=cleanup.id, service=cleanup.service)
                await self._later(pool, cleanup, f"AREA had an internal error ({type(error).__name__}).")
            else:
                if outcome == "waits":
                    await pool.execute(WAITS, cleanup.id, SOON)
                else:
                    await self._over(pool, cleanup, outcome)

    async def _later(self, pool: Any, cleanup: Cleanup, error: str, pause: timedelta | None = None) -> None:
        if now() - cleanup.created_at > TOO_OLD:
            await self._over(pool, cleanup, "refused", error)
            return
        growing = min(LONGEST_PAUSE, FIRST_PAUSE * 4 ** min(cleanup.attempts - 1, 10))
        log.warning(
            "cleanup.failed", kind=cleanup.kind, service=cleanup.service, attempts=cleanup.attempts, error=error
        )
        await pool.execute(LATER, cleanup.id, now() + max(growing, pause or timedelta()), error)

    async def _over(self, pool: Any, cleanup: Cleanup, outcome: Outcome, error: str | None = None) -> None:
        detail = {"attempts": cleanup.attempts, "outcome": outcome, **({"error": error} if error else {})}
        subject = cleanup.service if cleanup.user_id is None else f"{cleanup.service} of user {cleanup.user_id}"
        async with pool.acquire() as conn, conn.transaction():
            await conn.execute(DONE, cleanup.id)
            await conn.execute(TELL, f"vendor.{cleanup.kind}", subject, orjson.dumps(detail).decode())
        log.info("cleanup.over", kind=cleanup.kind, service=cleanup.service, user=cleanup.user_id, **detail)

    # What is done

    async def _do(self, pool: Any, cleanup: Cleanup) -> Outcome:
        service = self._state.registry.by_name.get(cleanup.service)
        if service is None:
            raise Permanent(Sentence("This server no longer has the connector %(name)s.", name=cleanup.service))
        if cleanup.kind == "revoke":
            return await self._revoke(pool, cleanup, service)
        action = service.actions.get(cleanup.component or "")
        if action is None or cleanup.subscription is None:
            raise Permanent(Sentence("Its connector no longer has the action %(name)s.", name=cleanup.component))
        ways = subscriptions.ways(action)
        hook = Hook("", "")
        if cleanup.kind == "end_hint":
            hook = self._hook(cleanup, action)
            if await hints.is_shared(pool, action, cleanup.subscription):
                return "left_to_others"
        context = await self._context(pool, cleanup, service)
        await ways.unsubscribe(context, self._params(cleanup, action), hook, cleanup.subscription)
        return "done"

    async def _revoke(self, pool: Any, cleanup: Cleanup, service: Service) -> Outcome:
        auth = service.auth
        if not isinstance(auth, OAuth2):
            return "done"  # nothing to revoke: it was kept for the subscriptions
        if auth.quirks.revokes_all:
            names = registrations.sharing(self._state.registry, service)
            if await pool.fetchval(NEEDED, cleanup.user_id, names):
                return "waits"
            if await pool.fetchval(SHARES, cleanup.user_id, names, cleanup.account_id):
                return "left_to_others"
        ref = cleanup.ref(service)
        assert ref is not None  # noqa: S101 - a connection has a user
        tokens = self._tokens(ref, cleanup.oauth_token, cleanup.refresh_token, cleanup.token_expires_at)
        keys = registrations.keys_of(service, self._state.settings)
        await grants.revoke(self._state.client, auth, keys, tokens)
        return "done"

    def _params(self, cleanup: Cleanup, action: Action) -> Any:
        """The source's parameters, decrypted."""
        texts = orjson.loads(cleanup.params or "{}")
        return triggers.opened(self._state.keyring, cleanup.source_key or "", action, texts)

    def _hook(self, cleanup: Cleanup, action: Action) -> Hook:
        """The address of a hint, which some vendors need to find the subscription."""
        assert cleanup.source_id is not None  # noqa: S101 - a hint has a source
        decrypt = self._state.keyring.decrypt
        token = decrypt(cleanup.token or "", contexts.hint(cleanup.source_id, "token"))
        secret = decrypt(cleanup.secret or "", contexts.hint(cleanup.source_id, "secret"))
        return hints.address(action, cleanup.server or "", token, secret)

    async def _context(self, pool: Any, cleanup: Cleanup, service: Service) -> Context:
        """What the connector acts with: the connection, or what is left of it. Raises `Retry` if it can't be used."""
        memory = orjson.loads(cleanup.state or "{}")
        ref = cleanup.ref(service)
        state, tokens = self._state, self._cache.tokens
        if service.auth is None or ref is None:
            return access.context(state, tokens, service, None, None, memory=memory)
        connection = await self._cache.connection(*ref)
        if connection.status == "works":
            return access.context(state, tokens, service, ref, connection.credential, memory=memory)
        left = await pool.fetchrow(LEFT, cleanup.user_id, cleanup.service_id, cleanup.connection_id)
        if left is None:
            raise Retry(Sentence("Its connection to %(name)s no longer works.", name=service.name))
        return await self._left(pool, ref, service, left, memory)

    async def _left(
        self, pool: Any, ref: Ref, service: Service, left: asyncpg.Record, memory: dict[str, Any]
    ) -> Context:
        """A context with the tokens or the credential of a deleted connection."""
        state, auth = self._state, service.auth
        error = Permanent(Sentence("A deleted connection can't use AREA itself."))
        if isinstance(auth, OAuth2):
            tokens = self._tokens(ref, left["oauth_token"], left["refresh_token"], left["token_expires_at"])
            keys = registrations.keys_of(service, state.settings)
            if tokens.over and tokens.refresh and keys:
                tokens = await self._refresh(pool, left["id"], ref, auth, keys, tokens)
            authority = Fixed(auth.access(keys.id if keys else "", tokens.access))
            http = service.http(state.client, authority, AppBearer(self._cache.tokens.apps, service, auth))
            credential = None
        else:
            assert auth is not None  # noqa: S101 - the caller checks
            fields = orjson.loads(state.keyring.decrypt(left["oauth_token"], ref.context("oauth_token")))
            credential = auth.read(fields)
            grant = auth.grant(credential) if auth.grant else None
            fixed = service.fixed(credential)
            if grant is not None:
                fixed = Fixed(grant.access((await grant.ask(state.client)).access))
            http = service.http(state.client, fixed)
        context = alone(http, state.guard, credential, error)
        context.state = memory
        return context

    async def _refresh(
        self, pool: Any, row: int, ref: Ref, auth: OAuth2, keys: Keys, old: StoredTokens
    ) -> StoredTokens:
        """New tokens, stored immediately: the old ones may be worthless now."""
        assert old.refresh is not None  # noqa: S101 - the caller checks
        grant = await oauth2.refresh(self._state.client, auth.server, keys, old.refresh)
        expires, _ = grants.refresh_moment(grant, now())
        tokens = _stored(grant.access, grant.refresh or old.refresh, expires)
        sealed = grants.seal(self._state.keyring, ref, tokens)
        await pool.execute(REFRESHED, row, *sealed, expires and naive_utc(expires))
        return tokens

    def _tokens(self, ref: Ref, access: str | None, refresh: str | None, expires_at: datetime | None) -> StoredTokens:
        """Decrypted tokens. Raises `Undecryptable`."""
        tokens = grants.unseal(self._state.keyring, ref, access or "", refresh)
        return _stored(*tokens, expires_at.replace(tzinfo=UTC) if expires_at else None)


def _stored(access: SecretStr, refresh: SecretStr | None, expires: datetime | None) -> StoredTokens:
    return StoredTokens(access, refresh, expires, None, None, now(), "works", None)
