"""How one signs in: the password, the providers, and where one is signed in."""

import re

from fastapi import APIRouter, Request
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from area import accounts
from area.accounts import addresses, providers, sessions
from area.doors import consent, login
from area.doors.deps import Address, BigId, SessionDep, Slug
from area.kit.problems import Conflict, Problem
from area.web.parts.pages import Fields, Page, SignedIn
from area.web.parts.proof import proof_of
from area.web.profile import field_errors, status_of

router = APIRouter()

BROWSERS = (
    ("Edg", "Edge"), ("OPR", "Opera"), ("Vivaldi", "Vivaldi"), ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"), ("FxiOS", "Firefox"), ("CriOS", "Chrome"), ("HeadlessChrome", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"), ("curl", "curl"), ("python", "Python"), ("aiohttp", "Python"), ("area", "area"),
)  # fmt: skip
SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("CrOS", "ChromeOS"), ("Windows", "Windows"),
    ("Macintosh", "macOS"), ("Linux", "Linux"),
)  # fmt: skip


# Password, providers and sessions


@router.get("/profile/security")
async def security(page: SignedIn, session: SessionDep) -> Response:
    """The password, the providers, and where one is signed in."""
    return await _security(page, session)


@router.post("/profile/password")
async def change_password(page: SignedIn, form: Fields, session: SessionDep, address: Address) -> Response:
    """Change the password, or set a first one. All other sessions end, and the API tokens if that was chosen."""
    user = page.user
    keep = page.identity.token_id if page.identity else 0
    try:
        await login.prove(
            page.state, session, page.known, proof_of(form, "current_password"), address, "current_password"
        )
        await accounts.change_password(
            session,
            user.id,
            form.get("new_password", "")[:1024],
            keep=keep,
            tokens="revoke_tokens" in form,
            address=address,
        )
        await addresses.tell_password_changed(session, page.state.settings, user.id)
    except Problem as error:  # before anything was changed
        return await _security(page, session, error)
    return page.to("/profile/security", said=page.say("Password changed. You are signed out everywhere else."))


@router.post("/profile/logins/{provider}")
async def add_login(
    page: SignedIn, provider: Slug, form: Fields, request: Request, session: SessionDep, address: Address
) -> Response:
    """Show the way to a provider that one wants to sign in with from now on, which needs the password.

    A form may not lead elsewhere (the pages' policy), not even by redirection: so the way is a link, or htmx's.
    """
    state = page.state
    try:
        await login.prove(state, session, page.known, proof_of(form), address)
        secret = consent.new_secret()
        url = await consent.log_in_address(
            state, session, provider,
            secret=secret, next="/profile/security", identity=page.identity, invitation=None, address=address,
        )  # fmt: skip
    except Problem as error:  # before anything was changed
        return await _security(page, session, error, adding=provider)
    if page.partial:
        response = page.to(url)
    else:
        response = await _security(page, session, adding=provider, url=url)
    consent.remember(response, request, state, secret)
    return response


@router.post("/profile/logins/{provider}/remove")
async def remove_login(page: SignedIn, provider: Slug, session: SessionDep, address: Address) -> Response:
    """Sign in with this provider no more."""
    state = page.state
    try:
        await providers.detach(session, state.registry, state.settings, page.user.id, provider, address)
    except Conflict as error:  # before anything was changed; the page has no button for it
        return page.to("/profile/security", said=page.tell(error))
    return page.to("/profile/security", said=page.say("Provider removed."))


@router.post("/profile/sessions/end")
async def sign_out_everywhere(page: SignedIn, form: Fields, session: SessionDep, address: Address) -> Response:
    """End all sessions but this one, and the API tokens if that was chosen."""
    keep = page.identity.token_id if page.identity else 0
    tokens = "tokens" in form
    ended = await sessions.sign_out_everywhere(session, page.user.id, keep=keep, tokens=tokens, address=address)
    if tokens:
        message = page.say(
            "Sessions ended: %(sessions)s. API tokens revoked: %(tokens)s.",
            sessions=ended.sessions,
            tokens=ended.tokens,
        )
    else:
        message = page.say("Sessions ended: %(sessions)s.", sessions=ended.sessions)
    return page.to("/profile/security", said=message)


@router.post("/profile/sessions/{session_id}/end")
async def end_session(page: SignedIn, session_id: BigId, session: SessionDep, address: Address) -> Response:
    """End one session."""
    await sessions.revoke(session, page.user.id, "session", session_id, address)
    return page.to("/profile/security", said=page.say("Session ended."))


async def _security(
    page: Page, session: AsyncSession, error: Problem | None = None, *, adding: str = "", url: str = ""
) -> Response:
    errors = field_errors(page, error, "")
    registry, settings = page.state.registry, page.state.settings
    logins = await providers.logins(session, registry, settings, page.user.id)
    linked = {login.provider for login in logins}
    rows = await sessions.access(session, page.user.id, "session", page.identity.token_id if page.identity else 0)
    return await page.show(
        "profile_security.html",
        status_of(error),
        nav="profile",
        tab="security",
        errors=errors,
        problem=page.tell(error) if error and not errors else "",
        logins=logins,
        adding=adding,
        url=url,
        others=[offer for offer in providers.offered(registry, settings) if offer.provider not in linked],
        sessions=[(row, device(page, row.name)) for row in sorted(rows, key=lambda row: not row.current)],
    )


def device(page: Page, agent: str) -> str:
    """What a program calls itself, as people say it: `Firefox on Linux`."""
    named = next((name for sign, name in BROWSERS if re.search(rf"\b{sign}[a-zA-Z]*/", agent)), "")
    system = next((name for sign, name in SYSTEMS if sign in agent), "")
    if named and system:
        return page.say("%(program)s on %(system)s", program=named, system=system)
    return named or system or agent[:60]
