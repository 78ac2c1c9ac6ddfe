"""First run, sign in, sign up, sign out."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from area import accounts, providers
from area.accounts import sessions
from area.doors import login
from area.doors.browser import local
from area.doors.deps import COOKIE, Address, SessionDep, client_name, set_cookie
from area.kit.problems import Forbidden, Problem, Unauthenticated
from area.web.pages import Fields, Page, Visit

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


@router.get("/sign-in")
async def sign_in_page(page: Visit, session: SessionDep, next: str = "/") -> Response:  # noqa: A002 - the address says so
    """Sign in."""
    if page.identity is not None:
        return page.to(local(next))
    if not await accounts.anybody(session):
        return page.to("/")
    return await page.show("sign_in.html", values={}, problem="", next=local(next), ways=_ways(page))


@router.post("/sign-in")
async def sign_in(page: Visit, form: Fields, request: Request, session: SessionDep, address: Address) -> Response:
    """Begin a session."""
    back = local(form.get("next"))
    try:
        token, _ = await login.log_in(
            page.state,
            session,
            login=form.get("login", "")[:320],
            password=form.get("password", "")[:1024],
            client=client_name(request),
            address=address,
        )
    except (Unauthenticated, Forbidden) as error:
        return await page.show("sign_in.html", 422, values=form, problem=page.tell(error), next=back, ways=_ways(page))
    except Problem as error:
        return await page.show(
            "sign_in.html", error.status, values=form, problem=page.tell(error), next=back, ways=_ways(page)
        )
    response = page.to(back)
    set_cookie(response, request, page.state, token)
    return response


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
async def sign_up(page: Visit, form: Fields, request: Request, session: SessionDep, address: Address) -> Response:
    """Make an account, and begin a session; the first one is the administrator's."""
    back = local(form.get("next"))
    async with page.state.database.statements() as first_look:  # a connection is not held while the password is hashed
        first = not await accounts.anybody(first_look)
    try:
        token, _ = await login.register(
            page.state,
            session,
            email=form.get("email", "")[:320],
            username=form.get("username", "")[:200],
            password=form.get("password", "")[:1024],
            invitation=form.get("invitation") or None,
            setup_code=form.get("setup_code", "")[:100],
            client=client_name(request),
            address=address,
        )
    except Problem as error:
        await session.rollback()
        errors = {one["field"]: page.say(one["message"]) for one in getattr(error, "errors", [])}
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
    response = page.to(back)
    set_cookie(response, request, page.state, token)
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
