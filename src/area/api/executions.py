"""The execution log and its live stream."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import StreamingResponse

from area import areas, runs
from area.api.paging import Page, Paging, paging
from area.api.problems import answers
from area.doors import stream
from area.doors.deps import BigId, In, Line, Moment, Runner, ScopeDep, SessionDep, Someone, StateDep, token_of, within
from area.doors.route import Route
from area.engine import control
from area.kit.problems import Conflict
from area.runs import history
from area.runs.record import Status

router = APIRouter(prefix="/executions", tags=["executions"], route_class=Route)


class Replay(In):
    """How to replay: with the configuration of then or now, or with the given parameters; and in a chain, with the
    links that follow or alone.
    """

    model_config = ConfigDict(populate_by_name=True)

    mode: control.Mode = "present"
    together: Literal["links", "alone"] = Field(
        "links", alias="with", description="`links`: the AREAs that follow run again too; `alone`: they don't"
    )
    parameters: dict[str, Any] | None = Field(None, max_length=200)


class Started(BaseModel):
    """The new execution."""

    execution_id: int


class Chosen(In):
    """Executions of yours."""

    ids: list[Annotated[int, Field(ge=1, le=2**63 - 1)]] = Field(min_length=1, max_length=500)


class Restarted(BaseModel):
    """The new executions, by the ones that they replay, and those that were left out because they aren't over."""

    started: dict[int, int]
    left_out: list[int]


class Cancelled(BaseModel):
    """The executions that were cancelled, and those that were over already."""

    cancelled: list[int]
    left_out: list[int]


@router.get("", responses=answers(401, 422, 429), summary="List executions")
async def read(
    identity: Someone,
    session: SessionDep,
    page: Annotated[Paging, Depends(paging("executions"))],
    area_id: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    status: Annotated[list[Status], Query(max_length=6, description="Can be repeated")] = [],  # noqa: B006
    q: Annotated[Line | None, Query(max_length=200, description="Part of the input or of the error")] = None,
    since: Annotated[Moment | None, Query(description="Created at or after this time")] = None,
    until: Annotated[Moment | None, Query(description="Created before this time")] = None,
    run: Annotated[
        int | None,
        Query(ge=1, le=2**63 - 1, description="Only one run of a chain: its first execution, and all that followed"),
    ] = None,
) -> Page[runs.ExecutionLine]:
    """Executions of your AREAs, newest first."""
    rows = await runs.find(
        session,
        identity.user.id,
        limit=page.limit + 1,
        before=page.before,
        area_id=area_id,
        status=status,
        q=q,
        since=since,
        until=until,
        run=run,
    )
    return Page(**page.cut(rows))


@router.get(
    "/stream",
    response_class=StreamingResponse,
    responses=answers(401, 422, 429)
    | {200: {"description": "Server-sent events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    summary="Stream executions",
)
async def live(
    request: Request,
    identity: Someone,
    state: StateDep,
    last_event_id: Annotated[Line | None, Header(max_length=50)] = None,
) -> StreamingResponse:
    """Server-sent events: `execution`, with the execution as in the list, whenever one changes.

    `notices`, with the number of unread notices, whenever that changes. With `Last-Event-ID` the stream resumes where
    it stopped; some recent events may be repeated. A comment every 15 seconds keeps it alive.
    """
    hub: stream.Hub = request.app.state.hub
    watcher = hub.watch(identity.user.id)
    body = stream.events(state, hub, watcher, token_of(request)[0], last_event_id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return stream.Stream(hub, watcher, body, headers=headers)


@router.post("/replay", responses=answers(400, 401, 403, 404, 413, 415, 422), summary="Replay several executions")
async def replay_many(form: Chosen, identity: Runner, state: StateDep, session: SessionDep) -> Restarted:
    """Replay executions with their AREAs' current configuration, oldest first. Executions that haven't finished are
    left out.
    """
    started: dict[int, int] = {}
    left_out: list[int] = []
    for number in sorted(set(form.ids)):
        try:
            started[number] = await control.replay(session, state, identity.user.id, number, "present")
        except Conflict:  # raised before anything is written
            left_out.append(number)
    return Restarted(started=started, left_out=left_out)


@router.post("/cancel", responses=answers(400, 401, 403, 404, 413, 415, 422), summary="Cancel several executions")
async def cancel_many(form: Chosen, identity: Runner, session: SessionDep) -> Cancelled:
    """Cancel waiting and running executions. Finished executions are left out."""
    cancelled, left_out = [], []
    for number in sorted(set(form.ids)):
        try:
            await control.cancel(session, identity.user.id, number)
            cancelled.append(number)
        except Conflict:  # raised before anything is written
            left_out.append(number)
    return Cancelled(cancelled=cancelled, left_out=left_out)


@router.get("/{execution_id}", responses=answers(401, 404, 422), summary="Get an execution")
async def read_one(execution_id: BigId, identity: Someone, scope: ScopeDep, session: SessionDep) -> runs.ExecutionView:
    """One execution: its event, the parameters that the reaction got, the result and the failed attempts.

    `parameters` are filled with the event, with secrets masked; null if they can't be filled.
    """
    return await _whole(session, scope, identity.user.id, execution_id)


@router.post(
    "/{execution_id}/replay",
    status_code=202,
    responses=answers(400, 401, 403, 404, 409, 413, 422),
    summary="Replay an execution",
)
async def replay(
    execution_id: BigId, identity: Runner, state: StateDep, session: SessionDep, form: Replay | None = None
) -> Started:
    """Replay an execution's event as a new execution. Sending your own `parameters` requires a token with the scope
    `manage`.
    """
    options = form or Replay()
    if options.parameters is not None:
        within(identity, "manage")
    number = await control.replay(
        session,
        state,
        identity.user.id,
        execution_id,
        options.mode,
        options.parameters,
        alone=options.together == "alone",
    )
    return Started(execution_id=number)


class Cancel(In):
    """What to cancel."""

    model_config = ConfigDict(populate_by_name=True)

    together: Literal["run", "alone"] = Field(
        "alone", alias="with", description="`run`: all of its run that waits or runs; `alone`: this one"
    )


@router.post(
    "/{execution_id}/try",
    status_code=202,
    responses=answers(400, 401, 403, 404, 409, 413, 422),
    summary="Try an execution now",
)
async def try_now(execution_id: BigId, identity: Runner, scope: ScopeDep, session: SessionDep) -> runs.ExecutionView:
    """Run an execution now that waits for its delay or its next attempt."""
    await control.hurry(session, identity.user.id, execution_id)
    return await _whole(session, scope, identity.user.id, execution_id)


@router.post(
    "/{execution_id}/cancel",
    responses=answers(400, 401, 403, 404, 409, 413, 415, 422),
    summary="Cancel an execution",
)
async def cancel(
    execution_id: BigId, identity: Runner, scope: ScopeDep, session: SessionDep, form: Cancel | None = None
) -> runs.ExecutionView:
    """Cancel a waiting or running execution, or all of its run in a chain."""
    if form is not None and form.together == "run":
        await control.cancel_run(session, identity.user.id, execution_id)
    else:
        await control.cancel(session, identity.user.id, execution_id)
    return await _whole(session, scope, identity.user.id, execution_id)


async def _whole(session: AsyncSession, scope: areas.Scope, user_id: int, execution_id: int) -> runs.ExecutionView:
    view = await runs.get(session, scope, user_id, execution_id)
    if view.parameters is None and (then := await history.then(session, scope, view)):
        view.parameters = then.filled
    return view
