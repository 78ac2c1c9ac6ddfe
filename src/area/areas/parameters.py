"""An AREA's configuration as rows: the text of each parameter, secrets encrypted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, delete, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from area.areas.plans import SECRET, Config, Scope
from area.db import contexts
from area.db.models import Area, AreaConnection, AreaParameter, Component
from area.kit.crypto import Keyring, Undecryptable
from area.kit.problems import Conflict
from area.registry import Registry
from area.sdk import Action, Reaction
from area.sdk.fields import by_name


@dataclass(frozen=True, slots=True)
class Parts:
    """Rows and code of an AREA's two components."""

    action: Action
    reaction: Reaction
    action_row: Component
    reaction_row: Component
    variables: Mapping[tuple[int, str], int]  # (component, parameter) to variable id


Stored = tuple[Config, dict[tuple[str, str], int]]


async def present(session: AsyncSession, scope: Scope, area: Area) -> Config:
    """The AREA's current configuration, secrets in clear. Raises `Conflict` if the key is gone."""
    stored, variables = (await configs(session, scope.registry, [area]))[area.id]
    try:
        return open_secrets(scope.keyring, area.id, stored, variables)
    except Undecryptable as error:
        raise Conflict("A secret of this AREA can't be read: %(error)s Recreate the AREA.", error=error) from error


def open_value(keyring: Keyring, area_id: int, variable_id: int | None, value: str) -> str:
    """Decrypt a stored value. Raises `Undecryptable`."""
    if variable_id is None or not value.startswith(SECRET):
        return value
    return keyring.decrypt(value.removeprefix(SECRET), contexts.parameter(area_id, variable_id))


def open_secrets(keyring: Keyring, area_id: int, config: Config, variables: Mapping[tuple[str, str], int]) -> Config:
    """The configuration with its values decrypted. `variables` maps (kind of component, name) to ids."""

    def plain(kind: str, texts: Mapping[str, str]) -> dict[str, str]:
        return {name: open_value(keyring, area_id, variables.get((kind, name)), value) for name, value in texts.items()}

    return replace(
        config,
        action_parameters=plain("action", config.action_parameters),
        reaction_parameters=plain("reaction", config.reaction_parameters),
    )


async def store(session: AsyncSession, keyring: Keyring, area_id: int, parts: Parts, config: Config) -> Config:
    """Replace the AREA's parameters and connections. Returns the configuration with its secrets encrypted."""
    await session.execute(delete(AreaParameter).where(AreaParameter.area_id == area_id))
    await session.execute(delete(AreaConnection).where(AreaConnection.area_id == area_id))
    for kind, number in (("action", config.action_connection), ("reaction", config.reaction_connection)):
        if number:
            session.add(AreaConnection(area_id=area_id, kind=kind, connection_id=number))
    stored: dict[str, dict[str, str]] = {"action": {}, "reaction": {}}
    for kind, component, row, texts in (
        ("action", parts.action, parts.action_row, config.action_parameters),
        ("reaction", parts.reaction, parts.reaction_row, config.reaction_parameters),
    ):
        declared = by_name(component.params)
        for name, value in texts.items():
            variable_id = parts.variables[row.id, name]
            stored_text = value
            secret = name in declared and declared[name].holds_secret(value)
            if secret or value.startswith(SECRET):  # so that the prefix is unambiguous
                stored_text = SECRET + keyring.encrypt(value, contexts.parameter(area_id, variable_id))
            stored[kind][name] = stored_text
            session.add(AreaParameter(area_id=area_id, variable_id=variable_id, value=stored_text))
    await session.flush()
    return replace(config, action_parameters=stored["action"], reaction_parameters=stored["reaction"])


def sealed(
    keyring: Keyring, registry: Registry, kind: str, key: str, name: str, value: str, area_id: int, variable_id: int
) -> str:
    """Encrypt a parameter's text that was stored in clear, if it contains a secret."""
    component = registry.action(key) if kind == "action" else registry.reaction(key)
    declared = by_name(component.params) if component else {}
    if name in declared and declared[name].holds_secret(value):
        return SECRET + keyring.encrypt(value, contexts.parameter(area_id, variable_id))
    return value


async def configs(session: AsyncSession, registry: Registry, areas: Sequence[Area | Row[Any]]) -> dict[int, Stored]:
    """Current configurations as stored, with the variables' ids by (kind of component, name)."""
    components = {
        component_id for area in areas for component_id in (area.component_action_id, area.component_reaction_id)
    }
    named = await session.execute(
        text(
            "select c.id, c.type::text, c.name, s.name from components c join services s on s.id = c.service_id"
            " where c.id = any(:ids)"
        ),
        {"ids": list(components)},
    )
    keys = {row[0]: (row[1], f"{registry.slug_of(row[3])}.{row[2]}") for row in named}
    rows = await session.execute(
        text(
            "select p.area_id, v.component_id, v.name, p.value, v.id from area_parameters p"
            " join variables v on v.id = p.variable_id"
            " where p.area_id = any(:ids) and v.component_id = any(:components)"
        ),
        {"ids": [area.id for area in areas], "components": list(components)},
    )
    ids = [area.id for area in areas]
    chosen = await session.execute(select(AreaConnection).where(AreaConnection.area_id.in_(ids)))
    numbers = {(row.area_id, row.kind): row.connection_id for row in chosen.scalars()}
    texts: dict[int, dict[str, dict[str, str]]] = {area.id: {"action": {}, "reaction": {}} for area in areas}
    variables: dict[int, dict[tuple[str, str], int]] = {area.id: {} for area in areas}
    for area_id, component_id, name, value, variable_id in rows:
        kind = keys[component_id][0]
        texts[area_id][kind][name] = value
        variables[area_id][kind, name] = variable_id
    return {
        area.id: (
            Config(
                keys[area.component_action_id][1],
                keys[area.component_reaction_id][1],
                texts[area.id]["action"],
                texts[area.id]["reaction"],
                numbers.get((area.id, "action"), 0),
                numbers.get((area.id, "reaction"), 0),
            ),
            variables[area.id],
        )
        for area in areas
    }
