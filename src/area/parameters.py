"""An AREA's configuration in rows: what its owner wrote for each parameter, secrets encrypted."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncSession

from area.catalog import slug_of
from area.db.models import Area, AreaParameter, Component
from area.kit.crypto import Keyring, Undecryptable
from area.kit.problems import Conflict
from area.plans import SECRET, Config, Scope, secret_context
from area.registry import Registry
from area.sdk import Action, Reaction
from area.sdk.fields import fields


@dataclass(frozen=True, slots=True)
class Parts:
    """The rows and the code of an AREA's two components."""

    action: Action
    reaction: Reaction
    action_row: Component
    reaction_row: Component
    variables: Mapping[tuple[int, str], int]  # (component, parameter) to variable id


Stored = tuple[Config, dict[tuple[str, str], int]]


async def present(session: AsyncSession, scope: Scope, area: Area) -> Config:
    """The AREA's present configuration with its secrets in clear. Raises `Conflict` when the key is gone."""
    stored, variables = (await configs(session, scope.registry, [area]))[area.id]
    try:
        return open_secrets(scope.keyring, area.id, stored, variables)
    except Undecryptable as error:
        raise Conflict(f"A secret of this AREA can't be read: {error} Make the AREA anew.") from error


def open_value(keyring: Keyring, area_id: int, variable_id: int | None, value: str) -> str:
    """A stored value in clear. Raises `Undecryptable`."""
    if variable_id is None or not value.startswith(SECRET):
        return value
    return keyring.decrypt(value.removeprefix(SECRET), secret_context(area_id, variable_id))


def open_secrets(keyring: Keyring, area_id: int, config: Config, variables: Mapping[tuple[str, str], int]) -> Config:
    """The configuration with its encrypted values in clear; `variables` are ids by (kind of component, name)."""

    def plain(kind: str, texts: Mapping[str, str]) -> dict[str, str]:
        return {name: open_value(keyring, area_id, variables.get((kind, name)), value) for name, value in texts.items()}

    return Config(
        config.action,
        config.reaction,
        plain("action", config.action_parameters),
        plain("reaction", config.reaction_parameters),
    )


async def store(session: AsyncSession, keyring: Keyring, area_id: int, parts: Parts, config: Config) -> Config:
    """Replace the AREA's parameters; returns the configuration with its secrets encrypted."""
    await session.execute(delete(AreaParameter).where(AreaParameter.area_id == area_id))
    stored: dict[str, dict[str, str]] = {"action": {}, "reaction": {}}
    for kind, component, row, texts in (
        ("action", parts.action, parts.action_row, config.action_parameters),
        ("reaction", parts.reaction, parts.reaction_row, config.reaction_parameters),
    ):
        secrets = {one.name for one in fields(component.params) if one.secret}
        for name, value in texts.items():
            variable_id = parts.variables[row.id, name]
            kept = value
            if name in secrets or value.startswith(SECRET):  # so that the mark always means what it says
                kept = SECRET + keyring.encrypt(value, secret_context(area_id, variable_id))
            stored[kind][name] = kept
            session.add(AreaParameter(area_id=area_id, variable_id=variable_id, value=kept))
    await session.flush()
    return Config(config.action, config.reaction, stored["action"], stored["reaction"])


async def configs(session: AsyncSession, registry: Registry, areas: Sequence[Area]) -> dict[int, Stored]:
    """Present configurations as stored, with the variables' ids by (kind of component, name)."""
    rows = await session.execute(
        text(
            "select a.id, c.type::text, c.name, s.name, v.name, p.value, v.id from areas a"
            " join components c on c.id in (a.component_action_id, a.component_reaction_id)"
            " join services s on s.id = c.service_id"
            " left join (area_parameters p join variables v on v.id = p.variable_id)"
            " on p.area_id = a.id and v.component_id = c.id"
            " where a.id = any(:ids)"
        ),
        {"ids": [area.id for area in areas]},
    )
    slugs = {service.name: slug for slug, service in registry.services.items()}
    texts: dict[int, dict[str, dict[str, str]]] = defaultdict(lambda: {"action": {}, "reaction": {}})
    keys: dict[int, dict[str, str]] = defaultdict(dict)
    variables: dict[int, dict[tuple[str, str], int]] = defaultdict(dict)
    for area_id, kind, component, service, name, value, variable_id in rows:
        keys[area_id][kind] = f"{slugs.get(service) or slug_of(service)}.{component}"
        if name is not None:
            texts[area_id][kind][name] = value
            variables[area_id][kind, name] = variable_id
    return {
        area.id: (
            Config(
                keys[area.id]["action"], keys[area.id]["reaction"], texts[area.id]["action"], texts[area.id]["reaction"]
            ),
            variables[area.id],
        )
        for area in areas
    }
