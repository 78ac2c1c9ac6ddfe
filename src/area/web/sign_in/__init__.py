"""First run, sign in, sign up, sign out."""

from typing import Any
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Request
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from area import accounts
from area.accounts import passkeys, providers, sessions, tickets
from area.doors import login
from area.doors.browser import local
from area.doors.deps import COOKIE, TICKET, SessionDep, VisitorDep, keep, set_cookie
from area.kit.problems import Forbidden, Gone, Problem, SecondFactorRequired, Unauthenticated
from area.web.parts.pages import Fields, Page, Visit, device_zone
from area.web.parts.proof import answer_of

router = APIRouter()


async def first_run(page: Page) -> Response:
    """The page that an empty installation begins with."""
    return await page.show(
        "sign_up.html", first=True, values={}, errors={}, problem="", invitation="", next="/", ways=_first_ways(page)
    )


def _ways(page: Page) -> list[providers.ProviderView]:
    """The providers that one may come in with."""
    return providers.offered(page.state.registry, page.state.settings)


def _first_ways(page: Page) -> list[providers.ProviderView]:
    """Those that the first account can be made with: none where it needs the set-up code."""
    return [] if page.state.settings.is_reachable else _ways(page)


def _ways_in(page: Page) -> dict[str, Any]:
    return {"ways": _ways(page), "passkeys": passkeys.possible(page.state.settings)}


@router.get("/sign-in")
async def sign_in_page(page: Visit, session: SessionDep, next: str = "/") -> Response:  # noqa: A002 - the address says so
    """Sign in."""
    if page.identity is not None:
        return page.to(local(next))
    if not await accounts.anybody(session):
        return page.to("/")
    return await page.show("sign_in.html", values={}, problem="", next=local(next), **_ways_in(page))


@router.post("/sign-in")
async def sign_in(page: Visit, form: Fields, request: Request, session: SessionDep, visitor: VisitorDep) -> Response:
    """Begin a session, or go on to the second factor."""
    back = local(form.get("next"))
    try:
        token, _ = await login.log_in(
            page.state,
            session,
            login=form.get("login", "")[:320],
            password=form.get("password", "")[:1024],
            visitor=visitor,
        )
    except SecondFactorRequired as needed:
        response = page.to(f"/sign-in/second-factor?next={quote(back)}")
        keep(response, request, page.state, TICKET, needed.ticket, int(tickets.GOOD_FOR.total_seconds()))
        return response
    except (Unauthenticated, Forbidden) as error:
        return await page.show("sign_in.html", 422, values=form, problem=page.tell(error), next=back, **_ways_in(page))
    except Problem as error:
        return await page.show(
            "sign_in.html", error.status, values=form, problem=page.tell(error), next=back, **_ways_in(page)
        )
    response = page.to(back)
    set_cookie(response, request, page.state, token)
    return response


@router.get("/sign-in/second-factor")
async def second_factor_page(page: Visit, request: Request, session: SessionDep, next: str = "/") -> Response:  # noqa: A002
    """Ask for the second factor."""
    return await _second(page, request, session, local(next))


@router.post("/sign-in/second-factor")
async def second_factor(
    page: Visit, form: Fields, request: Request, session: SessionDep, visitor: VisitorDep
) -> Response:
    """Show the second factor, and begin the session."""
    back, ticket = local(form.get("next")), request.cookies.get(TICKET, "")[:1000]
    try:
        credential = None
        if form.get("passkey"):
            ticket, credential = answer_of(form)
        token, _ = await login.second_factor(
            page.state, session, ticket, visitor, code=form.get("code", "")[:100], passkey=credential
        )
    except Gone as error:
        await session.rollback()
        return page.to(f"/sign-in?next={quote(back)}", said=page.tell(error))
    except Problem as error:
        async with page.state.database.transaction() as fresh:  # what was done in the request's is undone
            return await _second(page, request, fresh, back, error)
    response = page.to(back)
    set_cookie(response, request, page.state, token)
    response.delete_cookie(TICKET, path="/", httponly=True, samesite="lax")
    return response


async def _second(
    page: Page, request: Request, session: AsyncSession, back: str, error: Problem | None = None
) -> Response:
    try:
        options = await login.second_options(page.state, session, request.cookies.get(TICKET, "")[:1000])
    except Gone as gone:
        return page.to(f"/sign-in?next={quote(back)}", said=page.tell(gone))
    app, codes = "app" in options.methods, "recovery_code" in options.methods
    return await page.show(
        "second_factor.html",
        error.status if error else 200,
        problem=page.tell(error) if error else "",
        next=back,
        codes=app or codes,
        hint=page.say("From your authenticator app, or a recovery code")
        if app and codes
        else page.say("From your authenticator app")
        if app
        else page.say("One of your recovery codes"),
        asked=orjson.dumps({"ticket": options.ticket, "options": options.passkey}).decode() if options.passkey else "",
    )


@router.get("/sign-up")
async def sign_up_page(page: Visit, session: SessionDep, invitation: str = "", next: str = "/") -> Response:  # noqa: A002
    """Make an account, where that is open or one is invited."""
    if page.identity is not None or not await accounts.anybody(session):
        return page.to("/")
    return await page.show(
        "sign_up.html",
        first=False,
        values={},
        errors={},
        problem="",
        invitation=invitation,
        next=local(next),
        ways=_ways(page),
    )


@router.post("/sign-up")
async def sign_up(page: Visit, form: Fields, request: Request, session: SessionDep, visitor: VisitorDep) -> Response:
    """Make an account, and begin a session, or mail a link that does; the first account is the administrator's."""
    back = local(form.get("next"))
    async with page.state.database.statements() as first_look:  # a connection is not held while the password is hashed
        first = not await accounts.anybody(first_look)
    try:
        registered = await login.register(
            page.state,
            session,
            email=form.get("email", "")[:320],
            username=form.get("username", "")[:200],
            password=form.get("password", "")[:1024],
            invitation=form.get("invitation") or None,
            setup_code=form.get("setup_code", "")[:100],
            visitor=visitor,
            language=page.language,
            timezone=device_zone(form),
        )
    except Problem as error:
        await session.rollback()
        errors = page.errors_of(error)
        return await page.show(
            "sign_up.html",
            422 if error.status < 429 else error.status,
            first=first,
            values={name: value for name, value in form.items() if name != "password"},
            errors=errors,
            problem="" if errors else page.tell(error),
            invitation=form.get("invitation", ""),
            next=back,
            ways=_first_ways(page) if first else _ways(page),
        )
    if registered is None:
        return await page.show("check_mail.html", 202, email=form.get("email", "").strip())
    response = page.to(back)
    set_cookie(response, request, page.state, registered[0])
    return response


@router.post("/sign-out")
async def sign_out(page: Visit, session: SessionDep) -> Response:
    """End this session."""
    if page.identity is not None:
        await sessions.log_out(session, page.identity)
        page.identity = None
    response = page.to("/sign-in")
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")
    return response
