"""For administrators: accounts, invitations, the catalog's switches, figures, the audit."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from area import accounts, audit, catalog
from area.accounts import invitations, two_factor
from area.api.paging import Page, Paging, paging
from area.api.problems import answers
from area.api.proof import Password
from area.connections import introductions, registrations
from area.doors.body import Route
from area.doors.deps import Address, Admin, AdminInPerson, Id, In, Line, SessionDep, Slug, StateDep
from area.runs import figures

router = APIRouter(prefix="/admin", tags=["admin"], route_class=Route)


class UserPatch(In):
    """What to change; what is left out stays."""

    is_admin: bool = False
    is_active: bool = True
    password: Password = Field("", description="A new password: ends the account's sessions and API tokens")


class Switch(In):
    """On or off."""

    is_active: bool


class NewInvitation(In):
    """An invitation to make."""

    days: int = Field(7, ge=1, le=365, description="How long it is good")


class MadeInvitation(BaseModel):
    """The invitation, shown this once, and how it is listed."""

    token: str
    item: invitations.InvitationView


@router.get("/clients", responses=answers(401, 403), summary="Registrations at services")
async def clients(_: Admin, state: StateDep) -> Page[registrations.ClientView]:
    """The services that AREA has to be registered at, with the exact addresses to paste there and the variables to set."""
    return Page(items=registrations.clients(state.registry, state.settings))


@router.get("/clients/{service}/tokens", responses=answers(401, 403, 404, 422), summary="Verification tokens")
async def sent_tokens(service: Slug, _: Admin, state: StateDep, session: SessionDep) -> Page[introductions.SentToken]:
    """The tokens that a vendor, or anybody else, sent to the service's webhook address while no signing secret is set."""
    return Page(items=await introductions.of_service(session, state.keyring, state.registry, state.settings, service))


@router.delete(
    "/clients/{service}/tokens",
    status_code=204,
    responses=answers(401, 403, 404, 422),
    summary="Clear verification tokens",
)
async def clear_tokens(service: Slug, identity: Admin, state: StateDep, session: SessionDep, address: Address) -> None:
    """Forget them, so that the vendor can send another. At most nine are kept, and three from one address."""
    await introductions.clear(session, state.registry, service, identity.user.id, address)


@router.get("/users", responses=answers(401, 403, 422, 429), summary="Accounts")
async def users(
    _: Admin,
    session: SessionDep,
    page: Annotated[Paging, Depends(paging("users"))],
    q: Annotated[Line | None, Query(max_length=255, description="Part of the e-mail address or username")] = None,
) -> Page[accounts.UserView]:
    """All accounts, newest first."""
    return Page(**page.cut(await accounts.users(session, limit=page.limit + 1, before=page.before, q=q)))


@router.patch("/users/{user_id}", responses=answers(400, 401, 403, 404, 409, 413, 422), summary="Change an account")
async def change_user(
    user_id: Id, form: UserPatch, identity: AdminInPerson, session: SessionDep, address: Address
) -> accounts.UserView:
    """Make or unmake an administrator, disable or enable, reset the password. One active administrator must stay."""
    changes = form.model_dump(exclude_unset=True)
    return await accounts.change_user(session, identity.user.id, user_id, address=address, **changes)


@router.delete(
    "/users/{user_id}/two-factor",
    responses=answers(401, 403, 404, 422),
    summary="Remove an account's second factor",
)
async def reset_two_factor(
    user_id: Id, identity: AdminInPerson, session: SessionDep, address: Address
) -> accounts.UserView:
    """Remove its app, passkeys and recovery codes, for somebody who lost them."""
    return await two_factor.reset(session, identity.user.id, user_id, address)


@router.get("/invitations", name="invitations", responses=answers(401, 403), summary="Invitations")
async def list_invitations(_: Admin, session: SessionDep) -> Page[invitations.InvitationView]:
    """The invitations of the last weeks, without what makes them work."""
    return Page(items=await invitations.invitations(session))


@router.post("/invitations", status_code=201, responses=answers(400, 401, 403, 413, 422), summary="Invite")
async def invite(form: NewInvitation, identity: AdminInPerson, session: SessionDep, address: Address) -> MadeInvitation:
    """Make an invitation for one registration. It is shown in this answer and never again."""
    token, item = await invitations.invite(session, identity.user.id, days=form.days, address=address)
    return MadeInvitation(token=token, item=item)


@router.delete(
    "/invitations/{invitation_id}",
    status_code=204,
    responses=answers(401, 403, 404, 422),
    summary="Withdraw an invitation",
)
async def withdraw(
    invitation_id: Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")],
    identity: AdminInPerson,
    session: SessionDep,
    address: Address,
) -> None:
    """Make an unused invitation worthless."""
    await invitations.withdraw_invitation(session, identity.user.id, invitation_id, address)


@router.get("/services", responses=answers(401, 403), summary="All services")
async def services(_: Admin, state: StateDep, session: SessionDep) -> Page[catalog.ServiceView]:
    """All services, also those that are switched off or whose code is gone."""
    return Page(items=await catalog.services(session, state.registry, include_inactive=True))


@router.patch("/services/{service_id}", responses=answers(400, 401, 403, 404, 413, 422), summary="Switch a service")
async def switch_service(
    service_id: Id, form: Switch, identity: Admin, state: StateDep, session: SessionDep, address: Address
) -> catalog.ServiceView:
    """Switch a service on or off, for everybody."""
    by = identity.user.id
    await catalog.switch(session, "service", service_id, active=form.is_active, by=by, address=address)
    return await catalog.service(session, state.registry, str(service_id))


@router.get("/components", responses=answers(401, 403), summary="All components")
async def components(_: Admin, state: StateDep, session: SessionDep) -> Page[catalog.ComponentView]:
    """All actions and reactions, also those that are switched off or whose code is gone."""
    return Page(items=await catalog.components(session, state.registry, include_inactive=True))


@router.patch(
    "/components/{component_id}", responses=answers(400, 401, 403, 404, 413, 422), summary="Switch a component"
)
async def switch_component(
    component_id: Id, form: Switch, identity: Admin, state: StateDep, session: SessionDep, address: Address
) -> catalog.ComponentView:
    """Switch an action or reaction on or off, for everybody."""
    by = identity.user.id
    await catalog.switch(session, "component", component_id, active=form.is_active, by=by, address=address)
    return await catalog.component(session, state.registry, str(component_id))


@router.get("/stats", responses=answers(401, 403), summary="Figures")
async def stats(_: Admin, session: SessionDep) -> figures.SystemStats:
    """Executions of everybody, the job queue, accounts, the database's size."""
    return await figures.system_stats(session)


@router.get("/audit", name="audit", responses=answers(401, 403, 422), summary="The audit")
async def list_audit(
    _: Admin,
    session: SessionDep,
    page: Annotated[Paging, Depends(paging("audit"))],
    user_id: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    action: Annotated[Line | None, Query(max_length=100, description="Its beginning, such as `login.`")] = None,
) -> Page[audit.AuditView]:
    """Who did what to accounts, connections and the catalog, newest first."""
    rows = await audit.entries(session, limit=page.limit + 1, before=page.before, user_id=user_id, action=action)
    return Page(**page.cut(rows))
