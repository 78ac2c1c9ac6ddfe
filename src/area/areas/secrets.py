"""Secrets in an AREA's parts: masks, logins in URLs, and connections by name."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from area import connections
from area.areas.forms import Part
from area.areas.parameters import Parts
from area.areas.plans import Config, to_text
from area.connections import vault
from area.kit.crypto import Keyring
from area.kit.problems import Conflict, Invalid
from area.registry import Registry
from area.sdk import Action, Credentials, Reaction, keys, sensitive
from area.sdk import Service as Connector
from area.sdk.fields import by_name
from area.sdk.sensitive import MASK


def without_login(component: Action | Reaction, part: Part, place: str) -> tuple[Part, Mapping[str, Any] | None]:
    """A part without user name and password in its URL, and these as a credential, or None."""
    auth = component.service.auth
    if not isinstance(auth, Credentials) or not auth.optional:
        return part, None
    for name, field in by_name(component.params).items():
        value = part.parameters.get(name)
        split = keys.split(value) if field.holds == "address" and isinstance(value, str) else None
        if split is None:
            continue
        if part.connection:
            message = "There is a password in the address and a credential. Remove one of them."
            raise Invalid.field(f"{place}.parameters.{name}", message)
        address, login = split
        return part.model_copy(update={"parameters": {**part.parameters, name: address}}), login
    return part, None


async def connection(
    session: AsyncSession,
    user_id: int,
    component: Action | Reaction,
    part: Part | None,
    place: str,
    old: str = "",
    number: int = 0,
) -> int:
    """The id of the part's connection. If it names none, the one in `old` for the same service."""
    service = component.service
    if part is None or "connection" not in part.model_fields_set:
        return number if old.partition(".")[0] == service.slug else 0
    if not part.connection:
        return 0
    if service.auth is None:
        raise Invalid.field(f"{place}.connection", "%(name)s needs no connection. Leave it out.", name=service.name)
    connection_id = await vault.find(session, service, user_id, part.connection)
    if connection_id is None:
        raise Invalid.field(
            f"{place}.connection",
            "You have no connection '%(name)s' to %(service)s.",
            name=part.connection,
            service=service.name,
        )
    return connection_id


def unmask(component: Action | Reaction, values: Mapping[str, Any], old: Mapping[str, str]) -> dict[str, Any]:
    """Replace masks with the existing secrets, also inside texts."""
    declared = by_name(component.params)
    unmasked: dict[str, Any] = {}
    for name, value in values.items():
        holds = declared[name].holds if name in declared else None
        if holds and name in old:
            text = to_text(value)
            unmasked[name] = sensitive.restore(holds, text, old[name]) if MASK in text else value
        else:
            unmasked[name] = old.get(name, "") if value == MASK else value
    return unmasked


def without_masks(parts: Parts, config: Config) -> Config:
    """The configuration, checked to contain no masks. Raises `Invalid`."""
    errors = [
        error
        for kind, component, texts in (
            ("action", parts.action, config.action_parameters),
            ("reaction", parts.reaction, config.reaction_parameters),
        )
        for name, field in by_name(component.params).items()
        if (field.holds or field.secret) and MASK in texts.get(name, "")
        for error in Invalid.field(f"{kind}.parameters.{name}", "Replace the dots with the secret.").errors
    ]
    if errors:
        raise Invalid(errors=errors)
    return config


async def keep_lifted(
    session: AsyncSession,
    keyring: Keyring,
    registry: Registry,
    connector: Connector,
    user_id: int,
    fields: Mapping[str, Any],
) -> str:
    """Store a login from an AREA's text as a credential, untested. Returns the connection's name, which may be an
    existing one.

    Raises `Invalid` if it isn't a valid credential.
    """
    auth = connector.auth
    assert isinstance(auth, Credentials) and auth.label  # noqa: S101, PT018 - the caller has seen to it
    fields = {name: value for name, value in fields.items() if name in auth.model.model_fields}
    credential = connections.forms.validated(connector, auth, fields)
    first = auth.label(credential)
    more = [str(fields["user"])] if fields.get("user") else []
    names = [first, *(f"{first} ({suffix})" for suffix in (*more, *(" ".join([*more, str(n)]) for n in range(2, 100))))]
    for name in (full[:100] for full in names):
        number = await vault.find(session, connector, user_id, name)
        if number is not None:
            stored = await connections.credential(session, keyring, registry, user_id, connector.slug, number=number)
            if stored is None or _login_of(stored) != _login_of(credential):
                continue
        else:
            await connections.keep(session, keyring, connector, user_id, fields, name)
        return name
    raise Conflict("There are too many credentials for %(name)s.", name=first)


def _login_of(credential: BaseModel) -> dict[str, Any]:
    """The identity of a credential: everything but the path of its URL."""
    values = dict(credential)
    return values | {"url": urlsplit(str(values.get("url", "")))[:2]}
