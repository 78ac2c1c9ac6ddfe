"""For administrators: accounts, invitations, enabling services, statistics, audit log."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from area import accounts, audit, catalog
from area.accounts import invitations, two_factor
from area.api.paging import Page, Paging, paging
from area.api.problems import answers
from area.api.proof import Password
from area.connections import introductions, registrations
from area.doors.deps import Address, Admin, AdminInPerson, Id, In, Line, SessionDep, Slug, StateDep
from area.doors.route import Route
from area.runs import figures

router = APIRouter(prefix="/admin", tags=["admin"], route_class=Route)


class UserPatch(In):
    """The fields to change. Omitted fields stay as they are."""

    is_admin: bool = False
    is_active: bool = True
    password: Password = Field("", description="A new password. Ends the account's sessions and API tokens")


class Switch(In):
    """On or off."""

    is_active: bool


class NewInvitation(In):
    """An invitation to create."""

    days: int = Field(7, ge=1, le=365, description="Days until it expires")


class MadeInvitation(BaseModel):
    """The invitation token, shown only once, and its entry in the list."""

    token: str
    item: invitations.InvitationView


@router.get("/clients", responses=answers(401, 403), summary="List OAuth2 registrations")
async def clients(_: Admin, state: StateDep) -> Page[registrations.ClientView]:
    """The services where AREA must be registered, with the exact URLs to paste there and the variables to set."""
    return Page(items=registrations.clients(state.registry, state.settings))


@router.get("/clients/{service}/tokens", responses=answers(401, 403, 404, 422), summary="List verification tokens")
async def sent_tokens(service: Slug, _: Admin, state: StateDep, session: SessionDep) -> Page[introductions.SentToken]:
    """The verification tokens that were sent to the service's webhook URL while no signing secret is set. Anyone can
    send one.
    """
    return Page(items=await introductions.of_service(session, state.keyring, state.registry, state.settings, service))


@router.delete(
    "/clients/{service}/tokens",
    status_code=204,
    responses=answers(401, 403, 404, 422),
    summary="Clear verification tokens",
)
async def clear_tokens(service: Slug, identity: Admin, state: StateDep, session: SessionDep, address: Address) -> None:
    """Delete the tokens so that the vendor can send another. At most nine are stored, three per address."""
    await introductions.clear(session, state.registry, service, identity.user.id, address)


@router.get("/users", responses=answers(401, 403, 422, 429), summary="List accounts")
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
    """Grant or revoke the administrator role, disable or enable the account, or reset its password. One active
    administrator must remain.
    """
    changes = form.model_dump(exclude_unset=True)
    return await accounts.change_user(session, identity.user.id, user_id, address=address, **changes)


@router.delete(
    "/users/{user_id}", status_code=204, responses=answers(401, 403, 404, 409, 422), summary="Delete an account"
)
async def delete_user(user_id: Id, identity: AdminInPerson, session: SessionDep, address: Address) -> None:
    """Delete another account and everything in it: AREAs, connections, executions. A worker revokes its tokens at the
    services.
    """
    await accounts.delete_user(session, identity.user.id, user_id, address)


@router.delete(
    "/users/{user_id}/two-factor",
    responses=answers(401, 403, 404, 422),
    summary="Remove an account's second factor",
)
async def reset_two_factor(
    user_id: Id, identity: AdminInPerson, session: SessionDep, address: Address
) -> accounts.UserView:
    """Remove the app, passkeys and recovery codes of a user who has lost them."""
    return await two_factor.reset(session, identity.user.id, user_id, address)


@router.get("/invitations", name="invitations", responses=answers(401, 403), summary="List invitations")
async def list_invitations(_: Admin, session: SessionDep) -> Page[invitations.InvitationView]:
    """Recent invitations, without their tokens."""
    return Page(items=await invitations.invitations(session))


@router.post(
    "/invitations", status_code=201, responses=answers(400, 401, 403, 413, 422), summary="Create an invitation"
)
async def invite(form: NewInvitation, identity: AdminInPerson, session: SessionDep, address: Address) -> MadeInvitation:
    """Create an invitation for one registration. Its token is shown only in this response."""
    token, item = await invitations.invite(session, identity.user.id, days=form.days, address=address)
    return MadeInvitation(token=token, item=item)


@router.delete(
    "/invitations/{invitation_id}",
    status_code=204,
    responses=answers(401, 403, 404, 422),
    summary="Revoke an invitation",
)
async def withdraw(
    invitation_id: Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")],
    identity: AdminInPerson,
    session: SessionDep,
    address: Address,
) -> None:
    """Revoke an unused invitation."""
    await invitations.withdraw_invitation(session, identity.user.id, invitation_id, address)


@router.get("/services", responses=answers(401, 403), summary="List all services")
async def services(_: Admin, state: StateDep, session: SessionDep) -> Page[catalog.ServiceView]:
    """All services, including those that are switched off or no longer installed."""
    return Page(items=await catalog.services(session, state.registry, include_inactive=True))


@router.patch(
    "/services/{service_id}", responses=answers(400, 401, 403, 404, 413, 422), summary="Switch a service on or off"
)
async def switch_service(
    service_id: Id, form: Switch, identity: Admin, state: StateDep, session: SessionDep, address: Address
) -> catalog.ServiceView:
    """Switch a service on or off for everyone."""
    by = identity.user.id
    await catalog.switch(session, "service", service_id, active=form.is_active, by=by, address=address)
    return await catalog.service(session, state.registry, str(service_id))


@router.get("/components", responses=answers(401, 403), summary="List all components")
async def components(_: Admin, state: StateDep, session: SessionDep) -> Page[catalog.ComponentView]:
    """All actions and reactions, including those that are switched off or no longer installed."""
    return Page(items=await catalog.components(session, state.registry, include_inactive=True))


@router.patch(
    "/components/{component_id}",
    responses=answers(400, 401, 403, 404, 413, 422),
    summary="Switch a component on or off",
)
async def switch_component(
    component_id: Id, form: Switch, identity: Admin, state: StateDep, session: SessionDep, address: Address
) -> catalog.ComponentView:
    """Switch an action or reaction on or off for everyone."""
    by = identity.user.id
    await catalog.switch(session, "component", component_id, active=form.is_active, by=by, address=address)
    return await catalog.component(session, state.registry, str(component_id))


@router.get("/stats", responses=answers(401, 403), summary="Get statistics")
async def stats(_: Admin, session: SessionDep) -> figures.SystemStats:
    """Executions of all users, the job queue, accounts and the size of the database."""
    return await figures.system_stats(session)


@router.get("/workers", responses=answers(401, 403), summary="List workers")
async def workers(_: Admin, session: SessionDep) -> Page[figures.WorkerView]:
    """The workers that are running, oldest first. Always one page."""
    return Page(items=await figures.workers(session))


@router.get("/audit", name="audit", responses=answers(401, 403, 422), summary="List audit entries")
async def list_audit(
    _: Admin,
    session: SessionDep,
    page: Annotated[Paging, Depends(paging("audit"))],
    user_id: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    action: Annotated[Line | None, Query(max_length=100, description="Prefix of the action, such as `login.`")] = None,
) -> Page[audit.AuditView]:
    """Changes to accounts, connections and the catalog, and who made them, newest first."""
    rows = await audit.entries(session, limit=page.limit + 1, before=page.before, user_id=user_id, action=action)
    return Page(**page.cut(rows))
