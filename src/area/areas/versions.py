"""The saved versions of an AREA: what changed in each, and going back to one.

A version holds the components, connections and parameters of one save; names, descriptions and switches have none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from area import areas
from area.areas import parameters
from area.areas.forms import AreaPatch, Part
from area.areas.plans import SECRET, Config, Scope
from area.areas.views import AreaOut
from area.connections import vault
from area.db.models import AreaVersion, Component, Service, Variable
from area.kit.crypto import Undecryptable
from area.kit.problems import Conflict, NotFound
from area.sdk.fields import by_name

LISTED = 50  # the newest versions

Side = Literal["action", "reaction"]


class VersionChange(BaseModel):
    """What a version changed, as text; null if it was or is not there. A secret's values are null."""

    side: Side
    name: str
    parameter: bool = Field(description="Whether `name` is a parameter; otherwise it is `component` or `connection`")
    before: str | None
    after: str | None
    secret: bool = False


class Version(BaseModel):
    """A saved version. `changes` are those since the version before; the first has none."""

    version: int
    created_at: datetime
    action: str = Field(description="service.component")
    reaction: str = Field(description="service.component")
    changes: list[VersionChange]


async def listed(session: AsyncSession, scope: Scope, user_id: int, area_id: int) -> list[Version]:
    """The newest versions, newest first. Raises `NotFound`."""
    await areas.own(session, user_id, area_id)
    newest = select(AreaVersion).where(AreaVersion.area_id == area_id).order_by(AreaVersion.version.desc())
    rows = (await session.scalars(newest.limit(LISTED + 1))).all()
    configs = [Config.from_json(row.config) for row in rows]
    names = await vault.names(session, {number for config in configs for number in _connections(config)})
    known: dict[tuple[str, str], Mapping[tuple[str, str], int]] = {}
    read = []
    for config in configs:
        components = (config.action, config.reaction)
        if components not in known:
            known[components] = await _variables(session, scope, config)
        read.append(_read(scope, area_id, config, known[components], names))
    versions = []
    for place, row in enumerate(rows[:LISTED]):
        changes = list(_changes(read[place + 1], read[place])) if place + 1 < len(read) else []
        made = Version(
            version=row.version,
            created_at=row.created_at,
            action=configs[place].action,
            reaction=configs[place].reaction,
            changes=changes,
        )
        versions.append(made)
    return versions


async def restore(session: AsyncSession, scope: Scope, user_id: int, area_id: int, version: int) -> AreaOut:
    """Save an earlier version anew, as the newest one. Raises `NotFound`, `Conflict` if it can't be read or its
    connection is gone, and `Invalid` if it is not valid any more.
    """
    area = await areas.own(session, user_id, area_id, lock=True)
    row = await session.get(AreaVersion, (area_id, version))
    if row is None:
        raise NotFound("This AREA has no version %(number)s.", number=version)
    config = Config.from_json(row.config)
    try:
        opened = parameters.open_secrets(scope.keyring, area.id, config, await _variables(session, scope, config))
    except Undecryptable as error:
        raise Conflict("A secret of this version can't be read: %(error)s", error=error) from error
    names = await vault.names(session, {*_connections(config)})
    if any(number and number not in names for number in _connections(config)):
        raise Conflict("The connection of this version was deleted. Connect the service, then edit the AREA instead.")
    action, reaction = (
        Part(component=key, parameters=dict(texts), connection=names.get(number))
        for key, texts, number in (
            (opened.action, opened.action_parameters, opened.action_connection),
            (opened.reaction, opened.reaction_parameters, opened.reaction_connection),
        )
    )
    return await areas.change(session, scope, user_id, area_id, AreaPatch(action=action, reaction=reaction))


def _connections(config: Config) -> tuple[int, int]:
    return config.action_connection, config.reaction_connection


@dataclass(frozen=True, slots=True)
class _Text:
    """A parameter's text as it is shown, or None for a secret, and what it is compared by."""

    shown: str | None
    whole: str


# what a version says by side and name: `component`, `connection`, and parameters after them
_Read = dict[tuple[Side, str, bool], _Text]


def _read(
    scope: Scope,
    area_id: int,
    config: Config,
    variables: Mapping[tuple[str, str], int],
    names: Mapping[int, str],
) -> _Read:
    """A version as it is shown: secrets are compared, but not told."""
    read: _Read = {}
    sides: tuple[tuple[Side, str, int, Mapping[str, str]], ...] = (
        ("action", config.action, config.action_connection, config.action_parameters),
        ("reaction", config.reaction, config.reaction_connection, config.reaction_parameters),
    )
    for side, key, number, texts in sides:
        read[side, "component", False] = _Text(key, key)
        if number:
            read[side, "connection", False] = _Text(names.get(number), str(number))
        component = scope.registry.action(key) if side == "action" else scope.registry.reaction(key)
        declared = by_name(component.params) if component else {}
        for name, text in texts.items():
            try:
                plain = parameters.open_value(scope.keyring, area_id, variables.get((side, name)), text)
            except Undecryptable:
                plain = text
            if name not in declared:
                shown = None if text.startswith(SECRET) else plain
            elif declared[name].secret or plain.startswith(SECRET):
                shown = None
            else:
                shown = declared[name].hidden(plain) if declared[name].holds else plain
            read[side, name, True] = _Text(shown, plain)
    return read


def _changes(before: _Read, after: _Read) -> Iterator[VersionChange]:
    """What differs between two versions."""
    for place in dict.fromkeys([*after, *before]):
        was, now = before.get(place), after.get(place)
        if (was and was.whole) == (now and now.whole):
            continue
        side, name, _ = place
        secret = place[2] and any(text is not None and text.shown is None for text in (was, now))
        yield VersionChange(
            side=side,
            name=name,
            parameter=place[2],
            before=was.shown if was and not secret else None,
            after=now.shown if now and not secret else None,
            secret=secret,
        )


async def _variables(session: AsyncSession, scope: Scope, config: Config) -> dict[tuple[str, str], int]:
    """The ids of the components' parameters, by kind of component and name: what secrets are bound to."""
    numbers: dict[tuple[str, str], int] = {}
    for side, key in (("action", config.action), ("reaction", config.reaction)):
        slug, _, name = key.partition(".")
        service = scope.registry.services.get(slug)
        if service is None:
            continue
        rows = await session.execute(
            select(Variable.name, Variable.id)
            .join(Component, Component.id == Variable.component_id)
            .join(Service, Service.id == Component.service_id)
            .where(Service.name == service.name, Component.name == name, Component.type == side)
            .where(Variable.kind == "parameter")
        )
        numbers |= {(side, parameter): number for parameter, number in rows}
    return numbers
