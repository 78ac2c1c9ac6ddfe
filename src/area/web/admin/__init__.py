"""Administration: accounts, invitations, services, registrations, health and the audit log."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from area import accounts, areas, audit, catalog
from area.accounts import invitations, two_factor
from area.catalog import ComponentView, ServiceView
from area.connections import introductions, registrations
from area.doors.deps import Address, Id, SessionDep, Slug
from area.kit.problems import Conflict, Invalid, NotFound, Problem
from area.runs import figures
from area.web.parts import offers
from area.web.parts.pages import AdminPage, Fields, Page

router = APIRouter(prefix="/admin")

LIMIT = 50  # rows of a page
OVERDUE = 60  # seconds that a job may wait before it is pointed out
LOST = 60  # seconds without a sign after which a worker is pointed out
SHOWN = 20  # invitations

Before = Annotated[int | None, Query(ge=1, le=2**63 - 1)]
Text = Annotated[str, Query(max_length=255, pattern=r"^[^\x00]*$")]


class Switch(BaseModel):
    """A service with its components, and how many AREAs that are on need each."""

    service: ServiceView
    components: list[tuple[ComponentView, int]]
    needed: int


@router.get("")
async def overview(page: AdminPage, session: SessionDep) -> Response:
    """Key figures and recent activity."""
    return await page.show(
        "admin.html",
        nav="admin",
        tab="overview",
        stats=await figures.system_stats(session),
        workers=await figures.workers(session),
        entries=await audit.entries(session, limit=6),
    )


@router.get("/health")
async def health(page: AdminPage, session: SessionDep) -> Response:
    """The installation's health; the page refreshes itself."""
    return await page.show(
        "_admin_health.html" if page.partial else "admin_health.html",
        nav="admin",
        tab="health",
        stats=await figures.system_stats(session),
        minute=await figures.last_minute(session),
        workers=await figures.workers(session),
        overdue=OVERDUE,
        lost=LOST,
    )


# Accounts


@router.get("/users")
async def users(page: AdminPage, session: SessionDep, q: Text = "", before: Before = None) -> Response:
    """All accounts, newest first, and the invitations."""
    return await _users(page, session, q=q, before=before)


@router.get("/users/{user_id}")
async def user_page(page: AdminPage, user_id: Id, session: SessionDep) -> Response:
    """One account."""
    return await _user(page, session, user_id)


@router.post("/users/{user_id}")
async def change_user(page: AdminPage, user_id: Id, form: Fields, session: SessionDep, address: Address) -> Response:
    """Change the role, disable or enable the account, or set a new password."""
    verb = form.get("do", "")
    changes = {"admin": ("is_admin", True), "unadmin": ("is_admin", False), "enable": ("is_active", True)}
    changes["disable"] = ("is_active", False)
    change: dict[str, bool] = dict([changes[verb]]) if verb in changes else {}
    password = form.get("password", "")[:1024] if verb == "password" else None
    if verb == "two_factor":
        user = await two_factor.reset(session, page.user.id, user_id, address)
        done = page.say("Second factor of %(name)s removed.", name=user.username)
        return page.to(f"/admin/users/{user_id}", said=done)
    if verb == "delete":
        return await _delete(page, user_id, form.get("username", ""), session, address)
    if not change and password is None:
        raise Invalid("There is nothing to change.")
    try:
        user = await accounts.change_user(
            session,
            page.user.id,
            user_id,
            is_admin=change.get("is_admin"),
            is_active=change.get("is_active"),
            password=password,
            address=address,
        )
    except (Conflict, Invalid) as error:  # before anything was changed
        return await _user(page, session, user_id, error)
    name = user.username
    message = {
        "admin": page.say("%(name)s is now an administrator.", name=name),
        "unadmin": page.say("%(name)s is no longer an administrator.", name=name),
        "enable": page.say("%(name)s can sign in again.", name=name),
        "disable": page.say("%(name)s is signed out and can no longer sign in. Their AREAs are stopped.", name=name),
        "password": page.say("%(name)s has a new password and is signed out everywhere.", name=name),
    }
    return page.to(f"/admin/users/{user_id}", said=message[verb])


async def _delete(page: Page, user_id: int, typed: str, session: AsyncSession, address: str | None) -> Response:
    """Delete an account whose username was typed, with everything in it."""
    try:
        if typed.strip() != (await accounts.user(session, user_id)).username:
            raise Invalid.field("username", "Type the username exactly as shown.")
        user = await accounts.delete_user(session, page.user.id, user_id, address)
    except (Conflict, Invalid) as error:  # before anything was changed
        return await _user(page, session, user_id, error)
    return page.to("/admin/users", said=page.say("%(name)s was deleted.", name=user.username))


@router.post("/invitations")
async def invite(page: AdminPage, form: Fields, session: SessionDep, address: Address) -> Response:
    """Create an invitation; its link is shown only in this response."""
    days = form.get("days", "")
    number = int(days) if days.isdigit() and len(days) < 4 else invitations.INVITATION_DAYS
    token, _ = await invitations.invite(session, page.user.id, days=min(max(number, 1), 365), address=address)
    return await _users(page, session, made=f"{page.state.settings.base_url}/sign-up?invitation={token}")


@router.post("/invitations/{invitation_id}/withdraw")
async def withdraw(
    page: AdminPage,
    invitation_id: Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")],
    session: SessionDep,
    address: Address,
) -> Response:
    """Revoke an unused invitation."""
    await invitations.withdraw_invitation(session, page.user.id, invitation_id, address)
    return page.to("/admin/users", said=page.say("Invitation revoked."))


async def _users(
    page: Page, session: AsyncSession, *, q: str = "", before: int | None = None, made: str = ""
) -> Response:
    recent = (await invitations.invitations(session))[:SHOWN]
    shared: dict[str, Any] = {"made": made, "invitations": recent, "days": invitations.INVITATION_DAYS}
    if made and page.partial:
        return await page.show("_admin_invitations.html", **shared)
    rows = await accounts.users(session, limit=LIMIT + 1, before=before, q=q.strip() or None)
    following = rows[LIMIT - 1].id if len(rows) > LIMIT else None
    context: dict[str, Any] = {"users": rows[:LIMIT], "next": following, "q": q, "before": before}
    if page.partial:
        return await page.show("_admin_users.html", **context)
    return await page.show("admin_users.html", nav="admin", tab="users", **shared, **context)


async def _user(page: Page, session: AsyncSession, user_id: int, error: Problem | None = None) -> Response:
    errors = page.errors_of(error)
    return await page.show(
        "admin_user.html",
        error.status if error else 200,
        nav="admin",
        tab="users",
        user=await accounts.user(session, user_id),
        stats=await figures.stats(session, user_id),
        entries=await audit.entries(session, limit=6, user_id=user_id),
        errors=errors,
        problem=page.tell(error) if error and not errors else "",
    )


# The catalog's switches


@router.get("/services")
async def services(page: AdminPage, session: SessionDep) -> Response:
    """All services with their components, including those no longer installed."""
    switches = await _switches(page, session)
    return await page.show("admin_services.html", nav="admin", tab="services", switches=switches)


@router.post("/services/{service_id}/switch")
async def switch_service(
    page: AdminPage, service_id: Id, form: Fields, session: SessionDep, address: Address
) -> Response:
    """Switch a service on or off for everyone; returns its card."""
    on, by = form.get("on") == "1", page.user.id
    await catalog.switch(session, "service", service_id, active=on, by=by, address=address)
    return await _switched(page, session, service_id)


@router.post("/components/{component_id}/switch")
async def switch_component(
    page: AdminPage, component_id: Id, form: Fields, session: SessionDep, address: Address
) -> Response:
    """Switch an action or reaction on or off for everyone; returns its service's card."""
    on, by = form.get("on") == "1", page.user.id
    await catalog.switch(session, "component", component_id, active=on, by=by, address=address)
    for switch in await _switches(page, session):
        if any(component.id == component_id for component, _ in switch.components):
            return await page.show("_admin_service.html", one=switch, opened=True)
    raise NotFound


async def _switched(page: Page, session: AsyncSession, service_id: int) -> Response:
    switch = next(switch for switch in await _switches(page, session) if switch.service.id == service_id)
    return await page.show("_admin_service.html", one=switch, opened=False)


async def _switches(page: Page, session: AsyncSession) -> list[Switch]:
    by_component, by_service = await areas.in_use(session)
    own, registry = await catalog.switched_off(session), page.state.registry
    return [
        Switch(
            service=view,
            # a component is off by itself, or only with its service: its own switch tells the first
            components=[
                (component.model_copy(update={"is_active": component.id not in own}), by_component.get(component.id, 0))
                for component in [*view.actions, *view.reactions]
                if registry.action(component.key) or registry.reaction(component.key)
            ],
            needed=by_service.get(view.id, 0),
        )
        for view in await offers.services(page, session, include_inactive=True)
    ]


# Registrations at services


@router.get("/clients")
async def clients(page: AdminPage, session: SessionDep) -> Response:
    """The services AREA must be registered with, with the values to paste there and the settings to set here."""
    by_client = registrations.clients(page.state.registry, page.state.settings)
    tokens = await introductions.sent(session, page.state.keyring, page.state.registry, page.state.settings)
    return await page.show("admin_clients.html", nav="admin", tab="clients", clients=by_client, tokens=tokens)


@router.post("/clients/{slug}/tokens/clear")
async def clear_tokens(page: AdminPage, slug: Slug, session: SessionDep, address: Address) -> Response:
    """Clear the tokens sent for a service."""
    await introductions.clear(session, page.state.registry, slug, page.user.id, address)
    return page.to("/admin/clients", said=page.say("Tokens cleared. Have the service send its token again."))


# The audit


@router.get("/audit")
async def audit_page(
    page: AdminPage, session: SessionDep, user: Text = "", action: Text = "", before: Before = None
) -> Response:
    """The audit log of accounts, connections and the catalog, newest first."""
    problem, user_id = "", None
    if user.strip():
        try:
            user_id = (await accounts.find(session, user.strip())).id
        except NotFound:
            problem = page.say("No account has this name or address.")
    rows: Sequence[audit.AuditView] = []
    if not problem:
        rows = await audit.entries(
            session, limit=LIMIT + 1, before=before, user_id=user_id, action=action.strip() or None
        )
    return await page.show(
        "_admin_audit.html" if page.partial else "admin_audit.html",
        nav="admin",
        tab="audit",
        entries=rows[:LIMIT],
        next=rows[LIMIT - 1].id if len(rows) > LIMIT else None,
        user=user,
        action=action,
        before=before,
        problem=problem,
    )
