"""The log of executions, and its live stream."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from area import runs
from area.api.paging import Page, Paging, paging
from area.api.problems import answers
from area.doors import stream
from area.doors.body import Route
from area.doors.deps import BigId, In, Line, Moment, Runner, ScopeDep, SessionDep, Someone, StateDep, token_of, within
from area.engine import control
from area.records import Status

router = APIRouter(prefix="/executions", tags=["executions"], route_class=Route)


class Replay(In):
    """How to run it again: with the configuration of then or of now, or with parameters given here."""

    mode: control.Mode = "present"
    parameters: dict[str, Any] | None = Field(None, max_length=200)


class Started(BaseModel):
    """The new execution."""

    execution_id: int


@router.get("", responses=answers(401, 422, 429), summary="My executions")
async def read(
    identity: Someone,
    session: SessionDep,
    page: Annotated[Paging, Depends(paging("executions"))],
    area_id: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    status: Annotated[list[Status], Query(max_length=6, description="May be given several times")] = [],  # noqa: B006
    q: Annotated[Line | None, Query(max_length=200, description="Part of what came in, or of the error")] = None,
    since: Annotated[Moment | None, Query(description="Created at this time or later")] = None,
    until: Annotated[Moment | None, Query(description="Created before this time")] = None,
) -> Page[runs.ExecutionLine]:
    """What my AREAs did, newest first."""
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
    )
    return Page(**page.cut(rows))


@router.get(
    "/stream",
    response_class=StreamingResponse,
    responses=answers(401, 422, 429)
    | {200: {"description": "Server-sent events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    summary="My executions, live",
)
async def live(
    request: Request,
    identity: Someone,
    state: StateDep,
    last_event_id: Annotated[Line | None, Header(max_length=50)] = None,
) -> StreamingResponse:
    """Server-sent events: `execution` with an execution as it is listed, each time that one changes.

    Also `notices`, with how many are unread, when that changes. With `Last-Event-ID` it goes on where it was: what changed
    since comes first, and some of what came last may come again. A comment each 15 seconds shows that it is alive.
    """
    hub: stream.Hub = request.app.state.hub
    watcher = hub.watch(identity.user.id)
    body = stream.events(state, hub, watcher, token_of(request)[0], last_event_id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return stream.Stream(hub, watcher, body, headers=headers)


@router.get("/{execution_id}", responses=answers(401, 404, 422), summary="An execution")
async def read_one(execution_id: BigId, identity: Someone, scope: ScopeDep, session: SessionDep) -> runs.ExecutionView:
    """One execution: what came in, what was sent, what came back, each attempt."""
    return await runs.get(session, scope, identity.user.id, execution_id)


@router.post(
    "/{execution_id}/replay",
    status_code=202,
    responses=answers(400, 401, 403, 404, 409, 413, 422),
    summary="Run it again",
)
async def replay(
    execution_id: BigId, identity: Runner, state: StateDep, session: SessionDep, form: Replay | None = None
) -> Started:
    """Run an execution's event again, as a new execution. With `parameters` of one's own, a token needs the scope `manage`."""
    wanted = form or Replay()
    if wanted.parameters is not None:
        within(identity, "manage")
    number = await control.replay(session, state, identity.user.id, execution_id, wanted.mode, wanted.parameters)
    return Started(execution_id=number)


@router.post("/{execution_id}/cancel", responses=answers(401, 403, 404, 409, 422), summary="Cancel it")
async def cancel(execution_id: BigId, identity: Runner, scope: ScopeDep, session: SessionDep) -> runs.ExecutionView:
    """Cancel an execution that waits or runs."""
    await control.cancel(session, identity.user.id, execution_id)
    return await runs.get(session, scope, identity.user.id, execution_id)
