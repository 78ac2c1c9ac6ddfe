"""AREAs as users see them: their columns, their parameters as written, and their state.

One module, since a view is cached with all that it is made of.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from weakref import WeakKeyDictionary

from cachetools import LRUCache
from pydantic import BaseModel
from sqlalchemy import Row, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from area.areas import parameters
from area.areas.links import When
from area.areas.parameters import open_value
from area.areas.plans import SECRET, Config, Scope, parse
from area.areas.triggers import WhenOff
from area.connections import vault
from area.db import contexts
from area.db.types import UtcDateTime
from area.kit.crypto import Keyring, Undecryptable
from area.kit.problems import FieldError
from area.kit.sentences import Sentence, from_parts
from area.registry import Registry
from area.sdk import Service as Connector
from area.sdk.fields import by_name
from area.sdk.sensitive import MASK

States = Mapping[tuple[str, str], str]  # each connection's state, by service and name

MOST_KEPT = 5000  # cached AREAs of all users, about 20 MB


class PartOut(BaseModel):
    """A component and its parameters as written, secrets masked. `connection` names a non-default connection."""

    component: str
    component_id: int
    title: str
    service: str
    parameters: dict[str, Any]
    connection: str | None = None


State = Literal[
    "healthy",
    "never_fired",
    "waiting",
    "off",
    "switched_off",
    "waiting_for_connection",
    "retrying",
    "failing",
    "unavailable",
]


class ChainLink(BaseModel):
    """An AREA in its chain, and those that follow it (`then`).

    `when`, `for_each` and `after` (all that it follows) are those of a link, and None or empty for the first AREA.
    Placeholders read its result as `steps.<step>`. `broken` says what it uses although no AREA before it returns it any
    more: until it is changed, its runs fail.
    """

    id: int
    name: str
    is_active: bool
    version: int
    state: State
    reason: Sentence | None
    action: PartOut
    reaction: PartOut
    after: list[int]
    when: When | None
    for_each: str | None
    only_if: str | None
    delay: str | None
    step: str
    broken: list[FieldError]
    then: list["ChainLink"]


class AreaOut(BaseModel):
    """An AREA with its columns and state.

    `webhook_url` is its webhook URL, if it has one, and `webhook_secret` the signing secret that AREA generated, if
    any. `fails` is the side that fails if the state is `failing`. `when_off` is what happens to webhooks while it is
    off. `waits_for` is the service to connect. `chain` is the whole chain that it belongs to, from its first AREA on;
    null if it follows none and none follows it, and in lists. `note` is what the trigger left out at its last look,
    such as an item that can't be read.
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
    when_off: WhenOff | None
    version: int
    state: State
    reason: Sentence | None
    fails: Literal["action", "reaction"] | None
    note: Sentence | None
    waits_for: str | None
    last_checked_at: datetime | None
    next_due_at: datetime | None
    chain: ChainLink | None = None


AREAS = text("""
select a.id, a.user_id, a.component_action_id, a.component_reaction_id, a.name, a.description, a.is_active,
       a.created_at, a.updated_at, a.last_triggered_at, a.triggered_count,
       t.token, t.secret, t.when_off, s.checked_at, s.due_at, s.failing_since, s.last_error,
       s.note, case when s.note is not null then s.state -> 'note_parts' end as note_said,
       s.said as source_said, h.switched_off_at, h.reason, h.said as health_said, h.failures,
       coalesce((select max(v.version) from area_versions v where v.area_id = a.id), 1) as version,
       ca.is_active and sa.is_active as action_available, cr.is_active and sr.is_active as reaction_available,
       n.id is not null as has_run, coalesce(n.status = 'failed', false) as last_failed,
       coalesce((select max(v.created_at) from area_versions v where v.area_id = a.id)
                > n.started_at at time zone 'utc', false) as changed,
       j.execution_id is not null as retried, n.error_message as retry_error, r.said as retry_said
from areas a
join components ca on ca.id = a.component_action_id join services sa on sa.id = ca.service_id
join components cr on cr.id = a.component_reaction_id join services sr on sr.id = cr.service_id
left join triggers t on t.area_id = a.id
left join sources s on s.id = t.source_id
left join area_health h on h.area_id = a.id
left join lateral (
  select e.id, e.error_message, e.status, e.started_at
  from area_executions e where e.area_id = a.id order by e.id desc limit 1) n
  on a.is_active
left join execution_jobs j on j.execution_id = n.id and j.reason = 'retry' and j.due_at > now()
left join execution_records r on r.execution_id = j.execution_id
where a.id = any(:ids)
""").columns(last_triggered_at=UtcDateTime, source_said=JSONB, note_said=JSONB, health_said=JSONB, retry_said=JSONB)


async def load(session: AsyncSession, scope: Scope, ids: Sequence[int], *, addresses: bool = True) -> list[AreaOut]:
    """The AREAs with these ids, all of one user, ordered by id. Ids that no longer exist are left out. Flush changes
    first.

    Without `addresses`, webhook URLs are not decrypted, and unchanged AREAs return the same view objects.
    """
    rows = {row.id: row for row in (await session.execute(AREAS, {"ids": list(ids)})).all()}
    areas = [rows[area_id] for area_id in ids if area_id in rows]
    if not areas:
        return []
    seen = _seen.setdefault(scope.registry, LRUCache(MOST_KEPT))
    same = {area.id: cached for area in areas if (cached := seen.get(area.id)) and cached.row == area}
    read = [area for area in areas if area.id not in same]
    parts = {area_id: (cached.view.action, cached.view.reaction) for area_id, cached in same.items()}
    parts |= await _parts(session, scope, read) if read else {}
    connections: States = {}
    if any(_needed(scope.registry, part) for both in parts.values() for part in both):
        connections = await _connection_states(session, scope.registry, areas[0].user_id)
    views = []
    for area in areas:
        cached = same.get(area.id)
        if cached is None or cached.connections != connections or cached.keyring is not scope.keyring:
            cached = Seen(area, connections, scope.keyring, _view(scope, area, parts[area.id], connections))
            seen[area.id] = cached
        views.append(cached.view)
    if addresses:
        views = [_reachable(scope, area, view) for area, view in zip(areas, views, strict=True)]
    return views


async def unavailable_side(session: AsyncSession, scope: Scope, area_id: int) -> Sentence | None:
    """Which side of the AREA can't run here, whatever its state."""
    row = (await session.execute(AREAS, {"ids": [area_id]})).one()
    return unavailable(scope.registry, row, (await _parts(session, scope, [row]))[area_id])


def _view(scope: Scope, area: Row[Any], parts: tuple[PartOut, PartOut], connections: States) -> AreaOut:
    """The AREA without its webhook URL, so that it can be shown even if that can't be decrypted."""
    action, reaction = parts
    keys = (action.component, reaction.component)
    gone = unavailable(scope.registry, area, parts)
    waits_for = None if gone else _waits_for(scope.registry, parts, connections)
    state, reason = _state(area, gone, waits_for, connections)
    try:
        _webhook(scope, action.component, area)
    except Undecryptable as error:
        state, reason, waits_for = (
            "failing",
            Sentence("Its webhook URL can't be read: %(error)s", error=error),
            None,
        )
    return AreaOut(
        id=area.id,
        user_id=area.user_id,
        component_action_id=area.component_action_id,
        component_reaction_id=area.component_reaction_id,
        name=area.name,
        description=area.description,
        is_active=area.is_active,
        created_at=area.created_at,
        updated_at=area.updated_at,
        last_triggered_at=area.last_triggered_at,
        triggered_count=area.triggered_count,
        action=action,
        reaction=reaction,
        webhook_url=None,
        webhook_secret=None,
        when_off=area.when_off if area.token else None,
        version=area.version,
        state=state,
        reason=reason,
        fails=("action" if area.failing_since else "reaction") if state == "failing" else None,
        note=from_parts(area.note_said, area.note) if area.is_active else None,
        waits_for=waits_for[0].slug if waits_for and state == "waiting_for_connection" else None,
        last_checked_at=area.checked_at,
        next_due_at=area.due_at if area.is_active and not area.token and not _listens(scope.registry, keys) else None,
    )


def _listens(registry: Registry, keys: tuple[str, str]) -> bool:
    action = registry.action(keys[0])
    return action is not None and action.kind == "listen"


def _reachable(scope: Scope, area: Row[Any], view: AreaOut) -> AreaOut:
    """The AREA with its webhook URL, if that can be decrypted."""
    try:
        url, secret = _webhook(scope, view.action.component, area)
    except Undecryptable:
        return view
    return view.model_copy(update={"webhook_url": url, "webhook_secret": secret}) if url else view


@dataclass(frozen=True, slots=True)
class Seen:
    """A cached view of an AREA. Valid while its row and its owner's connections are unchanged. Contains no secrets."""

    row: Row[Any]
    connections: States
    keyring: Keyring
    view: AreaOut


_seen: WeakKeyDictionary[Registry, LRUCache[int, Seen]] = WeakKeyDictionary()
_kept: WeakKeyDictionary[Registry, LRUCache[tuple[Hashable, ...], tuple[PartOut, PartOut]]] = WeakKeyDictionary()


async def _parts(session: AsyncSession, scope: Scope, areas: Sequence[Row[Any]]) -> dict[int, tuple[PartOut, PartOut]]:
    """Both parts of each AREA, cached, since a version never changes. Contain no secrets."""
    cache = _kept.setdefault(scope.registry, LRUCache(MOST_KEPT))
    versions = {area.id: (area.id, area.version, area.created_at, area.updated_at) for area in areas}
    parts = {area_id: cache[version] for area_id, version in versions.items() if version in cache}
    unread = [area for area in areas if area.id not in parts]
    configs = await parameters.configs(session, scope.registry, unread) if unread else {}
    numbers = {
        number for config, _ in configs.values() for number in (config.action_connection, config.reaction_connection)
    }
    names = await vault.names(session, numbers)
    for area in unread:
        config, variables = configs[area.id]
        action = _part_view(scope, area, "action", config, variables, names)
        parts[area.id] = action, _part_view(scope, area, "reaction", config, variables, names)
        cache[versions[area.id]] = parts[area.id]
    return parts


def _webhook(scope: Scope, key: str, area: Row[Any]) -> tuple[str | None, str | None]:
    """The AREA's webhook URL, and the signing secret that AREA generated, if the action uses it."""
    if area.token is None:
        return None, None
    action = scope.registry.action(key)
    if action and action.on_subscribe:  # AREA registers the URL with the vendor itself
        return None, None
    secret = None
    if area.secret and action and action.verify and action.verify.uses_secret:
        secret = scope.keyring.decrypt(area.secret, contexts.hook(area.id, "secret"))
    token = scope.keyring.decrypt(area.token, contexts.hook(area.id, "token"))
    return f"{scope.base_url}/hooks/{token}", secret


def _part_view(
    scope: Scope,
    area: Row[Any],
    kind: Literal["action", "reaction"],
    config: Config,
    variables: Mapping[tuple[str, str], int],
    names: Mapping[int, str],
) -> PartOut:
    if kind == "action":
        key, component_id, texts = config.action, area.component_action_id, config.action_parameters
        number = config.action_connection
    else:
        key, component_id, texts = config.reaction, area.component_reaction_id, config.reaction_parameters
        number = config.reaction_connection
    component = scope.registry.action(key) if kind == "action" else scope.registry.reaction(key)
    declared = by_name(component.params) if component else {}
    parameters: dict[str, Any] = {}
    for name, value in texts.items():
        secret = declared[name].secret if name in declared else value.startswith(SECRET)
        if secret:
            parameters[name] = MASK
            continue
        try:
            plain = open_value(scope.keyring, area.id, variables.get((kind, name)), value)
        except Undecryptable:  # reported when the AREA runs
            parameters[name] = MASK
            continue
        if name in declared and declared[name].holds:
            plain = declared[name].hidden(plain)
        parameters[name] = parse(plain, declared[name]) if name in declared else plain
    return PartOut(
        component=key,
        component_id=component_id,
        title=component.title if component else key,
        service=component.service.name if component else key.partition(".")[0],
        parameters=parameters,
        connection=names.get(number),
    )


def _state(
    area: Row[Any],
    gone: Sentence | None,
    waits_for: tuple[Connector, str] | None,
    connections: States,
) -> tuple[State, Sentence | None]:
    """The AREA's state and its reason; the first problem that its owner should fix comes first."""
    if area.switched_off_at and not area.is_active:
        return "switched_off", from_parts(area.health_said, area.reason)
    if not area.is_active:
        return "off", None
    if gone:
        return "unavailable", gone
    if waits_for:
        service, name = waits_for
        called = f"{service.name} ({name})" if name else service.name
        if (service.slug, name) in connections:
            reason = Sentence("Reconnect %(name)s. AREA then catches up on missed events.", name=called)
        else:
            reason = Sentence("Connect %(name)s. AREA then catches up on missed events.", name=called)
        return "waiting_for_connection", reason
    if area.failing_since:
        return "failing", from_parts(area.source_said, area.last_error)
    if area.failures and not area.changed:
        return "failing", from_parts(area.health_said, area.reason)
    if not area.triggered_count and not area.has_run:
        return "never_fired", None
    if area.retried:
        return "retrying", from_parts(area.retry_said, area.retry_error)
    return ("waiting" if area.last_failed else "healthy"), None


def unavailable(registry: Registry, area: Row[Any], parts: tuple[PartOut, PartOut]) -> Sentence | None:
    """Which side can't run here, and why; None if both can."""
    action, reaction = parts
    for part, code, is_on in (
        (action, registry.action(action.component), area.action_available),
        (reaction, registry.reaction(reaction.component), area.reaction_available),
    ):
        if code is None:
            return Sentence(
                "“%(title)s” of %(service)s is no longer installed.", title=part.title, service=part.service
            )
        if not is_on:
            return Sentence(
                "“%(title)s” of %(service)s is switched off on this server.", title=part.title, service=part.service
            )
    return None


def _waits_for(registry: Registry, parts: tuple[PartOut, PartOut], connections: States) -> tuple[Connector, str] | None:
    """Service and name of the first of the two connections that is missing or expired."""
    for part in parts:
        service = _needed(registry, part)
        name = part.connection or ""
        if service and connections.get((service.slug, name)) != "works":
            return service, name
    return None


def _needed(registry: Registry, part: PartOut) -> Connector | None:
    """The service that the part needs a connection to, if any."""
    service = registry.services.get(part.component.partition(".")[0])
    return service if service and (service.requires_auth or part.connection) else None


async def _connection_states(session: AsyncSession, registry: Registry, user_id: int) -> States:
    rows = await session.execute(text(STATES), {"user_id": user_id})
    return {(registry.slug_of(row.service), row.name): row.status for row in rows if row.service in registry.by_name}


STATES = """
select s.name as service, c.name, coalesce(cs.status, 'works') as status
from connections c
join services s on s.id = c.service_id
left join connection_states cs on cs.user_id = c.user_id and cs.service_id = c.service_id
    and cs.connection_id = c.connection_id
where c.user_id = :user_id and (c.oauth_token is not null or c.connection_id = 0)
"""
