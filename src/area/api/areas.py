"""AREAs: the links of an action to a reaction."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from area import areas
from area.api.paging import Page, Paging, paging
from area.api.problems import answers, in_words
from area.areas import AreaIn
from area.doors.body import Route
from area.doors.deps import Id, In, Line, Runner, ScopeDep, SessionDep, Someone, StateDep
from area.engine import control

router = APIRouter(prefix="/areas", tags=["areas"], route_class=Route)

Data = Annotated[
    dict[str, Any] | None,
    Field(max_length=1000, description="What the action would return; left out: its last event, or else its sample"),
]


class Event(In):
    """An event to try or run an AREA with."""

    data: Data = None


class Draft(In):
    """An AREA that is not saved, and an event to try it with."""

    area: areas.AreaIn
    data: Data = None


class Started(BaseModel):
    """The execution to look at."""

    execution_id: int


class Bundle(In):
    """AREAs to carry from one place to another; secrets are left out."""

    areas: list[AreaIn] = Field(max_length=1000)


class Report(BaseModel):
    """What an import did, by the AREAs' names."""

    created: list[str]
    changed: list[str]
    same: list[str]


@router.get("", responses=answers(401, 422, 429), summary="My AREAs")
async def read(
    identity: Someone,
    scope: ScopeDep,
    session: SessionDep,
    page: Annotated[Paging, Depends(paging("areas"))],
    q: Annotated[Line | None, Query(max_length=255, description="Part of the name")] = None,
    service: Annotated[Line | None, Query(max_length=100, description="A service's slug")] = None,
    active: Annotated[bool | None, Query()] = None,
) -> Page[areas.AreaOut]:
    """My AREAs, newest first."""
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
    """Create an AREA. It watches for events from now on; the past does not fire."""
    return await areas.create(session, scope, identity.user.id, form)


@router.post("/test", responses=answers(400, 401, 403, 413, 422), summary="Try an AREA that is not saved")
async def try_draft(
    request: Request, form: Draft, identity: Someone, state: StateDep, scope: ScopeDep, session: SessionDep
) -> control.Preview:
    """An honest dry run: what would be sent. Nothing is."""
    checked = await areas.check(session, scope, form.area.action, form.area.reaction, saving=False)
    return in_words(request, await control.preview(session, state, identity.user.id, checked, form.data))


@router.get("/export", responses=answers(401, 422), summary="Export my AREAs")
async def export(identity: Someone, scope: ScopeDep, session: SessionDep) -> Bundle:
    """All my AREAs in the form that the import takes, secrets left out."""
    return Bundle(areas=await areas.export(session, scope, identity.user.id))


@router.post("/import", responses=answers(400, 401, 403, 409, 413, 422, 429), summary="Import AREAs")
async def import_(form: Bundle, identity: Someone, scope: ScopeDep, session: SessionDep) -> Report:
    """Make my AREAs of these names be like these: all of them or, when one can't be used, none."""
    return Report(**await areas.apply(session, scope, identity.user.id, form.areas))


@router.get("/{area_id}", responses=answers(401, 404, 422), summary="An AREA")
async def read_one(area_id: Id, identity: Someone, scope: ScopeDep, session: SessionDep) -> areas.AreaOut:
    """One of my AREAs."""
    return await areas.get(session, scope, identity.user.id, area_id)


@router.patch("/{area_id}", responses=answers(400, 401, 403, 404, 413, 422), summary="Change an AREA")
async def change(
    area_id: Id, form: areas.AreaPatch, identity: Someone, scope: ScopeDep, session: SessionDep
) -> areas.AreaOut:
    """Change an AREA. What its trigger remembers stays, unless the action or its parameters change."""
    return await areas.change(session, scope, identity.user.id, area_id, form)


@router.delete("/{area_id}", status_code=204, responses=answers(401, 403, 404, 422), summary="Delete an AREA")
async def remove(area_id: Id, identity: Someone, session: SessionDep) -> None:
    """Delete an AREA with its log."""
    await areas.remove(session, identity.user.id, area_id)


@router.post("/{area_id}/enable", responses=answers(401, 403, 404, 422), summary="Switch an AREA on")
async def enable(area_id: Id, identity: Someone, scope: ScopeDep, session: SessionDep) -> areas.AreaOut:
    """Watch for events from now on."""
    return await areas.set_active(session, scope, identity.user.id, area_id, active=True)


@router.post("/{area_id}/disable", responses=answers(401, 403, 404, 422), summary="Switch an AREA off")
async def disable(area_id: Id, identity: Someone, scope: ScopeDep, session: SessionDep) -> areas.AreaOut:
    """Stop watching."""
    return await areas.set_active(session, scope, identity.user.id, area_id, active=False)


@router.post(
    "/{area_id}/renew-address", responses=answers(401, 403, 404, 409, 422), summary="Renew the webhook address"
)
async def renew_address(area_id: Id, identity: Someone, scope: ScopeDep, session: SessionDep) -> areas.AreaOut:
    """Give the AREA a new webhook address; the old one stops to work at once."""
    return await areas.renew_address(session, scope, identity.user.id, area_id)


@router.post("/{area_id}/test", responses=answers(400, 401, 403, 404, 413, 422), summary="Try an AREA")
async def try_out(
    request: Request,
    area_id: Id,
    identity: Runner,
    state: StateDep,
    session: SessionDep,
    form: Event | None = None,
) -> control.Preview:
    """An honest dry run: what would be sent. Nothing is."""
    preview = await control.preview(session, state, identity.user.id, area_id, form.data if form else None)
    return in_words(request, preview)


@router.post("/{area_id}/run", status_code=202, responses=answers(400, 401, 403, 404, 413, 422), summary="Run an AREA")
async def run(
    area_id: Id, identity: Runner, state: StateDep, session: SessionDep, form: Event | None = None
) -> Started:
    """Run the reaction once, for real, also when the AREA is switched off."""
    number = await control.run(session, state, identity.user.id, area_id, form.data if form else None)
    return Started(execution_id=number)
