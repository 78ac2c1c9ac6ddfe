"""AREAs: create, check against the catalog, switch on and off, change, delete, carry in and out."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Select, func, select, text, update
from sqlalchemy import delete as sql_delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from area.catalog import slug_of
from area.db.models import (
    Area,
    AreaHealth,
    AreaParameter,
    AreaVersion,
    Component,
    ConnectionState,
    Service,
    Source,
    Trigger,
    User,
    UserService,
    Variable,
)
from area.db.session import notify
from area.kit.clock import now
from area.kit.crypto import Keyring, hash_token, new_token
from area.kit.problems import Conflict, FieldError, Invalid, NotFound, TooMany
from area.kit.text import did_you_mean
from area.plans import MASK, SECRET, Config, Plan, check_texts, compile_config, parse, secret_context
from area.registry import Registry
from area.sdk import Action, Reaction
from area.sdk.fields import fields


class Part(BaseModel):
    """A component, by `service.name` or id, and its parameters."""

    model_config = ConfigDict(extra="forbid")

    component: str | int = Field(description="service.component, or the component's id", examples=["rss.new_item"])
    parameters: dict[str, Any] = Field(default_factory=dict, examples=[{"url": "https://example.org/feed.xml"}])


class AreaIn(BaseModel):
    """An AREA to create. A reaction's parameters may hold `{{variable}}` placeholders."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=255, examples=["New posts to my server"])
    description: str | None = Field(None, max_length=10_000)
    is_active: bool = True
    action: Part
    reaction: Part


class AreaPatch(BaseModel):
    """What to change of an AREA; what is left out stays. A secret given as dots stays too."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, min_length=1, max_length=255)
    description: str | None = Field(None, max_length=10_000)
    is_active: bool | None = None
    action: Part | None = None
    reaction: Part | None = None


class PartOut(BaseModel):
    """A component and its parameters as written; secrets are dots."""

    component: str
    component_id: int
    title: str
    service: str
    parameters: dict[str, Any]


State = Literal["healthy", "never_fired", "off", "switched_off", "waiting_for_connection", "failing", "unavailable"]


class AreaOut(BaseModel):
    """An AREA with the seed's columns, and how it fares. `webhook_url` is where its webhooks go, if it has one."""

    id: int
    user_id: int
    component_action_id: int
    component_reaction_id: int
    name: str
    description: str | None
    is_active: bool
    created_at: datetime
    updated_at: datetime
    last_triggered_at: datetime | None
    triggered_count: int
    action: PartOut
    reaction: PartOut
    webhook_url: str | None
    version: int
    state: State
    reason: str | None
    last_checked_at: datetime | None
    next_due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Scope:
    """What the functions here need beside a session: made once per process."""

    registry: Registry
    keyring: Keyring
    base_url: str
    max_areas: int


@dataclass(frozen=True, slots=True)
class Parts:
    """The rows and the code of an AREA's two components."""

    action: Action
    reaction: Reaction
    action_row: Component
    reaction_row: Component
    variables: Mapping[tuple[int, str], int]  # (component, parameter) to variable id


# Create, change, delete


async def create(session: AsyncSession, scope: Scope, user_id: int, wanted: AreaIn) -> AreaOut:
    """Create an AREA, and watch for its events from now on if it is active. Raises `Invalid`, `TooMany`."""
    await session.execute(select(User.id).where(User.id == user_id).with_for_update())
    count = await session.scalar(select(func.count()).select_from(Area).where(Area.user_id == user_id))
    if (count or 0) >= scope.max_areas:
        raise TooMany(f"You have {count} AREAs, which is as many as this server allows. Delete one first.")
    parts = await _parts(session, scope.registry, wanted.action.component, wanted.reaction.component)
    config = _texts(parts, wanted.action.parameters, wanted.reaction.parameters)
    compile_config(scope.registry, config)
    _refuse_nul(wanted.name, wanted.description)
    area = Area(
        user_id=user_id,
        component_action_id=parts.action_row.id,
        component_reaction_id=parts.reaction_row.id,
        name=wanted.name,
        description=wanted.description,
        is_active=wanted.is_active,
    )
    session.add(area)
    await session.flush()
    stored = await _store(session, scope.keyring, area.id, parts, config)
    session.add(AreaVersion(area_id=area.id, version=1, config=stored.as_json()))
    await _watch(session, scope, area, parts.action, config)
    await _changed(session, area.id)
    await session.flush()
    await session.refresh(area)
    return await get(session, scope, user_id, area.id)


async def change(session: AsyncSession, scope: Scope, user_id: int, area_id: int, patch: AreaPatch) -> AreaOut:
    """Change an AREA. What its trigger remembers is kept unless the action or its parameters change."""
    area = await _own(session, user_id, area_id, lock=True)
    _refuse_nul(patch.name, patch.description)
    given = patch.model_fields_set
    if patch.name is not None:
        area.name = patch.name
    if "description" in given:
        area.description = patch.description
    was_active = area.is_active
    if patch.is_active is not None:
        area.is_active = patch.is_active
    if patch.action or patch.reaction:
        await _change_parts(session, scope, area, patch, was_active=was_active)
    elif area.is_active != was_active:
        await _rewatch(session, scope, area)
    area.updated_at = now()
    await _changed(session, area.id)
    await session.flush()
    return await get(session, scope, user_id, area_id)


async def _change_parts(session: AsyncSession, scope: Scope, area: Area, patch: AreaPatch, *, was_active: bool) -> None:
    old = await present_config(session, scope, area)
    parts = await _parts(
        session,
        scope.registry,
        patch.action.component if patch.action else old.action,
        patch.reaction.component if patch.reaction else old.reaction,
    )
    same_action, same_reaction = parts.action.key == old.action, parts.reaction.key == old.reaction
    given_action = (
        _unmask(patch.action.parameters, old.action_parameters if same_action else {})
        if patch.action
        else old.action_parameters
    )
    given_reaction = (
        _unmask(patch.reaction.parameters, old.reaction_parameters if same_reaction else {})
        if patch.reaction
        else old.reaction_parameters
    )
    config = _texts(parts, given_action, given_reaction)
    compile_config(scope.registry, config)
    area.component_action_id, area.component_reaction_id = parts.action_row.id, parts.reaction_row.id
    stored = await _store(session, scope.keyring, area.id, parts, config)
    latest = await session.scalar(select(func.max(AreaVersion.version)).where(AreaVersion.area_id == area.id))
    session.add(AreaVersion(area_id=area.id, version=(latest or 0) + 1, config=stored.as_json()))
    watched = {key: value for key, value in config.action_parameters.items() if key != "only_if"}
    watched_before = {key: value for key, value in old.action_parameters.items() if key != "only_if"}
    if not same_action or watched != watched_before or area.is_active != was_active:
        await _watch(session, scope, area, parts.action, config, renew=not same_action)


async def set_active(session: AsyncSession, scope: Scope, user_id: int, area_id: int, *, active: bool) -> AreaOut:
    """Switch an AREA on or off. Switching on never replays the past."""
    return await change(session, scope, user_id, area_id, AreaPatch(is_active=active))


async def remove(session: AsyncSession, user_id: int, area_id: int) -> None:
    """Delete an AREA with its log."""
    area = await _own(session, user_id, area_id, lock=True)
    await session.execute(text(CANCEL_JOBS), {"area_id": area.id})
    await session.execute(sql_delete(Area).where(Area.id == area.id))
    await _changed(session, area_id)


CANCEL_JOBS = """
delete from pgqueuer where status = 'queued' and id in (
    select j.job_id from execution_jobs j join area_executions e on e.id = j.execution_id where e.area_id = :area_id)
"""


async def renew_address(session: AsyncSession, scope: Scope, user_id: int, area_id: int) -> AreaOut:
    """Give the AREA a new webhook address; the old one answers 404 from now on. Raises `Conflict` when it has none."""
    area = await _own(session, user_id, area_id, lock=True)
    trigger = await session.get(Trigger, area.id)
    if trigger is None or trigger.token_hash is None:
        raise Conflict("This AREA's action has no webhook address.")
    _new_address(scope.keyring, trigger)
    await _changed(session, area.id)
    await session.flush()
    return await get(session, scope, user_id, area_id)


# Read


async def get(session: AsyncSession, scope: Scope, user_id: int, area_id: int) -> AreaOut:
    """One AREA of the user. Raises `NotFound`, also when it is somebody else's."""
    area = await _own(session, user_id, area_id)
    return (await _views(session, scope, [area]))[0]


async def find(
    session: AsyncSession,
    scope: Scope,
    user_id: int,
    *,
    limit: int = 50,
    before: int | None = None,
    q: str | None = None,
    service: str | None = None,
    active: bool | None = None,
) -> list[AreaOut]:
    """The user's AREAs, newest first, before the id `before`; `q` searches names, `service` is a slug."""
    statement = select(Area).where(Area.user_id == user_id).order_by(Area.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(Area.id < before)
    if active is not None:
        statement = statement.where(Area.is_active == active)
    if q:
        escaped = q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        statement = statement.where(Area.name.ilike(f"%{escaped}%"))
    if service:
        statement = _of_service(statement, scope.registry, service)
    return await _views(session, scope, list(await session.scalars(statement)))


def _of_service(statement: Select[tuple[Area]], registry: Registry, slug: str) -> Select[tuple[Area]]:
    name = registry.services[slug].name if slug in registry.services else slug
    ids = select(Component.id).join(Service, Service.id == Component.service_id).where(Service.name == name)
    return statement.where(Area.component_action_id.in_(ids) | Area.component_reaction_id.in_(ids))


async def present_config(session: AsyncSession, scope: Scope, area: Area) -> Config:
    """The AREA's present configuration with its secrets in clear."""
    stored, variables = (await _configs(session, scope.registry, [area]))[area.id]
    return open_secrets(scope.keyring, area.id, stored, variables)


def open_secrets(keyring: Keyring, area_id: int, config: Config, variables: Mapping[tuple[str, str], int]) -> Config:
    """The configuration with its encrypted values in clear; `variables` are ids by (kind of component, name)."""

    def plain(kind: str, texts: Mapping[str, str]) -> dict[str, str]:
        return {
            name: keyring.decrypt(value.removeprefix(SECRET), secret_context(area_id, variables[kind, name]))
            if value.startswith(SECRET) and (kind, name) in variables
            else value
            for name, value in texts.items()
        }

    return Config(
        config.action,
        config.reaction,
        plain("action", config.action_parameters),
        plain("reaction", config.reaction_parameters),
    )


async def plan(session: AsyncSession, scope: Scope, wanted: AreaIn) -> Plan:
    """Compile an AREA that is not saved. Raises `Invalid`."""
    parts = await _parts(session, scope.registry, wanted.action.component, wanted.reaction.component)
    return compile_config(scope.registry, _texts(parts, wanted.action.parameters, wanted.reaction.parameters))


# Carry in and out


async def export(session: AsyncSession, scope: Scope, user_id: int, ids: Sequence[int] | None = None) -> list[AreaIn]:
    """The user's AREAs in the form that `create` takes, secrets left out."""
    statement = select(Area).where(Area.user_id == user_id).order_by(Area.id)
    if ids is not None:
        statement = statement.where(Area.id.in_(ids))
    views = await _views(session, scope, list(await session.scalars(statement)))
    return [
        AreaIn(
            name=view.name,
            description=view.description,
            is_active=view.is_active,
            action=Part(component=view.action.component, parameters=_unmasked(view.action.parameters)),
            reaction=Part(component=view.reaction.component, parameters=_unmasked(view.reaction.parameters)),
        )
        for view in views
    ]


async def apply(session: AsyncSession, scope: Scope, user_id: int, wanted: Sequence[AreaIn]) -> dict[str, list[str]]:
    """Make the user's AREAs of these names be like these: create those missing, change those that differ.

    Returns the names under `created`, `changed` and `same`. AREAs of other names are left alone. Raises `Conflict` when a
    name stands for several AREAs.
    """
    report: dict[str, list[str]] = {"created": [], "changed": [], "same": []}
    for one in wanted:
        rows = list(await session.scalars(select(Area).where(Area.user_id == user_id, Area.name == one.name)))
        if len(rows) > 1:
            raise Conflict(f"{len(rows)} AREAs have the name {one.name!r}; rename all but one of them first.")
        if not rows:
            await create(session, scope, user_id, one)
            report["created"].append(one.name)
            continue
        exported = (await export(session, scope, user_id, [rows[0].id]))[0]
        if exported == one:
            report["same"].append(one.name)
            continue
        patch = AreaPatch(
            description=one.description, is_active=one.is_active, action=one.action, reaction=one.reaction
        )
        await change(session, scope, user_id, rows[0].id, patch)
        report["changed"].append(one.name)
    return report


def _unmasked(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value != MASK}


# How an AREA gets its events


async def _rewatch(session: AsyncSession, scope: Scope, area: Area) -> None:
    config = await present_config(session, scope, area)
    action = scope.registry.action(config.action)
    if action is None:
        if area.is_active:
            raise Conflict(f"The action {config.action} is no longer available, so the AREA can't be switched on.")
        return
    if area.is_active:
        compile_config(scope.registry, config)
    await _watch(session, scope, area, action, config)


async def _watch(
    session: AsyncSession, scope: Scope, area: Area, action: Action, config: Config, *, renew: bool = False
) -> None:
    """Make the AREA's trigger fit its action, parameters and switch. The first look at a source is the baseline."""
    trigger = await session.get(Trigger, area.id)
    if trigger is None:
        trigger = Trigger(area_id=area.id)
        session.add(trigger)
    if action.kind == "webhook":
        trigger.source_id = None
        if renew or trigger.token_hash is None:
            _new_address(scope.keyring, trigger)
            trigger.secret = scope.keyring.encrypt(new_token(), f"area:{area.id}|secret")
    else:
        trigger.token_hash = trigger.token = trigger.secret = None
        trigger.source_id = await _source(session, area, action, config)
        trigger.baseline = action.kind == "poll"
    trigger.since = now()
    if area.is_active:
        await session.execute(
            update(AreaHealth)
            .where(AreaHealth.area_id == area.id)
            .values(failures=0, switched_off_at=None, reason=None)
        )


def _new_address(keyring: Keyring, trigger: Trigger) -> None:
    token = new_token()
    trigger.token_hash = hash_token(token)
    trigger.token = keyring.encrypt(token, f"area:{trigger.area_id}|token")


async def _source(session: AsyncSession, area: Area, action: Action, config: Config) -> int:
    """The source that this action, parameters and account share, asked at once when somebody begins to need it."""
    plain = {name: value for name, value in config.action_parameters.items() if name != "only_if"}
    personal = action.service.auth is not None or action.service.personal
    owner = area.user_id if personal else None
    key = hashlib.sha256(orjson.dumps([action.key, plain, owner], option=orjson.OPT_SORT_KEYS)).hexdigest()
    await session.execute(
        insert(Source)
        .values(key=key, component_id=area.component_action_id, user_id=owner, params=plain)
        .on_conflict_do_nothing(index_elements=["key"])
    )
    source = (await session.scalars(select(Source).where(Source.key == key).with_for_update())).one()
    if not area.is_active:
        return source.id
    others = await session.scalar(
        select(func.count())
        .select_from(Trigger)
        .join(Area, Area.id == Trigger.area_id)
        .where(Trigger.source_id == source.id, Area.is_active, Area.id != area.id)
    )
    if not others:  # nobody was watching: what it remembers is the past, and the past is not replayed
        source.state, source.seen, source.planned_at = {}, None, None
        source.failures, source.failing_since, source.last_error, source.noticed_at = 0, None, None, None
        source.checked_at = None
    if not others or action.kind == "poll":
        source.due_at = now()
    await notify(session, "sources_changed", str(source.id))
    return source.id


# Helpers


async def _own(session: AsyncSession, user_id: int, area_id: int, *, lock: bool = False) -> Area:
    statement = select(Area).where(Area.id == area_id, Area.user_id == user_id)
    area = await session.scalar(statement.with_for_update() if lock else statement)
    if area is None:
        raise NotFound(f"There is no AREA {area_id}.")
    return area


async def _changed(session: AsyncSession, area_id: int) -> None:
    await notify(session, "area_changed", str(area_id))


def _refuse_nul(*texts: str | None) -> None:
    if any(one and "\x00" in one for one in texts):
        raise Invalid.field("name", "The text holds a NUL character; remove it.")


async def _parts(session: AsyncSession, registry: Registry, action_name: str | int, reaction_name: str | int) -> Parts:
    action_row, action_key = await _component(session, registry, "action", action_name)
    reaction_row, reaction_key = await _component(session, registry, "reaction", reaction_name)
    action, reaction = registry.action(action_key), registry.reaction(reaction_key)
    if action is None or reaction is None:
        place, key = ("action", action_key) if action is None else ("reaction", reaction_key)
        raise Invalid.field(f"{place}.component", f"{key} is no longer available.")
    rows = await session.execute(
        select(Variable.component_id, Variable.name, Variable.id).where(
            Variable.component_id.in_([action_row.id, reaction_row.id]), Variable.kind == "parameter"
        )
    )
    return Parts(action, reaction, action_row, reaction_row, {(row[0], row[1]): row[2] for row in rows})


async def _component(session: AsyncSession, registry: Registry, type_: str, name: str | int) -> tuple[Component, str]:
    """Row and key of a component named by `service.component` or id. Raises `Invalid`."""
    by_name = {service.name: slug for slug, service in registry.services.items()}
    statement = (
        select(Component, Service).join(Service, Service.id == Component.service_id).where(Component.type == type_)
    )
    slug, _, component_name = str(name).partition(".")
    if component_name and slug in registry.services:
        statement = statement.where(Component.name == component_name, Service.name == registry.services[slug].name)
    elif str(name).isascii() and str(name).isdigit() and int(name) < 2**31:
        statement = statement.where(Component.id == int(name))
    else:
        statement = statement.where(text("false"))
    row = (await session.execute(statement)).first()
    if row is None:
        every = [key for one in registry.services.values() for key in _keys(one, type_)]
        raise Invalid.field(f"{type_}.component", f"There is no {type_} {name!r}.{did_you_mean(str(name), every)}")
    component, service = row
    if not (component.is_active and service.is_active):
        raise Invalid.field(f"{type_}.component", f"{service.name}: {component.name} is switched off on this server.")
    return component, f"{by_name.get(service.name, '')}.{component.name}"


def _keys(service: Any, type_: str) -> list[str]:
    return [one.key for one in (service.actions if type_ == "action" else service.reactions).values()]


def _texts(parts: Parts, action: Mapping[str, Any], reaction: Mapping[str, Any]) -> Config:
    action_texts, errors = check_texts(parts.action, action, "action.parameters", allow="only_if")
    reaction_texts, more = check_texts(parts.reaction, reaction, "reaction.parameters", allow="delay")
    found: list[FieldError] = [*errors, *more]
    if found:
        raise Invalid(errors=found)
    return Config(parts.action.key, parts.reaction.key, action_texts, reaction_texts)


def _unmask(given: Mapping[str, Any], old: Mapping[str, str]) -> dict[str, Any]:
    """Dots stand for the secret that is there already."""
    return {name: old.get(name, "") if value == MASK else value for name, value in given.items()}


async def _store(session: AsyncSession, keyring: Keyring, area_id: int, parts: Parts, config: Config) -> Config:
    """Replace the AREA's parameters; returns the configuration with its secrets encrypted."""
    await session.execute(sql_delete(AreaParameter).where(AreaParameter.area_id == area_id))
    stored: dict[str, dict[str, str]] = {"action": {}, "reaction": {}}
    for kind, component, row, texts in (
        ("action", parts.action, parts.action_row, config.action_parameters),
        ("reaction", parts.reaction, parts.reaction_row, config.reaction_parameters),
    ):
        secrets = {one.name for one in fields(component.params) if one.secret}
        for name, value in texts.items():
            variable_id = parts.variables[row.id, name]
            kept = value
            if name in secrets:
                kept = SECRET + keyring.encrypt(value, secret_context(area_id, variable_id))
            stored[kind][name] = kept
            session.add(AreaParameter(area_id=area_id, variable_id=variable_id, value=kept))
    await session.flush()
    return Config(config.action, config.reaction, stored["action"], stored["reaction"])


Stored = tuple[Config, dict[tuple[str, str], int]]


async def _configs(session: AsyncSession, registry: Registry, areas: Sequence[Area]) -> dict[int, Stored]:
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


async def _views(session: AsyncSession, scope: Scope, areas: Sequence[Area]) -> list[AreaOut]:
    if not areas:
        return []
    ids = [area.id for area in areas]
    configs = await _configs(session, scope.registry, areas)
    triggers = {row.area_id: row for row in await session.scalars(select(Trigger).where(Trigger.area_id.in_(ids)))}
    source_ids = [row.source_id for row in triggers.values() if row.source_id is not None]
    sources = {row.id: row for row in await session.scalars(select(Source).where(Source.id.in_(source_ids)))}
    health = {row.area_id: row for row in await session.scalars(select(AreaHealth).where(AreaHealth.area_id.in_(ids)))}
    versions = dict(
        (
            await session.execute(
                select(AreaVersion.area_id, func.max(AreaVersion.version))
                .where(AreaVersion.area_id.in_(ids))
                .group_by(AreaVersion.area_id)
            )
        ).all()
    )
    component_ids = {one for area in areas for one in (area.component_action_id, area.component_reaction_id)}
    active = {
        row[0]: row[1]
        for row in await session.execute(
            select(Component.id, Component.is_active & Service.is_active)
            .join(Service, Service.id == Component.service_id)
            .where(Component.id.in_(component_ids))
        )
    }
    connections = await _connection_states(session, scope.registry, areas[0].user_id)
    views = []
    for area in areas:
        config, _ = configs[area.id]
        trigger = triggers.get(area.id)
        source = sources.get(trigger.source_id) if trigger and trigger.source_id is not None else None
        available = active[area.component_action_id] and active[area.component_reaction_id]
        state, reason = _state(
            area, scope.registry, config, source, health.get(area.id), connections, available=available
        )
        webhook_url = None
        if trigger and trigger.token:
            webhook_url = f"{scope.base_url}/hooks/{scope.keyring.decrypt(trigger.token, f'area:{area.id}|token')}"
        views.append(
            AreaOut(
                id=area.id,
                user_id=area.user_id,
                component_action_id=area.component_action_id,
                component_reaction_id=area.component_reaction_id,
                name=area.name,
                description=area.description,
                is_active=area.is_active,
                created_at=area.created_at,
                updated_at=area.updated_at,
                last_triggered_at=area.last_triggered_at.replace(tzinfo=UTC) if area.last_triggered_at else None,
                triggered_count=area.triggered_count,
                action=_part_view(
                    scope.registry, "action", config.action, area.component_action_id, config.action_parameters
                ),
                reaction=_part_view(
                    scope.registry, "reaction", config.reaction, area.component_reaction_id, config.reaction_parameters
                ),
                webhook_url=webhook_url,
                version=versions.get(area.id, 1),
                state=state,
                reason=reason,
                last_checked_at=source.checked_at if source else None,
                next_due_at=source.due_at if source and area.is_active else None,
            )
        )
    return views


def _part_view(registry: Registry, kind: str, key: str, component_id: int, texts: Mapping[str, str]) -> PartOut:
    component = registry.action(key) if kind == "action" else registry.reaction(key)
    declared = {one.name: one for one in fields(component.params)} if component else {}
    parameters: dict[str, Any] = {}
    for name, value in texts.items():
        if value.startswith(SECRET):
            parameters[name] = MASK
        else:
            parameters[name] = parse(value, declared[name]) if name in declared else value
    return PartOut(
        component=key,
        component_id=component_id,
        title=component.title if component else key,
        service=component.service.name if component else key.partition(".")[0],
        parameters=parameters,
    )


def _state(
    area: Area,
    registry: Registry,
    config: Config,
    source: Source | None,
    health: AreaHealth | None,
    connections: Mapping[str, str],
    *,
    available: bool,
) -> tuple[State, str | None]:
    """How an AREA fares, and why, in the order of what its owner should mend first."""
    if health and health.switched_off_at and not area.is_active:
        return "switched_off", health.reason
    if not area.is_active:
        return "off", None
    if not available or not registry.action(config.action) or not registry.reaction(config.reaction):
        return "unavailable", "Its action or reaction is switched off on this server."
    for key in (config.action, config.reaction):
        service = registry.services[key.partition(".")[0]]
        if service.auth is not None and connections.get(service.slug) != "works":
            verb = "Reconnect" if service.slug in connections else "Connect"
            return "waiting_for_connection", f"{verb} {service.name}; what happens meanwhile is caught up afterwards."
    if source and source.failing_since:
        return "failing", source.last_error
    if health and health.failures:
        return "failing", health.reason
    return ("healthy", None) if area.triggered_count else ("never_fired", None)


async def _connection_states(session: AsyncSession, registry: Registry, user_id: int) -> dict[str, str]:
    slugs = {service.name: slug for slug, service in registry.services.items()}
    rows = await session.execute(
        select(Service.name, func.coalesce(ConnectionState.status, "works"))
        .select_from(UserService)
        .join(Service, Service.id == UserService.service_id)
        .outerjoin(
            ConnectionState,
            (ConnectionState.user_id == UserService.user_id) & (ConnectionState.service_id == UserService.service_id),
        )
        .where(UserService.user_id == user_id)
    )
    return {slugs[name]: status for name, status in rows if name in slugs}
