"""What pages show of runs besides the log: statistics of one AREA, a run's neighbors and replays, its configuration."""

import functools
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from area.areas import parameters
from area.areas.plans import SECRET, Config, Scope, compile_config, parse
from area.db.models import Area, AreaVersion
from area.kit.budget import Budget
from area.kit.clock import now
from area.kit.crypto import Undecryptable
from area.kit.evaluation import evaluate
from area.kit.fair import Full
from area.kit.problems import Invalid
from area.kit.template import RenderError
from area.kit.text import dump_json
from area.registry import Registry
from area.runs import ExecutionView, masked
from area.sdk import Action, Reaction
from area.sdk.fields import by_name
from area.sdk.sensitive import MASK

By = Literal["hour", "day"]

SPANS: Mapping[By, int] = {"hour": 24, "day": 30}
MOST_COUNTED = 10_000  # newest runs of an AREA that a chart reads

FIGURES = text("""
select date_trunc(:by, e.created_at at time zone :zone) as start,
  count(*) filter (where e.status = 'success'), count(*) filter (where e.status = 'failed'),
  count(*) filter (where e.status not in ('success', 'failed')),
  percentile_disc(array[0.5, 0.95]) within group (order by e.execution_time_ms)
    filter (where e.status in ('success', 'failed'))
from (select created_at, status, execution_time_ms from area_executions
      where area_id = :id order by id desc limit :most) e
where e.created_at > cast(:since as timestamptz)
group by 1""")
AROUND = text("""
select (select id from area_executions where area_id = :area_id and id < :id order by id desc limit 1),
       (select id from area_executions where area_id = :area_id and id > :id order by id limit 1)""")
REPLAYS = text("""
select replay_of, max(execution_id) as id from execution_records where replay_of = any(:ids) group by replay_of""")
SERVICES = text("""
select a.id, sa.name, sr.name from areas a
join components ca on ca.id = a.component_action_id join services sa on sa.id = ca.service_id
join components cr on cr.id = a.component_reaction_id join services sr on sr.id = cr.service_id
where a.id = any(:ids)""")
VARIABLES = text("""
select cast(c.type as text), v.name, v.id from variables v
join components c on c.id = v.component_id join services s on s.id = c.service_id
where v.kind = 'parameter' and ((c.type = 'action' and s.name = :action_service and c.name = :action)
  or (c.type = 'reaction' and s.name = :reaction_service and c.name = :reaction))""")


class Bucket(BaseModel):
    """The runs of an hour or a day (`start` is local, without a zone), and the durations of the attempted ones."""

    start: datetime
    success: int = 0
    failed: int = 0
    other: int = 0
    median_ms: int | None = None
    slow_ms: int | None = None


class Then(BaseModel):
    """An AREA's parameters as written when a run used them, and the reaction's parameters as filled: None, with `why`,
    if they can't be filled.
    """

    version: int
    created_at: datetime
    action: str
    reaction: str
    action_parameters: dict[str, Any]
    reaction_parameters: dict[str, Any]
    filled: dict[str, Any] | None
    why: str | None = None


async def figures(session: AsyncSession, area_id: int, by: By, zone: str) -> list[Bucket]:
    """The AREA's last 24 hours or 30 days, oldest first, from its newest 10,000 runs."""
    length = timedelta(hours=1) if by == "hour" else timedelta(days=1)
    local = now().astimezone(ZoneInfo(zone)).replace(tzinfo=None, minute=0, second=0, microsecond=0)
    last = local if by == "hour" else local.replace(hour=0)
    starts = [last - length * number for number in reversed(range(SPANS[by]))]
    rows = await session.execute(
        FIGURES,
        {"id": area_id, "by": by, "zone": zone, "since": now() - length * SPANS[by], "most": MOST_COUNTED},
    )
    buckets = {
        start: Bucket(start=start, success=good, failed=bad, other=other, median_ms=times[0], slow_ms=times[1])
        for start, good, bad, other, times in ((*row[:4], row[4] or (None, None)) for row in rows)
    }
    return [buckets.get(start) or Bucket(start=start) for start in starts]


async def around(session: AsyncSession, area_id: int, execution_id: int) -> tuple[int | None, int | None]:
    """The runs of the same AREA before and after this one."""
    older, newer = (await session.execute(AROUND, {"area_id": area_id, "id": execution_id})).one()
    return older, newer


async def replays(session: AsyncSession, ids: Sequence[int]) -> dict[int, int]:
    """For each of these runs that was replayed, the id of its last replay."""
    if not ids:
        return {}
    return {row.replay_of: row.id for row in await session.execute(REPLAYS, {"ids": list(ids)})}


async def services_of(session: AsyncSession, registry: Registry, area_ids: Collection[int]) -> dict[int, list[str]]:
    """The slugs of each AREA's two services: the action's and the reaction's."""
    rows = await session.execute(SERVICES, {"ids": list(area_ids)})
    return {area_id: [registry.slug_of(name) for name in names] for area_id, *names in rows}


async def names(session: AsyncSession, user_id: int) -> list[tuple[int, str]]:
    """Ids and names of the user's AREAs, by name."""
    rows = await session.execute(select(Area.id, Area.name).where(Area.user_id == user_id).order_by(Area.name, Area.id))
    return [(row[0], row[1]) for row in rows]


async def then(session: AsyncSession, scope: Scope, view: ExecutionView) -> Then | None:
    """The AREA's configuration when the run happened (or now, if it hasn't run), filled with its event. None if it is
    gone.
    """
    statement = select(AreaVersion).where(AreaVersion.area_id == view.area_id)
    if view.version is not None:
        statement = statement.where(AreaVersion.version == view.version)
    row = await session.scalar(statement.order_by(AreaVersion.version.desc()).limit(1))
    if row is None:
        return None
    config = Config.from_json(row.config)
    action, reaction = scope.registry.action(config.action), scope.registry.reaction(config.reaction)
    written = _shown(reaction, config.reaction_parameters)
    filled, why = view.parameters, None
    if filled is None:
        filled, why = await _filled(session, scope, view, config)
    return Then(
        version=row.version,
        created_at=row.created_at,
        action=config.action,
        reaction=config.reaction,
        action_parameters=_shown(action, config.action_parameters),
        reaction_parameters=written,
        filled=None if filled is None else masked(reaction, filled),
        why=why,
    )


async def _filled(
    session: AsyncSession, scope: Scope, view: ExecutionView, config: Config
) -> tuple[dict[str, Any] | None, str | None]:
    """Filling is a pure function of the version and the event, so it doesn't have to be stored with every run."""
    data = view.trigger_data if isinstance(view.trigger_data, dict) else {}
    try:
        variables = await _variables(session, scope.registry, config)
        plain = parameters.open_secrets(scope.keyring, view.area_id, config, variables)
        plan = compile_config(scope.registry, plain)
        return await evaluate(functools.partial(plan.values, data), Budget(), len(dump_json(data))), None
    except (Full, Invalid, RenderError, Undecryptable) as error:
        return None, str(error)


async def _variables(session: AsyncSession, registry: Registry, config: Config) -> dict[tuple[str, str], int]:
    values: dict[str, str] = {}
    for kind, key in (("action", config.action), ("reaction", config.reaction)):
        slug, _, name = key.partition(".")
        service = registry.services.get(slug)
        values |= {kind: name, f"{kind}_service": service.name if service else slug}
    return {(row[0], row[1]): row[2] for row in await session.execute(VARIABLES, values)}


def _shown(component: Action | Reaction | None, texts: Mapping[str, str]) -> dict[str, Any]:
    """Stored texts as written, with secrets masked."""
    declared = by_name(component.params) if component else {}
    shown: dict[str, Any] = {}
    for name in [*(name for name in declared if name in texts), *(name for name in texts if name not in declared)]:
        value = texts[name]
        secret = value.startswith(SECRET) or (name in declared and declared[name].secret)
        shown[name] = MASK if secret else parse(value, declared[name]) if name in declared else value
    return shown
