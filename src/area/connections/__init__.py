"""A user's credentials for services that connect by form (not OAuth2): test, encrypt, store, delete.

A credential is write-only: it is passed to the connector and never returned, not even its non-secret fields. The row
holds it as one encrypted JSON text, bound to its user, service and column. A user has one default connection per
service, and others by `name`. Services that work without a connection only have named ones.
"""

import asyncio
import traceback
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import orjson
import structlog
from pydantic import BaseModel, ValidationError
from sqlalchemy import Row, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from area import audit
from area.connections import forms, registrations, vault
from area.connections.forms import FieldView
from area.connections.vault import Ref
from area.db.models import CONNECTIONS, ConnectionState, Service
from area.db.notify import Channel
from area.db.session import notify
from area.db.types import UtcDateTime
from area.kit.crypto import Keyring, Undecryptable
from area.kit.http import Client
from area.kit.net import Blocked, Guard
from area.kit.problems import Conflict, Invalid, NotFound
from area.kit.sentences import Sentence, from_parts, parts_of
from area.kit.text import did_you_mean, dump_json
from area.registry import Registry
from area.sdk import Account, AuthExpired, Credentials, OAuth2, Permanent, Retry
from area.sdk import Service as Connector
from area.sdk.context import alone
from area.sdk.http import Fixed
from area.sdk.keys import check_no_secret_is_plain
from area.settings import Settings

TEST_TIMEOUT = 20  # seconds

log = structlog.get_logger(__name__)


class ConnectionView(BaseModel):
    """A service that takes a connection, its form, and the state of the user's connection. Never contains the
    credential.

    `kind` is form or OAuth2; for OAuth2, `account` is the vendor's account and `scopes` are its grants. `available` is
    false if this server has no client id for it. If it `renews`, it is refreshed before `expires_at`.

    `connection` is the name of a non-default connection. An `optional` service also works without, and only has named
    ones. After a new connection, `note` says what couldn't be tested.
    """

    service: str
    name: str
    connection: str | None = None
    optional: bool = False
    kind: Literal["form", "oauth2"]
    available: bool
    account: str | None
    scopes: list[str]
    icon_path: str | None
    connected: bool
    status: Literal["works", "expired"] | None
    last_error: Sentence | None
    checked_at: datetime | None
    parked_until: datetime | None
    expires_at: datetime | None
    renews: bool
    connected_at: datetime | None
    note: str | None = None
    fields: list[FieldView]


class Dependent(BaseModel):
    """An AREA that needs the connection."""

    id: int
    name: str
    is_active: bool


class Tested(BaseModel):
    """The result of testing a credential. `expired` means rejected, as opposed to an unreachable service.

    If it works, `message` says what couldn't be tested or done, and `account` is the vendor's, if known.
    """

    works: bool
    expired: bool = False
    account: str | None = None
    message: Sentence | None = None


NO_PLATFORM = Sentence("A connection's test can't use AREA itself.")


# Connect, test, disconnect


async def connect(
    session: AsyncSession,
    keyring: Keyring,
    client: Client,
    guard: Guard,
    registry: Registry,
    user_id: int,
    slug: str,
    fields: Mapping[str, Any],
    *,
    name: str = "",
) -> ConnectionView:
    """Validate a credential, test it and store it encrypted. It replaces the connection with this name.

    Raises `NotFound`, or `Invalid` with the field errors or the test's error about address, certificate or login.
    Doesn't use the database before the credential works, so no transaction waits for another server.
    """
    connector, auth = connectable(registry, slug)
    if isinstance(auth, OAuth2):
        raise Conflict(
            "%(name)s connects by OAuth2. Start at /api/connections/%(service)s/authorize.",
            name=connector.name,
            service=slug,
        )
    credential = forms.validated(connector, auth, fields)
    name = vault.name_of(name) or (auth.label(credential) if auth.label else "")
    tested = await try_out(client, guard, connector, credential)
    if not tested.works:
        raise Invalid(tested.message) if tested.message else Invalid
    await keep(session, keyring, connector, user_id, fields, name, tested.account)
    connected = await view(session, registry, user_id, slug, name=name)
    return connected.model_copy(update={"note": tested.message})


async def keep(
    session: AsyncSession, keyring: Keyring, connector: Connector, user_id: int, fields: Mapping[str, Any], name: str,
    account: str | None = None,
) -> int:  # fmt: skip
    """Store a tested credential under a name. Returns the connection's id. Raises `NotFound`, `TooMany`."""
    row = await vault.service(session, connector)
    if not row.is_active:
        raise NotFound("%(name)s is switched off on this server.", name=connector.name)
    ref = Ref(user_id, connector.slug, await vault.reserve(session, user_id, row.id, name))
    token = keyring.encrypt(dump_json(fields).decode(), ref.context("oauth_token"))
    await vault.put(session, ref, row.id, {"oauth_token": token, "refresh_token": None, "token_expires_at": None})
    await _mark(session, ref, connector, Tested(works=True, account=account))
    await audit.record(session, user_id, "connection.connected", connector.slug, {"name": name} if name else None)
    return ref.number


async def try_out(client: Client, guard: Guard, connector: Connector, credential: BaseModel) -> Tested:
    """Test a credential for at most 20 seconds. Never raises; the message never contains the credential's secrets."""
    auth = connector.auth
    if not isinstance(auth, Credentials):
        return Tested(works=True)
    secrets = list(forms.secrets_in(credential))
    try:
        async with asyncio.timeout(TEST_TIMEOUT):
            http = connector.http(client, await _authority(client, guard, connector, credential))
            context = alone(http, guard, credential, Permanent(NO_PLATFORM))
            reply = await auth.test(context, credential)
    except (Permanent, AuthExpired) as error:
        return Tested(works=False, expired=True, message=forms.without(secrets, str(error)))
    except (Retry, Blocked) as error:
        return Tested(works=False, message=forms.without(secrets, str(error)))
    except TimeoutError:
        message = Sentence(
            "%(name)s did not respond within %(number)s seconds. Check the address.",
            name=connector.name,
            number=TEST_TIMEOUT,
        )
        return Tested(works=False, message=message)
    except Exception as error:  # noqa: BLE001 - the connector's bug, logged as one; its words may hold what was typed in
        trace = forms.without(secrets, "".join(traceback.format_exception(error)))
        log.error("connection.test_broke", service=connector.slug, kind=type(error).__name__, trace=trace)  # noqa: TRY400
        message = Sentence(
            "Couldn't test the connection: the %(name)s connector failed (%(kind)s).",
            name=connector.name,
            kind=type(error).__name__,
        )
        return Tested(works=False, message=message)
    account, note = (reply.label, reply.note or None) if isinstance(reply, Account) else (None, reply)
    return Tested(works=True, account=account, message=note)


async def _authority(client: Client, guard: Guard, connector: Connector, credential: BaseModel) -> Fixed | None:
    """What authenticates the test: the credential, or a token obtained with it, over https. Raises connector errors."""
    grant = (
        connector.auth.grant(credential) if isinstance(connector.auth, Credentials) and connector.auth.grant else None
    )
    if grant is None:
        return connector.fixed(credential)
    await check_no_secret_is_plain(guard, grant.server.token_url)
    return Fixed(grant.access((await grant.ask(client)).access))


async def note(
    session: AsyncSession, registry: Registry, user_id: int, slug: str, tested: Tested, *, name: str = ""
) -> None:
    """Record the result of testing a stored credential.

    An unreachable service doesn't change the connection's state: only a rejection pauses its AREAs.
    """
    connector, _ = connectable(registry, slug)
    ref = Ref(user_id, slug, await vault.number(session, connector, user_id, name))
    await _mark(session, ref, connector, tested)


async def rename(session: AsyncSession, registry: Registry, user_id: int, slug: str, name: str, new: str) -> None:
    """Rename a named connection. Its AREAs keep using it. Raises `NotFound`, `Invalid`, `Conflict`."""
    connector, _ = connectable(registry, slug)
    number = await vault.number(session, connector, user_id, name)
    if not number:
        raise Invalid.field("name", "The default connection has no name. Choose a connection that has one.")
    new_name = vault.name_of(new)
    if not new_name:
        raise Invalid.field("name", "Enter a name, such as Work.")
    if new_name == vault.name_of(name):
        return
    if not await vault.rename(session, number, new_name):
        raise Conflict("You already have a connection called %(name)s. Choose another name.", name=new_name)
    await audit.record(session, user_id, "connection.renamed", slug, {"name": new_name, "before": vault.name_of(name)})


async def disconnect(
    session: AsyncSession, registry: Registry, user_id: int, slug: str, *, name: str = ""
) -> list[Dependent]:
    """Delete the connection. Returns the AREAs that need it; their executions wait from now on. Raises `NotFound`."""
    connector, _ = connectable(registry, slug)
    row = await vault.service(session, connector)
    ref = Ref(user_id, slug, await vault.number(session, connector, user_id, name))
    needing = await dependents(session, registry, user_id, slug, name=name)
    if not await vault.forget(session, ref, row.id):
        raise NotFound("You have no connection to %(name)s.", name=connector.name)
    await audit.record(session, user_id, "connection.disconnected", slug, {"name": name} if name else None)
    return needing


async def dependents(
    session: AsyncSession, registry: Registry, user_id: int, slug: str, *, name: str = ""
) -> list[Dependent]:
    """The user's AREAs that need the connection. Raises `NotFound`."""
    connector, _ = connectable(registry, slug)
    number = await vault.number(session, connector, user_id, name)
    if not number and not connector.requires_auth:
        return []
    statement = text(DEPENDENTS), {"user_id": user_id, "service": connector.name, "number": number}
    return [Dependent(id=row.id, name=row.name, is_active=row.is_active) for row in await session.execute(*statement)]


DEPENDENTS = """
select distinct a.id, a.name, a.is_active from areas a
join components c on c.id in (a.component_action_id, a.component_reaction_id)
join services s on s.id = c.service_id
left join area_connections ac on ac.area_id = a.id and ac.kind = c.type::text
where a.user_id = :user_id and s.name = :service and coalesce(ac.connection_id, 0) = :number order by a.id
"""


async def _mark(session: AsyncSession, ref: Ref, connector: Connector, tested: Tested) -> None:
    """Set the status of an existing connection, unless the service couldn't be reached."""
    status = "works" if tested.works else "expired" if tested.expired else None
    row = await vault.service(session, connector)
    if not await vault.there(session, ref, row.id):
        return
    key = {"user_id": ref.user_id, "service_id": row.id, "connection_id": ref.number}
    before = await session.scalar(select(ConnectionState.status).filter_by(**key))
    error = None if tested.works else tested.message
    values: dict[str, Any] = {"last_error": error, "said": parts_of(error), "checked_at": func.now()}
    values |= {"status": status} if status else {}
    if status == "works":
        values |= {"parked_until": None, "access_token": None, "account": tested.account}
    await vault.mark(session, ref, row.id, values)
    if status is not None or before is None:
        await notify(session, Channel.CONNECTION_CHANGED, str(ref))


# Read


async def views(
    session: AsyncSession, registry: Registry, user_id: int, settings: Settings | None = None
) -> list[ConnectionView]:
    """Every service that takes a connection, by name, with the state of the user's connections.

    Without `settings`, OAuth2 services count as available.
    """
    connections: list[ConnectionView] = []
    for row in await session.execute(MINE, {"user_id": user_id}):
        connector = registry.by_name.get(row.name)
        if connector is None or not connector.auth:
            continue
        if row.connection_id and not (connections and connections[-1].service == connector.slug):
            connections.append(_view(connector, None, row.icon_path, settings))
        connections.append(_view(connector, row if row.created_at else None, row.icon_path, settings))
    return connections


MINE = text("""
select s.name, s.icon_path, coalesce(c.connection_id, 0) as connection_id, c.name as connection,
       c.oauth_token is not null as kept, c.created_at, c.token_expires_at, cs.status, cs.last_error, cs.said,
       cs.checked_at, cs.parked_until, cs.account, cs.scopes, cs.refresh_at
from services s
left join connections c on c.service_id = s.id and c.user_id = :user_id
left join connection_states cs on cs.service_id = s.id and cs.user_id = :user_id and cs.connection_id = c.connection_id
where s.is_active or c.user_id is not null
order by lower(s.name), c.connection_id <> 0, lower(c.name)
""").columns(token_expires_at=UtcDateTime, said=JSONB)


def _view(connector: Connector, row: Row[Any] | None, icon: str | None, settings: Settings | None) -> ConnectionView:
    """A connection. Without a row, a default connection that doesn't exist."""
    connected = row is not None and (row.kept or not row.connection_id)
    return ConnectionView(
        service=connector.slug,
        name=connector.name,
        connection=(row.connection or None) if row else None,
        optional=not connector.requires_auth,
        kind="oauth2" if isinstance(connector.auth, OAuth2) else "form",
        available=settings is None or registrations.available(connector, settings),
        account=row.account if row else None,
        scopes=((row.scopes if row else None) or "").split(),
        icon_path=icon,
        connected=connected,
        status=("expired" if row.status == "expired" else "works") if row and connected else None,
        last_error=from_parts(row.said, row.last_error) if row else None,
        checked_at=row.checked_at if row else None,
        parked_until=row.parked_until if row else None,
        expires_at=row.token_expires_at if row else None,
        renews=row is not None and row.refresh_at is not None,
        connected_at=row.created_at if row and connected else None,
        fields=forms.form(connector),
    )


async def view(
    session: AsyncSession,
    registry: Registry,
    user_id: int,
    slug: str,
    settings: Settings | None = None,
    *,
    name: str = "",
) -> ConnectionView:
    """A service that takes a connection, or one of its connections. Raises `NotFound`."""
    connector, _ = connectable(registry, slug)
    wanted_name = vault.name_of(name)
    for connection in await views(session, registry, user_id, settings):
        if connection.service == slug and (connection.connection or "") == wanted_name:
            return connection
    if wanted_name:
        raise NotFound("You have no connection '%(name)s' to %(service)s.", name=wanted_name, service=connector.name)
    raise NotFound("%(name)s is switched off on this server.", name=connector.name)


async def credential(
    session: AsyncSession, keyring: Keyring, registry: Registry, user_id: int, slug: str, *, number: int = 0
) -> BaseModel | None:
    """The user's credential as the connector's model, for the connector only.

    None if there is none or it can't be read: encrypted with a lost key, or in an outdated form.
    """
    connector = registry.services.get(slug)
    if connector is None or not isinstance(connector.auth, Credentials):
        return None
    sealed = await session.scalar(
        select(CONNECTIONS.oauth_token)
        .join(Service, Service.id == CONNECTIONS.service_id)
        .where(CONNECTIONS.user_id == user_id, CONNECTIONS.connection_id == number, Service.name == connector.name)
    )
    if sealed is None:
        return None
    try:
        fields = orjson.loads(keyring.decrypt(sealed, Ref(user_id, slug, number).context("oauth_token")))
        read: BaseModel = connector.auth.read(fields)
    except Undecryptable as error:
        log.error("connection.unreadable", user=user_id, service=slug, error=str(error))  # noqa: TRY400
        return None
    except ValidationError as error:
        wrong = [".".join(map(str, detail["loc"])) for detail in error.errors()]
        log.error("connection.outdated", user=user_id, service=slug, fields=wrong)  # noqa: TRY400
        return None
    return read


def connectable(registry: Registry, slug: str) -> tuple[Connector, Credentials[Any] | OAuth2]:
    """A service that takes a form, and the kind of credential. Raises `NotFound`."""
    connector = registry.services.get(slug)
    if connector is None:
        raise NotFound(
            "There is no service '%(service)s'%(hint)s", service=slug, hint=did_you_mean(slug, registry.services)
        )
    if connector.auth is None:
        raise NotFound("%(name)s needs no connection.", name=connector.name)
    return connector, connector.auth
