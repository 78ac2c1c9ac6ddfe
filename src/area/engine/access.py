"""Authorizes a connector's requests: the bearer token of an OAuth2 connection, refreshed in time and by one process at
a time.

1. `good` returns the remembered token, or reads it from the database; if it expires soon, it is refreshed.
2. Within a process, all callers that need the same refresh await one task, which finishes even if they are cancelled.
3. The task claims the refresh by a lease in the database (`CLAIM`), so that only one process of all machines asks the
   vendor; the others wait and read what it stored. No database connection is held while the vendor is asked.
4. The new tokens are committed under the lease before anyone uses them (`STORE`), in one statement that waits while the
   database is unavailable.

Refresh tokens may be single-use, so a new one must not be lost. What remains is a process that is killed in the
milliseconds between the vendor's answer and the commit: the next refresh is then refused, and the user is asked to
reconnect.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog

from area.connections import grants, registrations
from area.connections.grants import StoredTokens
from area.connections.vault import Ref
from area.db.away import asking, patiently
from area.db.types import naive_utc
from area.engine import circles
from area.engine.app_tokens import AppBearer, AppTokens
from area.engine.granted import Granted, GrantedTokens
from area.engine.platform import UserPlatform
from area.engine.state import State
from area.kit import oauth2
from area.kit.clock import now
from area.kit.http import Response
from area.kit.oauth2 import Grant, GrantFailed
from area.kit.remembered import Remembered
from area.kit.sentences import Sentence
from area.sdk import Access, AuthExpired, Context, Credentials, Http, OAuth2, Retry, Service

log = structlog.get_logger()

TTL = 60.0  # seconds that tokens are cached
LARGEST = 50_000  # connections with cached tokens
LEASE = timedelta(seconds=60)  # longer than a vendor may take to answer
WAIT = 30.0  # seconds to wait for somebody else's refresh
LOOK_AGAIN = 0.05  # seconds
REST = 10.0  # seconds between a temporary failure to refresh and the next try
YOUNG = timedelta(seconds=60)  # a token this new has not expired, whatever a vendor's 403 means

CLAIM = """
update connection_states cs set refreshing_until = clock_timestamp() + $4 from services s
where s.id = cs.service_id and s.name = $2 and cs.user_id = $1 and cs.connection_id = $3
  and (cs.refreshing_until is null or cs.refreshing_until < clock_timestamp()) returning cs.refreshing_until
"""
RELEASE = """
update connection_states cs set refreshing_until = null from services s
where s.id = cs.service_id and s.name = $2 and cs.user_id = $1 and cs.connection_id = $3 and cs.refreshing_until = $4
"""
# only under the lease, which a reconnect or disconnect meanwhile takes away
STORE = """
with mine as (
    update connection_states cs set refreshing_until = null, granted_at = clock_timestamp(), refresh_at = $8,
        scopes = coalesce($9, cs.scopes)
    from services s where s.id = cs.service_id and s.name = $2 and cs.user_id = $1 and cs.connection_id = $3
        and cs.refreshing_until = $4
    returning cs.service_id
)
update {table} t set oauth_token = $5, refresh_token = coalesce($6, t.refresh_token), token_expires_at = $7,
    updated_at = clock_timestamp()
from mine where t.user_id = $1 and t.service_id = mine.service_id {condition} returning true
"""
STORE_DEFAULT = STORE.format(table="user_services", condition="")
STORE_NAMED = STORE.format(table="named_connections", condition="and t.id = $3 and t.oauth_token is not null")
UNUSED = """
insert into vendor_cleanups (kind, user_id, service_id, connection_id, oauth_token, refresh_token, token_expires_at)
select 'revoke', $1, id, $3, $4, $5, $6 from services where name = $2
"""


class Tokens:
    """One process's memory of OAuth2 connections' tokens, and its refreshes in progress."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.apps = AppTokens(state)
        self.granted = GrantedTokens(state)
        self._stored: Remembered[Ref, StoredTokens] = Remembered(LARGEST, TTL)
        self._renewing: dict[Ref, asyncio.Task[StoredTokens]] = {}
        self._resting: dict[Ref, tuple[float, str]] = {}
        self._unauthorized: dict[str, Http] = {}

    def unauthorized(self, service: Service) -> Http:
        """The client for a service's requests without a connection: the same for all, since it keeps nothing."""
        client = self._unauthorized.get(service.slug)
        if client is None:
            client = self._unauthorized[service.slug] = service.http(self._state.client)
        return client

    async def current(self, ref: Ref, service: Service) -> StoredTokens | None:
        """The connection's tokens; None if there are none."""
        return self._stored.get(ref) or await self._read(ref, service)

    async def good(self, ref: Ref, service: Service) -> StoredTokens:
        """Tokens that are valid as far as AREA knows, refreshed if due. Raises `AuthExpired` or `Retry`."""
        tokens = await self.current(ref, service)
        if tokens is None:
            raise AuthExpired(Sentence("Connect %(name)s first.", name=service.name))
        if (tokens.refresh_at and tokens.refresh_at <= now()) or tokens.over:
            return await self.renewed(ref, service, tokens.access.get_secret_value(), needed=tokens.over)
        return tokens

    async def renewed(self, ref: Ref, service: Service, stale: str, *, needed: bool = True) -> StoredTokens:
        """Tokens other than `stale`. Unless `needed`, the old ones if a refresh isn't possible right now.

        Raises `AuthExpired` when the vendor refuses, `Retry` when it can't be asked.
        """
        key = ref
        rest = self._resting.get(key)
        if rest and rest[0] > time.monotonic():
            tokens = await self.current(ref, service)
            if tokens is not None and (tokens.access.get_secret_value() != stale or not needed):
                return tokens
            raise Retry(rest[1], timedelta(seconds=REST))
        task = self._renewing.get(key)
        if task is None:
            task = asyncio.create_task(self._renew(ref, service, stale, needed=needed), name="refresh")
            self._renewing[key] = task
            task.add_done_callback(lambda done: self._done(key, done))
        tokens = await asyncio.shield(task)
        if (
            needed and tokens.access.get_secret_value() == stale
        ):  # the task was started by a caller that accepts the old ones
            raise Retry(
                Sentence("Access to %(name)s couldn't be renewed right now.", name=service.name),
                timedelta(seconds=REST),
            )
        return tokens

    def forget(self, ref: Ref) -> None:
        """The connection changed: forget its tokens."""
        self.granted.forget(ref)
        self._stored.forget(ref)
        self._resting.pop(ref, None)

    def forget_all(self) -> None:
        """Forget all tokens."""
        self.granted.forget_all()
        self._stored.clear()
        self._resting.clear()

    async def finish(self, seconds: float) -> None:
        """Wait up to `seconds` for the refreshes in progress."""
        if self._renewing:
            await asyncio.wait(list(self._renewing.values()), timeout=seconds)

    def _done(self, key: Ref, task: asyncio.Task[StoredTokens]) -> None:
        if self._renewing.get(key) is task:
            del self._renewing[key]
        if not task.cancelled():
            task.exception()  # those who await it get the error; if nobody does, ignore it

    async def _read(self, ref: Ref, service: Service) -> StoredTokens | None:
        with self._stored.loading([ref]) as keep:
            with asking():
                async with self._state.database.sessions() as session:
                    tokens = await grants.stored(session, self._state.keyring, service, ref)
            if tokens is None:
                self._stored.forget(ref)
            else:
                keep(ref, tokens)
        return tokens

    async def _renew(self, ref: Ref, service: Service, stale: str, *, needed: bool) -> StoredTokens:
        """Claim the refresh and do it, or wait for the process that claimed it."""
        pool = await self._state.database.pool()
        end = time.monotonic() + WAIT
        while True:
            tokens = self._usable(await self._read(ref, service), service)
            if tokens.access.get_secret_value() != stale:
                return tokens
            with asking():
                lease = await pool.fetchval(CLAIM, ref.user_id, service.name, ref.number, LEASE)
            if lease is not None:
                break
            if not needed and not tokens.over:
                return tokens
            if time.monotonic() > end:
                raise Retry(
                    Sentence(
                        "Access to %(name)s is being renewed, which is taking longer than usual.", name=service.name
                    )
                )
            await asyncio.sleep(LOOK_AGAIN)
        try:
            # read again under the lease: another process may have stored new tokens just before
            tokens = self._usable(await self._read(ref, service), service)
            if tokens.access.get_secret_value() != stale:
                return tokens
            return await self._refresh(ref, service, tokens, lease, needed=needed)
        finally:
            with contextlib.suppress(Exception):  # the lease expires anyway
                await pool.execute(RELEASE, ref.user_id, service.name, ref.number, lease)

    def _usable(self, tokens: StoredTokens | None, service: Service) -> StoredTokens:
        if tokens is None:
            raise AuthExpired(Sentence("Connect %(name)s first.", name=service.name))
        if tokens.status == "expired":
            raise AuthExpired(tokens.last_error or Sentence("Reconnect %(name)s.", name=service.name))
        return tokens

    async def _refresh(
        self, ref: Ref, service: Service, tokens: StoredTokens, lease: datetime, *, needed: bool
    ) -> StoredTokens:
        auth = service.auth
        assert isinstance(auth, OAuth2)  # noqa: S101 - only these have tokens
        if tokens.refresh is None:
            return await self._lost(
                ref, service, tokens, Sentence("Access to %(name)s has ended. Reconnect it.", name=service.name)
            )
        keys = registrations.keys_of(service, self._state.settings)
        try:
            if keys is None:
                raise GrantFailed(Sentence("This server no longer has a client ID for it. Tell an administrator."))
            grant = await oauth2.refresh(self._state.client, auth.server, keys, tokens.refresh)
        except GrantFailed as error:
            log.warning("token.not_refreshed", user=ref.user_id, service=service.slug, error=str(error))
            if error.refused:
                sentence = Sentence(
                    "%(name)s rejected AREA's access (%(kind)s). Reconnect it.",
                    name=service.name,
                    kind=error.code,
                )
                return await self._lost(ref, service, tokens, sentence)
            sentence = Sentence("Access to %(name)s couldn't be renewed: %(error)s", name=service.name, error=error)
            self._resting[ref] = (time.monotonic() + REST, sentence)
            if not needed and not tokens.over:
                return tokens
            raise Retry(sentence) from None
        return await self._store(ref, service, auth, grant, lease)

    async def _store(self, ref: Ref, service: Service, auth: OAuth2, grant: Grant, lease: datetime) -> StoredTokens:
        """Commit the new tokens, however long the database is away: the old ones are worthless now."""
        expires, refresh_at = grants.refresh_moment(grant, now())
        values: list[Any] = [
            *grants.seal(self._state.keyring, ref, grant),
            expires and naive_utc(expires),
            refresh_at,
            " ".join(grant.scopes) if grant.scopes else None,
        ]
        pool = await self._state.database.pool()
        statement = STORE_NAMED if ref.number else STORE_DEFAULT
        stored = await patiently(
            lambda: pool.fetchval(statement, ref.user_id, service.name, ref.number, lease, *values)
        )
        log.info("token.refreshed", user=ref.user_id, service=service.slug, stored=bool(stored))
        fetched = await patiently(lambda: self._read(ref, service))
        if not stored and (fetched is None or fetched.access != grant.access) and not auth.quirks.revokes_all:
            # reconnected or disconnected meanwhile, so nobody will use these
            await patiently(lambda: pool.execute(UNUSED, ref.user_id, service.name, ref.number, *values[:3]))
        return self._usable(fetched, service)

    async def _lost(self, ref: Ref, service: Service, tokens: StoredTokens, reason: str) -> StoredTokens:
        """Only the user can fix this: mark the connection, pause what needs it, notify once."""
        platform = UserPlatform(self._state, ref.user_id, 0)
        await patiently(lambda: platform.connection_expired(ref, reason, tokens.since))
        current = await self._read(ref, service)
        if current is not None and current.since > tokens.since:
            return self._usable(current, service)  # connected again just now
        raise AuthExpired(reason)


class Bearer:
    """The `Authority` of an OAuth2 connection."""

    base_url = ""
    bound = False

    def __init__(self, state: State, tokens: Tokens, service: Service, auth: OAuth2, ref: Ref) -> None:
        self._state = state
        self._tokens = tokens
        self._service = service
        self._auth = auth
        self._ref = ref

    async def access(self) -> Access:
        """The current token, refreshed if due."""
        return self._access(await self._tokens.good(self._ref, self._service))

    async def renewed(self, refused: Access, status: int) -> Access | None:
        """A token other than the refused one; None if the status may mean something else than an expired token."""
        tokens = await self._tokens.current(self._ref, self._service)
        if status == 401 and tokens is not None and tokens.refresh is None and not tokens.over:
            return None  # the engine finds out what it means
        # others may mean something else: blame the token only if it is not new
        if status != 401 and (
            tokens is None or tokens.refresh is None or (tokens.granted_at and tokens.granted_at > now() - YOUNG)
        ):
            return None
        (stale,) = refused.secrets
        return self._access(await self._tokens.renewed(self._ref, self._service, stale))

    def refuses(self, response: Response) -> bool:
        """By the status, or by the body of a 200."""
        return self._auth.refuses(response)

    def _access(self, tokens: StoredTokens) -> Access:
        keys = registrations.keys_of(self._service, self._state.settings)
        return self._auth.access(keys.id if keys else "", tokens.access)


def http(state: State, tokens: Tokens, service: Service, ref: Ref | None, credential: Any) -> Http:
    """The client for a connector that uses this connection."""
    auth = service.auth
    if isinstance(auth, OAuth2) and ref is not None:
        bearer = Bearer(state, tokens, service, auth, ref)
        return service.http(state.client, bearer, AppBearer(tokens.apps, service, auth))
    if isinstance(auth, Credentials) and credential is not None and ref is not None and auth.grant is not None:
        grant = auth.grant(credential)
        if grant is not None:
            return service.http(state.client, Granted(tokens.granted, service, grant, ref))
    authority = service.fixed(credential)
    return service.http(state.client, authority) if authority else tokens.unauthorized(service)


def context(
    state: State,
    tokens: Tokens,
    service: Service,
    ref: Ref | None,
    credential: Any,
    *,
    area_id: int = 0,
    chain: Sequence[int] = (),
    links: int = 0,
    key: str = "",
    memory: dict[str, Any] | None = None,
    execution: int = 0,
    **logged: Any,
) -> Context:
    """The context of a connector that uses a connection, or none (`ref` None). The only place that creates it.

    `area_id` is the AREA it acts for. `chain`, of which so many are `links`, and `key` (for idempotency) are an
    `execution`'s. `memory` becomes `ctx.state`. `logged` is added to each line that the connector logs.
    """
    client = http(state, tokens, service, ref, credential)
    if chain:
        client = client.sending_to(
            circles.own_hook(state.settings), lambda: {circles.HEADER: circles.write(state.keyring, chain)}
        )
    return Context(
        http=client,
        guard=state.guard,
        platform=UserPlatform(state, ref.user_id if ref else 0, area_id, list(chain), key, links, execution),
        credential=credential,
        state={} if memory is None else memory,
        idempotency_key=key,
        log=log.bind(**logged) if logged else log,
    )
