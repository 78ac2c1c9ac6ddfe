"""The log of runs: what ran, its event, its parameters and its result."""

import typing
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog
from pydantic import BaseModel, Field
from sqlalchemy import BigInteger, Select, Text, case, cast, func, literal, or_, select, text, union_all
from sqlalchemy.dialects.postgresql import JSONPATH
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from area.areas.plans import Scope
from area.db.models import Area, AreaExecution, AreaVersion, Component, ExecutionLink, ExecutionRecord, Service
from area.db.search import search
from area.kit.crypto import Undecryptable
from area.kit.problems import NotFound
from area.kit.sentences import Sentence, from_parts
from area.runs.record import Attempt, Reason, RunRecord, Status, unseal
from area.sdk import Reaction
from area.sdk.fields import by_name
from area.sdk.sensitive import MASK

log = structlog.get_logger()

FAILED = func.jsonb_path_query_array(ExecutionRecord.attempts, cast("$[*] ? (@.error != null)", JSONPATH))  # attempts
CAUGHT_UP = 500  # executions that a live page gets at once after it was disconnected


# the first of a run has no row of its own
_led = aliased(ExecutionLink)
RUN = func.coalesce(
    ExecutionLink.root,
    case(
        (
            select(_led.execution_id).where(_led.root == AreaExecution.id).correlate(AreaExecution).exists(),
            AreaExecution.id,
        )
    ),
)


class ExecutionLine(BaseModel):
    """One execution in the log, without its event and its result.

    In a chain, `run` is the run's first execution, `parent` the one that this one follows, and `index` the place of its
    item in a list.
    """

    id: int
    area_id: int
    area_name: str
    status: Status
    error_message: Sentence | None
    attempts: int
    started_at: datetime
    completed_at: datetime | None
    execution_time_ms: int | None
    created_at: datetime
    updated_at: datetime
    run: int | None = None
    parent: int | None = None
    index: int | None = None


class ExecutionView(BaseModel):
    """One execution in full. `parameters` are those given to the reaction, with secrets masked; `attempts` are the
    failed ones.
    """

    id: int
    area_id: int
    area_name: str
    status: Status
    trigger_data: Any | None
    parameters: dict[str, Any] | None
    result: Any | None
    error_message: Sentence | None
    attempts: list[Attempt]
    # the successful attempt after them: its duration is not the execution's
    succeeded: Attempt | None = Field(None, exclude=True)
    version: int | None
    replay_of: int | None
    next_attempt_at: datetime | None
    waits_for: Reason | None
    started_at: datetime
    completed_at: datetime | None
    execution_time_ms: int | None
    created_at: datetime
    updated_at: datetime
    run: int | None = None
    parent: int | None = None
    index: int | None = None


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
    run: int | None = None,
) -> list[ExecutionLine]:
    """The user's executions, newest first, with an id below `before`. `service` is the name of a service that the AREA
    uses.

    `q` is searched in the action's values and in the error. `since` and `until` (aware) bound the creation time. `run`
    is the first execution of a chain's run: only that one and those that it led to. Raises `Invalid` if a search takes
    longer than ten seconds, and `Full`.
    """
    inner = _matching(before, status, q, since, until)
    if run is not None:
        whole = inner.where(Area.user_id == user_id, AreaExecution.id.in_(_of_run(run)))
        whole = whole.where(Area.id == area_id) if area_id is not None else whole
        return await lines(
            session, user_id, list(await session.scalars(whole.order_by(AreaExecution.id.desc()).limit(limit)))
        )
    # one short index scan per AREA instead of a long one over everybody's executions
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


def _matching(
    before: int | None, status: Collection[Status], q: str | None, since: datetime | None, until: datetime | None
) -> Select[int]:
    """Executions of `Area` that match."""
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
    return inner


def _of_run(run: int) -> Any:
    """The ids of a run's executions."""
    return union_all(
        select(literal(run, BigInteger)), select(ExecutionLink.execution_id).where(ExecutionLink.root == run)
    )


async def lines(session: AsyncSession, user_id: int, ids: Sequence[int]) -> list[ExecutionLine]:
    """The user's executions among these ids, newest first."""
    statement = _lines().where(AreaExecution.id.in_(ids), Area.user_id == user_id)
    rows = await session.execute(statement.order_by(AreaExecution.id.desc()))
    return [_line(row) for row in rows]


async def changed_since(session: AsyncSession, user_id: int, moment: datetime) -> list[ExecutionLine]:
    """The user's newest executions that changed since `moment`, in the order of the change."""
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


async def get(session: AsyncSession, scope: Scope, user_id: int, execution_id: int) -> ExecutionView:
    """One execution of the user. Raises `NotFound`, also if it is another user's."""
    statement = (
        select(AreaExecution, Area.name, ExecutionRecord, RUN, ExecutionLink.parent, ExecutionLink.index)
        .join(Area, Area.id == AreaExecution.area_id)
        .outerjoin(ExecutionLink, ExecutionLink.execution_id == AreaExecution.id)
        .outerjoin(ExecutionRecord, ExecutionRecord.execution_id == AreaExecution.id)
        .where(AreaExecution.id == execution_id, Area.user_id == user_id)
    )
    result = (await session.execute(statement)).one_or_none()
    if result is None:
        raise NotFound("There is no execution %(number)s.", number=execution_id)
    row, area_name, record_row, run, parent, index = result
    record = record_of(row, record_row)
    job = (
        await session.execute(
            text("select reason, due_at from execution_jobs where execution_id = :id"), {"id": execution_id}
        )
    ).one_or_none()
    waits = row.status == "pending" and job is not None
    return ExecutionView(
        id=row.id,
        area_id=row.area_id,
        area_name=area_name,
        status=row.status,
        trigger_data=row.trigger_data,
        parameters=await _given(session, scope, row, record),
        result=row.execution_result,
        error_message=from_parts(record.said, row.error_message),
        attempts=[
            attempt.model_copy(update={"error": from_parts(attempt.said, attempt.error)})
            for attempt in record.attempts
            if attempt.error is not None
        ],
        succeeded=next((attempt for attempt in record.attempts if attempt.error is None), None),
        version=record.version,
        replay_of=record.replay_of,
        next_attempt_at=job.due_at if job and waits else None,
        waits_for=job.reason if job and waits else None,
        started_at=row.started_at,
        completed_at=row.completed_at,
        execution_time_ms=row.execution_time_ms,
        created_at=row.created_at,
        updated_at=row.updated_at,
        run=run,
        parent=parent,
        index=index,
    )


def record_of(execution: AreaExecution, row: ExecutionRecord | None) -> RunRecord:
    """The record of an execution, with or without a row."""
    columns = {name: getattr(row, name) for name in RunRecord.model_fields} if row else None
    return RunRecord.read(columns, typing.cast("Status", execution.status))


async def _given(
    session: AsyncSession, scope: Scope, execution: AreaExecution, record: RunRecord
) -> dict[str, Any] | None:
    """The parameters given instead of the AREA's, with secrets masked."""
    if record.parameters is None:
        return None
    reaction = AreaVersion.config["reaction"].astext
    statement = select(reaction).where(AreaVersion.area_id == execution.area_id).order_by(AreaVersion.version.desc())
    if record.version is not None:
        statement = statement.where(AreaVersion.version == record.version)
    key = await session.scalar(statement.limit(1))
    try:
        parameters = unseal(scope.keyring, execution.id, record.parameters)
    except Undecryptable as error:
        log.error("execution.unreadable", execution=execution.id, error=str(error))  # noqa: TRY400
        return {}
    return masked(scope.registry.reaction(key) if key else None, parameters)


def masked(reaction: Reaction | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """A reaction's parameters, with secrets and unknown ones masked."""
    declared = by_name(reaction.params) if reaction else {}
    return {name: declared[name].hidden(value) if name in declared else MASK for name, value in values.items()}


def _lines() -> Any:
    return (
        select(
            AreaExecution.id,
            AreaExecution.area_id,
            Area.name.label("area_name"),
            AreaExecution.status,
            AreaExecution.error_message,
            ExecutionRecord.said,
            func.coalesce(func.jsonb_array_length(FAILED), 0).label("attempts"),
            AreaExecution.started_at,
            AreaExecution.completed_at,
            AreaExecution.execution_time_ms,
            AreaExecution.created_at,
            AreaExecution.updated_at,
            RUN.label("run"),
            ExecutionLink.parent,
            ExecutionLink.index,
        )
        .join(Area, Area.id == AreaExecution.area_id)
        .outerjoin(ExecutionLink, ExecutionLink.execution_id == AreaExecution.id)
        .outerjoin(ExecutionRecord, ExecutionRecord.execution_id == AreaExecution.id)
    )


def _line(row: Any) -> ExecutionLine:
    values = {**row._mapping}  # noqa: SLF001 - Row's public API
    parts = values.pop("said")
    return ExecutionLine(**values | {"error_message": from_parts(parts, row.error_message)})
