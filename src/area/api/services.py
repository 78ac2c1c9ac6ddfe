"""The catalog: services and their components, with variables."""

import hashlib
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from area import __version__, catalog
from area.api.paging import Page
from area.api.problems import answers
from area.doors.deps import CacheDep, In, Line, SessionDep, Someone, StateDep
from area.doors.route import Route
from area.engine import pickers
from area.engine.state import State
from area.kit.problems import NotFound

router = APIRouter(tags=["catalog"], route_class=Route)

Name = Annotated[Line, Path(max_length=200, examples=["rss"])]
UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "Unchanged since `If-None-Match`."}}


Short = Annotated[
    bool, Query(description="Without the components' parameters and return values, in a tenth of the size")
]
Search = Annotated[Line | None, Query(max_length=100, description="Words in names, titles or descriptions")]


@router.get(
    "/services",
    response_model=Page[catalog.ServiceView] | Page[catalog.ServiceLine],
    responses=answers(401, 422) | UNCHANGED,
    summary="List services",
)
async def services(
    request: Request,
    state: StateDep,
    session: SessionDep,
    _: Someone,
    q: Search = None,
    short: Short = False,  # noqa: FBT002 - a query parameter
) -> Response:
    """The services that are switched on, by name, with their actions and reactions. Always one page.

    `q` omits components without these words, and services without any remaining components. With `If-None-Match`, an
    unchanged catalog responds with 304.
    """
    tag = await _etag(request, session, state)
    if _is_known(request, tag):
        return _unchanged(tag)
    if short:
        snapshot = await catalog.snapshot(session, state.registry)
        lines: list[Any] = [catalog.service_line(view) for view in catalog.matching(snapshot.active, q)]
        return _page(Page[catalog.ServiceLine](items=lines), tag)
    lines = catalog.matching(await catalog.services(session, state.registry), q)
    return _page(Page[catalog.ServiceView](items=lines), tag)


@router.get("/services/{name}", responses=answers(401, 404, 422), summary="Get a service")
async def service(name: Name, state: StateDep, session: SessionDep, _: Someone) -> catalog.ServiceView:
    """One service, by slug, name or id."""
    return await catalog.service(session, state.registry, name)


@router.get(
    "/components",
    response_model=Page[catalog.ComponentView] | Page[catalog.ComponentLine],
    responses=answers(401, 422) | UNCHANGED,
    summary="List components",
)
async def components(
    request: Request,
    state: StateDep,
    session: SessionDep,
    _: Someone,
    type: Annotated[Literal["action", "reaction"] | None, Query()] = None,  # noqa: A002 - the API's own word
    service: Annotated[Line | None, Query(max_length=100, description="The service's slug")] = None,
    q: Search = None,
    short: Short = False,  # noqa: FBT002 - a query parameter
) -> Response:
    """The actions and reactions that are switched on. Always one page. With `If-None-Match`, an unchanged catalog
    responds with 304.
    """
    tag = await _etag(request, session, state)
    if _is_known(request, tag):
        return _unchanged(tag)
    views = await catalog.components(
        session, state.registry, type=type, service=service, variables_of=() if short else None
    )
    matching = [view for view in views if catalog.has_words(view, q)]
    if short:
        return _page(Page[catalog.ComponentLine](items=[catalog.component_line(view) for view in matching]), tag)
    return _page(Page[catalog.ComponentView](items=matching), tag)


async def _etag(request: Request, session: AsyncSession, state: State) -> str:
    """Changes with the catalog, and with the request's parameters."""
    version = [__version__, await catalog.version(session, state.registry), request.url.path, request.url.query]
    return f'W/"{hashlib.sha256(repr(version).encode()).hexdigest()[:32]}"'


def _is_known(request: Request, tag: str) -> bool:
    """Whether the client has it already (RFC 9110, 13.1.2, by weak comparison)."""
    tags = [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]
    return tag.removeprefix("W/") in tags or "*" in tags


def _headers(tag: str) -> dict[str, str]:
    return {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"}


def _unchanged(tag: str) -> Response:
    return Response(status_code=304, headers=_headers(tag))


def _page(page: BaseModel, tag: str) -> Response:
    return Response(page.model_dump_json(), media_type="application/json", headers=_headers(tag))


class FormIn(In):
    """The form's current values: options may depend on other parameters, such as a channel on its server."""

    parameters: dict[str, str] = Field(default_factory=dict, examples=[{"owner": "octocat"}])
    connection: str = Field(
        "", max_length=100, description="The connection to use. Default: the service's default connection"
    )


class OptionOut(BaseModel):
    """One option. The parameter takes `value`; `label` is shown; `hint` tells equal labels apart."""

    value: str
    label: str
    hint: str = ""


@router.post(
    "/components/{name}/options/{parameter}",
    responses=answers(401, 404, 409, 422),
    summary="List options for a parameter",
)
async def options(
    name: Name, parameter: Name, form: FormIn, state: StateDep, cache: CacheDep, someone: Someone
) -> Page[OptionOut]:
    """Options from your account at the service, for a parameter of `service.name` whose `picker` is true. Always one
    page.
    """
    component = state.registry.action(name) or state.registry.reaction(name)
    if component is None:
        raise NotFound("No component '%(name)s'.", name=name)
    choices = await pickers.options(
        state, cache, someone.user.id, component, parameter, form.parameters, form.connection
    )
    return Page(items=[OptionOut(value=choice.value, label=choice.label, hint=choice.hint) for choice in choices])


@router.get("/components/{name}", responses=answers(401, 404, 422), summary="Get a component")
async def component(name: Name, state: StateDep, session: SessionDep, _: Someone) -> catalog.ComponentView:
    """One action or reaction, by id or `service.name`."""
    return await catalog.component(session, state.registry, name)
