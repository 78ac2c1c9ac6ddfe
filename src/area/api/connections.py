"""A user's connections to services: by form, or by OAuth2."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from area import connections
from area.api.paging import Page
from area.api.problems import answers, in_words
from area.connections import grants
from area.doors import browser, consent
from area.doors.deps import In, Line, Manager, SessionDep, Slug, Someone, StateDep, not_foreign
from area.doors.route import Route
from area.kit.problems import Invalid, NotFound, Problem
from area.sdk import OAuth2

router = APIRouter(prefix="/connections", tags=["connections"], route_class=Route)

Credential = Annotated[
    dict[str, Any],
    Body(
        max_length=50,
        description="The fields listed in `GET /api/connections` for the service; if its `kind` is `oauth2`, the `code`"
        " that the client received, the `redirect_uri` that it received it at, and its `code_verifier` (PKCE)",
        examples=[{"host": "broker.example.org", "login": "ann", "password": "…"}],
    ),
]


Name = Annotated[
    Line,
    Query(
        max_length=100,
        description="The name of a connection, such as `work`. Default: the service's default connection",
    ),
]


class Elsewhere(BaseModel):
    """The URL to send the user to."""

    url: str


# query parameters that a vendor adds; none is passed on
Code = Annotated[str, Query(max_length=4096)]
Components = Annotated[list[Annotated[str, Field(max_length=200)]], Query(max_length=20)]
PAGES: dict[int | str, dict[str, Any]] = {303: {"description": "Redirect for a browser (`Accept: text/html`)."}}


class Renamed(In):
    """The new name."""

    name: Line = Field(max_length=100, description="The new name", examples=["Work"])


class Disconnected(BaseModel):
    """The AREAs that use the connection. Their executions wait until it is reconnected."""

    areas: list[connections.Dependent]


@router.get("", responses=answers(401), summary="List connections")
async def read(identity: Someone, state: StateDep, session: SessionDep) -> Page[connections.ConnectionView]:
    """Every service that takes a connection, its form fields, and the state of your connections; the default connection
    comes first. Credentials are never returned.
    """
    return Page(items=await connections.views(session, state.registry, identity.user.id, state.settings))


@router.get("/{service}", responses=answers(401, 404, 422), summary="Get a connection")
async def read_one(
    service: Slug, identity: Someone, state: StateDep, session: SessionDep, name: Name = ""
) -> connections.ConnectionView:
    """One service that takes a connection, or one of your connections to it."""
    return await connections.view(session, state.registry, identity.user.id, service, state.settings, name=name)


@router.get(
    "/{service}/authorize",
    response_model=Elsewhere,
    responses=answers(401, 403, 404, 409, 422) | PAGES,
    dependencies=[Depends(not_foreign)],
    summary="Start OAuth2",
)
async def authorize(
    service: Slug,
    request: Request,
    identity: Manager,
    state: StateDep,
    session: SessionDep,
    next: Annotated[Line, Query(max_length=2000, description="Where to redirect a browser afterwards")] = "/",  # noqa: A002
    component: Annotated[
        Components, Query(description="A `service.component` that the connection will be used for")
    ] = [],  # noqa: B006
    redirect_uri: Annotated[
        Line | None, Query(max_length=2000, description="The redirect URI of a client that receives the code itself")
    ] = None,
    code_challenge: Annotated[
        str | None, Query(pattern=r"^[A-Za-z0-9_-]{43}$", description="Its PKCE challenge (S256)")
    ] = None,
    client_state: Annotated[
        Line, Query(alias="state", max_length=1000, description="Returned to that client unchanged")
    ] = "",
    name: Name = "",
) -> Elsewhere | Response:
    """The URL of the service's consent page. It requests the scopes that the given components need, plus those already
    granted.

    A browser must return to AREA within ten minutes, in the same session. A client that passes its own `redirect_uri`,
    registered at the service, and a `code_challenge` receives the code itself and sends it to `POST
    /api/connections/{service}`.
    """
    user_id = identity.user.id
    if redirect_uri is not None or code_challenge is not None:
        if redirect_uri is None or code_challenge is None:
            missing = "redirect_uri" if redirect_uri is None else "code_challenge"
            raise Invalid.field(missing, "`redirect_uri` and `code_challenge` must be sent together.")
        url = await grants.own_address(
            session, state.settings, state.registry, user_id, service,
            redirect=redirect_uri, challenge=code_challenge, state=client_state, components=component, name=name,
        )  # fmt: skip
        return Elsewhere(url=url)
    page, back = browser.wants_page(request), browser.local(next)
    try:
        url = await grants.authorize(
            session, state.keyring, state.settings, state.registry, user_id, service,
            bound_to=consent.bound_to(identity), next=back, components=component, name=name,
        )  # fmt: skip
    except Problem as problem:
        await session.rollback()
        if page:
            return browser.to(back, said=problem.message)
        raise
    return browser.to(url) if page else Elsewhere(url=url)


@router.post("/{service}", responses=answers(400, 401, 403, 404, 409, 413, 422), summary="Connect")
async def connect(
    service: Slug,
    credential: Credential,
    identity: Someone,
    state: StateDep,
    session: SessionDep,
    name: Name = "",
) -> connections.ConnectionView:
    """Test a credential (for at most 20 seconds) and store it if it works. It replaces the connection with the same
    name.

    For a service whose connection is `optional`, the credential is named after its host unless you name it; AREAs use
    it by that name.
    """
    _, auth = connections.connectable(state.registry, service)
    if isinstance(auth, OAuth2):
        return await consent.connect_client(state, session, identity.user.id, service, credential, name=name)
    return await connections.connect(
        session,
        state.keyring,
        state.client,
        state.guard,
        state.registry,
        identity.user.id,
        service,
        credential,
        name=name,
    )


@router.post("/{service}/test", responses=answers(401, 403, 404, 422), summary="Test a connection")
async def try_kept(
    request: Request, service: Slug, identity: Someone, state: StateDep, session: SessionDep, name: Name = ""
) -> connections.Tested:
    """Test the stored connection."""
    user_id = identity.user.id
    connector, _ = connections.connectable(state.registry, service)
    tested = await consent.try_connection(state, user_id, service, name)
    if tested is None:
        raise NotFound("You have no usable connection to %(name)s. Connect it again.", name=connector.name)
    await connections.note(session, state.registry, user_id, service, tested, name=name)
    return in_words(request, tested)


@router.patch("/{service}", responses=answers(401, 403, 404, 409, 422), summary="Rename a connection")
async def rename(
    service: Slug, body: Renamed, identity: Someone, state: StateDep, session: SessionDep, name: Name = ""
) -> connections.ConnectionView:
    """Rename the connection called `name`. AREAs that use it keep using it."""
    user_id = identity.user.id
    await connections.rename(session, state.registry, user_id, service, name, body.name)
    return await connections.view(session, state.registry, user_id, service, state.settings, name=body.name)


@router.delete("/{service}", responses=answers(401, 403, 404, 422), summary="Disconnect")
async def disconnect(
    service: Slug, identity: Someone, state: StateDep, session: SessionDep, name: Name = ""
) -> Disconnected:
    """Delete a connection. A worker then revokes its tokens at the service, if it supports that.

    A named connection that AREAs use keeps its name, so they resume once it is reconnected.
    """
    areas = await connections.disconnect(session, state.registry, identity.user.id, service, name=name)
    return Disconnected(areas=areas)
