"""Writes the registry's services, components and variables to the database when a process starts."""

from typing import Any

import orjson
from sqlalchemy import delete, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from area.catalog.declared import ComponentRow, VariableRow, component_row, service_row, variable_rows
from area.db.locks import Lock
from area.db.models import Component, Meta, Service, SwitchedOff
from area.db.notify import Channel
from area.db.session import lock, notify
from area.registry import Registry
from area.sdk import Action, Reaction

COMPONENTS = """
insert into components (service_id, type, name, description, webhook_endpoint, polling_interval)
select d.service_id, cast(d.type as component_type), d.name, d.description, d.webhook_endpoint, d.polling_interval
from unnest(cast(:service_id as int[]), cast(:type as text[]), cast(:name as text[]), cast(:description as text[]),
    cast(:webhook_endpoint as text[]), cast(:polling_interval as int[]))
as d(service_id, type, name, description, webhook_endpoint, polling_interval)
left join components c on c.service_id = d.service_id and c.name = d.name and c.type = cast(d.type as component_type)
where c.id is null
   or (c.description, c.webhook_endpoint, c.polling_interval)
     is distinct from (d.description, d.webhook_endpoint, d.polling_interval)
on conflict (service_id, type, name) do update set description = excluded.description,
    webhook_endpoint = excluded.webhook_endpoint, polling_interval = excluded.polling_interval
"""

VARIABLES = """
with declared as (
    select * from unnest(cast(:component_id as int[]), cast(:name as text[]), cast(:description as text[]),
        cast(:kind as text[]), cast(:type as text[]), cast(:nullable as bool[]), cast(:placeholder as text[]),
        cast(:validation_regex as text[]), cast(:display_order as int[]))
    as d(component_id, name, description, kind, type, nullable, placeholder, validation_regex, display_order)
), gone as (
    delete from variables v where v.component_id = any(cast(:components as int[]))
      and not exists (select from declared d where d.component_id = v.component_id and d.name = v.name
                      and cast(d.kind as variable_kind) = v.kind)
      and not exists (select from area_parameters p where p.variable_id = v.id)
)
insert into variables
    (component_id, name, description, kind, type, nullable, placeholder, validation_regex, display_order)
select d.component_id, d.name, d.description, cast(d.kind as variable_kind), cast(d.type as variable_type), d.nullable,
    d.placeholder, d.validation_regex, d.display_order
from declared d
left join variables v
    on v.component_id = d.component_id and v.name = d.name and v.kind = cast(d.kind as variable_kind)
where v.id is null
   or (v.description, cast(v.type as text), v.nullable, v.placeholder, v.validation_regex, v.display_order)
    is distinct from (d.description, d.type, d.nullable, d.placeholder, d.validation_regex, d.display_order)
on conflict (component_id, kind, name) do update set description = excluded.description, type = excluded.type,
    nullable = excluded.nullable, placeholder = excluded.placeholder, validation_regex = excluded.validation_regex,
    display_order = excluded.display_order
"""

# one hash of all rows, made by the database: reading and comparing them here takes 17 MB of each process
HASH = """
select encode(sha256(convert_to(concat_ws(e'\\n',
    (select string_agg(s::text, e'\\n' order by s.id) from services s),
    (select string_agg(c::text, e'\\n' order by c.id) from components c),
    (select string_agg(v::text, e'\\n' order by v.id) from variables v),
    (select string_agg(o::text, e'\\n' order by o.kind, o.row_id) from switched_off o)), 'UTF8')), 'hex')
"""
SYNCED = "catalog"  # the key in `meta`


async def sync(session: AsyncSession, registry: Registry) -> dict[str, int]:
    """Update the rows from the code. Returns how many services, components and variables are active.

    Rows are matched by natural key and keep their ids. Rows without code become inactive and are never deleted, except
    variables that no AREA uses. Admins' switches are kept. Nothing is done if neither the code, by the registry's
    fingerprint, nor the rows have changed since they were last synced.
    """
    await lock(session, Lock.SYNC)
    if registry.fingerprint:
        synced = await session.scalar(select(Meta.value).where(Meta.key == SYNCED))
        declared, rows, counts = orjson.loads(synced) if synced else ("", "", {})
        if declared == registry.fingerprint and rows == await session.scalar(text(HASH)):
            return {str(name): int(count) for name, count in counts.items()}
    counts = await _sync(session, registry)
    await session.execute(delete(Meta).where(Meta.key == SYNCED))
    if registry.fingerprint:
        outcome = [registry.fingerprint, await session.scalar(text(HASH)), counts]
        session.add(Meta(key=SYNCED, value=orjson.dumps(outcome).decode()))
        await session.flush()
    await notify(session, Channel.CATALOG_CHANGED, "")
    return counts


async def _sync(session: AsyncSession, registry: Registry) -> dict[str, int]:
    off = {(row.kind, row.row_id) for row in await session.scalars(select(SwitchedOff))}
    service_ids = await _sync_services(session, registry)
    component_ids = await _sync_components(session, registry, service_ids)
    count = await _sync_variables(session, registry, component_ids)
    kinds: tuple[tuple[type[Service | Component], str, set[int]], ...] = (
        (Service, "service", set(service_ids.values())),
        (Component, "component", set(component_ids.values())),
    )
    for model, kind, present in kinds:
        active = {present_key for present_key in present if (kind, present_key) not in off}
        await session.execute(
            update(model).where(model.is_active != model.id.in_(active)).values(is_active=model.id.in_(active))
        )
    return {"services": len(service_ids), "components": len(component_ids), "variables": count}


async def _sync_services(session: AsyncSession, registry: Registry) -> dict[str, int]:
    rows = [service_row(service)._asdict() for service in registry.services.values()]
    if rows:
        statement = insert(Service).values(rows)
        await session.execute(
            statement.on_conflict_do_update(
                index_elements=["name"],
                set_={name: statement.excluded[name] for name in ("description", "icon_path", "requires_auth")},
            )
        )
    ids = {row.name: row.id for row in await session.execute(select(Service.id, Service.name))}
    return {service.slug: ids[service.name] for service in registry.services.values()}


async def _sync_components(
    session: AsyncSession, registry: Registry, service_ids: dict[str, int]
) -> dict[tuple[str, str], int]:
    """Component ids by (type, key)."""
    values: dict[str, list[Any]] = {name: [] for name in ("service_id", *ComponentRow._fields)}
    declared: set[tuple[str, str]] = set()
    for service in registry.services.values():
        components: list[Action | Reaction] = [*service.actions.values(), *service.reactions.values()]
        for component in components:
            row = component_row(component)
            values["service_id"].append(service_ids[service.slug])
            for name, value in row._asdict().items():
                values[name].append(value)
            declared.add((row.type, component.key))
    await session.execute(text(COMPONENTS), values)
    slugs = {number: slug for slug, number in service_ids.items()}
    result = await session.execute(select(Component.id, Component.type, Component.name, Component.service_id))
    ids = {(row.type, f"{slugs[row.service_id]}.{row.name}"): row.id for row in result if row.service_id in slugs}
    return {key: number for key, number in ids.items() if key in declared}


async def _sync_variables(session: AsyncSession, registry: Registry, component_ids: dict[tuple[str, str], int]) -> int:
    values: dict[str, list[Any]] = {name: [] for name in ("component_id", *VariableRow._fields)}
    for (type_, key), component_id in component_ids.items():
        component = registry.action(key) if type_ == "action" else registry.reaction(key)
        if component is None:
            continue
        for row in variable_rows(component):
            values["component_id"].append(component_id)
            for column, value in row._asdict().items():
                values[column].append(value)
    await session.execute(text(VARIABLES), values | {"components": list(component_ids.values())})
    return len(values["name"])
