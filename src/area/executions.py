"""The log: what ran, what came in, what was sent, what came back; the inbox of notices; figures; and what is deleted when."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Text, cast, func, literal, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from area.db.models import Area, AreaExecution, Component, Notice, Service
from area.db.search import search
from area.db.session import WORKER, Conn, notify
from area.kit.problems import NotFound
from area.records import Reason, Status

CAUGHT_UP = 500  # executions that a live view is told of at once after it was away
BATCH = 5000  # rows deleted in one transaction
MOST_COUNTED = 240  # executions of one AREA that its bars on the home page count
PAGES = 2000  # pages of `hook_states` looked through in one transaction


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


class ExecutionLine(BaseModel):
    """One execution as it stands in the log, without what went in and came out."""

    id: int
    area_id: int
    area_name: str
    status: Status
    error_message: str | None
    attempts: int
    started_at: datetime
    completed_at: datetime | None
    execution_time_ms: int | None
    created_at: datetime
    updated_at: datetime


class Attempt(BaseModel):
    """One attempt that did not succeed."""

    model_config = ConfigDict(extra="ignore")

    at: datetime
    error: str | None = None
    ms: int | None = None
    interrupted: bool = False


class ExecutionView(BaseModel):
    """One execution opened. `parameters` are those of the reaction as filled, where they were kept."""

    id: int
    area_id: int
    area_name: str
    status: Status
    trigger_data: Any | None
    parameters: dict[str, Any] | None
    result: Any | None
    error_message: str | None
    attempts: list[Attempt]
    version: int | None
    replay_of: int | None
    next_attempt_at: datetime | None
    waits_for: Reason | None
    started_at: datetime
    completed_at: datetime | None
    execution_time_ms: int | None
    created_at: datetime
    updated_at: datetime


class NoticeView(BaseModel):
    """A message in the inbox; one that an AREA `posted` is in its owner's words, the others in AREA's."""

    id: int
    level: str
    title: str
    body: str
    area_id: int | None
    posted: bool
    created_at: datetime
    read_at: datetime | None


class Counts(BaseModel):
    """Executions by status over a window."""

    pending: int = 0
    running: int = 0
    success: int = 0
    failed: int = 0
    cancelled: int = 0
    skipped: int = 0


class Stats(BaseModel):
    """Executions of the last hour, day and week, and how long those of the last day took at the 95th percentile."""

    hour: Counts
    day: Counts
    week: Counts
    p95_ms: int | None
    areas: int
    active_areas: int


class Queue(BaseModel):
    """The job queue: what is due and since when the oldest of it waits, what is put off, what runs."""

    due: int
    oldest_seconds: float
    later: int
    running: int


class SystemStats(Stats):
    """The same over all users, with what only admins are shown."""

    users: int
    active_users: int
    expired_connections: int
    database_bytes: int
    queue: Queue


class WorkerView(BaseModel):
    """A worker that is connected to the database: on which machine, under which process id, and when it last asked."""

    machine: str
    process: int
    since: datetime
    seen_at: datetime
    silent_seconds: float


# The log


async def by_hour(
    session: AsyncSession, area_ids: Sequence[int], *, hours: int = 24
) -> dict[int, list[tuple[int, int]]]:
    """For each AREA that ran in the last hours: how many executions were created in each hour, oldest first, and how many
    of those failed. Of each AREA the newest `MOST_COUNTED` are counted.
    """
    rows = await session.execute(BY_HOUR, {"ids": list(area_ids), "hours": hours, "most": MOST_COUNTED})
    found: dict[int, list[tuple[int, int]]] = {}
    for area_id, *columns in rows.all():
        bars = found[area_id] = [(0, 0)] * hours
        for hour, number, failed in zip(*columns, strict=True):
            bars[max(0, hours - 1 - max(0, hour))] = (number, failed)
    return found


async def find(
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
) -> list[ExecutionLine]:
    """The user's executions, newest first, with an id below `before`; `service` is the name of one that the AREA uses.

    `q` is searched in what the action returned and in the error; `since` and `until` (aware) bound the time of creation.
    Raises `Invalid` when a search takes longer than ten seconds, and `Full`.
    """
    inner = select(AreaExecution.id).where(AreaExecution.area_id == Area.id)
    if before is not None:
        inner = inner.where(AreaExecution.id < before)
    if status:
        inner = inner.where(AreaExecution.status.in_(status))
    if since is not None:
        inner = inner.where(AreaExecution.created_at >= since)
    if until is not None:
        inner = inner.where(AreaExecution.created_at < until)
    if q:
        part = func.lower(literal(q))
        inner = inner.where(
            or_(
                func.strpos(func.lower(cast(AreaExecution.trigger_data, Text)), part) > 0,
                func.strpos(func.lower(AreaExecution.error_message), part) > 0,
            )
        )
    # one short walk down the index of each AREA, rather than one long walk past everybody's executions
    newest = inner.order_by(AreaExecution.id.desc()).limit(limit).lateral("newest")
    mine = select(newest.c.id).select_from(Area).join(newest, literal(True)).where(Area.user_id == user_id)
    if area_id is not None:
        mine = mine.where(Area.id == area_id)
    if service is not None:
        of_it = select(Component.id).join(Service, Service.id == Component.service_id).where(Service.name == service)
        mine = mine.where(Area.component_action_id.in_(of_it) | Area.component_reaction_id.in_(of_it))
    mine = mine.order_by(newest.c.id.desc()).limit(limit)
    if q or status or service is not None or since is not None or until is not None:
        async with search(session):
            ids = list(await session.scalars(mine))
    else:
        ids = list(await session.scalars(mine))
    return await lines(session, user_id, ids)


async def lines(session: AsyncSession, user_id: int, ids: Sequence[int]) -> list[ExecutionLine]:
    """Those of the executions that are the user's, newest first."""
    statement = _lines().where(AreaExecution.id.in_(ids), Area.user_id == user_id)
    rows = await session.execute(statement.order_by(AreaExecution.id.desc()))
    return [_line(row) for row in rows]


async def changed_since(session: AsyncSession, user_id: int, moment: datetime) -> list[ExecutionLine]:
    """What changed since `moment` among the user's newest executions, in the order of the change."""
    newest = (
        select(AreaExecution.id)
        .where(AreaExecution.area_id == Area.id)
        .order_by(AreaExecution.id.desc())
        .limit(CAUGHT_UP)
        .lateral("newest")
    )
    mine = select(newest.c.id).select_from(Area).join(newest, literal(True)).where(Area.user_id == user_id)
    ids = mine.order_by(newest.c.id.desc()).limit(CAUGHT_UP)
    statement = _lines().where(AreaExecution.id.in_(ids), AreaExecution.updated_at >= moment)
    rows = await session.execute(statement.order_by(AreaExecution.updated_at, AreaExecution.id))
    return [_line(row) for row in rows]


async def get(session: AsyncSession, user_id: int, execution_id: int) -> ExecutionView:
    """One execution of the user. Raises `NotFound`, also when it is somebody else's."""
    statement = (
        select(AreaExecution, Area.name)
        .join(Area, Area.id == AreaExecution.area_id)
        .where(AreaExecution.id == execution_id, Area.user_id == user_id)
    )
    found = (await session.execute(statement)).one_or_none()
    if found is None:
        raise NotFound(f"There is no execution {execution_id}.")
    row, area_name = found
    job = (
        await session.execute(
            text("select reason, due_at from execution_jobs where execution_id = :id"), {"id": execution_id}
        )
    ).one_or_none()
    kept = row.execution_result if isinstance(row.execution_result, dict) else {}
    waits = row.status == "pending" and job is not None
    return ExecutionView(
        id=row.id,
        area_id=row.area_id,
        area_name=area_name,
        status=row.status,
        trigger_data=row.trigger_data,
        parameters=kept.get("parameters"),
        result=kept.get("result"),
        error_message=row.error_message,
        attempts=[Attempt.model_validate(one) for one in kept.get("attempts", [])],
        version=kept.get("version"),
        replay_of=kept.get("replay_of"),
        next_attempt_at=job.due_at if job and waits else None,
        waits_for=job.reason if job and waits else None,
        started_at=_aware(row.started_at),
        completed_at=_aware(row.completed_at) if row.completed_at else None,
        execution_time_ms=row.execution_time_ms,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _lines() -> Any:
    return select(
        AreaExecution.id,
        AreaExecution.area_id,
        Area.name.label("area_name"),
        AreaExecution.status,
        AreaExecution.error_message,
        func.coalesce(func.jsonb_array_length(AreaExecution.execution_result["attempts"]), 0).label("attempts"),
        AreaExecution.started_at,
        AreaExecution.completed_at,
        AreaExecution.execution_time_ms,
        AreaExecution.created_at,
        AreaExecution.updated_at,
    ).join(Area, Area.id == AreaExecution.area_id)


def _line(row: Any) -> ExecutionLine:
    values = dict(row._mapping)  # noqa: SLF001 - Row's public API
    values["started_at"] = _aware(row.started_at)
    values["completed_at"] = _aware(row.completed_at) if row.completed_at else None
    return ExecutionLine(**values)


def _aware(moment: datetime) -> datetime:
    """The seed's columns without a zone hold UTC."""
    return moment.replace(tzinfo=UTC)


# Figures


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
_QUEUE = """
select count(*) filter (where status = 'queued' and execute_after <= now()) as due,
       coalesce(extract(epoch from now() - min(execute_after) filter (where status = 'queued')), 0) as oldest_seconds,
       count(*) filter (where status = 'queued' and execute_after > now()) as later,
       count(*) filter (where status = 'picked') as running
from pgqueuer
"""


_WORKERS = """
select application_name, min(backend_start) as since, max(state_change) as seen_at,
       extract(epoch from clock_timestamp() - max(state_change)) as silent_seconds from pg_stat_activity
where datname = current_database() and starts_with(application_name, :prefix) group by 1 order by 2
"""


async def stats(session: AsyncSession, user_id: int) -> Stats:
    """Figures of one user's AREAs."""
    return Stats(**await _stats(session, user_id))


async def system_stats(session: AsyncSession) -> SystemStats:
    """Figures of the whole installation."""
    system = (await session.execute(text(_SYSTEM))).one()
    queue = dict((await session.execute(text(_QUEUE))).one()._mapping)  # noqa: SLF001 - Row's public API
    queue["oldest_seconds"] = max(0.0, float(queue["oldest_seconds"]))
    return SystemStats(**await _stats(session, None), **system._mapping, queue=Queue(**queue))  # noqa: SLF001 - as above


async def last_minute(session: AsyncSession) -> int:
    """How many executions of everybody were created in the last minute."""
    recent = AreaExecution.created_at > func.now() - timedelta(minutes=1)
    return await session.scalar(select(func.count()).select_from(AreaExecution).where(recent)) or 0


async def workers(session: AsyncSession) -> list[WorkerView]:
    """The workers, oldest first; one that is gone is no longer connected."""
    rows = await session.execute(text(_WORKERS), {"prefix": WORKER})
    found = []
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
            found.append(view)
    return found


async def _stats(session: AsyncSession, user_id: int | None) -> dict[str, Any]:
    values = {"user_id": user_id}
    rows = (await session.execute(text(_COUNTS), values)).all()
    areas = (await session.execute(text(_AREAS), values)).one()
    windows = {
        window: Counts(**{row.status: getattr(row, window) for row in rows}) for window in ("hour", "day", "week")
    }
    return {**windows, **areas._mapping, "p95_ms": await session.scalar(text(_P95), values)}  # noqa: SLF001 - as above


# Notices


async def notices(
    session: AsyncSession, user_id: int, *, limit: int, before: int | None = None, unread: bool = False
) -> list[NoticeView]:
    """The user's inbox, newest first, with an id below `before`."""
    statement = select(Notice).where(Notice.user_id == user_id)
    if before is not None:
        statement = statement.where(Notice.id < before)
    if unread:
        statement = statement.where(Notice.read_at.is_(None))
    rows = await session.scalars(statement.order_by(Notice.id.desc()).limit(limit))
    return [
        NoticeView(
            id=row.id,
            level=row.level,
            title=row.title,
            body=row.body,
            area_id=row.area_id,
            posted=row.key is not None,
            created_at=row.created_at,
            read_at=row.read_at,
        )
        for row in rows
    ]


async def unread(session: AsyncSession, user_id: int) -> int:
    """How many notices the user has not read."""
    statement = select(func.count()).select_from(Notice).where(Notice.user_id == user_id, Notice.read_at.is_(None))
    return await session.scalar(statement) or 0


async def mark_read(session: AsyncSession, user_id: int, ids: Collection[int] | None = None) -> int:
    """Mark these notices of the user (None: all) as read; returns how many were not."""
    statement = update(Notice).where(Notice.user_id == user_id, Notice.read_at.is_(None))
    if ids is not None:
        statement = statement.where(Notice.id.in_(ids))
    marked = (await session.scalars(statement.values(read_at=func.now()).returning(Notice.id))).all()
    if marked:  # the user's other tabs count anew
        await notify(session, "notices_changed", str(user_id))
    return len(marked)


# Retention


async def purge(conn: Conn, before: datetime, known_before: datetime) -> dict[str, int]:
    """Delete executions that are over and were created before `before`, and event ids from before `known_before`.

    The ids are kept longer, twice the retention and 90 days at least: an id must outlive whatever its source may still show,
    or an old event would look new and fire again. In short transactions of its own, so `conn` is in none; returns how many
    of each went.
    """
    return {"executions": await _purge_executions(conn, before), "events": await _purge_events(conn, known_before)}


async def _purge_executions(conn: Conn, before: datetime) -> int:
    """Ids grow with time, so the old ones are the first of the primary key; those still to run are passed over."""
    gone = last = 0
    while True:
        rows = await conn.fetch(
            "select id, created_at, status from area_executions where id > $1 order by id limit $2", last, BATCH
        )
        old = [row["id"] for row in rows if row["created_at"] < before and row["status"] not in ("pending", "running")]
        await conn.execute("delete from area_executions where id = any($1::bigint[])", old)
        gone += len(old)
        if len(rows) < BATCH or rows[-1]["created_at"] >= before:
            return gone
        last = rows[-1]["id"]


async def _purge_events(conn: Conn, before: datetime) -> int:
    """One walk through the table in the order it lies on disk, as no index knows the age of its rows."""
    pages = await conn.fetchval("select pg_relation_size('hook_states') / current_setting('block_size')::int")
    gone = 0
    for start in range(0, pages, PAGES):
        status = await conn.execute(
            "delete from hook_states where ctid >= $1::tid and ctid < $2::tid"
            " and updated_at < $3 and starts_with(state_key, 'event:')",
            (start, 0),
            (start + PAGES, 0),
            before,
        )
        gone += int(status.rpartition(" ")[2])
    return gone
