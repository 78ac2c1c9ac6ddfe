"""A user's connections to services: those that take a form, and those that are agreed to at the service's own site."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from area import connections
from area.api.paging import Page
from area.api.problems import answers, in_words
from area.connections import grants
from area.doors import browser, consent
from area.doors.body import Route
from area.doors.deps import In, Line, Manager, SessionDep, Slug, Someone, StateDep, not_foreign
from area.kit.problems import Invalid, NotFound, Problem
from area.sdk import OAuth2

router = APIRouter(prefix="/connections", tags=["connections"], route_class=Route)

Credential = Annotated[
    dict[str, Any],
    Body(
        max_length=50,
        description="The fields that `GET /api/connections` names for the service; of one with `kind` `oauth2`, the `code`"
        " that the client received, the `redirect_uri` that it received it at, and its `code_verifier` (PKCE)",
        examples=[{"host": "broker.example.org", "login": "ann", "password": "…"}],
    ),
]


Name = Annotated[
    Line,
    Query(
        max_length=100,
        description="The name of a connection beside the service's default one, such as `work`; left out, the default one",
    ),
]


class Elsewhere(BaseModel):
    """Where to send the user."""

    url: str


# what a vendor adds to the address: nothing of it is told on
Code = Annotated[str, Query(max_length=4096)]
Components = Annotated[list[Annotated[str, Field(max_length=200)]], Query(max_length=20)]
PAGES: dict[int | str, dict[str, Any]] = {303: {"description": "For a browser (`Accept: text/html`): go there."}}


class Renamed(In):
    """Another name."""

    name: Line = Field(max_length=100, description="The new name", examples=["Work"])


class Disconnected(BaseModel):
    """The AREAs that need the connection: what they would run waits until there is one again."""

    areas: list[connections.Dependent]


@router.get("", responses=answers(401), summary="My connections")
async def read(identity: Someone, state: StateDep, session: SessionDep) -> Page[connections.ConnectionView]:
    """Every service that takes a connection: the fields of its form, and how mine fares; those with names come after the default one.
    Never what was filled in.
    """
    return Page(items=await connections.views(session, state.registry, identity.user.id, state.settings))


@router.get("/{service}", responses=answers(401, 404, 422), summary="A connection")
async def read_one(
    service: Slug, identity: Someone, state: StateDep, session: SessionDep, name: Name = ""
) -> connections.ConnectionView:
    """One service that takes a connection, or one of its connections."""
    return await connections.view(session, state.registry, identity.user.id, service, state.settings, name=name)


@router.get(
    "/{service}/authorize",
    response_model=Elsewhere,
    responses=answers(401, 403, 404, 409, 422) | PAGES,
    dependencies=[Depends(not_foreign)],
    summary="Ask for consent",
)
async def authorize(
    service: Slug,
    request: Request,
    identity: Manager,
    state: StateDep,
    session: SessionDep,
    next: Annotated[Line, Query(max_length=2000, description="Where a browser goes afterwards")] = "/",  # noqa: A002
    component: Annotated[Components, Query(description="`service.component` that is to be used")] = [],  # noqa: B006
    redirect_uri: Annotated[
        Line | None, Query(max_length=2000, description="For a client that receives the code itself")
    ] = None,
    code_challenge: Annotated[
        str | None, Query(pattern=r"^[A-Za-z0-9_-]{43}$", description="Its PKCE challenge (S256)")
    ] = None,
    client_state: Annotated[
        Line, Query(alias="state", max_length=1000, description="Given back to such a client as it is")
    ] = "",
    name: Name = "",
) -> Elsewhere | Response:
    """The service's page where the user agrees. It asks for what the chosen components need, and what was granted before.

    A browser comes back to AREA, within ten minutes and with the session that it began with. A client that gives its own
    `redirect_uri`, registered at the service, and a `code_challenge` gets the code itself, for `POST /api/connections/{service}`.
    """
    user_id = identity.user.id
    if redirect_uri is not None or code_challenge is not None:
        if redirect_uri is None or code_challenge is None:
            missing = "redirect_uri" if redirect_uri is None else "code_challenge"
            raise Invalid.field(missing, "A client that receives the code itself gives both of them.")
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
    """Try a credential, for at most 20 seconds, and keep it if it works; what was kept before under this name is replaced.

    A credential of a service that is `optional` is called as the host that it is for, unless it is given a name; the AREAs that are to
    use it name it.
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
    """Try the connection as it is kept."""
    user_id = identity.user.id
    connector, _ = connections.connectable(state.registry, service)
    tested = await consent.try_connection(state, user_id, service, name)
    if tested is None:
        raise NotFound(
            "You have no connection to %(name)s, or it can't be read any more. Connect again.", name=connector.name
        )
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
    """Forget a connection; the service is told that its tokens are to be worthless, where it takes that.

    The name of one that AREAs have chosen stays, so that they go on once it is connected again.
    """
    await consent.revoke(state, identity.user.id, service, name=name)
    areas = await connections.disconnect(session, state.registry, identity.user.id, service, name=name)
    return Disconnected(areas=areas)
