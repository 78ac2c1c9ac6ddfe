"""AREAs as people see them: the seed's columns, parameters as written, and how each fares."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel
from sqlalchemy import func, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from area import parameters
from area.db.models import (
    Area,
    AreaExecution,
    AreaHealth,
    AreaVersion,
    Component,
    ConnectionState,
    ExecutionJob,
    Service,
    Source,
    Trigger,
    UserService,
)
from area.kit.crypto import Undecryptable
from area.parameters import open_value
from area.plans import MASK, SECRET, Config, Scope, parse
from area.registry import Registry
from area.sdk import Service as Connector
from area.sdk.fields import fields


class PartOut(BaseModel):
    """A component and its parameters as written; secrets are dots."""

    component: str
    component_id: int
    title: str
    service: str
    parameters: dict[str, Any]


State = Literal[
    "healthy", "never_fired", "off", "switched_off", "waiting_for_connection", "retrying", "failing", "unavailable"
]


class AreaOut(BaseModel):
    """An AREA with the seed's columns, and how it fares. `webhook_url` is where its webhooks go, if it has one, and
    `webhook_secret` what they are signed with, where AREA made that secret. `waits_for` is the service to connect.
    """

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
    webhook_secret: str | None
    version: int
    state: State
    reason: str | None
    waits_for: str | None
    last_checked_at: datetime | None
    next_due_at: datetime | None


async def views(session: AsyncSession, scope: Scope, areas: Sequence[Area]) -> list[AreaOut]:
    """The AREAs (all of one user) as that user sees them, in the same order."""
    if not areas:
        return []
    ids = [area.id for area in areas]
    configs = await parameters.configs(session, scope.registry, areas)
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
    retried = await _retried(session, [area.id for area in areas if area.is_active and area.triggered_count])
    views = []
    for area in areas:
        config, variables = configs[area.id]
        trigger = triggers.get(area.id)
        source = sources.get(trigger.source_id) if trigger and trigger.source_id is not None else None
        available = active[area.component_action_id] and active[area.component_reaction_id]
        waits_for = _waits_for(scope.registry, config, connections) if available else None
        state, reason = _state(
            area, scope.registry, config, source, health.get(area.id), waits_for, connections, available=available
        )
        if state == "healthy" and area.id in retried:
            state, reason = "retrying", retried[area.id]
        try:
            webhook_url, webhook_secret = _webhook(scope, config, trigger)
        except Undecryptable as error:
            webhook_url = webhook_secret = None
            state, reason = "failing", f"Its webhook address can't be read: {error}"
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
                action=_part_view(scope, area, "action", config, variables),
                reaction=_part_view(scope, area, "reaction", config, variables),
                webhook_url=webhook_url,
                webhook_secret=webhook_secret,
                version=versions.get(area.id, 1),
                state=state,
                reason=reason,
                waits_for=waits_for.slug if waits_for and state == "waiting_for_connection" else None,
                last_checked_at=source.checked_at if source else None,
                next_due_at=source.due_at if source and area.is_active and trigger and not trigger.token else None,
            )
        )
    return views


def _webhook(scope: Scope, config: Config, trigger: Trigger | None) -> tuple[str | None, str | None]:
    """Where the AREA's webhooks go, and what they are signed with where the action uses the secret that AREA made."""
    if trigger is None or trigger.token is None:
        return None, None
    action = scope.registry.action(config.action)
    if action and action.on_subscribe:  # AREA tells the vendor itself
        return None, None
    secret = None
    if trigger.secret and action and action.verify and action.verify.uses_secret:
        secret = scope.keyring.decrypt(trigger.secret, f"area:{trigger.area_id}|secret")
    token = scope.keyring.decrypt(trigger.token, f"area:{trigger.area_id}|token")
    return f"{scope.base_url}/hooks/{token}", secret


def _part_view(
    scope: Scope,
    area: Area,
    kind: Literal["action", "reaction"],
    config: Config,
    variables: Mapping[tuple[str, str], int],
) -> PartOut:
    if kind == "action":
        key, component_id, texts = config.action, area.component_action_id, config.action_parameters
    else:
        key, component_id, texts = config.reaction, area.component_reaction_id, config.reaction_parameters
    component = scope.registry.action(key) if kind == "action" else scope.registry.reaction(key)
    declared = {one.name: one for one in fields(component.params)} if component else {}
    parameters: dict[str, Any] = {}
    for name, value in texts.items():
        secret = declared[name].secret if name in declared else value.startswith(SECRET)
        if secret:
            parameters[name] = MASK
            continue
        plain = open_value(scope.keyring, area.id, variables.get((kind, name)), value)
        parameters[name] = parse(plain, declared[name]) if name in declared else plain
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
    waits_for: Connector | None,
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
    if waits_for:
        verb = "Reconnect" if waits_for.slug in connections else "Connect"
        return "waiting_for_connection", f"{verb} {waits_for.name}; what happens meanwhile is caught up afterwards."
    if source and source.failing_since:
        return "failing", source.last_error
    if health and health.failures:
        return "failing", health.reason
    return ("healthy", None) if area.triggered_count else ("never_fired", None)


def _waits_for(registry: Registry, config: Config, connections: Mapping[str, str]) -> Connector | None:
    """The first service of the two that is not connected, or no longer."""
    for key in (config.action, config.reaction):
        service = registry.services.get(key.partition(".")[0])
        if service and service.auth is not None and connections.get(service.slug) != "works":
            return service
    return None


async def _retried(session: AsyncSession, ids: Sequence[int]) -> dict[int, str | None]:
    """The AREAs whose newest run is to be tried again, and why."""
    newest = (
        select(AreaExecution.id, AreaExecution.error_message)
        .where(AreaExecution.area_id == Area.id)
        .order_by(AreaExecution.id.desc())
        .limit(1)
        .lateral()
    )
    if not ids:
        return {}
    rows = await session.execute(
        select(Area.id, newest.c.error_message)
        .join(newest, true())
        .join(ExecutionJob, ExecutionJob.execution_id == newest.c.id)
        .where(Area.id.in_(ids), ExecutionJob.reason == "retry", ExecutionJob.due_at > func.now())
    )
    return dict(rows.all())


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
