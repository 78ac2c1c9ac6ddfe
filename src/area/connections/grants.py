"""OAuth2 grants: request, exchange for tokens, store encrypted, revoke.

Tokens are in `user_services`, each encrypted and bound to its user, service and column; account, scopes and expiry are
in `connection_states`. `engine/access.py` refreshes them.
"""

import asyncio
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn

import structlog
from pydantic import SecretStr
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from area import audit, connections
from area.connections import consent, registrations, vault
from area.connections.vault import Ref
from area.db.models import CONNECTIONS, ConnectionState, Service
from area.db.notify import Channel
from area.db.session import notify
from area.kit import oauth2
from area.kit.clock import now
from area.kit.crypto import Keyring, Undecryptable
from area.kit.http import Client
from area.kit.keys import Keys
from area.kit.net import Guard
from area.kit.oauth2 import Grant, GrantFailed
from area.kit.problems import Conflict, Invalid, NotFound
from area.kit.sentences import Sentence, from_parts
from area.registry import Registry
from area.sdk import Access, Account, AuthExpired, OAuth2, Permanent, Retry
from area.sdk import Service as Connector
from area.sdk.context import alone
from area.sdk.http import Fixed
from area.settings import Settings

LONGEST_EARLY = 600  # maximum seconds before expiry that a token is refreshed
REVOKE_WITHIN = 10  # seconds

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """A connection's tokens. `since` changes whenever they do; `status` is `works` or `expired`."""

    access: SecretStr
    refresh: SecretStr | None
    expires_at: datetime | None
    refresh_at: datetime | None
    granted_at: datetime | None
    since: datetime
    status: str
    last_error: Sentence | None

    @property
    def over(self) -> bool:
        """Whether the access token has expired."""
        return self.expires_at is not None and self.expires_at <= now()


@dataclass(frozen=True, slots=True)
class Linked:
    """New tokens, their account at the vendor, and the granted scopes."""

    grant: Grant
    account: Account
    scopes: tuple[str, ...]


# Request


def connectable(registry: Registry, slug: str) -> tuple[Connector, OAuth2]:
    """A service that connects by OAuth2. Raises `NotFound`, or `Conflict` if it takes a form."""
    connector, auth = connections.connectable(registry, slug)
    if not isinstance(auth, OAuth2):
        raise Conflict("%(name)s connects with a form, not by OAuth2.", name=connector.name)
    return connector, auth


async def wanted_scopes(
    session: AsyncSession,
    registry: Registry,
    user_id: int,
    slug: str,
    components: Iterable[str] = (),
    *,
    name: str = "",
) -> tuple[str, ...]:
    """The scopes to request: those that every connection has, those already granted, and those that its AREAs and
    `components` need.

    Raises `Invalid` for a component of another service.
    """
    connector, auth = connectable(registry, slug)
    own = {
        action.key: action.scopes + (action.hint.scopes if action.hint else ()) for action in connector.actions.values()
    }
    own |= {reaction.key: reaction.scopes for reaction in connector.reactions.values()}
    scopes = dict.fromkeys(auth.scopes)
    number = await vault.find(session, connector, user_id, name)
    if number is not None:
        granted = await session.scalar(
            select(ConnectionState.scopes)
            .join(Service, Service.id == ConnectionState.service_id)
            .where(
                ConnectionState.user_id == user_id,
                ConnectionState.connection_id == number,
                Service.name == connector.name,
            )
        )
        scopes |= dict.fromkeys((granted or "").split())
        used = await session.scalars(text(USED), {"user_id": user_id, "service": connector.name, "number": number})
        for key in [f"{slug}.{component}" for component in used]:
            scopes |= dict.fromkeys(own.get(key, ()))
    for key in components:
        if key not in own:
            raise Invalid.field("component", "%(name)s has no component '%(key)s'.", name=connector.name, key=key)
        scopes |= dict.fromkeys(own[key])
    return tuple(scopes)


USED = """
select distinct c.name from components c
join services s on s.id = c.service_id
join areas a on c.id in (a.component_action_id, a.component_reaction_id)
left join area_connections ac on ac.area_id = a.id and ac.kind = c.type::text
where a.user_id = :user_id and s.name = :service and coalesce(ac.connection_id, 0) = :number order by c.name
"""


async def authorize(
    session: AsyncSession,
    keyring: Keyring,
    settings: Settings,
    registry: Registry,
    user_id: int,
    slug: str,
    *,
    bound_to: str,
    next: str = "/",  # noqa: A002 - as it is called in addresses
    components: Sequence[str] = (),
    name: str = "",
) -> str:
    """The URL of the vendor's consent page, which redirects the user to `redirect_uri`."""
    name = vault.name_of(name)
    connector, auth = connectable(registry, slug)
    return await consent.start(
        session,
        keyring,
        "connect",
        slug,
        auth.server,
        registrations.required_keys(connector, settings),
        bound_to=bound_to,
        redirect_uri=registrations.redirect_uri(settings, registrations.client_of(connector)),
        scopes=await wanted_scopes(session, registry, user_id, slug, components, name=name),
        next=next,
        user_id=user_id,
        connection=name,
    )


async def own_address(
    session: AsyncSession,
    settings: Settings,
    registry: Registry,
    user_id: int,
    slug: str,
    *,
    redirect: str,
    challenge: str,
    state: str,
    components: Sequence[str] = (),
    name: str = "",
) -> str:
    """Like `authorize`, for a client that receives the code itself and holds the verifier for `challenge`."""
    connector, auth = connectable(registry, slug)
    scopes = await wanted_scopes(session, registry, user_id, slug, components, name=name)
    return oauth2.authorization_address(
        auth.server,
        registrations.required_keys(connector, settings).id,
        redirect_uri=redirect,
        state=state,
        challenge=challenge,
        scopes=scopes,
    )


# Exchange


async def exchange(
    client: Client,
    guard: Guard,
    connector: Connector,
    auth: OAuth2,
    keys: Keys,
    *,
    code: str,
    redirect_uri: str,
    verifier: str,
    requested: Sequence[str],
    nonce: str = "",
) -> Linked:
    """Exchange a code for tokens, with their account. Raises `Invalid`. Call it outside of a transaction, since vendors
    are slow.
    """
    try:
        grant = await oauth2.exchange(
            client, auth.server, keys, code=code, redirect_uri=redirect_uri, verifier=verifier, nonce=nonce
        )
    except GrantFailed as error:
        if error.refused:
            raise Invalid(
                "%(name)s was not connected: %(error)s The code is wrong, used or expired. Start again.",
                name=connector.name,
                error=error,
            ) from None
        raise Invalid("%(name)s was not connected: %(error)s Try again.", name=connector.name, error=error) from None
    return Linked(
        grant,
        await who(client, guard, connector, auth, auth.access(keys.id, grant.access)),
        grant.scopes or tuple(requested),
    )


async def who(client: Client, guard: Guard, connector: Connector, auth: OAuth2, access: Access) -> Account:
    """The account that the tokens belong to, according to the vendor. Raises `Invalid`."""
    http = connector.http(client, Fixed(access))
    context = alone(http, guard, None, Permanent(connections.NO_PLATFORM))
    try:
        async with asyncio.timeout(connections.TEST_TIMEOUT):
            account = await auth.account(context)
    except (Permanent, AuthExpired, Retry) as error:
        raise Invalid(
            "%(name)s didn't identify your account: %(error)s",
            name=connector.name,
            error=access.without_secrets(str(error)),
        ) from None
    except TimeoutError:
        raise Invalid(
            "%(name)s didn't identify your account within %(seconds)s seconds.",
            name=connector.name,
            seconds=connections.TEST_TIMEOUT,
        ) from None
    except Exception as error:  # noqa: BLE001 - the connector's bug; its words may hold the token
        _broke(connector, error)
    if not account.id:
        raise Invalid("%(name)s didn't identify your account.", name=connector.name)
    return account


def _broke(connector: Connector, error: Exception) -> NoReturn:
    log.error("grant.account_broke", service=connector.slug, kind=type(error).__name__)
    raise Invalid(
        "Couldn't identify your account at %(name)s: its connector failed (%(kind)s).",
        name=connector.name,
        kind=type(error).__name__,
    ) from None


# Store


def refresh_moment(grant: Grant, moment: datetime) -> tuple[datetime | None, datetime | None]:
    """When the token expires, and when to start refreshing it: early, with jitter."""
    if grant.lifetime is None:
        return None, None
    early = min(grant.lifetime * random.uniform(0.1, 0.25), random.uniform(LONGEST_EARLY / 2, LONGEST_EARLY))  # noqa: S311 - jitter
    return moment + timedelta(seconds=grant.lifetime), moment + timedelta(seconds=grant.lifetime - early)


def seal(keyring: Keyring, ref: Ref, grant: Grant | StoredTokens) -> tuple[str, str | None]:
    """The access and the refresh token, encrypted as they are stored."""
    refresh = keyring.encrypt(grant.refresh.get_secret_value(), ref.context("refresh_token")) if grant.refresh else None
    return keyring.encrypt(grant.access.get_secret_value(), ref.context("oauth_token")), refresh


def unseal(keyring: Keyring, ref: Ref, access: str, refresh: str | None) -> tuple[SecretStr, SecretStr | None]:
    """The stored access and refresh token, decrypted. Raises `Undecryptable`."""
    opened = SecretStr(keyring.decrypt(access, ref.context("oauth_token")))
    return opened, SecretStr(keyring.decrypt(refresh, ref.context("refresh_token"))) if refresh else None


async def keep(
    session: AsyncSession,
    keyring: Keyring,
    registry: Registry,
    user_id: int,
    slug: str,
    linked: Linked,
    *,
    name: str = "",
) -> connections.ConnectionView:
    """Store the tokens. They replace earlier ones under this name, and waiting executions resume."""
    connector, _ = connectable(registry, slug)
    row = await session.scalar(select(Service).where(Service.name == connector.name))
    if row is None or not row.is_active:
        raise NotFound("%(name)s is switched off on this server.", name=connector.name)
    grant = linked.grant
    expires, refresh_at = refresh_moment(grant, now())
    ref = Ref(user_id, slug, await vault.reserve(session, user_id, row.id, name))
    access, refresh = seal(keyring, ref, grant)
    tokens: dict[str, Any] = {
        "oauth_token": access,
        "refresh_token": refresh,
        "token_expires_at": expires,
    }
    state: dict[str, Any] = {
        "status": "works",
        "last_error": None,
        "parked_until": None,
        "checked_at": func.now(),
        "account": linked.account.label,
        "account_id": linked.account.id[:255],
        "scopes": " ".join(linked.scopes),
        "granted_at": func.now(),
        "refresh_at": refresh_at if grant.refresh else None,
        "refreshing_until": None,
    }
    await vault.leave(session, ref, row.id, state["account_id"])
    await vault.put(session, ref, row.id, tokens)
    await vault.mark(session, ref, row.id, state)
    await notify(session, Channel.CONNECTION_CHANGED, str(ref))
    detail = {"scopes": list(linked.scopes)} | ({"name": name} if name else {})
    await audit.record(session, user_id, "connection.connected", slug, detail)
    return await connections.view(session, registry, user_id, slug, name=name)


async def stored(session: AsyncSession, keyring: Keyring, connector: Connector, ref: Ref) -> StoredTokens | None:
    """The tokens of a connection. None if there are none, or they can't be decrypted."""
    row = (
        await session.execute(
            select(
                CONNECTIONS.oauth_token,
                CONNECTIONS.refresh_token,
                CONNECTIONS.token_expires_at,
                CONNECTIONS.updated_at,
                ConnectionState.status,
                ConnectionState.last_error,
                ConnectionState.said,
                ConnectionState.refresh_at,
                ConnectionState.granted_at,
            )
            .join(Service, Service.id == CONNECTIONS.service_id)
            .outerjoin(
                ConnectionState,
                (ConnectionState.user_id == CONNECTIONS.user_id)
                & (ConnectionState.service_id == CONNECTIONS.service_id)
                & (ConnectionState.connection_id == CONNECTIONS.connection_id),
            )
            .where(CONNECTIONS.user_id == ref.user_id, CONNECTIONS.connection_id == ref.number)
            .where(Service.name == connector.name)
        )
    ).one_or_none()
    if row is None or row.oauth_token is None:
        return None
    try:
        access, refresh = unseal(keyring, ref, row.oauth_token, row.refresh_token)
    except Undecryptable as error:
        log.error("grant.unreadable", user=ref.user_id, service=ref.slug, error=str(error))  # noqa: TRY400
        return None
    return StoredTokens(
        access=access,
        refresh=refresh,
        expires_at=row.token_expires_at,
        refresh_at=row.refresh_at,
        granted_at=row.granted_at,
        since=row.updated_at,
        status=row.status or "works",
        last_error=from_parts(row.said, row.last_error),
    )


async def revoke(client: Client, auth: OAuth2, keys: Keys | None, tokens: StoredTokens | Grant) -> None:
    """Revoke the tokens at the vendor, if it supports that. Raises `GrantFailed`, `TimeoutError`."""
    if keys is None or auth.revoke_url is None:
        return
    async with asyncio.timeout(REVOKE_WITHIN):
        if auth.quirks.revoke_auth == "token":  # must be a valid token; revoking it also revokes the refresh token
            if tokens.refresh and isinstance(tokens, StoredTokens) and tokens.over:
                tokens = await oauth2.refresh(client, auth.server, keys, tokens.refresh)
        elif tokens.refresh:
            await oauth2.revoke(client, auth.server, keys, tokens.refresh, "refresh_token")
        await oauth2.revoke(client, auth.server, keys, tokens.access, "access_token")
