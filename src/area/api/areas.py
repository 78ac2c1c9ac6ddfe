"""AREAs: links from an action to a reaction."""

import zlib
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel, Field, field_validator
from sqlalchemy.ext.asyncio import AsyncSession

from area import areas
from area.api.executions import Started
from area.api.paging import Page, Paging, paging
from area.api.problems import answers, in_words
from area.areas import AreaIn, bundles, chains, links, relinking, versions
from area.areas.views import ChainLink, State
from area.doors.deps import CacheDep, Id, In, Line, Runner, ScopeDep, SessionDep, Someone, StateDep
from area.doors.route import Route
from area.engine import control, dry_run, nudges
from area.kit.problems import PreconditionFailed
from area.kit.sentences import Sentence
from area.runs import history

IfMatch = Annotated[
    Line | None, Header(max_length=1000, description="The AREA's `ETag`: change it only if it is still the same")
]

router = APIRouter(prefix="/areas", tags=["areas"], route_class=Route)

Data = Annotated[
    dict[str, Any] | None,
    Field(max_length=1000, description="The action's return values. Default: its last event, or else its sample"),
]


class Change(areas.AreaPatch):
    """The fields to change. Omitted fields stay as they are, as do masked secrets and, for the same service, the
    connection.
    """

    version: int | None = Field(None, ge=1, description="Change it only if this is still its version; 412 if not")

    @field_validator("name", "is_active", "action", "reaction", mode="before")
    @classmethod
    def _not_null(cls, given: Any) -> Any:
        """Only a description can be removed."""
        if given is None:
            raise ValueError(Sentence("This can't be null. Omit it to leave it unchanged."))
        return given


class Bulk(In):
    """AREAs of yours, and what to do with all of them."""

    ids: list[Annotated[int, Field(ge=1, le=2**31 - 1)]] = Field(min_length=1, max_length=1000)
    action: Literal["enable", "disable", "delete"]


class Done(BaseModel):
    """How many AREAs were changed."""

    changed: int


class Event(In):
    """An event to test or run an AREA with."""

    data: Data = None


class Draft(In):
    """An unsaved AREA, and an event to test it with."""

    area: areas.AreaIn
    data: Data = None


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
    active: Annotated[bool | None, Query(description="Only those that are switched on, or off")] = None,
    state: Annotated[list[State], Query(max_length=9, description="Can be repeated")] = [],  # noqa: B006
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
        states=state,
    )
    return Page(**page.cut(rows))


@router.post("", status_code=201, responses=answers(400, 401, 403, 413, 422, 429), summary="Create an AREA")
async def create(form: areas.AreaIn, identity: Someone, scope: ScopeDep, session: SessionDep) -> areas.AreaOut:
    """Create an AREA. It triggers on events from now on; past events are ignored. `then` creates a chain: the AREAs
    that follow it, nested, all in one transaction.
    """
    return await areas.create(session, scope, identity.user.id, form)


Chained = Annotated[bool | None, Query(description="All AREAs of its chain, not this one alone")]
Then = Annotated[
    Literal["follow", "delete"] | None,
    Query(
        description="What becomes of the AREAs that follow it: they follow what it followed, or are deleted too."
        " Required if there are any; 409 if not given."
    ),
]


@router.post(
    "/bulk", responses=answers(400, 401, 403, 404, 409, 413, 415, 422), summary="Switch or delete several AREAs"
)
async def bulk(form: Bulk, identity: Someone, scope: ScopeDep, session: SessionDep) -> Done:
    """Switch on, switch off or delete AREAs: all of them, or none if one doesn't exist, or another AREA follows one
    that would be deleted.
    """
    user_id = identity.user.id
    ids = sorted(set(form.ids))
    if form.action == "delete":
        ids = await links.last_first(session, user_id, ids)
    for area_id in ids:
        if form.action == "delete":
            await areas.remove(session, user_id, area_id)
        else:
            await areas.set_active(session, scope, user_id, area_id, active=form.action == "enable")
    return Done(changed=len(set(form.ids)))


@router.post("/test", responses=answers(400, 401, 403, 413, 422), summary="Test an unsaved AREA")
async def try_draft(
    request: Request,
    form: Draft,
    identity: Someone,
    state: StateDep,
    cache: CacheDep,
    scope: ScopeDep,
    session: SessionDep,
) -> dry_run.Preview:
    """Dry run: shows what would be sent, and sends nothing. Look-ups are really asked: `result` is the answer."""
    checked = await areas.check(session, scope, form.area.action, form.area.reaction, saving=False)
    user_id, name, then = identity.user.id, form.area.name, form.area.then
    preview = await control.preview(session, state, user_id, checked, form.data, cache=cache, name=name, then=then)
    return in_words(request, preview)


@router.get("/export", responses=answers(401, 422), summary="Export AREAs")
async def export(
    identity: Someone,
    scope: ScopeDep,
    session: SessionDep,
    id: Annotated[  # noqa: A002 - the API's own word
        list[Annotated[int, Field(ge=1, le=2**31 - 1)]], Query(max_length=1000, description="Only these AREAs")
    ] = [],  # noqa: B006
) -> Bundle:
    """Your AREAs in the format that the import accepts, without secrets. `id` can be repeated."""
    return Bundle(areas=await bundles.export(session, scope, identity.user.id, id or None))


@router.post("/import", responses=answers(400, 401, 403, 409, 413, 422, 429), summary="Import AREAs")
async def import_(form: Bundle, identity: Someone, scope: ScopeDep, session: SessionDep) -> Report:
    """Create or update your AREAs with these names. All are applied, or none if one is invalid."""
    return Report(**await bundles.apply(session, scope, identity.user.id, form.areas))


@router.get("/{area_id}", responses=answers(401, 404, 422), summary="Get an AREA")
async def read_one(
    area_id: Id, identity: Someone, response: Response, scope: ScopeDep, session: SessionDep
) -> areas.AreaOut:
    """One of your AREAs. Its `ETag` changes with each change to it or to its chain, not with its runs."""
    return _tagged(response, await areas.get(session, scope, identity.user.id, area_id))


@router.patch("/{area_id}", responses=answers(400, 401, 403, 404, 412, 413, 415, 422), summary="Change an AREA")
async def change(
    area_id: Id,
    form: Change,
    identity: Someone,
    response: Response,
    scope: ScopeDep,
    session: SessionDep,
    if_match: IfMatch = None,
) -> areas.AreaOut:
    """Change an AREA. The trigger's state is kept unless the action or its parameters change. `then` changes the chain
    that follows it: links are changed, created, moved and deleted in one transaction.
    """
    user_id = identity.user.id
    await _unchanged(session, scope, user_id, area_id, if_match, form.version)
    return _tagged(response, await relinking.change(session, scope, user_id, area_id, form))


@router.delete("/{area_id}", status_code=204, responses=answers(401, 403, 404, 409, 412, 422), summary="Delete an AREA")
async def remove(
    area_id: Id,
    identity: Someone,
    scope: ScopeDep,
    session: SessionDep,
    if_match: IfMatch = None,
    then: Then = None,
) -> None:
    """Delete an AREA and its executions."""
    await _unchanged(session, scope, identity.user.id, area_id, if_match)
    await areas.take_out(session, scope, identity.user.id, area_id, then=then)


@router.get("/{area_id}/names", responses=answers(401, 404, 422), summary="Get what a link can use")
async def names(
    area_id: Id,
    identity: Someone,
    scope: ScopeDep,
    session: SessionDep,
    when: Annotated[links.When, Query(description="The outcome that the link follows")] = "success",
    for_each: Annotated[Line | None, Query(max_length=500, description="The list that it runs for")] = None,
) -> Page[chains.Offered]:
    """What an AREA that follows this one can use in its placeholders and condition, by the AREA that returns it. Always
    one page.
    """
    await areas.own(session, identity.user.id, area_id)
    offered = await chains.offered(session, scope.registry, identity.user.id, [area_id], when=when, for_each=for_each)
    return Page(items=offered)


@router.get("/{area_id}/figures", responses=answers(401, 404, 422), summary="Get an AREA's figures")
async def figures(
    area_id: Id,
    identity: Someone,
    session: SessionDep,
    by: Annotated[history.By, Query(description="The last 24 hours, or the last 30 days")] = "hour",
) -> Page[history.Bucket]:
    """Its executions by hour or day in your time zone, oldest first, with the median and the 95th percentile of their
    durations. Always one page.
    """
    await areas.own(session, identity.user.id, area_id)
    zone = identity.user.timezone
    buckets = await history.figures(session, area_id, by, zone)
    return Page(
        items=[bucket.model_copy(update={"start": bucket.start.replace(tzinfo=ZoneInfo(zone))}) for bucket in buckets]
    )


@router.get("/{area_id}/versions", responses=answers(401, 404, 422), summary="List an AREA's versions")
async def list_versions(area_id: Id, identity: Someone, scope: ScopeDep, session: SessionDep) -> Page[versions.Version]:
    """Its 50 newest versions, newest first, with what each changed; secrets are only said to have changed. Always one
    page.
    """
    return Page(items=await versions.listed(session, scope, identity.user.id, area_id))


@router.post(
    "/{area_id}/versions/{version}/restore",
    responses=answers(401, 403, 404, 409, 412, 422, 429),
    summary="Restore a version",
)
async def restore_version(
    area_id: Id, version: Id, identity: Someone, scope: ScopeDep, session: SessionDep, if_match: IfMatch = None
) -> areas.AreaOut:
    """Save the components, connections and parameters of an earlier version as a new one. Its name, description and
    switch stay as they are.
    """
    await _unchanged(session, scope, identity.user.id, area_id, if_match)
    return await versions.restore(session, scope, identity.user.id, area_id, version)


@router.post("/{area_id}/enable", responses=answers(401, 403, 404, 412, 422), summary="Switch an AREA on")
async def enable(
    area_id: Id,
    identity: Someone,
    scope: ScopeDep,
    session: SessionDep,
    if_match: IfMatch = None,
    chain: Chained = None,
) -> areas.AreaOut:
    """Start watching for events."""
    await _unchanged(session, scope, identity.user.id, area_id, if_match)
    if chain:
        return await areas.switch_chain(session, scope, identity.user.id, area_id, active=True)
    return await areas.set_active(session, scope, identity.user.id, area_id, active=True)


@router.post("/{area_id}/disable", responses=answers(401, 403, 404, 412, 422), summary="Switch an AREA off")
async def disable(
    area_id: Id,
    identity: Someone,
    scope: ScopeDep,
    session: SessionDep,
    if_match: IfMatch = None,
    chain: Chained = None,
) -> areas.AreaOut:
    """Stop watching for events."""
    await _unchanged(session, scope, identity.user.id, area_id, if_match)
    if chain:
        return await areas.switch_chain(session, scope, identity.user.id, area_id, active=False)
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
    cache: CacheDep,
    session: SessionDep,
    form: Event | None = None,
) -> dry_run.Preview:
    """Dry run: shows what would be sent, and sends nothing. Look-ups are really asked: `result` is the answer."""
    data = form.data if form else None
    preview = await control.preview(session, state, identity.user.id, area_id, data, cache=cache)
    return in_words(request, preview)


@router.post(
    "/{area_id}/run", status_code=202, responses=answers(400, 401, 403, 404, 409, 413, 422), summary="Run an AREA"
)
async def run(
    area_id: Id, identity: Runner, state: StateDep, session: SessionDep, form: Event | None = None
) -> Started:
    """Run the reaction once, for real, even if the AREA is switched off."""
    number = await control.run(session, state, identity.user.id, area_id, form.data if form else None)
    return Started(execution_id=number)


@router.post(
    "/{area_id}/check",
    status_code=202,
    responses=answers(400, 401, 403, 404, 409, 413, 422),
    summary="Check an AREA now",
)
async def check_now(area_id: Id, identity: Runner, session: SessionDep) -> nudges.Checking:
    """Look for new events of a polled AREA now instead of at its next check, at most every 30 seconds."""
    return nudges.Checking(due_at=await nudges.check_now(session, identity.user.id, area_id))


def etag(area: areas.AreaOut) -> str:
    """What changes whenever an AREA, or a link of its chain, is changed."""
    own = f"{area.version}.{round(area.updated_at.timestamp() * 1_000_000)}"
    return f'"{own}.{zlib.crc32(_outline(area.chain).encode()):x}"' if area.chain else f'"{own}"'


def _outline(link: ChainLink) -> str:
    below = ",".join(_outline(other) for other in link.then)
    return f"{link.id}.{link.version}.{link.name!r}.{link.is_active}({below})"


def _tagged(response: Response, area: areas.AreaOut) -> areas.AreaOut:
    response.headers["ETag"] = etag(area)
    return area


async def _unchanged(
    session: AsyncSession,
    scope: areas.Scope,
    user_id: int,
    area_id: int,
    if_match: str | None,
    version: int | None = None,
) -> None:
    """Lock the AREA, and raise `PreconditionFailed` if it isn't the one that the client knows (RFC 9110, 13.1.1)."""
    if if_match is None and version is None:
        return
    await areas.own(session, user_id, area_id, lock=True)
    area = await areas.get(session, scope, user_id, area_id)
    tags = [tag.strip() for tag in (if_match or "*").split(",")]
    if not {"*", etag(area)} & set(tags) or (version is not None and version != area.version):
        raise PreconditionFailed
