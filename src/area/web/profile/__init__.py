"""The user's account: picture, name, language, e-mail address, API tokens and deletion."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import orjson
from fastapi import APIRouter, Request
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from area import accounts
from area.accounts import addresses, pictures, sessions
from area.accounts.views import SCOPES
from area.areas import bundles
from area.doors import login
from area.doors.browser import local
from area.doors.deps import COOKIE, Address, BigId, ScopeDep, SessionDep
from area.kit import language
from area.kit.clock import zone_names
from area.kit.problems import Invalid, Problem
from area.kit.sentences import REGIONS, gettext, zone_name
from area.sdk import Service
from area.web.parts.pages import Fields, Page, SignedIn, device_zone
from area.web.parts.proof import proof_of
from area.web.profile import avatars

router = APIRouter()


# You


@router.get("/profile")
async def profile(page: SignedIn) -> Response:
    """Picture, name, time zone, language, theme, e-mail address."""
    return await _you(page)


@router.post("/profile")
async def change(page: SignedIn, form: Fields, session: SessionDep, address: Address) -> Response:
    """Change username, time zone and language."""
    chosen = form.get("language") or None
    changes = {"username": form.get("username", ""), "timezone": form.get("timezone", ""), "language": chosen}
    # what this form left as it was, another tab may have changed meanwhile
    changes = {name: value for name, value in changes.items() if form.get(f"was.{name}") != (value or "")}
    try:
        await accounts.change_profile(session, page.user.id, changes, address)
    except Problem as error:
        await session.rollback()
        field = "username" if error.code == "conflict" else ""
        return await _you(page, error, field, you=form)
    translate = gettext(language.choose(chosen, page.request.headers.get("accept-language", "")))
    return page.to("/profile", said=translate("Saved."))


@router.post("/profile/timezone")
async def change_timezone(page: SignedIn, form: Fields, session: SessionDep, address: Address) -> Response:
    """Take the device's time zone, which differs from the account's."""
    back = local(form.get("back"))
    if (zone := device_zone(form)) is None:
        return page.to("/profile", said=page.say("Choose your time zone in the list below."))
    await accounts.change_profile(session, page.user.id, {"timezone": zone}, address)
    return page.to(back, said=page.say("Times are now shown in %(zone)s.", zone=zone_name(zone, page.language)))


@router.post("/profile/email")
async def change_email(page: SignedIn, form: Fields, session: SessionDep, address: Address) -> Response:
    """Change the e-mail address, which needs the password."""
    user_id = page.user.id
    try:
        await login.prove(page.state, session, page.known, proof_of(form), address)
        await addresses.change(session, page.state.settings, user_id, form.get("email", "")[:320], address)
    except Problem as error:
        await session.rollback()
        return await _you(page, error, "email" if error.code == "conflict" else "", email=form)
    if page.state.settings.smtp_url is None:
        return page.to("/profile", said=page.say("E-mail address changed."))
    return page.to("/profile", said=page.say("We sent a link to your new address. Open it to finish the change."))


@router.post("/profile/email/confirmation")
async def send_confirmation(page: SignedIn, session: SessionDep, address: Address) -> Response:
    """Send the confirmation link again."""
    try:
        await addresses.resend(session, page.state.settings, page.user.id, address)
    except Problem as error:  # before anything was changed
        return page.to("/profile", said=page.tell(error))
    return page.to("/profile", said=page.say("Mail sent. Open the link in it."))


@router.post("/profile/email/keep")
async def keep_email(page: SignedIn, session: SessionDep) -> Response:
    """Drop the unconfirmed address."""
    await addresses.withdraw(session, page.user.id)
    return page.to("/profile", said=page.say("Your e-mail address was not changed."))


@router.post("/profile/mails")
async def change_mails(page: SignedIn, form: Fields, session: SessionDep) -> Response:
    """Turn e-mailed notices on or off."""
    await addresses.set_mail_notices(session, page.user.id, wanted="mail_notices" in form)
    return page.to("/profile", said=page.say("Saved."))


@router.post("/profile/picture")
async def change_picture(page: SignedIn, request: Request, session: SessionDep, address: Address) -> Response:
    """Upload a picture; what was there before is removed."""
    try:
        content = await avatars.received(request, "picture")
        small = await pictures.shrink(content)
    except Problem as error:
        return await _you(page, error, "picture")
    await accounts.change_picture(session, page.user.id, small, address)
    return page.to("/profile", said=page.say("Picture updated."))


@router.post("/profile/picture/remove")
async def remove_picture(page: SignedIn, session: SessionDep, address: Address) -> Response:
    """Remove the picture; initials are shown again."""
    await accounts.change_picture(session, page.user.id, None, address)
    return page.to("/profile", said=page.say("Picture removed."))


async def _you(
    page: Page,
    error: Problem | None = None,
    field: str = "",
    *,
    you: Mapping[str, str] | None = None,
    email: Mapping[str, str] | None = None,
) -> Response:
    errors = field_errors(page, error, field)
    user = page.user
    async with page.state.database.statements() as look:  # the request's own session is over when it was rolled back
        email_view = await addresses.view(look, page.state.settings, user.id)
    return await page.show(
        "profile.html",
        status_of(error),
        nav="profile",
        tab="you",
        errors=errors,
        problem=page.tell(error) if error and not errors else "",
        you={"username": user.username, "timezone": user.timezone, "language": user.language or "", **(you or {})},
        was={"username": user.username, "timezone": user.timezone, "language": user.language or ""},
        email=(email or {}).get("email", user.email),
        address=email_view,
        zones=_zones(),
    )


def _zones() -> dict[str, list[str]]:
    """Names of time zones by their part of the world."""
    by_continent: dict[str, list[str]] = {"": ["UTC"]}
    for name in sorted(zone_names()):
        region, slash, _ = name.partition("/")
        if slash and region in REGIONS:
            by_continent.setdefault(region, []).append(name)
    return by_continent


# API tokens


@router.get("/profile/tokens")
async def tokens(page: SignedIn, session: SessionDep) -> Response:
    """The API tokens."""
    return await _tokens(page, session)


@router.post("/profile/tokens")
async def make_token(page: SignedIn, form: Fields, session: SessionDep, address: Address) -> Response:
    """Create an API token; needs the password. It is shown only in this response."""
    name, end = form.get("name", "").strip(), form.get("expires_at", "")
    try:
        if not name or len(name) > 255 or not name.isprintable():
            raise Invalid.field("name", "Enter a name of 1 to 255 characters, such as the program that uses it.")
        scope = form.get("scope", "")
        if scope not in SCOPES:
            raise Invalid.field("scope", "Choose what the token can do.")
        expires_at = _end_of(end, page.user.timezone)
        await login.prove(page.state, session, page.known, proof_of(form), address)
        token, _ = await sessions.create_token(
            session, page.user, name=name, scope=scope, expires_at=expires_at, address=address
        )
    except Problem as error:  # before anything was changed
        return await _tokens(page, session, error, typed=form)
    return await _tokens(page, session, made=token)


@router.post("/profile/tokens/{token_id}/revoke")
async def revoke_token(page: SignedIn, token_id: BigId, session: SessionDep, address: Address) -> Response:
    """Revoke an API token."""
    await sessions.revoke(session, page.user.id, "api", token_id, address)
    return page.to("/profile/tokens", said=page.say("Token revoked."))


async def _tokens(
    page: Page,
    session: AsyncSession,
    error: Problem | None = None,
    *,
    typed: Mapping[str, str] | None = None,
    made: str = "",
) -> Response:
    errors = field_errors(page, error, "")
    return await page.show(
        "_profile_tokens.html" if page.partial else "profile_tokens.html",
        status_of(error),
        nav="profile",
        tab="tokens",
        errors=errors,
        problem=page.tell(error) if error and not errors else "",
        typed=typed or {},
        made=made,
        tokens=await sessions.access(session, page.user.id, "api"),
        scopes=SCOPES if page.user.is_admin else SCOPES[:-1],
        today=datetime.now(ZoneInfo(page.user.timezone)).date().isoformat(),
    )


def _end_of(day: str, zone: str) -> datetime | None:
    """The last second of a day in the user's time zone; nothing for no day."""
    if not day:
        return None
    try:
        end = datetime.combine(datetime.fromisoformat(day).date(), time(23, 59, 59), ZoneInfo(zone))
        return end.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid.field("expires_at", "Enter a valid date.") from None


# Taking things along, and leaving


@router.get("/profile/data")
async def data(page: SignedIn) -> Response:
    """Data export and account deletion."""
    return await show_data(page)


@router.get("/profile/export")
async def export(page: SignedIn, scope: ScopeDep, session: SessionDep) -> Response:
    """Export all AREAs as a file, without secrets."""
    bundle = {"areas": [area.model_dump(mode="json") for area in await bundles.export(session, scope, page.user.id)]}
    headers = {"Content-Disposition": 'attachment; filename="areas.json"'}
    return Response(orjson.dumps(bundle, option=orjson.OPT_INDENT_2), media_type="application/json", headers=headers)


@router.post("/profile/delete")
async def delete(page: SignedIn, form: Fields, session: SessionDep, address: Address) -> Response:
    """Delete the account and all its data."""
    user = page.user
    try:
        if form.get("username", "").strip() != user.username:
            raise Invalid.field("username", "Type your username exactly as shown.")
        await login.prove(page.state, session, page.known, proof_of(form), address)
        await accounts.delete_account(session, user.id, address)
    except Problem as error:
        await session.rollback()
        return await show_data(page, error)
    page.identity = None
    response = page.to("/sign-in", said=page.say("Your account was deleted."))
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")
    return response


async def show_data(
    page: Page,
    error: Problem | None = None,
    *,
    import_problems: Sequence[str] = (),
    import_text: str = "",
    import_report: Mapping[str, Sequence[str]] | None = None,
    import_needs: Sequence[Service] = (),
) -> Response:
    """Data export and import, and account deletion. `import_report` is what importing `import_text` would do, and
    `import_needs` are the services to connect for it.
    """
    errors = field_errors(page, error, "")
    return await page.show(
        "profile_data.html",
        422 if import_problems else status_of(error),
        import_problems=import_problems,
        import_text=import_text,
        import_report=import_report,
        import_needs=import_needs,
        nav="profile",
        tab="data",
        errors=errors,
        problem=page.tell(error) if error and not errors else "",
    )


# Small things


def field_errors(page: Page, error: Problem | None, field: str) -> dict[str, str]:
    """Errors by field; a problem without one is shown at `field`, if given."""
    if error is None:
        return {}
    named = page.errors_of(error)
    return named or ({field: page.tell(error)} if field else {})


def status_of(error: Problem | None) -> int:
    """HTTP status for these errors."""
    return error.status if error else 200
