"""AREAs: links from an action to a reaction."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from area import areas
from area.api.paging import Page, Paging, paging
from area.api.problems import answers, in_words
from area.areas import AreaIn, bundles
from area.doors.body import Route
from area.doors.deps import Id, In, Line, Runner, ScopeDep, SessionDep, Someone, StateDep
from area.engine import control

router = APIRouter(prefix="/areas", tags=["areas"], route_class=Route)

Data = Annotated[
    dict[str, Any] | None,
    Field(max_length=1000, description="The action's return values. Default: its last event, or else its sample"),
]


class Event(In):
    """An event to test or run an AREA with."""

    data: Data = None


class Draft(In):
    """An unsaved AREA, and an event to test it with."""

    area: areas.AreaIn
    data: Data = None


class Started(BaseModel):
    """The new execution."""

    execution_id: int


class Bundle(In):
    """AREAs to export or import, without secrets."""

    areas: list[AreaIn] = Field(max_length=1000)


class Report(BaseModel):
    """The result of an import, by AREA name."""

    created: list[str]
    changed: list[str]
    same: list[str]


@router.get("", responses=answers(401, 422, 429), summary="List AREAs")
async def read(
    identity: Someone,
    scope: ScopeDep,
    session: SessionDep,
    page: Annotated[Paging, Depends(paging("areas"))],
    q: Annotated[Line | None, Query(max_length=255, description="Part of the name")] = None,
    service: Annotated[Line | None, Query(max_length=100, description="A service's slug")] = None,
    active: Annotated[bool | None, Query()] = None,
) -> Page[areas.AreaOut]:
    """Your AREAs, newest first."""
    rows = await areas.find(
        session,
        scope,
        identity.user.id,
        limit=page.limit + 1,
        before=page.before,
        q=q,
        service=service,
        active=active,
    )
    return Page(**page.cut(rows))


@router.post("", status_code=201, responses=answers(400, 401, 403, 413, 422, 429), summary="Create an AREA")
async def create(form: areas.AreaIn, identity: Someone, scope: ScopeDep, session: SessionDep) -> areas.AreaOut:
    """Create an AREA. It triggers on events from now on; past events are ignored."""
    return await areas.create(session, scope, identity.user.id, form)


@router.post("/test", responses=answers(400, 401, 403, 413, 422), summary="Test an unsaved AREA")
async def try_draft(
    request: Request, form: Draft, identity: Someone, state: StateDep, scope: ScopeDep, session: SessionDep
) -> control.Preview:
    """Dry run: shows what would be sent, and sends nothing."""
    checked = await areas.check(session, scope, form.area.action, form.area.reaction, saving=False)
    return in_words(request, await control.preview(session, state, identity.user.id, checked, form.data))


@router.get("/export", responses=answers(401, 422), summary="Export AREAs")
async def export(identity: Someone, scope: ScopeDep, session: SessionDep) -> Bundle:
    """All your AREAs in the format that the import accepts, without secrets."""
    return Bundle(areas=await bundles.export(session, scope, identity.user.id))


@router.post("/import", responses=answers(400, 401, 403, 409, 413, 422, 429), summary="Import AREAs")
async def import_(form: Bundle, identity: Someone, scope: ScopeDep, session: SessionDep) -> Report:
    """Create or update your AREAs with these names. All are applied, or none if one is invalid."""
    return Report(**await bundles.apply(session, scope, identity.user.id, form.areas))


@router.get("/{area_id}", responses=answers(401, 404, 422), summary="Get an AREA")
async def read_one(area_id: Id, identity: Someone, scope: ScopeDep, session: SessionDep) -> areas.AreaOut:
    """One of your AREAs."""
    return await areas.get(session, scope, identity.user.id, area_id)


@router.patch("/{area_id}", responses=answers(400, 401, 403, 404, 413, 422), summary="Change an AREA")
async def change(
    area_id: Id, form: areas.AreaPatch, identity: Someone, scope: ScopeDep, session: SessionDep
) -> areas.AreaOut:
    """Change an AREA. The trigger's state is kept unless the action or its parameters change."""
    return await areas.change(session, scope, identity.user.id, area_id, form)


@router.delete("/{area_id}", status_code=204, responses=answers(401, 403, 404, 422), summary="Delete an AREA")
async def remove(area_id: Id, identity: Someone, session: SessionDep) -> None:
    """Delete an AREA and its executions."""
    await areas.remove(session, identity.user.id, area_id)


@router.post("/{area_id}/enable", responses=answers(401, 403, 404, 422), summary="Switch an AREA on")
async def enable(area_id: Id, identity: Someone, scope: ScopeDep, session: SessionDep) -> areas.AreaOut:
    """Start watching for events."""
    return await areas.set_active(session, scope, identity.user.id, area_id, active=True)


@router.post("/{area_id}/disable", responses=answers(401, 403, 404, 422), summary="Switch an AREA off")
async def disable(area_id: Id, identity: Someone, scope: ScopeDep, session: SessionDep) -> areas.AreaOut:
    """Stop watching for events."""
    return await areas.set_active(session, scope, identity.user.id, area_id, active=False)


@router.post("/{area_id}/renew-address", responses=answers(401, 403, 404, 409, 422), summary="Rotate the webhook URL")
async def renew_address(area_id: Id, identity: Someone, scope: ScopeDep, session: SessionDep) -> areas.AreaOut:
    """Rotate the webhook URL. The old one stops working immediately."""
    return await areas.renew_address(session, scope, identity.user.id, area_id)


@router.post("/{area_id}/test", responses=answers(400, 401, 403, 404, 413, 422), summary="Test an AREA")
async def try_out(
    request: Request,
    area_id: Id,
    identity: Runner,
    state: StateDep,
    session: SessionDep,
    form: Event | None = None,
) -> control.Preview:
    """Dry run: shows what would be sent, and sends nothing."""
    preview = await control.preview(session, state, identity.user.id, area_id, form.data if form else None)
    return in_words(request, preview)


@router.post("/{area_id}/run", status_code=202, responses=answers(400, 401, 403, 404, 413, 422), summary="Run an AREA")
async def run(
    area_id: Id, identity: Runner, state: StateDep, session: SessionDep, form: Event | None = None
) -> Started:
    """Run the reaction once, for real, even if the AREA is switched off."""
    number = await control.run(session, state, identity.user.id, area_id, form.data if form else None)
    return Started(execution_id=number)
