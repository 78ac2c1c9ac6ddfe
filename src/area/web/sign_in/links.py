"""Pages behind e-mail links, and the forgotten password form. Opening a link changes nothing: mail scanners do."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from area import mail
from area.accounts import addresses, reset, signups
from area.doors import browser, login
from area.doors.deps import Address, SessionDep, StateDep, VisitorDep, set_cookie
from area.kit import crypto
from area.kit.problems import Gone, Problem
from area.mail import Purpose
from area.web.parts.pages import Fields, Page, Visit, device_zone

router = APIRouter()

MAX_TOKEN = 500  # characters


async def stranger(request: Request, state: StateDep) -> Page:
    """Anybody's visit, without a look at their session or at where they come from: the link says all."""
    return Page(request, state, None, browser.language_of(request))


Stranger = Annotated[Page, Depends(stranger)]


# A forgotten password


@router.get("/forgot-password")
async def forgot_page(page: Visit) -> Response:
    """Ask for the address."""
    return await page.show("forgot_password.html", email="", errors={}, problem="", done=False)


@router.post("/forgot-password")
async def forgot(page: Visit, form: Fields, session: SessionDep, address: Address) -> Response:
    """Have a link mailed. What is shown does not depend on whether there is such an account."""
    email = form.get("email", "")[:320]
    try:
        await reset.ask(session, page.state.settings, email, address)
    except Problem as error:
        errors = page.errors_of(error)
        problem = "" if errors else page.tell(error)
        return await page.show(
            "forgot_password.html", error.status, email=email, errors=errors, problem=problem, done=False
        )
    return await page.show("forgot_password.html", email=email, errors={}, problem="", done=True)


@router.get("/reset-password")
async def reset_page(page: Visit, session: SessionDep, token: str = "") -> Response:
    """Ask for the new password."""
    if not await addresses.is_valid(session, token[:MAX_TOKEN], "reset"):
        return await _over(page, "/forgot-password", page.say("Request a new link"))
    return await page.show("reset_password.html", token=token, errors={}, problem="")


@router.post("/reset-password")
async def reset_password(page: Visit, form: Fields, session: SessionDep, address: Address) -> Response:
    """Set the new password."""
    token = form.get("token", "")[:MAX_TOKEN]
    try:
        await login.reset_password(
            page.state,
            session,
            token,
            form.get("new_password", "")[:1024],
            tokens="revoke_tokens" in form,
            address=address,
        )
    except Gone:
        await session.rollback()
        return await _over(page, "/forgot-password", page.say("Request a new link"))
    except Problem as error:
        await session.rollback()
        errors = page.errors_of(error)
        problem = "" if errors else page.tell(error)
        return await page.show("reset_password.html", error.status, token=token, errors=errors, problem=problem)
    return page.to("/sign-in", said=page.say("Password changed. Sign in with the new one."))


# A new account


@router.get("/finish-sign-up")
async def finish_page(page: Visit, session: SessionDep, token: str = "") -> Response:
    """Ask for the password that was chosen."""
    token = token[:MAX_TOKEN]
    try:
        pending = await signups.find(session, token)
    except Gone as error:
        return await _expired(page, error)
    return await _finish(page, token, pending.email, pending.username)


@router.post("/finish-sign-up")
async def finish(page: Visit, form: Fields, request: Request, session: SessionDep, visitor: VisitorDep) -> Response:
    """Make the account, and begin a session."""
    token, username = form.get("token", "")[:MAX_TOKEN], form.get("username", "")[:200]
    try:
        opened, _ = await login.finish_registration(
            page.state,
            session,
            token,
            form.get("password", "")[:1024],
            visitor,
            username=username,
            timezone=device_zone(form),
        )
    except Problem as error:
        await session.rollback()
        async with page.state.database.transaction() as looking:
            try:
                pending = await signups.find(looking, token)
            except Gone as gone:
                return await _expired(page, gone)
        return await _finish(page, token, pending.email, username, error)
    response = page.to("/")
    set_cookie(response, request, page.state, opened)
    return response


async def _finish(page: Page, token: str, email: str, username: str, error: Problem | None = None) -> Response:
    errors = page.errors_of(error)
    problem = page.tell(error) if error and not errors else ""
    return await page.show(
        "finish_sign_up.html",
        error.status if error else 200,
        token=token,
        email=email,
        username=username,
        errors=errors,
        problem=problem,
    )


async def _expired(page: Page, error: Gone) -> Response:
    title, button = page.say("Link expired"), page.say("Sign up again")
    return await _done(page, title, page.tell(error), 410, to="/sign-up", button=button)


# An e-mail address


@router.get("/confirm-email")
async def confirm_page(page: Visit, session: SessionDep, token: str = "") -> Response:
    """Ask whether to confirm the address."""
    return await _ask(
        page, session, token, ("confirm", "change"),
        title=page.say("Confirm your e-mail address"),
        text=page.say("Confirm that this mailbox is yours."),
        button=page.say("Confirm address"),
    )  # fmt: skip


@router.post("/confirm-email")
async def confirm(page: Visit, form: Fields, session: SessionDep, address: Address) -> Response:
    """Confirm address."""
    try:
        email = await addresses.confirm(session, form.get("token", "")[:MAX_TOKEN], address)
    except Problem as error:
        await session.rollback()
        return await _done(page, page.say("Confirm your e-mail address"), page.tell(error), error.status)
    message = page.say("%(email)s is confirmed.", email=email)
    return await _done(page, page.say("Confirm your e-mail address"), message)


@router.get("/undo-email-change")
async def undo_page(page: Visit, session: SessionDep, token: str = "") -> Response:
    """Ask whether to take the change back."""
    return await _ask(
        page, session, token, ("undo",),
        title=page.say("Cancel the change of your e-mail address"),
        text=page.say(
            "Your account keeps this address."
            " All sessions and API tokens end, so whoever started the change loses access."
        ),
        button=page.say("Cancel the change and sign out everywhere"),
    )  # fmt: skip


@router.post("/undo-email-change")
async def undo(page: Visit, form: Fields, session: SessionDep, address: Address) -> Response:
    """Take the change back."""
    title = page.say("Cancel the change of your e-mail address")
    try:
        email = await addresses.undo(session, form.get("token", "")[:MAX_TOKEN], address)
    except Problem as error:
        await session.rollback()
        return await _done(page, title, page.tell(error), error.status)
    page.identity = None
    message = page.say(
        "The address of your account is %(email)s. Set a new password now: someone may know the old one.", email=email
    )
    return await _done(page, title, message, to="/forgot-password", button=page.say("Set a new password"))


# Notices by mail


@router.get("/unsubscribe")
async def unsubscribe_page(page: Stranger, token: str = "") -> Response:
    """Ask whether to end the mails."""
    title = page.say("Notices by mail")
    try:
        page.state.keyring.unsign(token[:MAX_TOKEN], mail.UNSUBSCRIBE)
    except crypto.BadSignature:
        return await _done(
            page, title, page.say("This link is invalid. You can turn these mails off in your profile."), 410
        )
    return await page.show(
        "link.html",
        title=title,
        text=page.say("Stop receiving warnings and errors from your inbox by mail? They stay in your inbox."),
        button=page.say("Stop these mails"),
        action=page.request.url.path,
        token=token,
    )


@router.post("/unsubscribe")
async def unsubscribe(page: Stranger, form: Fields, session: SessionDep, token: str = "") -> Response:
    """End the mails. Mail programs call this by themselves when their user presses a button (RFC 8058)."""
    title = page.say("Notices by mail")
    try:
        await addresses.unsubscribe(session, page.state.keyring, (form.get("token") or token)[:MAX_TOKEN])
    except Gone as error:
        return await _done(page, title, page.tell(error), error.status)
    message = page.say("You will no longer get these mails. Turn them back on in your profile.")
    return await _done(page, title, message, to="/profile", button=page.say("Open profile"))


# Small pages


async def _ask(
    page: Page, session: AsyncSession, token: str, purposes: tuple[Purpose, ...], *, title: str, text: str, button: str
) -> Response:
    token = token[:MAX_TOKEN]
    if not await addresses.is_valid(session, token, *purposes):
        return await _over(page, "/profile", page.say("Open profile"))
    action = page.request.url.path
    return await page.show("link.html", title=title, text=text, button=button, action=action, token=token)


async def _over(page: Page, to: str, button: str) -> Response:
    return await _done(page, page.say("Link expired"), page.tell(addresses.over()), 410, to=to, button=button)


async def _done(page: Page, title: str, text: str, status: int = 200, *, to: str = "/", button: str = "") -> Response:
    button = button or page.say("Open AREA")
    return await page.show("link.html", status, title=title, text=text, button=button, to=to, token="")
