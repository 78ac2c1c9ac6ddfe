"""The log of runs: what ran, what came in, what was sent, what came back."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Text, cast, func, literal, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from area.db.models import Area, AreaExecution, Component, Service
from area.db.search import search
from area.kit.problems import NotFound
from area.records import Reason, Status

CAUGHT_UP = 500  # executions that a live view is told of at once after it was away


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
        started_at=row.started_at,
        completed_at=row.completed_at,
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
    return ExecutionLine(**row._mapping)  # noqa: SLF001 - Row's public API
