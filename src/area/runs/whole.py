"""Runs as people see them: an execution and all that it led to."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from area import runs
from area.db.models import ExecutionLink
from area.runs import ExecutionLine
from area.runs.record import Status

MOST = 10_001  # executions of one run, with the first

# of each AREA's newest 500 executions those that begin a run, with what became of all of it
NEWEST = text("""
select h.id, h.area_id, h.area_name, h.created_at, x.executions, x.failed, x.waiting, x.status
from (
    select n.id, a.id as area_id, a.name as area_name, n.created_at, n.status
    from areas a cross join lateral (
        select e.id, e.created_at, e.status from (
            select id, created_at, status from area_executions
            where area_id = a.id and (cast(:before as bigint) is null or id < :before) order by id desc limit 500) e
        where not exists (select from execution_links l where l.execution_id = e.id)
        order by e.id desc limit :limit) n
    where a.user_id = :user
    order by n.id desc limit :limit) h
cross join lateral (
    select 1 + count(m.id) as executions,
           count(*) filter (where m.status = 'failed') + (h.status = 'failed')::int as failed,
           count(*) filter (where m.status in ('pending', 'running')) + (h.status in ('pending', 'running'))::int
               as waiting,
           h.status
    from execution_links l join area_executions m on m.id = l.execution_id where l.root = h.id) x
order by h.id desc
""")


class RunLine(BaseModel):
    """A run in a list. `id` is that of its first execution; `status` is `running` while any of it waits or runs,
    `failed` if any of it failed, else that of the first.
    """

    id: int
    area_id: int
    area_name: str
    status: Status
    executions: int
    failed: int
    waiting: int
    created_at: datetime


async def newest(session: AsyncSession, user_id: int, *, limit: int, before: int | None = None) -> list[RunLine]:
    """The user's runs, newest first, with an id below `before`. A single AREA's execution is a run of one."""
    rows = await session.execute(NEWEST, {"user": user_id, "limit": limit, "before": before})
    return [
        RunLine(
            id=row.id,
            area_id=row.area_id,
            area_name=row.area_name,
            status="running" if row.waiting else "failed" if row.failed else row.status,
            executions=row.executions,
            failed=row.failed,
            waiting=row.waiting,
            created_at=row.created_at,
        )
        for row in rows
    ]


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
