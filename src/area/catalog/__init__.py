"""The catalog: services, components and variables as users see them, read from the rows that `sync` wrote."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

from pydantic import BaseModel
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from area import audit
from area.catalog.declared import component_fields
from area.catalog.rows import sync as sync
from area.db.models import Component, Service, SwitchedOff, Variable
from area.db.notify import Channel
from area.db.session import notify
from area.kit.problems import NotFound
from area.registry import Registry
from area.sdk import Action
from area.sdk.fields import Field


class VariableView(BaseModel):
    """A parameter or return value. `choices`, `secret`, `default`, `picker` (whether options can be loaded from the
    user's account), `input` (how pages enter it), `many` (what may be chosen of, several at once) and `labels` (how
    choices are read) come from the code, the rest from the row.
    """

    id: int
    name: str
    description: str | None
    type: str
    nullable: bool
    placeholder: str | None
    validation_regex: str | None
    display_order: int
    secret: bool = False
    default: Any = None
    choices: list[str] | None = None
    labels: dict[str, str] | None = None
    picker: bool = False
    input: Literal["time", "zone", "many"] | None = None
    many: list[str] | None = None


class ComponentView(BaseModel):
    """An action or reaction. `quality` is how it was tested: `verified` or `generated` (docs/services.md says against
    what). `sample` is an example event, to test an AREA before a real one.
    """

    id: int
    key: str
    service: str
    type: Literal["action", "reaction"]
    name: str
    title: str
    description: str | None
    is_active: bool
    kind: str | None = None
    webhook_endpoint: str | None
    polling_interval: int | None
    verified_by: str | None = None
    quality: str | None = None
    parameters: list[VariableView]
    return_values: list[VariableView]


class ServiceView(BaseModel):
    """A service and its components."""

    id: int
    slug: str
    name: str
    description: str | None
    icon_path: str | None
    requires_auth: bool
    is_active: bool
    quality: str | None
    docs: str | None
    actions: list[ComponentView]
    reactions: list[ComponentView]


class ComponentLine(BaseModel):
    """An action or a reaction without its parameters and return values."""

    id: int
    key: str
    service: str
    type: Literal["action", "reaction"]
    name: str
    title: str
    kind: str | None


class ServiceLine(BaseModel):
    """A service with its components in short."""

    id: int
    slug: str
    name: str
    description: str | None
    icon_path: str | None
    requires_auth: bool
    quality: str | None
    actions: list[ComponentLine]
    reactions: list[ComponentLine]


# A row's xmin is the transaction that wrote it, so every write is noticed, including this transaction's own.
VERSION = """
select (select value from meta where key = 'instance'),
       (select count(*) || ':' || coalesce(sum(xmin::text::bigint), 0) from services),
       (select count(*) || ':' || coalesce(sum(xmin::text::bigint), 0) from components)
"""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The services at one version of the catalog, by name, components without variables. Immutable."""

    version: tuple[Any, ...]
    every: tuple[ServiceView, ...]
    active: tuple[ServiceView, ...]


_snapshots: WeakKeyDictionary[Registry, Snapshot] = WeakKeyDictionary()


async def version(session: AsyncSession, registry: Registry) -> tuple[Any, ...]:
    """What changes whenever the catalog does."""
    rows = await session.execute(text(VERSION))
    return (*rows.one(), *registry.services)


async def snapshot(session: AsyncSession, registry: Registry) -> Snapshot:
    """The catalog as this transaction sees it, cached until it changes."""
    current = await version(session, registry)
    known = _snapshots.get(registry)
    if known is None or known.version != current:
        every = await _services(session, registry)
        active = [
            service.model_copy(
                update={
                    "actions": [action for action in service.actions if action.is_active],
                    "reactions": [reaction for reaction in service.reactions if reaction.is_active],
                }
            )
            for service in every
            if service.is_active
        ]
        known = _snapshots[registry] = Snapshot(current, tuple(every), tuple(active))
    return known


async def services(session: AsyncSession, registry: Registry, *, include_inactive: bool = False) -> list[ServiceView]:
    """All services by name, with components and variables."""
    catalog = await snapshot(session, registry)
    whole = await components(session, registry, include_inactive=True)
    return [_whole(service, whole) for service in (catalog.every if include_inactive else catalog.active)]


def component_line(view: ComponentView) -> ComponentLine:
    """The component in short."""
    return ComponentLine.model_validate(view, from_attributes=True)


def service_line(view: ServiceView) -> ServiceLine:
    """The service in short."""
    return ServiceLine.model_validate(view, from_attributes=True)


def has_words(view: ComponentView | ServiceView, q: str | None) -> bool:
    """Whether all words of `q` are in the name, title or description, ignoring case."""
    names = [view.key, view.title] if isinstance(view, ComponentView) else [view.slug, view.name]
    text = " ".join([*names, view.description or ""]).casefold()
    return all(word in text for word in (q or "").casefold().split())


def matching(services: Iterable[ServiceView], q: str | None) -> list[ServiceView]:
    """The services with these words: a whole one if it has them itself, else those of its components that have them."""
    matches = []
    for view in services:
        if has_words(view, q):
            matches.append(view)
            continue
        parts = {
            "actions": [part for part in view.actions if has_words(part, q)],
            "reactions": [part for part in view.reactions if has_words(part, q)],
        }
        if any(parts.values()):
            matches.append(view.model_copy(update=parts))
    return matches


def _whole(service: ServiceView, components: list[ComponentView]) -> ServiceView:
    by_id = {component.id: component for component in components}
    return service.model_copy(
        update={
            "actions": [by_id[component.id] for component in service.actions],
            "reactions": [by_id[component.id] for component in service.reactions],
        }
    )


async def _services(session: AsyncSession, registry: Registry) -> list[ServiceView]:
    rows = list(await session.scalars(select(Service).order_by(func.lower(Service.name))))
    grouped: dict[str, list[ComponentView]] = defaultdict(list)
    for view in await components(session, registry, include_inactive=True, variables_of=()):
        grouped[view.service].append(view)
    return [_service_view(row, registry, grouped) for row in rows]


def _service_view(row: Service, registry: Registry, grouped: dict[str, list[ComponentView]]) -> ServiceView:
    connector, slug = registry.by_name.get(row.name), registry.slug_of(row.name)
    return ServiceView(
        id=row.id,
        slug=slug,
        name=row.name,
        description=row.description,
        icon_path=row.icon_path,
        requires_auth=row.requires_auth,
        is_active=row.is_active,
        quality=connector.quality if connector else None,
        docs=connector.docs or None if connector else None,
        actions=[view for view in grouped[slug] if view.type == "action"],
        reactions=[view for view in grouped[slug] if view.type == "reaction"],
    )


async def service(session: AsyncSession, registry: Registry, name: str) -> ServiceView:
    """One service, by slug, name or id. Raises `NotFound`."""
    for view in (await snapshot(session, registry)).every:
        if name in (view.slug, view.name, str(view.id)):
            return _whole(view, await components(session, registry, service=view.slug, include_inactive=True))
    raise NotFound("No service '%(name)s'. See GET /api/services.", name=name)


async def components(
    session: AsyncSession,
    registry: Registry,
    *,
    type: Literal["action", "reaction"] | None = None,  # noqa: A002 - the API's own word
    service: str | None = None,
    include_inactive: bool = False,
    variables_of: Collection[str] | None = None,
) -> list[ComponentView]:
    """Components in the order of the code, with variables of all of them or only of those named by key. `service` is a
    slug.
    """
    statement = select(Component, Service).join(Service, Service.id == Component.service_id).order_by(Component.id)
    if type:
        statement = statement.where(Component.type == type)
    if not include_inactive:
        statement = statement.where(Component.is_active, Service.is_active)
    if service in registry.services:
        statement = statement.where(Service.name == registry.services[service].name)
    rows = [(component, registry.slug_of(owner.name), owner) for component, owner in (await session.execute(statement))]
    rows = [row for row in rows if service is None or row[1] == service]
    variables: dict[int, list[Variable]] = defaultdict(list)
    ids = [row[0].id for row in rows if variables_of is None or f"{row[1]}.{row[0].name}" in variables_of]
    query = select(Variable).where(Variable.component_id.in_(ids))
    for variable in await session.scalars(query.order_by(Variable.display_order, Variable.id)) if ids else ():
        variables[variable.component_id].append(variable)
    return [_component_view(row, slug, owner, variables[row.id], registry) for row, slug, owner in rows]


def _component_view(
    row: Component, slug: str, owner: Service, variables: list[Variable], registry: Registry
) -> ComponentView:
    key = f"{slug}.{row.name}"
    code = registry.action(key) if row.type == "action" else registry.reaction(key)
    declared: dict[tuple[str, str], Field] = {}
    if code:
        parameters, returns = component_fields(code)
        declared = {("parameter", field.name): field for field in parameters}
        declared |= {("return_value", field.name): field for field in returns}

    def views(kind: str) -> list[VariableView]:
        return [
            _variable_view(variable, declared.get((kind, variable.name)))
            for variable in variables
            if variable.kind == kind and (not declared or (kind, variable.name) in declared)
        ]

    action = code if isinstance(code, Action) else None
    return ComponentView(
        id=row.id,
        key=key,
        service=slug,
        type="action" if row.type == "action" else "reaction",
        name=row.name,
        title=code.title if code else row.name,
        description=code.description if code else row.description,
        is_active=row.is_active and owner.is_active,
        kind=action.kind if action else None,
        webhook_endpoint=row.webhook_endpoint,
        polling_interval=row.polling_interval,
        verified_by=action.verify.name if action and action.verify else None,
        quality=code.service.quality if code else None,
        parameters=views("parameter"),
        return_values=views("return_value"),
    )


def _variable_view(row: Variable, declared: Field | None) -> VariableView:
    default = declared.default if declared else None
    return VariableView(
        id=row.id,
        name=row.name,
        description=row.description,
        type=row.type,
        nullable=row.nullable,
        placeholder=row.placeholder,
        validation_regex=row.validation_regex,
        display_order=row.display_order,
        secret=declared.secret if declared else False,
        default=default if isinstance(default, str | int | float | bool) else None,
        choices=list(declared.choices) if declared and declared.choices else None,
        labels=dict(declared.labels) if declared and declared.labels else None,
        picker=bool(declared and declared.picker),
        input=declared.input.kind if declared and declared.input else None,
        many=list(declared.input.many) if declared and declared.input and declared.input.many else None,
    )


async def component(session: AsyncSession, registry: Registry, name: str) -> ComponentView:
    """One component, by id or `service.name`. Raises `NotFound`."""
    for service in (await snapshot(session, registry)).every:
        for view in (*service.actions, *service.reactions):
            if name in (view.key, str(view.id)):
                own = await components(
                    session,
                    registry,
                    type=view.type,
                    service=view.service,
                    include_inactive=True,
                    variables_of=(view.key,),
                )
                return next(component for component in own if component.id == view.id)
    raise NotFound("No component '%(name)s'. See GET /api/components.", name=name)


async def about(session: AsyncSession, registry: Registry) -> list[dict[str, Any]]:
    """The services in `/about.json`."""
    return [
        {
            "name": view.name,
            "actions": [{"name": component.name, "description": component.title} for component in view.actions],
            "reactions": [{"name": component.name, "description": component.title} for component in view.reactions],
        }
        for view in (await snapshot(session, registry)).active
    ]


async def switch(
    session: AsyncSession,
    kind: Literal["service", "component"],
    row_id: int,
    *,
    active: bool,
    by: int | None,
    address: str | None = None,
) -> None:
    """Switch a service or component on or off for everyone, and record the admin (`by`). Raises `NotFound`."""
    model = Service if kind == "service" else Component
    result = await session.execute(update(model).where(model.id == row_id).values(is_active=active).returning(model.id))
    if result.first() is None:
        if kind == "service":
            raise NotFound("There is no service %(number)s.", number=row_id)
        raise NotFound("There is no component %(number)s.", number=row_id)
    if active:
        await session.execute(delete(SwitchedOff).where(SwitchedOff.kind == kind, SwitchedOff.row_id == row_id))
    else:
        await session.execute(insert(SwitchedOff).values(kind=kind, row_id=row_id).on_conflict_do_nothing())
    await audit.record(session, by, f"admin.{kind}_switched", f"{kind} {row_id}", {"is_active": active}, address)
    await notify(session, Channel.CATALOG_CHANGED, "")


async def switched_off(session: AsyncSession) -> set[int]:
    """The ids of components that an admin switched off individually."""
    return set(await session.scalars(select(SwitchedOff.row_id).where(SwitchedOff.kind == "component")))
