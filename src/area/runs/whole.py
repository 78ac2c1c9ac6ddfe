"""Runs as people see them: an execution and all that it led to."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, TextClause, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from area import runs
from area.db.models import ExecutionLink
from area.db.search import search
from area.runs import ExecutionLine
from area.runs.record import Status

MOST = 10_001  # executions of one run, with the first
STRONGEST: tuple[Status, ...] = ("running", "pending", "failed")  # what any of a run's executions says of all of it

# An AREA that follows others seldom begins a run itself: of each such, the newest 2,000 executions are looked at.
NEWEST = """
select n.id from areas a cross join lateral (
    select e.id from (
        select id, status, created_at, trigger_data, error_message from area_executions
        where area_id = a.id and (cast(:before as bigint) is null or id < :before)
        order by id desc limit case when exists (select from area_links where area_id = a.id) then 2000 end) e
    where not exists (select from execution_links l where l.execution_id = e.id) {filters}
    order by e.id desc limit :limit) n
where a.user_id = :user {areas}
order by n.id desc limit :limit
"""
LED = "exists (select from execution_links l join area_executions m on m.id = l.execution_id where l.root = e.id and "
NOT_CONTINUED = "not exists (select from execution_records r where r.replay_of = m.id)"
FILTERS = {
    "status": f"""and case
        when e.status = 'running' or {LED} m.status = 'running') then 'running'
        when e.status = 'pending' or {LED} m.status = 'pending') then 'pending'
        when e.status = 'failed' or {LED} m.status = 'failed' and {NOT_CONTINUED}) then 'failed'
        else e.status end = any(:status)""",
    "since": "and e.created_at >= :since",
    "until": "and e.created_at < :until",
    "q": f"""and (strpos(lower(e.trigger_data::text), lower(:q)) > 0 or strpos(lower(e.error_message), lower(:q)) > 0
        or {LED} (strpos(lower(m.trigger_data::text), lower(:q)) > 0
                  or strpos(lower(m.error_message), lower(:q)) > 0)))""",
    "area_id": f"and (a.id = :area_id or {LED} m.area_id = :area_id))",
    "service": f"and (a.id in (select id from of_it) or {LED} m.area_id in (select id from of_it)))",  # noqa: S608 - constants
}
# where the runs began that the AREA had a part in
BEGAN = """and (a.id = :area_id or a.id in (
    select h.area_id from (select id from area_executions where area_id = :area_id order by id desc limit 1000) e
    join execution_links l on l.execution_id = e.id join area_executions h on h.id = l.root))"""
OF_SERVICE = """
with of_it as materialized (
    select x.id from areas x where x.user_id = :user and exists (
        select from components c join services s on s.id = c.service_id
        where c.id in (x.component_action_id, x.component_reaction_id) and s.name = :service))
"""
LED_TO = text(f"""
select l.root, count(*) as executions, count(distinct m.area_id) as links, count(l.index) as items,
    count(*) filter (where m.status = 'running') as running, count(*) filter (where m.status = 'pending') as pending,
    count(*) filter (where m.status = 'failed' and {NOT_CONTINUED}) as failed,
    min(m.id) filter (where m.status = 'failed' and {NOT_CONTINUED}) as broken
from execution_links l join area_executions m on m.id = l.execution_id where l.root = any(:ids) group by l.root
""")  # noqa: S608 - constants


class RunLine(ExecutionLine):
    """A run in a list: its first execution, and how many `links` (AREAs) had a part in it, and `items` of lists.

    `status` is `running` or `pending` while any of it runs or waits, `failed` if any of it failed and was not
    continued, else that of the first. `error_message` is of the first that failed; `failed_at` is that link's name, if
    it is not the first.
    """

    executions: int
    links: int
    items: int
    failed: int
    waiting: int
    failed_at: str | None


async def newest(
    session: AsyncSession,
    user_id: int,
    *,
    limit: int,
    before: int | None = None,
    area_id: int | None = None,
    service: str | None = None,
    status: Collection[Status] = (),
    q: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[RunLine]:
    """The user's runs, newest first, with an id below `before`. A single AREA's execution is a run of one.

    `area_id` and `service` are of any AREA that had a part in it, and `q` is searched in all of its executions.
    `status` is that of the whole run; `since` and `until` are about its beginning. Raises as `runs.find` does.
    """
    wanted = {"status": list(status), "q": q, "since": since, "until": until, "area_id": area_id, "service": service}
    given = {name: value for name, value in wanted.items() if value}
    values = {"user": user_id, "limit": limit, "before": before, **given}
    statement = matching(given)
    if given.keys() - {"area_id"}:
        async with search(session):
            ids = list(await session.scalars(statement, values))
    else:
        ids = list(await session.scalars(statement, values))
    return await lines(session, user_id, ids)


def matching(names: Collection[str]) -> TextClause:
    """The query for the ids of runs, with these of its filters."""
    filters = " ".join(FILTERS[name] for name in FILTERS if name in names)
    query = NEWEST.format(filters=filters, areas=BEGAN if "area_id" in names else "")
    return text(OF_SERVICE + query if "service" in names else query)


async def lines(session: AsyncSession, user_id: int, ids: Sequence[int]) -> list[RunLine]:
    """The user's runs that begin with these executions, newest first."""
    if not ids:
        return []
    led = {row.root: row for row in await session.execute(LED_TO, {"ids": list(ids)})}
    first = await runs.lines(session, user_id, ids)
    broken = {line.id: line for line in await runs.lines(session, user_id, [row.broken for row in led.values()])}
    return [_line(line, led.get(line.id), broken) for line in first]


def _line(first: ExecutionLine, led: Row[Any] | None, broken: Mapping[int, ExecutionLine]) -> RunLine:
    statuses = [first.status]
    failed, waiting = int(first.status == "failed"), int(first.status in ("pending", "running"))
    error, failed_at = first.error_message, None
    if led:
        statuses += [status for status in ("running", "pending", "failed") if getattr(led, status)]
        failed, waiting = failed + led.failed, waiting + led.running + led.pending
        if first.status != "failed" and led.broken in broken:
            error, failed_at = broken[led.broken].error_message, broken[led.broken].area_name
    values = first.model_dump(exclude={"error_message", "status"})
    return RunLine(
        **values,
        status=next((status for status in STRONGEST if status in statuses), first.status),
        error_message=error,
        failed_at=failed_at,
        executions=1 + (led.executions if led else 0),
        links=1 + (led.links if led else 0),
        items=led.items if led else 0,
        failed=failed,
        waiting=waiting,
    )


async def whole(session: AsyncSession, user_id: int, execution_id: int) -> list[ExecutionLine]:
    """All executions of the run that one belongs to, in the order in which they were made. Empty if it is not the
    user's.
    """
    place = await session.scalar(select(ExecutionLink.root).where(ExecutionLink.execution_id == execution_id))
    lines = await runs.find(session, user_id, limit=MOST, run=place or execution_id)
    return lines[::-1] if any(line.id == execution_id for line in lines) else []


def below(lines: Sequence[ExecutionLine]) -> list[tuple[int, ExecutionLine]]:
    """A run's executions as a tree read from the top, each with its depth."""
    ids = {line.id for line in lines}
    under: dict[int | None, list[ExecutionLine]] = {}
    for line in lines:
        under.setdefault(line.parent if line.parent in ids else None, []).append(line)
    shown: list[tuple[int, ExecutionLine]] = []
    waiting = [(0, line) for line in reversed(under.get(None, []))]
    while waiting:
        depth, line = waiting.pop()
        shown.append((depth, line))
        waiting += [(depth + 1, one) for one in reversed(under.get(line.id, []))]
    return shown
