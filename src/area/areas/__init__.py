"""AREAs: create, check against the catalog, switch on and off, change, delete, carry in and out."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Select, func, select, text
from sqlalchemy import delete as sql_delete
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.ext.asyncio import AsyncSession

from area.areas import parameters, secrets, triggers, views
from area.areas.parameters import Parts
from area.areas.plans import MASK, Config, Plan, Scope, check_texts, compile_config
from area.areas.triggers import WhenOff
from area.areas.views import AreaOut, PartOut
from area.db import queue
from area.db.models import Area, AreaParameter, AreaVersion, Component, Service, Trigger, User, Variable
from area.db.notify import Channel
from area.db.search import search
from area.db.session import notify, raw
from area.kit.clock import now
from area.kit.problems import Conflict, FieldError, Invalid, NotFound, TooMany
from area.kit.sentences import Number
from area.kit.text import check_line, did_you_mean
from area.registry import Registry
from area.sdk import Action, Reaction

__all__ = ["AreaIn", "AreaOut", "AreaPatch", "Checked", "Part", "Scope"]

Kind = Literal["action", "reaction"]


class Part(BaseModel):
    """A component, by `service.name` or id, and its parameters."""

    model_config = ConfigDict(extra="forbid")

    component: str | int = Field(description="service.component, or the component's id", examples=["rss.new_item"])
    parameters: dict[str, Any] = Field(default_factory=dict, examples=[{"url": "https://example.org/feed.xml"}])
    connection: str | None = Field(
        None, max_length=100, description="The name of the connection to use; by default the service's default one"
    )


MAX_STORED = 20_000_000  # characters of all parameters of a user's AREAs, which one answer may have to hold
SMALL = 4_000  # characters of an AREA that are not counted

WHEN_OFF = (
    "Of a webhook, what becomes of requests while the AREA is off or can't be used: `retry` answers 503 with `Retry-After`,"
    " `skip` takes them and records them as skipped. `retry` unless it is set."
)


class AreaIn(BaseModel):
    """An AREA to create. A reaction's parameters may hold `{{variable}}` placeholders."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=255, examples=["New posts to my server"])
    description: str | None = Field(None, max_length=10_000)
    is_active: bool = True
    action: Part
    reaction: Part
    when_off: WhenOff | None = Field(None, description=WHEN_OFF, exclude_if=lambda value: value is None)


class AreaPatch(BaseModel):
    """What to change of an AREA; what is left out stays. A secret given as dots stays too, and of the same service the connection."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, min_length=1, max_length=255)
    description: str | None = Field(None, max_length=10_000)
    is_active: bool | None = None
    action: Part | None = None
    reaction: Part | None = None
    when_off: WhenOff | None = Field(None, description=WHEN_OFF)


# Check

NOTHING = Config("", "", {}, {})


@dataclass(frozen=True, slots=True)
class Checked:
    """An AREA's two components, looked up, and what is wanted of them, compiled: made once, for `create`, `change` and previews.

    The secrets in `config` are in clear. Its connections are not known yet: `given` names them. `logins` stood in addresses, and
    become credentials when it is saved. `old` is the saved configuration, if there is one.
    """

    parts: Parts
    config: Config
    plan: Plan
    given: Mapping[Kind, Part | None]
    logins: Mapping[Kind, Mapping[str, Any]]
    old: Config


async def check(
    session: AsyncSession,
    scope: Scope,
    action: Part | None,
    reaction: Part | None,
    old: Config = NOTHING,
    *,
    saving: bool = True,
) -> Checked:
    """Look up and compile what an AREA is wanted to do. A part that is None stays as it is in `old`.

    Dots stand for the secrets of `old`; others may be left only if it is not for `saving`. Raises `Invalid` with the error of
    every field.
    """
    names = action.component if action else old.action, reaction.component if reaction else old.reaction
    parts = await _parts(session, scope.registry, *names)
    texts: dict[Kind, Mapping[str, Any]] = {"action": old.action_parameters, "reaction": old.reaction_parameters}
    given: dict[Kind, Part | None] = {"action": action, "reaction": reaction}
    logins: dict[Kind, Mapping[str, Any]] = {}
    for kind, component, key in _kinds(parts, old):
        part = given[kind]
        if part is None:
            continue
        if key:
            kept = texts[kind] if component.key == key else {}
            part = part.model_copy(update={"parameters": secrets.unmask(component, part.parameters, kept)})
        part, login = secrets.without_login(component, part, kind)
        if login:
            logins[kind] = login
        given[kind], texts[kind] = part, part.parameters
    config = _texts(parts, texts["action"], texts["reaction"])
    if saving:
        secrets.without_masks(parts, config)
    return Checked(parts, config, compile_config(scope.registry, config), given, logins, old)


async def check_change(
    session: AsyncSession, scope: Scope, user_id: int, area_id: int, action: Part, reaction: Part, *, saving: bool
) -> Checked:
    """As `check`, of other parts for a saved AREA, which is locked for `saving`. Raises `Invalid`, `NotFound`, `Conflict`."""
    area = await own(session, user_id, area_id, lock=saving)
    return await check(session, scope, action, reaction, await parameters.present(session, scope, area), saving=saving)


async def _settle(session: AsyncSession, scope: Scope, user_id: int, checked: Checked) -> Config:
    """The configuration to store: logins become credentials, and the connections are looked up."""
    old: Config = checked.old
    numbers: dict[Kind, int] = {}
    connected = {"action": old.action_connection, "reaction": old.reaction_connection}
    for kind, component, key in _kinds(checked.parts, old):
        part = checked.given[kind]
        if part is not None and kind in checked.logins:
            login, service = checked.logins[kind], component.service
            called = await secrets.keep_lifted(session, scope.keyring, scope.registry, service, user_id, login)
            part = part.model_copy(update={"connection": called})
        numbers[kind] = await secrets.connection(session, user_id, component, part, kind, key, connected[kind])
    return replace(checked.config, action_connection=numbers["action"], reaction_connection=numbers["reaction"])


def _kinds(parts: Parts, old: Config) -> tuple[tuple[Kind, Action | Reaction, str], ...]:
    """Both components, each with the key of the one that was in its place."""
    return ("action", parts.action, old.action), ("reaction", parts.reaction, old.reaction)


# Create, change, delete


async def create(
    session: AsyncSession, scope: Scope, user_id: int, wanted: AreaIn, checked: Checked | None = None
) -> AreaOut:
    """Create an AREA, and watch for its events from now on if it is active. `checked` is what `check` made of its parts, if the
    caller has it. Raises `Invalid`, `TooMany`.
    """
    await session.execute(select(User.id).where(User.id == user_id).with_for_update())
    count = await session.scalar(select(func.count()).select_from(Area).where(Area.user_id == user_id))
    if (count or 0) >= scope.max_areas:
        raise TooMany(
            "You have %(number)s AREAs, which is as many as this server allows. Delete one first.", number=count
        )
    checked = checked or await check(session, scope, wanted.action, wanted.reaction)
    parts, config = checked.parts, await _settle(session, scope, user_id, checked)
    _refuse_nul(wanted.description)
    _check_name(wanted.name)
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
    stored = await parameters.store(session, scope.keyring, area.id, parts, config)
    await _check_stored(session, user_id, stored)
    session.add(AreaVersion(area_id=area.id, version=1, config=stored.as_json()))
    await triggers.watch(session, scope, area, parts.action, config)
    if wanted.when_off is not None:
        await _when_off(session, area, wanted.when_off)
    await _changed(session, area.id)
    await session.flush()
    await session.refresh(area)
    return await get(session, scope, user_id, area.id)


async def change(
    session: AsyncSession,
    scope: Scope,
    user_id: int,
    area_id: int,
    patch: AreaPatch,
    checked: Checked | None = None,
) -> AreaOut:
    """Change an AREA. What its trigger remembers is kept unless the action or its parameters change. `checked` is what
    `check_change` made of the patch's parts, if the caller has it.
    """
    area = await own(session, user_id, area_id, lock=True)
    _refuse_nul(patch.description)
    given = patch.model_fields_set
    if patch.name is not None and patch.name != area.name:  # one of before this rule stays
        _check_name(patch.name)
        area.name = patch.name
    if "description" in given:
        area.description = patch.description
    was_active = area.is_active
    if patch.is_active is not None:
        area.is_active = patch.is_active
    if patch.action or patch.reaction:
        if checked is None:
            old = await parameters.present(session, scope, area)
            checked = await check(session, scope, patch.action, patch.reaction, old)
        await _change_parts(session, scope, area, checked, was_active=was_active)
    elif area.is_active != was_active:
        await _rewatch(session, scope, area)
    if patch.when_off is not None:
        await _when_off(session, area, patch.when_off)
    area.updated_at = now()
    await _changed(session, area.id)
    await session.flush()
    return await get(session, scope, user_id, area_id)


async def _check_stored(session: AsyncSession, user_id: int, config: Config) -> None:
    """Refuse what makes all parameters of a user too large to be shown or exported at once; small ones can't. Raises `TooMany`."""
    texts = [*config.action_parameters.values(), *config.reaction_parameters.values()]
    if sum(map(len, texts)) <= SMALL:
        return
    await session.flush()
    size = func.sum(func.length(AreaParameter.value))
    total = await session.scalar(
        select(size).join(Area, Area.id == AreaParameter.area_id).where(Area.user_id == user_id)
    )
    if (total or 0) > MAX_STORED:
        raise TooMany(
            "The parameters of your AREAs would have over %(most)s characters. Shorten or delete some.",
            most=Number(MAX_STORED),
        )


async def _change_parts(session: AsyncSession, scope: Scope, area: Area, checked: Checked, *, was_active: bool) -> None:
    parts, old = checked.parts, checked.old
    config = await _settle(session, scope, area.user_id, checked)
    area.component_action_id, area.component_reaction_id = parts.action_row.id, parts.reaction_row.id
    stored = await parameters.store(session, scope.keyring, area.id, parts, config)
    await _check_stored(session, area.user_id, stored)
    latest = await session.scalar(select(func.max(AreaVersion.version)).where(AreaVersion.area_id == area.id))
    session.add(AreaVersion(area_id=area.id, version=(latest or 0) + 1, config=stored.as_json()))
    watched = {key: value for key, value in config.action_parameters.items() if key != "only_if"}
    watched_before = {key: value for key, value in old.action_parameters.items() if key != "only_if"}
    moved = config.action_connection != old.action_connection
    same_action = parts.action.key == old.action
    if not same_action or moved or watched != watched_before or area.is_active != was_active:
        await triggers.watch(session, scope, area, parts.action, config, renew=not same_action)


async def _when_off(session: AsyncSession, area: Area, choice: WhenOff) -> None:
    trigger = await session.get(Trigger, area.id)
    if trigger is None or trigger.token is None:
        raise Invalid.field("when_off", "Only an AREA that webhooks start has this.")
    trigger.when_off = choice


async def set_active(session: AsyncSession, scope: Scope, user_id: int, area_id: int, *, active: bool) -> AreaOut:
    """Switch an AREA on or off. Switching on never replays the past."""
    return await change(session, scope, user_id, area_id, AreaPatch(is_active=active))


async def remove(session: AsyncSession, user_id: int, area_id: int) -> None:
    """Delete an AREA with its log."""
    area = await own(session, user_id, area_id, lock=True)
    await queue.cancel_of_area(await raw(session), area.id)
    await triggers.unsubscribe(session, area.id)
    await session.execute(sql_delete(Area).where(Area.id == area.id))
    await _changed(session, area_id)


async def renew_address(session: AsyncSession, scope: Scope, user_id: int, area_id: int) -> AreaOut:
    """Give the AREA a new webhook address; the old one answers 404 from now on. Raises `Conflict` when it has none."""
    area = await own(session, user_id, area_id, lock=True)
    trigger = await session.get(Trigger, area.id)
    if trigger is None or trigger.token_hash is None:
        raise Conflict("This AREA's action has no webhook address.")
    await triggers.readdress(session, scope, trigger)
    await _changed(session, area.id)
    await session.flush()
    return await get(session, scope, user_id, area_id)


# Read


async def get(session: AsyncSession, scope: Scope, user_id: int, area_id: int) -> AreaOut:
    """One AREA of the user. Raises `NotFound`, also when it is somebody else's."""
    await own(session, user_id, area_id)
    for view in await views.load(session, scope, [area_id]):
        return view
    raise NotFound("There is no AREA %(number)s.", number=area_id)


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
    addresses: bool = True,
) -> list[AreaOut]:
    """The user's AREAs, newest first, before the id `before`; `q` searches names, `service` is a slug. For `addresses`, see
    `views.load`.
    """
    statement = select(Area.id).where(Area.user_id == user_id).order_by(Area.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(Area.id < before)
    if active is not None:
        statement = statement.where(Area.is_active == active)
    if q:
        escaped = q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        statement = statement.where(Area.name.ilike(f"%{escaped}%"))
    if service:
        statement = _of_service(statement, scope.registry, service)
    async with search(session) if q else nullcontext():
        ids = (await session.scalars(statement)).all()
    return await views.load(session, scope, ids, addresses=addresses)


async def services_in_use(session: AsyncSession, registry: Registry, user_id: int) -> list[tuple[str, str]]:
    """The services of the user's AREAs: slug and name, by name."""
    components = select(func.unnest(array([Area.component_action_id, Area.component_reaction_id]))).where(
        Area.user_id == user_id
    )
    statement = (
        select(Service.name).join(Component).where(Component.id.in_(components)).distinct().order_by(Service.name)
    )
    names = [name for name in await session.scalars(statement) if name in registry.by_name]
    return [(registry.slug_of(name), name) for name in names]


async def in_use(session: AsyncSession) -> tuple[dict[int, int], dict[int, int]]:
    """How many AREAs of everybody that are on need each component, and each service, by their ids."""
    used = (
        select(Area.id, func.unnest(array([Area.component_action_id, Area.component_reaction_id])).label("component"))
        .where(Area.is_active)
        .cte("used")
    )
    number = func.count(used.c.id.distinct())
    by_component = select(used.c.component, number).group_by(used.c.component)
    by_service = (
        select(Component.service_id, number).join(used, used.c.component == Component.id).group_by(Component.service_id)
    )
    components, services = await session.execute(by_component), await session.execute(by_service)
    return {row[0]: row[1] for row in components}, {row[0]: row[1] for row in services}


def _of_service(statement: Select[int], registry: Registry, slug: str) -> Select[int]:
    name = registry.services[slug].name if slug in registry.services else slug
    ids = select(Component.id).join(Service, Service.id == Component.service_id).where(Service.name == name)
    return statement.where(Area.component_action_id.in_(ids) | Area.component_reaction_id.in_(ids))


# Carry in and out


async def export(session: AsyncSession, scope: Scope, user_id: int, ids: Sequence[int] | None = None) -> list[AreaIn]:
    """The user's AREAs in the form that `create` takes, secrets left out."""
    statement = select(Area.id).where(Area.user_id == user_id).order_by(Area.id)
    if ids is not None:
        statement = statement.where(Area.id.in_(ids))
    page = await views.load(session, scope, list(await session.scalars(statement)))
    return [
        AreaIn(
            name=view.name,
            description=view.description,
            is_active=view.is_active,
            action=_part(view.action),
            reaction=_part(view.reaction),
            when_off="skip" if view.when_off == "skip" else None,
        )
        for view in page
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
            raise Conflict(
                "%(number)s AREAs have the name '%(name)s'; rename all but one of them first.",
                number=len(rows),
                name=one.name,
            )
        if not rows:
            await create(session, scope, user_id, one)
            report["created"].append(one.name)
            continue
        exported = (await export(session, scope, user_id, [rows[0].id]))[0]
        if exported == one:
            report["same"].append(one.name)
            continue
        patch = AreaPatch(
            description=one.description,
            is_active=one.is_active,
            action=one.action.model_copy(
                update={"connection": one.action.connection}
            ),  # given, also where it is left out
            reaction=one.reaction.model_copy(update={"connection": one.reaction.connection}),
        )
        if one.when_off != exported.when_off:
            patch.when_off = one.when_off or "retry"
        await change(session, scope, user_id, rows[0].id, patch)
        report["changed"].append(one.name)
    return report


def _part(view: PartOut) -> Part:
    """A part without its secrets."""
    part = Part(component=view.component, parameters=_unmasked(view.parameters))
    return part.model_copy(update={"connection": view.connection}) if view.connection else part


def _unmasked(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value != MASK}


# Helpers


async def _rewatch(session: AsyncSession, scope: Scope, area: Area) -> None:
    config = await parameters.present(session, scope, area)
    action = scope.registry.action(config.action)
    if action is None:
        if area.is_active:
            raise Conflict(
                "The action %(action)s is no longer available, so the AREA can't be switched on.", action=config.action
            )
        return
    if area.is_active:
        compile_config(scope.registry, config)
    await triggers.watch(session, scope, area, action, config)


async def own(session: AsyncSession, user_id: int, area_id: int, *, lock: bool = False) -> Area:
    """The user's AREA. Raises `NotFound`, also when it is somebody else's."""
    statement = select(Area).where(Area.id == area_id, Area.user_id == user_id)
    area = await session.scalar(statement.with_for_update() if lock else statement)
    if area is None:
        raise NotFound("There is no AREA %(number)s.", number=area_id)
    return area


async def _changed(session: AsyncSession, area_id: int) -> None:
    await notify(session, Channel.AREA_CHANGED, str(area_id))


def _refuse_nul(description: str | None) -> None:
    if description and "\x00" in description:
        raise Invalid.field("description", "The text holds a NUL character; remove it.")


def _check_name(name: str) -> None:
    try:
        check_line(name)
    except ValueError as error:
        raise Invalid.field("name", str(error)) from None


async def _parts(session: AsyncSession, registry: Registry, action_name: str | int, reaction_name: str | int) -> Parts:
    action_row, action_key = await _component(session, registry, "action", action_name)
    reaction_row, reaction_key = await _component(session, registry, "reaction", reaction_name)
    action, reaction = registry.action(action_key), registry.reaction(reaction_key)
    if action is None or reaction is None:
        place, key = ("action", action_key) if action is None else ("reaction", reaction_key)
        raise Invalid.field(f"{place}.component", "%(key)s is no longer available.", key=key)
    rows = await session.execute(
        select(Variable.component_id, Variable.name, Variable.id).where(
            Variable.component_id.in_([action_row.id, reaction_row.id]), Variable.kind == "parameter"
        )
    )
    return Parts(action, reaction, action_row, reaction_row, {(row[0], row[1]): row[2] for row in rows})


async def _component(session: AsyncSession, registry: Registry, type_: str, name: str | int) -> tuple[Component, str]:
    """Row and key of a component named by `service.component` or id. Raises `Invalid`."""
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
        hint = did_you_mean(str(name), every)
        if type_ == "action":
            raise Invalid.field("action.component", "There is no action '%(name)s'%(hint)s", name=name, hint=hint)
        raise Invalid.field("reaction.component", "There is no reaction '%(name)s'%(hint)s", name=name, hint=hint)
    component, service = row
    if not (component.is_active and service.is_active):
        raise Invalid.field(
            f"{type_}.component",
            "%(service)s: %(name)s is switched off on this server.",
            service=service.name,
            name=component.name,
        )
    return component, f"{registry.slug_of(service.name)}.{component.name}"


def _keys(service: Any, type_: str) -> list[str]:
    return [one.key for one in (service.actions if type_ == "action" else service.reactions).values()]


def _texts(parts: Parts, action: Mapping[str, Any], reaction: Mapping[str, Any]) -> Config:
    action_texts, errors = check_texts(parts.action, action, "action.parameters", allow="only_if")
    reaction_texts, more = check_texts(parts.reaction, reaction, "reaction.parameters", allow="delay")
    found: list[FieldError] = [*errors, *more]
    if found:
        raise Invalid(errors=found)
    return Config(parts.action.key, parts.reaction.key, action_texts, reaction_texts)
