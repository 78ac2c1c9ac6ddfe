"""Connections: a user's credentials for services that take a form (no OAuth2): try, keep encrypted, test, forget.

A credential goes in and is handed to the connector; nothing of it ever comes out again, not even the parts that are no
secret: the row holds one encrypted JSON text, bound to its user, service and column.
"""

import asyncio
import traceback
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn

import orjson
import structlog
from pydantic import BaseModel, SecretStr, ValidationError
from sqlalchemy import delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from area import audit
from area.db.models import (
    Area,
    Component,
    ConnectionState,
    Service,
    UserService,
)
from area.db.session import notify
from area.kit.crypto import Keyring, Undecryptable
from area.kit.http import Client
from area.kit.net import Blocked, Guard
from area.kit.oauth2 import Keys
from area.kit.problems import Conflict, FieldError, Invalid, NotFound
from area.kit.text import did_you_mean, dump_json
from area.plans import MASK
from area.registry import Registry
from area.sdk import AuthExpired, Context, Credentials, OAuth2, Permanent, Retry
from area.sdk import Service as Connector
from area.sdk.fields import fields
from area.settings import Settings

TEST_TIMEOUT = 20  # seconds
CONNECTION_CHANGED = "connection_changed"  # NOTIFY with "user_id:slug"
SHORTEST_SECRET = 4  # characters

log = structlog.get_logger(__name__)


class FieldView(BaseModel):
    """One field of a service's connection form."""

    name: str
    description: str
    type: str
    required: bool
    secret: bool
    placeholder: str | None
    default: Any | None
    choices: list[str] | None


class ConnectionView(BaseModel):
    """A service that needs a connection, and how the user's fares; the form to connect it, never what was filled in.

    `kind` says whether it takes a form or is agreed to at its own site (OAuth2); then `account` is who agreed, `scopes` to what.
    It is not `available` while this server has no client id for it. What `renews` is renewed before it `expires_at`.
    """

    service: str
    name: str
    kind: Literal["form", "oauth2"]
    available: bool
    account: str | None
    scopes: list[str]
    icon_path: str | None
    connected: bool
    status: Literal["works", "expired"] | None
    last_error: str | None
    checked_at: datetime | None
    parked_until: datetime | None
    expires_at: datetime | None
    renews: bool
    connected_at: datetime | None
    fields: list[FieldView]


class Dependent(BaseModel):
    """An AREA that needs the connection."""

    id: int
    name: str
    is_active: bool


class Tested(BaseModel):
    """How a try of a credential went. `expired`: it was refused, rather than that the service could not be reached."""

    works: bool
    expired: bool = False
    message: str | None = None


class NoPlatform:
    """A connection is tried out; nothing of AREA itself is for it."""

    def _refuse(self) -> NoReturn:
        raise Permanent("A connection's test can't use AREA itself.")

    async def post_notice(self, title: str, body: str, level: str) -> int:  # noqa: ARG002
        """Refuse."""
        self._refuse()

    async def run_area(self, area: int, data: dict[str, Any]) -> int:  # noqa: ARG002
        """Refuse."""
        self._refuse()

    async def switch_area(self, area: int, *, active: bool) -> None:  # noqa: ARG002
        """Refuse."""
        self._refuse()

    async def areas(self) -> Any:
        """Refuse."""
        self._refuse()

    def failures(self, since: datetime) -> Any:  # noqa: ARG002
        """Refuse."""
        self._refuse()

    def switched_off(self, since: datetime) -> Any:  # noqa: ARG002
        """Refuse."""
        self._refuse()


# Connect, test, disconnect


async def connect(
    session: AsyncSession,
    keyring: Keyring,
    client: Client,
    guard: Guard,
    registry: Registry,
    user_id: int,
    slug: str,
    given: Mapping[str, Any],
) -> ConnectionView:
    """Check a credential, try it, keep it encrypted; a connection that was there before is replaced.

    Raises `NotFound`, and `Invalid` with the field errors or with what the service's test said: address, certificate, login.
    The database is not touched before the credential works, so that no transaction waits for somebody else's server.
    """
    connector, auth = connectable(registry, slug)
    if isinstance(auth, OAuth2):
        raise Conflict(f"{connector.name} is connected at its own site: begin at /api/connections/{slug}/authorize.")
    tested = await try_out(client, guard, connector, _validated(connector, auth, given))
    if not tested.works:
        raise Invalid(tested.message or "")
    row = await _service(session, connector)
    if not row.is_active:
        raise NotFound(f"{connector.name} is switched off on this server.")
    token = keyring.encrypt(dump_json(given).decode(), token_context(user_id, slug))
    values = {"oauth_token": token, "refresh_token": None, "token_expires_at": None, "updated_at": func.now()}
    statement = insert(UserService).values(user_id=user_id, service_id=row.id, **values)
    await session.execute(statement.on_conflict_do_update(index_elements=["user_id", "service_id"], set_=values))
    await _mark(session, user_id, connector, "works", None)
    await audit.record(session, user_id, "connection.connected", slug)
    return await view(session, registry, user_id, slug)


async def try_out(client: Client, guard: Guard, connector: Connector, credential: BaseModel) -> Tested:
    """Try a credential for at most 20 seconds. Never raises; the message never holds the credential's secrets."""
    auth = connector.auth
    if not isinstance(auth, Credentials):
        return Tested(works=True)
    http = connector.http(client, connector.fixed(credential))
    context = Context(http=http, guard=guard, platform=NoPlatform(), credential=credential)
    secrets = list(_secrets(credential))
    try:
        async with asyncio.timeout(TEST_TIMEOUT):
            await auth.test(context, credential)
    except (Permanent, AuthExpired) as error:
        return Tested(works=False, expired=True, message=_without(secrets, str(error)))
    except (Retry, Blocked) as error:
        return Tested(works=False, message=_without(secrets, str(error)))
    except TimeoutError:
        message = f"{connector.name} did not answer within {TEST_TIMEOUT} seconds. Check the address."
        return Tested(works=False, message=message)
    except Exception as error:  # noqa: BLE001 - the connector's bug, logged as one; its words may hold what was typed in
        trace = _without(secrets, "".join(traceback.format_exception(error)))
        log.error("connection.test_broke", service=connector.slug, kind=type(error).__name__, trace=trace)  # noqa: TRY400
        message = f"This could not be tried: the {connector.name} connector broke ({type(error).__name__})."
        return Tested(works=False, message=message)
    return Tested(works=True)


async def note(session: AsyncSession, registry: Registry, user_id: int, slug: str, tested: Tested) -> None:
    """Write down how `try_out` of a kept credential went.

    A service that could not be reached leaves the connection what it was: only a refusal pauses its AREAs.
    """
    connector, _ = connectable(registry, slug)
    status = "works" if tested.works else "expired" if tested.expired else None
    await _mark(session, user_id, connector, status, tested.message)


async def disconnect(session: AsyncSession, registry: Registry, user_id: int, slug: str) -> list[Dependent]:
    """Forget the connection; returns the AREAs that need it, whose executions wait from now on. Raises `NotFound`."""
    connector, _ = connectable(registry, slug)
    row = await _service(session, connector)
    mine = (UserService.user_id == user_id, UserService.service_id == row.id)
    if await session.scalar(delete(UserService).where(*mine).returning(UserService.service_id)) is None:
        raise NotFound(f"You have no connection to {connector.name}.")
    await session.execute(
        delete(ConnectionState).where(ConnectionState.user_id == user_id, ConnectionState.service_id == row.id)
    )
    await notify(session, CONNECTION_CHANGED, f"{user_id}:{slug}")
    await audit.record(session, user_id, "connection.disconnected", slug)
    return await dependents(session, registry, user_id, slug)


async def dependents(session: AsyncSession, registry: Registry, user_id: int, slug: str) -> list[Dependent]:
    """The user's AREAs that need the connection. Raises `NotFound`."""
    row = await _service(session, connectable(registry, slug)[0])
    components = select(Component.id).where(Component.service_id == row.id)
    needing = or_(Area.component_action_id.in_(components), Area.component_reaction_id.in_(components))
    rows = await session.execute(
        select(Area.id, Area.name, Area.is_active).where(Area.user_id == user_id, needing).order_by(Area.id)
    )
    return [Dependent(id=row.id, name=row.name, is_active=row.is_active) for row in rows]


async def mark_expired(session: AsyncSession, registry: Registry, user_id: int, slug: str, error: str) -> None:
    """The service no longer takes the credential: its AREAs' executions wait until it is renewed."""
    await _mark(session, user_id, connectable(registry, slug)[0], "expired", error)


async def mark_works(session: AsyncSession, registry: Registry, user_id: int, slug: str) -> None:
    """The service takes the credential (again)."""
    await _mark(session, user_id, connectable(registry, slug)[0], "works", None)


async def _mark(
    session: AsyncSession, user_id: int, connector: Connector, status: str | None, error: str | None
) -> None:
    """Note the status (None: as it was) of a connection that exists."""
    row = await _service(session, connector)
    connected = select(UserService.user_id).where(UserService.user_id == user_id, UserService.service_id == row.id)
    if await session.scalar(connected) is None:
        return
    before = await session.scalar(
        select(ConnectionState.status).where(ConnectionState.user_id == user_id, ConnectionState.service_id == row.id)
    )
    values: dict[str, Any] = {"last_error": error, "checked_at": func.now()}
    if status is not None:
        values["status"] = status
    if status == "works":
        values["parked_until"] = None
    statement = insert(ConnectionState).values(user_id=user_id, service_id=row.id, **values)
    await session.execute(statement.on_conflict_do_update(index_elements=["user_id", "service_id"], set_=values))
    if status is not None or before is None:
        await notify(session, CONNECTION_CHANGED, f"{user_id}:{connector.slug}")


# Read


async def views(
    session: AsyncSession, registry: Registry, user_id: int, settings: Settings | None = None
) -> list[ConnectionView]:
    """Every service that needs a connection, by name, and how the user's fares.

    Without the `settings` those that are agreed to at their own site count as available.
    """
    mine = (UserService.service_id == Service.id) & (UserService.user_id == user_id)
    state = (ConnectionState.service_id == Service.id) & (ConnectionState.user_id == user_id)
    rows = await session.execute(
        select(
            Service.name,
            Service.icon_path,
            UserService.created_at,
            UserService.token_expires_at,
            ConnectionState.status,
            ConnectionState.last_error,
            ConnectionState.checked_at,
            ConnectionState.parked_until,
            ConnectionState.account,
            ConnectionState.scopes,
            ConnectionState.refresh_at,
        )
        .outerjoin(UserService, mine)
        .outerjoin(ConnectionState, state)
        .where(or_(Service.is_active, UserService.user_id.is_not(None)))
        .order_by(func.lower(Service.name))
    )
    by_name = {one.name: one for one in registry.services.values() if one.auth}
    return [
        ConnectionView(
            service=by_name[row.name].slug,
            name=row.name,
            kind="oauth2" if isinstance(by_name[row.name].auth, OAuth2) else "form",
            available=settings is None or available(by_name[row.name], settings),
            account=row.account,
            scopes=(row.scopes or "").split(),
            icon_path=row.icon_path,
            connected=row.created_at is not None,
            status=None if row.created_at is None else "expired" if row.status == "expired" else "works",
            last_error=row.last_error,
            checked_at=row.checked_at,
            parked_until=row.parked_until,
            expires_at=row.token_expires_at.replace(tzinfo=UTC) if row.token_expires_at else None,
            renews=row.refresh_at is not None,
            connected_at=row.created_at,
            fields=form(by_name[row.name]),
        )
        for row in rows
        if row.name in by_name
    ]


async def view(
    session: AsyncSession, registry: Registry, user_id: int, slug: str, settings: Settings | None = None
) -> ConnectionView:
    """One service that needs a connection. Raises `NotFound`."""
    connector, _ = connectable(registry, slug)
    for one in await views(session, registry, user_id, settings):
        if one.service == slug:
            return one
    raise NotFound(f"{connector.name} is switched off on this server.")


async def credential(
    session: AsyncSession, keyring: Keyring, registry: Registry, user_id: int, slug: str
) -> BaseModel | None:
    """The user's credential as the connector's model, for the connector only.

    None when there is none, and when what is there can't be read: encrypted with a key that is gone, or of an older form.
    """
    connector = registry.services.get(slug)
    if connector is None or not isinstance(connector.auth, Credentials):
        return None
    kept = await session.scalar(
        select(UserService.oauth_token)
        .join(Service, Service.id == UserService.service_id)
        .where(UserService.user_id == user_id, Service.name == connector.name)
    )
    if kept is None:
        return None
    try:
        given = orjson.loads(keyring.decrypt(kept, token_context(user_id, slug)))
        read: BaseModel = connector.auth.read(given)
    except Undecryptable as error:
        log.error("connection.unreadable", user=user_id, service=slug, error=str(error))  # noqa: TRY400
        return None
    except ValidationError as error:
        wrong = [".".join(map(str, one["loc"])) for one in error.errors()]
        log.error("connection.outdated", user=user_id, service=slug, fields=wrong)  # noqa: TRY400
        return None
    return read


def connectable(registry: Registry, slug: str) -> tuple[Connector, Credentials[Any] | OAuth2]:
    """A service that needs a connection, and of what kind. Raises `NotFound`."""
    connector = registry.services.get(slug)
    if connector is None:
        raise NotFound(f"There is no service {slug!r}{did_you_mean(slug, registry.services)}")
    if connector.auth is None:
        raise NotFound(f"{connector.name} needs no connection.")
    return connector, connector.auth


def token_context(user_id: int, slug: str) -> str:
    """What a stored credential is bound to."""
    return f"{user_id}|{slug}|oauth_token"


async def _service(session: AsyncSession, connector: Connector) -> Service:
    row = await session.scalar(select(Service).where(Service.name == connector.name))
    if row is None:
        raise NotFound(f"{connector.name} is not in the catalog yet.")
    return row


def available(connector: Connector, settings: Settings) -> bool:
    """Whether it can be connected here: what is agreed to at the service's own site needs a client id of this server."""
    return not isinstance(connector.auth, OAuth2) or keys_of(connector, settings) is not None


def client_of(connector: Connector) -> str:
    """What a service's client id is called in the settings."""
    return (isinstance(connector.auth, OAuth2) and connector.auth.client) or connector.slug


def keys_of(connector: Connector, settings: Settings) -> Keys | None:
    """What the vendor knows this installation by; None when it was not set."""
    return settings.client(client_of(connector))


def form(connector: Connector) -> list[FieldView]:
    """The fields that connect a service; none when it takes no form."""
    if not isinstance(connector.auth, Credentials):
        return []
    return [
        FieldView(
            name=one.name,
            description=one.description,
            type=one.type,
            required=not one.nullable,
            secret=one.secret,
            placeholder=one.placeholder,
            default=one.default if isinstance(one.default, str | int | float | bool) and not one.secret else None,
            choices=list(one.choices) if one.choices else None,
        )
        for one in fields(connector.auth.model)
    ]


def _validated(connector: Connector, auth: Credentials[Any], given: Mapping[str, Any]) -> BaseModel:
    """The credential as the connector's model. Raises `Invalid` field by field, without what was typed in."""
    declared = {one.name: one for one in fields(auth.model)}
    errors: list[FieldError] = [
        {"field": name, "message": f"{connector.name} has no such field{did_you_mean(name, declared)}"}
        for name in given
        if name not in declared
    ]
    if errors:
        raise Invalid(errors=errors)
    try:
        checked: BaseModel = auth.read(given)
    except ValidationError as error:
        typed = [str(given[name]) for name, one in declared.items() if one.secret and given.get(name)]
        raise Invalid(
            errors=[
                {
                    "field": ".".join(str(part) for part in one["loc"]),
                    "message": _without(typed, one["msg"].removeprefix("Value error, ")),
                }
                for one in error.errors(include_url=False, include_context=False, include_input=False)
            ]
        ) from None
    return checked


def _secrets(value: Any) -> Iterator[str]:
    """Every secret inside a credential."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for _, inner in value:
            yield from _secrets(inner)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _secrets(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from _secrets(inner)


def _without(secrets: Iterable[str], message: str) -> str:
    """The message with the secrets in it made dots; what is too short to be one is left, or no word would stay whole."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            message = message.replace(secret, MASK)
    return message
