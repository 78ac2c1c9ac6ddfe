"""The catalog: services and their components, with variables."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from area import catalog
from area.api.paging import Page
from area.api.problems import answers
from area.doors.body import Route
from area.doors.deps import CacheDep, In, Line, SessionDep, Someone, StateDep
from area.engine import pickers
from area.kit.problems import NotFound

router = APIRouter(tags=["catalog"], route_class=Route)

Name = Annotated[Line, Path(max_length=200, examples=["rss"])]


@router.get("/services", responses=answers(401, 422), summary="List services")
async def services(state: StateDep, session: SessionDep, _: Someone) -> Page[catalog.ServiceView]:
    """The services that are switched on, by name, with their actions and reactions. Always one page."""
    return Page(items=await catalog.services(session, state.registry))


@router.get("/services/{name}", responses=answers(401, 404, 422), summary="Get a service")
async def service(name: Name, state: StateDep, session: SessionDep, _: Someone) -> catalog.ServiceView:
    """One service, by slug, name or id."""
    return await catalog.service(session, state.registry, name)


@router.get("/components", responses=answers(401, 422), summary="List components")
async def components(
    state: StateDep,
    session: SessionDep,
    _: Someone,
    type: Annotated[Literal["action", "reaction"] | None, Query()] = None,  # noqa: A002 - the API's own word
    service: Annotated[Line | None, Query(max_length=100, description="The service's slug")] = None,
) -> Page[catalog.ComponentView]:
    """The actions and reactions that are switched on. Always one page."""
    return Page(items=await catalog.components(session, state.registry, type=type, service=service))


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
