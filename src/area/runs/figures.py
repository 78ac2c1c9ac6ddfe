"""Statistics of runs: by the hour for the home page, of a user, of the whole installation with its queue and
workers.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from area.db import queue
from area.db.models import AreaExecution
from area.db.session import WORKER, raw

MOST_COUNTED = 240  # executions per AREA in the home page's bars


BY_HOUR = text("""
select area_id, array_agg(hour), array_agg(number), array_agg(failed) from (
  select e.area_id, cast(floor(extract(epoch from now() - e.created_at) / 3600) as int) as hour, count(*) as number,
    count(*) filter (where e.status = 'failed') as failed
  from unnest(cast(:ids as int[])) as mine(id), lateral (
    select area_id, created_at, status from area_executions
    where area_id = mine.id and created_at > now() - make_interval(hours => :hours) order by id desc limit :most
  ) e
  group by 1, 2
) counted
group by 1""")


class Counts(BaseModel):
    """Executions by status in a period."""

    pending: int = 0
    running: int = 0
    success: int = 0
    failed: int = 0
    cancelled: int = 0
    skipped: int = 0


class Stats(BaseModel):
    """Executions of the last hour, day and week, and the 95th percentile of the last day's durations."""

    hour: Counts
    day: Counts
    week: Counts
    p95_ms: int | None
    areas: int
    active_areas: int


class Queue(BaseModel):
    """The job queue: due jobs and the age of the oldest, deferred jobs, running jobs."""

    due: int
    oldest_seconds: float
    later: int
    running: int


class SystemStats(Stats):
    """The same for all users, with what only admins see."""

    users: int
    active_users: int
    expired_connections: int
    database_bytes: int
    queue: Queue


class WorkerView(BaseModel):
    """A worker connected to the database: its machine, its process id, and its last query."""

    machine: str
    process: int
    since: datetime
    seen_at: datetime
    silent_seconds: float


async def by_hour(
    session: AsyncSession, area_ids: Sequence[int], *, hours: int = 24
) -> dict[int, list[tuple[int, int]]]:
    """For each AREA that ran in the last `hours`: the number of executions created in each hour, oldest first, and how
    many failed. Only the newest `MOST_COUNTED` of each AREA are counted.
    """
    rows = await session.execute(BY_HOUR, {"ids": list(area_ids), "hours": hours, "most": MOST_COUNTED})
    hours_by_area: dict[int, list[tuple[int, int]]] = {}
    for area_id, *columns in rows.all():
        bars = hours_by_area[area_id] = [(0, 0)] * hours
        for hour, number, failed in zip(*columns, strict=True):
            bars[max(0, hours - 1 - max(0, hour))] = (number, failed)
    return hours_by_area


_COUNTS = """
select e.status,
       count(*) filter (where e.created_at > now() - interval '1 hour') as hour,
       count(*) filter (where e.created_at > now() - interval '1 day') as day,
       count(*) as week
from area_executions e join areas a on a.id = e.area_id
where e.created_at > now() - interval '7 days' and (cast(:user_id as int) is null or a.user_id = :user_id)
group by e.status
"""


_P95 = """
select percentile_disc(0.95) within group (order by e.execution_time_ms)
from area_executions e join areas a on a.id = e.area_id
where e.created_at > now() - interval '1 day' and e.status = 'success'
      and (cast(:user_id as int) is null or a.user_id = :user_id)
"""


_AREAS = """
select count(*) as areas, count(*) filter (where is_active) as active_areas
from areas where cast(:user_id as int) is null or user_id = :user_id
"""


_SYSTEM = """
select (select count(*) from users) as users, (select count(*) from users where is_active) as active_users,
       (select count(*) from connection_states where status = 'expired') as expired_connections,
       pg_database_size(current_database()) as database_bytes
"""


_WORKERS = """
select application_name, min(backend_start) as since, max(state_change) as seen_at,
       extract(epoch from clock_timestamp() - max(state_change)) as silent_seconds from pg_stat_activity
where datname = current_database() and starts_with(application_name, :prefix) group by 1 order by 2
"""


async def stats(session: AsyncSession, user_id: int) -> Stats:
    """Statistics of one user's AREAs."""
    return Stats(**await _stats(session, user_id))


async def system_stats(session: AsyncSession) -> SystemStats:
    """Statistics of the whole installation."""
    system = (await session.execute(text(_SYSTEM))).one()
    jobs = sum((await queue.depth(await raw(session))).values(), queue.Depth())
    return SystemStats(
        **await _stats(session, None),
        **system._mapping,  # noqa: SLF001 - Row's public API
        queue=Queue(due=jobs.due, oldest_seconds=jobs.oldest, later=jobs.later, running=jobs.running),
    )


async def last_minute(session: AsyncSession) -> int:
    """The number of executions created in the last minute, of all users."""
    recent = AreaExecution.created_at > func.now() - timedelta(minutes=1)
    return await session.scalar(select(func.count()).select_from(AreaExecution).where(recent)) or 0


async def workers(session: AsyncSession) -> list[WorkerView]:
    """The connected workers, oldest first."""
    rows = await session.execute(text(_WORKERS), {"prefix": WORKER})
    views = []
    for row in rows:
        machine, _, process = row.application_name.removeprefix(WORKER).rpartition(" ")
        if process.isdigit():
            view = WorkerView(
                machine=machine,
                process=int(process),
                since=row.since,
                seen_at=row.seen_at,
                silent_seconds=float(row.silent_seconds),
            )
            views.append(view)
    return views


async def _stats(session: AsyncSession, user_id: int | None) -> dict[str, Any]:
    values = {"user_id": user_id}
    rows = (await session.execute(text(_COUNTS), values)).all()
    areas = (await session.execute(text(_AREAS), values)).one()
    windows = {
        window: Counts(**{row.status: getattr(row, window) for row in rows}) for window in ("hour", "day", "week")
    }
    return {**windows, **areas._mapping, "p95_ms": await session.scalar(text(_P95), values)}  # noqa: SLF001 - as above
