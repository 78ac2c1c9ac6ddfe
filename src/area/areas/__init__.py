"""AREAs: validate, create, change, enable, disable and delete. `bundles` exports and imports them.

One module, since each of these ends in the same row, version and notification.
"""

from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import replace
from typing import Literal

from sqlalchemy import Select, func, select
from sqlalchemy import delete as sql_delete
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.ext.asyncio import AsyncSession

from area.areas import chains, detaching, links, parameters, secrets, triggers, views
from area.areas.checked import Checked, Kind, check, kinds
from area.areas.forms import OF_LINK, AreaIn, AreaPatch, LinkIn, Part
from area.areas.plans import Config, Scope, compile_config
from area.areas.triggers import WhenOff
from area.areas.views import AreaOut
from area.db import queue
from area.db.models import Area, AreaParameter, AreaVersion, Component, Service, Trigger, User, UserSettings
from area.db.notify import Channel
from area.db.search import search
from area.db.session import notify, raw
from area.kit.clock import now
from area.kit.problems import Conflict, FieldError, Invalid, NotFound, TooMany
from area.kit.sentences import Number, Sentence
from area.kit.text import check_line
from area.registry import Registry
from area.sdk import Action
from area.sdk.fields import by_name

__all__ = ["AreaIn", "AreaOut", "AreaPatch", "Checked", "LinkIn", "Part", "Scope", "check"]

MAX_STORED = 20_000_000  # characters in all parameters of a user's AREAs, which one response may have to hold
SMALL = 4_000  # characters of each AREA that don't count


# Check


async def check_change(
    session: AsyncSession, scope: Scope, user_id: int, area_id: int, action: Part, reaction: Part, *, saving: bool
) -> Checked:
    """Like `check`, for a patch of a saved AREA, which `saving` locks. Raises `Invalid`, `NotFound`, `Conflict`."""
    area = await own(session, user_id, area_id, lock=saving)
    return await check(session, scope, action, reaction, await parameters.present(session, scope, area), saving=saving)


async def settle(session: AsyncSession, scope: Scope, user_id: int, checked: Checked) -> Config:
    """The configuration to store: logins become credentials, and connection names become ids."""
    old: Config = checked.old
    numbers: dict[Kind, int] = {}
    connected = {"action": old.action_connection, "reaction": old.reaction_connection}
    for kind, component, key in kinds(checked.parts, old):
        part = checked.given[kind]
        if part is not None and kind in checked.logins:
            login, service = checked.logins[kind], component.service
            called = await secrets.keep_lifted(session, scope.keyring, scope.registry, service, user_id, login)
            part = part.model_copy(update={"connection": called})
        numbers[kind] = await secrets.connection(session, user_id, component, part, kind, key, connected[kind])
    return replace(checked.config, action_connection=numbers["action"], reaction_connection=numbers["reaction"])


# Create, change, delete


async def create(
    session: AsyncSession, scope: Scope, user_id: int, data: AreaIn, checked: Checked | None = None
) -> AreaOut:
    """Create an AREA, and those that follow it (`then`), all or none. If it is active, it watches for events from now
    on. A timer without a time zone gets the user's.

    Pass `checked` if you already have the result of `check`. Raises `Invalid`, `TooMany`.
    """
    await session.execute(select(User.id).where(User.id == user_id).with_for_update())
    count = await session.scalar(select(func.count()).select_from(Area).where(Area.user_id == user_id))
    if (count or 0) >= scope.max_areas:
        raise TooMany(
            "You have %(number)s AREAs, which is as many as this server allows. Delete one first.", number=count
        )
    if checked is None:
        action = await _in_own_zone(session, scope, user_id, data.action)
        checked = await check(session, scope, action, data.reaction)
    parts, config = checked.parts, await settle(session, scope, user_id, checked)
    _refuse_nul(data.description)
    _check_name(data.name)
    area = Area(
        user_id=user_id,
        component_action_id=parts.action_row.id,
        component_reaction_id=parts.reaction_row.id,
        name=data.name,
        description=data.description,
        is_active=data.is_active,
    )
    session.add(area)
    await session.flush()
    stored = await parameters.store(session, scope.keyring, area.id, parts, config)
    await _check_stored(session, user_id, stored)
    session.add(AreaVersion(area_id=area.id, version=1, config=stored.as_json()))
    await triggers.watch(session, scope, area, parts.action, config)
    if data.when_off is not None:
        await _when_off(session, area, data.when_off)
    await _changed(session, area.id)
    await session.flush()
    await session.refresh(area)
    await _check_link(session, scope, area, parts.action)
    for place, link in enumerate(data.then):
        await _create_link(session, scope, user_id, area.id, link, place)
    return await get(session, scope, user_id, area.id)


async def _create_link(
    session: AsyncSession, scope: Scope, user_id: int, area_id: int, link: LinkIn, place: int
) -> None:
    """Create an AREA that follows another one. The errors in its fields say where it stands."""
    try:
        others = [await by_name_or_id(session, user_id, other) for other in link.also_after]
        await create(session, scope, user_id, link.as_area([area_id, *others]))
    except Invalid as error:
        error.errors = [
            FieldError(field=f"then.{place}.{OF_LINK.get(detail['field'], detail['field'])}", message=detail["message"])
            for detail in error.errors
        ]
        raise


async def by_name_or_id(session: AsyncSession, user_id: int, name: int | str) -> int:
    """The id of the user's AREA with this id or unique name. Raises `Invalid`."""
    matches = Area.id == name if isinstance(name, int) else Area.name == name
    ids = (await session.scalars(select(Area.id).where(Area.user_id == user_id, matches).limit(2))).all()
    if not ids:
        raise Invalid.field("also_after", "You have no AREA %(name)s.", name=name)
    if len(ids) > 1:
        raise Invalid.field("also_after", "Several of your AREAs are called %(name)s.", name=name)
    return ids[0]


async def _check_link(session: AsyncSession, scope: Scope, area: Area, action: Action) -> None:
    """Raise `Invalid` if a link uses what no AREA before it returns."""
    if action.kind == "link":
        errors = await chains.check(session, scope.registry, area.user_id, area.id)
        if errors:
            raise Invalid(errors=errors)


async def change(
    session: AsyncSession,
    scope: Scope,
    user_id: int,
    area_id: int,
    patch: AreaPatch,
    checked: Checked | None = None,
) -> AreaOut:
    """Change an AREA. The trigger's state is kept unless the action or its parameters change. If AREAs that follow it
    don't fit any more, its `chain` says so (`broken`).

    Pass `checked` if you already have the result of `check_change`.
    """
    area = await own(session, user_id, area_id, lock=True)
    _refuse_nul(patch.description)
    fields = patch.model_fields_set
    if patch.name is not None and patch.name != area.name:  # names from before this rule stay valid
        _check_name(patch.name)
        area.name = patch.name
    if "description" in fields:
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
    if checked is not None or patch.name is not None:
        if checked is not None:
            await _check_link(session, scope, area, checked.parts.action)
        await chains.settle(session, scope.registry, user_id, [area.id])
    return await get(session, scope, user_id, area_id)


async def _check_stored(session: AsyncSession, user_id: int, config: Config) -> None:
    """Check that a user's parameters together stay small enough to show or export at once. Raises `TooMany`."""
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
            "The parameters of your AREAs would exceed %(most)s characters in total. Shorten or delete some.",
            most=Number(MAX_STORED),
        )


async def _change_parts(session: AsyncSession, scope: Scope, area: Area, checked: Checked, *, was_active: bool) -> None:
    parts, old = checked.parts, checked.old
    config = await settle(session, scope, area.user_id, checked)
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
        raise Invalid.field("when_off", "Only AREAs with a webhook URL have this.")
    trigger.when_off = choice


async def set_active(session: AsyncSession, scope: Scope, user_id: int, area_id: int, *, active: bool) -> AreaOut:
    """Switch an AREA on or off. Switching on never replays past events."""
    return await change(session, scope, user_id, area_id, AreaPatch(is_active=active))


async def switch_chain(session: AsyncSession, scope: Scope, user_id: int, area_id: int, *, active: bool) -> AreaOut:
    """Switch all AREAs of a chain on or off: this one, those that lead to it, and all that follow them."""
    await own(session, user_id, area_id)
    graph = await links.graph(session, user_id)
    ids = {area_id, *links.reach(graph.up, [area_id])}
    ids |= {*links.reach(graph.down, ids)}
    for number in sorted(ids):
        await change(session, scope, user_id, number, AreaPatch(is_active=active))
    return await get(session, scope, user_id, area_id)


async def remove(
    session: AsyncSession, user_id: int, area_id: int, *, then: Literal["follow", "delete"] | None = None
) -> list[int]:
    """Delete an AREA and its executions. `then` says what becomes of the AREAs that follow it: they follow what it
    followed, or are deleted too, unless they also follow others. Returns those that are left; `chains.settle` then
    records whether they still fit.

    Raises `Conflict` if AREAs follow it and `then` is None.
    """
    await own(session, user_id, area_id)
    graph = await links.graph(session, user_id)
    below = links.reach(graph.down, [area_id])
    await session.execute(select(Area.id).where(Area.id.in_([area_id, *below])).order_by(Area.id).with_for_update())
    gone, left = await detaching.detach(session, user_id, area_id, then)
    for number in gone:
        await queue.cancel_of_area(await raw(session), number)
        await triggers.unsubscribe(session, number)
        await session.execute(sql_delete(Area).where(Area.id == number))
        await _changed(session, number)
    for number in {*left, *graph.up.get(area_id, ()), *below} - set(gone):
        await _changed(session, number)
    return left


async def take_out(
    session: AsyncSession,
    scope: Scope,
    user_id: int,
    area_id: int,
    *,
    then: Literal["follow", "delete"] | None = None,
) -> None:
    """Delete an AREA as `remove` does, and record whether those that followed it still fit."""
    left = await remove(session, user_id, area_id, then=then)
    await chains.settle(session, scope.registry, user_id, left)


async def renew_address(session: AsyncSession, scope: Scope, user_id: int, area_id: int) -> AreaOut:
    """Rotate the AREA's webhook URL; the old one responds with 404 from now on. Raises `Conflict` if it has none."""
    area = await own(session, user_id, area_id, lock=True)
    trigger = await session.get(Trigger, area.id)
    if trigger is None or trigger.token_hash is None:
        raise Conflict("This AREA has no webhook URL.")
    await triggers.readdress(session, scope, trigger)
    await _changed(session, area.id)
    await session.flush()
    return await get(session, scope, user_id, area_id)


# Read


async def get(session: AsyncSession, scope: Scope, user_id: int, area_id: int) -> AreaOut:
    """One of the user's AREAs, with its chain. Raises `NotFound`, also if it belongs to another user."""
    await own(session, user_id, area_id)
    for view in await views.load(session, scope, [area_id]):
        chain = await chains.tree(session, scope, user_id, area_id)
        return view.model_copy(update={"chain": chain}) if chain else view
    raise NotFound("There is no AREA %(number)s.", number=area_id)


async def names(session: AsyncSession, user_id: int, ids: Collection[int]) -> dict[int, str]:
    """The names of those of the AREAs that are the user's."""
    if not ids:
        return {}
    rows = await session.execute(select(Area.id, Area.name).where(Area.user_id == user_id, Area.id.in_(ids)))
    return {row.id: row.name for row in rows}


async def unavailable(session: AsyncSession, scope: Scope, area_id: int) -> Sentence | None:
    """Which side of an AREA, on or off, can't run on this server; None if both can."""
    return await views.unavailable_side(session, scope, area_id)


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
    states: Collection[views.State] = (),
    addresses: bool = True,
) -> list[AreaOut]:
    """The user's AREAs with an id below `before`, newest first. `q` searches names, `service` is a slug, `states` are
    those wanted (default: all); for `addresses`, see `views.load`.
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
    shown: list[AreaOut] = []
    while True:
        async with search(session) if q else nullcontext():
            ids = (await session.scalars(statement)).all()
        loaded = await views.load(session, scope, ids, addresses=addresses)
        shown += [area for area in loaded if not states or area.state in states]
        if len(ids) < limit or len(shown) >= limit:
            return shown[:limit]
        statement = statement.where(Area.id < ids[-1])


async def services_in_use(session: AsyncSession, registry: Registry, user_id: int) -> list[tuple[str, str]]:
    """Slug and name of each service in the user's AREAs, by name."""
    components = select(func.unnest(array([Area.component_action_id, Area.component_reaction_id]))).where(
        Area.user_id == user_id
    )
    statement = (
        select(Service.name).join(Component).where(Component.id.in_(components)).distinct().order_by(Service.name)
    )
    names = [name for name in await session.scalars(statement) if name in registry.by_name]
    return [(registry.slug_of(name), name) for name in names]


async def in_use(session: AsyncSession) -> tuple[dict[int, int], dict[int, int]]:
    """How many active AREAs of all users need each component and each service, by id."""
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


# Helpers


async def _in_own_zone(session: AsyncSession, scope: Scope, user_id: int, part: Part) -> Part:
    """The part with the user's time zone where it leaves one out."""
    action = scope.registry.action(str(part.component))
    declared = by_name(action.params) if action else {}
    zones = [name for name, field in declared.items() if field.input and field.input.kind == "zone"]
    left_out = [name for name in zones if part.parameters.get(name) in (None, "")]
    if not left_out:
        return part
    zone = await session.scalar(select(UserSettings.timezone).where(UserSettings.user_id == user_id))
    filled_in = dict.fromkeys(left_out, zone) if zone else {}
    return part.model_copy(update={"parameters": {**part.parameters, **filled_in}})


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
    """The user's AREA. Raises `NotFound`, also if it belongs to another user."""
    statement = select(Area).where(Area.id == area_id, Area.user_id == user_id)
    area = await session.scalar(statement.with_for_update() if lock else statement)
    if area is None:
        raise NotFound("There is no AREA %(number)s.", number=area_id)
    return area


async def _changed(session: AsyncSession, area_id: int) -> None:
    await notify(session, Channel.AREA_CHANGED, str(area_id))


def _refuse_nul(description: str | None) -> None:
    if description and "\x00" in description:
        raise Invalid.field("description", "Remove the NUL character.")


def _check_name(name: str) -> None:
    try:
        check_line(name)
    except ValueError as error:
        raise Invalid.field("name", str(error)) from None
