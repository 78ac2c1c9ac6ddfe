"""The second factor of one's own account: an authenticator app, passkeys, recovery codes."""

import segno
from fastapi import APIRouter
from markupsafe import Markup
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from area.accounts import passkeys, two_factor
from area.doors import login
from area.doors.deps import Address, BigId, SessionDep
from area.kit.problems import Invalid, Problem
from area.web.parts.pages import Fields, Page, SettingUp
from area.web.parts.proof import answer_of, proof_of
from area.web.profile import field_errors, status_of

router = APIRouter()
HOME = "/profile/two-factor"


@router.get("/profile/two-factor")
async def overview(page: SettingUp, session: SessionDep) -> Response:
    """What there is, and what can be added."""
    return await _overview(page, session)


@router.post("/profile/two-factor/app")
async def begin_app(page: SettingUp, form: Fields, session: SessionDep, address: Address) -> Response:
    """Show the secret of a new app, as a picture to scan."""
    try:
        await login.prove(page.state, session, page.known, proof_of(form), address)
    except Problem as error:  # before anything was changed
        return await _overview(page, session, error, "app")
    return await _app(page, two_factor.new_app(page.state.keyring, page.user))


@router.post("/profile/two-factor/app/confirm")
async def confirm_app(page: SettingUp, form: Fields, session: SessionDep, address: Address) -> Response:
    """Ask for codes of the app from now on."""
    keyring, setup = page.state.keyring, form.get("setup", "")[:2000]
    try:
        totp = two_factor.opened(keyring, page.user, setup)
    except Problem as error:
        return page.to(HOME, said=page.tell(error))
    try:
        codes = await two_factor.confirm(session, keyring, page.user, setup, form.get("code", "")[:100], address)
    except Problem as error:  # before anything was changed
        return await _app(page, totp, error)
    return await _codes(page, codes, page.say("App added. You will be asked for its code when you sign in."))


@router.post("/profile/two-factor/app/remove")
async def remove_app(page: SettingUp, form: Fields, session: SessionDep, address: Address) -> Response:
    """Ask for no codes any more."""
    try:
        await login.prove(page.state, session, page.known, proof_of(form), address)
        await two_factor.remove_app(session, page.state.settings, page.user, address)
    except Problem as error:  # before anything was changed
        return await _overview(page, session, error, "app")
    return page.to(HOME, said=page.say("App removed."))


@router.post("/profile/two-factor/recovery-codes")
async def new_codes(page: SettingUp, form: Fields, session: SessionDep, address: Address) -> Response:
    """Make new recovery codes, which are shown in this answer and never again."""
    try:
        await login.prove(page.state, session, page.known, proof_of(form), address)
        codes = await two_factor.new_codes(session, page.user.id, address)
    except Problem as error:  # before anything was changed
        return await _overview(page, session, error, "codes")
    return await _codes(page, codes, page.say("Your old codes no longer work."))


@router.post("/profile/passkeys")
async def add_passkey(page: SettingUp, form: Fields, session: SessionDep, address: Address) -> Response:
    """Keep the passkey that the browser made (passkeys.js)."""
    name = form.get("name", "").strip()
    try:
        if not name or len(name) > 100 or not name.isprintable():
            raise Invalid.field("name", "Enter a name of 1 to 100 characters, such as the device.")
        ticket, credential = answer_of(form)
        login.bound(page.state, page.known, "add-passkey", ticket)
        _, codes = await passkeys.add(session, page.state.settings, page.user, ticket, credential, name, address)
    except Problem as error:  # before anything was changed
        return await _overview(page, session, error, "passkeys")
    return await _codes(page, codes, page.say("Passkey added. You can now sign in with it."))


@router.post("/profile/passkeys/{passkey_id}/remove")
async def remove_passkey(
    page: SettingUp, passkey_id: BigId, form: Fields, session: SessionDep, address: Address
) -> Response:
    """Sign in with it no more."""
    try:
        await login.prove(page.state, session, page.known, proof_of(form), address)
        await passkeys.remove(session, page.state.settings, page.user, passkey_id, address)
    except Problem as error:  # before anything was changed
        return await _overview(page, session, error, f"passkey-{passkey_id}")
    return page.to(HOME, said=page.say("Passkey removed."))


async def _overview(page: Page, session: AsyncSession, error: Problem | None = None, at: str = "") -> Response:
    settings = page.state.settings
    errors = field_errors(page, error, "")
    return await page.show(
        "two_factor.html",
        status_of(error),
        nav="profile",
        tab="security",
        errors=errors,
        problem=page.tell(error) if error and not errors else "",
        at=at,
        now=await two_factor.status(session, settings, page.user),
        passkeys=await passkeys.of_user(session, page.user.id),
        possible=passkeys.possible(settings),
    )


async def _app(page: Page, totp: two_factor.Totp, error: Problem | None = None) -> Response:
    errors = field_errors(page, error, "")
    return await page.show(
        "two_factor_app.html",
        status_of(error),
        nav="profile",
        tab="security",
        totp=totp,
        picture=Markup(segno.make(totp.uri, micro=False).svg_inline(omitsize=True, border=2, light="#fff")),  # noqa: S704 - segno's own
        errors=errors,
        problem=page.tell(error) if error and not errors else "",
    )


async def _codes(page: Page, codes: list[str], said: str) -> Response:
    """The recovery codes, this once; without any, the overview."""
    if not codes:
        return page.to(HOME, said=said)
    return await page.show("two_factor_codes.html", nav="profile", tab="security", codes=codes, said=said)
