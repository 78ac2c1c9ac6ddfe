"""A user's connections to services that take a form."""

from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import BaseModel

from area import connections
from area.api.paging import Page
from area.api.problems import answers
from area.doors.body import Route
from area.doors.deps import SessionDep, Slug, Someone, StateDep
from area.kit.problems import NotFound

router = APIRouter(prefix="/connections", tags=["connections"], route_class=Route)

Credential = Annotated[
    dict[str, Any],
    Body(
        max_length=50,
        description="The fields that `GET /api/connections` names for the service",
        examples=[{"host": "broker.example.org", "login": "ann", "password": "…"}],
    ),
]


class Disconnected(BaseModel):
    """The AREAs that need the connection: what they would run waits until there is one again."""

    areas: list[connections.Dependent]


@router.get("", responses=answers(401), summary="My connections")
async def read(identity: Someone, state: StateDep, session: SessionDep) -> Page[connections.ConnectionView]:
    """Every service that needs a connection: the fields of its form, and how mine fares. Never what was filled in."""
    return Page(items=await connections.views(session, state.registry, identity.user.id))


@router.get("/{service}", responses=answers(401, 404, 422), summary="A connection")
async def read_one(
    service: Slug, identity: Someone, state: StateDep, session: SessionDep
) -> connections.ConnectionView:
    """One service that needs a connection."""
    return await connections.view(session, state.registry, identity.user.id, service)


@router.post("/{service}", responses=answers(400, 401, 403, 404, 413, 422), summary="Connect")
async def connect(
    service: Slug, credential: Credential, identity: Someone, state: StateDep, session: SessionDep
) -> connections.ConnectionView:
    """Try a credential, for at most 20 seconds, and keep it if it works; what was kept before is replaced."""
    return await connections.connect(
        session, state.keyring, state.client, state.guard, state.registry, identity.user.id, service, credential
    )


@router.post("/{service}/test", responses=answers(401, 403, 404, 422), summary="Test a connection")
async def test(service: Slug, identity: Someone, state: StateDep, session: SessionDep) -> connections.Tested:
    """Try the connection as it is kept."""
    user_id = identity.user.id
    connector, _ = connections.connectable(state.registry, service)
    async with state.database.transaction() as reading:  # over before somebody else's server is waited for
        kept = await connections.credential(reading, state.keyring, state.registry, user_id, service)
    if kept is None:
        raise NotFound(f"You have no connection to {connector.name}, or it can't be read any more. Connect again.")
    tested = await connections.try_out(state.client, state.guard, connector, kept)
    await connections.note(session, state.registry, user_id, service, tested)
    return tested


@router.delete("/{service}", responses=answers(401, 403, 404, 422), summary="Disconnect")
async def disconnect(service: Slug, identity: Someone, state: StateDep, session: SessionDep) -> Disconnected:
    """Forget a connection."""
    areas = await connections.disconnect(session, state.registry, identity.user.id, service)
    return Disconnected(areas=areas)
