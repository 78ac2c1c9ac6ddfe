"""Register, log in, log in with a provider, log out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from area import accounts
from area.accounts import providers, sessions
from area.api.connections import PAGES, Elsewhere
from area.api.paging import Page
from area.api.problems import answers
from area.api.proof import Password
from area.doors import browser, consent, login
from area.doors.deps import (
    COOKIE,
    Address,
    In,
    Line,
    SessionDep,
    SettingUp,
    Slug,
    StateDep,
    VisitorDep,
    not_foreign,
    set_cookie,
)
from area.doors.route import Route
from area.kit.problems import Forbidden, Problem

router = APIRouter(prefix="/auth", tags=["auth"], route_class=Route)


class Register(In):
    """A new account."""

    email: Line = Field(max_length=320, examples=["ann@example.org"])
    username: Line = Field(max_length=200, description="2 to 100 characters, no @", examples=["ann"])
    password: Password = Field(description="8 characters or more, 72 bytes at most")
    invitation: Line | None = Field(None, max_length=100, description="If registration requires one")
    setup_code: Line | None = Field(
        None,
        max_length=100,
        description="For the first account, if other machines can reach AREA: the code that AREA printed when it"
        " started",
    )
    timezone: Line | None = Field(None, max_length=64, description="IANA name. Default: UTC", examples=["Europe/Paris"])


class Finish(In):
    """Completes a registration whose e-mail address is confirmed first."""

    token: Line = Field(max_length=100, description="From the link in the mail", examples=["tJ3…"])
    password: Password = Field(description="The password chosen at registration")
    username: Line | None = Field(
        None, max_length=200, description="Another username, if the first one has been taken in the meantime"
    )
    timezone: Line | None = Field(None, max_length=64, description="IANA name. Default: UTC", examples=["Europe/Paris"])


class Mailed(BaseModel):
    """Where the mail was sent."""

    email: str


class LogIn(In):
    """E-mail address or username, and password."""

    login: Line = Field(max_length=320, description="E-mail address or username", examples=["ann"])
    password: Password


class LoggedIn(BaseModel):
    """The session's token, for `Authorization: Bearer`, and its user."""

    token: str
    user: accounts.UserView


@router.post(
    "/register",
    status_code=201,
    response_model=LoggedIn,
    responses=answers(400, 403, 409, 413, 422, 429) | {202: {"model": Mailed, "description": "A mail was sent"}},
    dependencies=[Depends(not_foreign)],
    summary="Register",
)
async def register(
    form: Register, request: Request, response: Response, state: StateDep, session: SessionDep, visitor: VisitorDep
) -> LoggedIn | Response:
    """Create an account and log in. The first account is always an administrator, whatever the registration mode.

    If `AREA_REGISTRATION` is `confirm` and there is no invitation, the response is 202 and a link is mailed; continue
    with `POST /api/auth/register/confirm`. If the address already has an account, its owner gets a mail that says so;
    the response is the same.
    """
    registered = await login.register(
        state,
        session,
        email=form.email,
        username=form.username,
        password=form.password,
        invitation=form.invitation,
        setup_code=form.setup_code,
        visitor=visitor,
        timezone=form.timezone,
    )
    if registered is None:
        return JSONResponse(Mailed(email=form.email).model_dump(), 202)
    token, user = registered
    set_cookie(response, request, state, token)
    return LoggedIn(token=token, user=user)


@router.post(
    "/register/confirm",
    status_code=201,
    responses=answers(400, 403, 409, 410, 413, 422, 429),
    dependencies=[Depends(not_foreign)],
    summary="Confirm a registration",
)
async def finish_registration(
    form: Finish, request: Request, response: Response, state: StateDep, session: SessionDep, visitor: VisitorDep
) -> LoggedIn:
    """Create the account with the token from the mailed link, and log in. The link works once, for 24 hours."""
    token, user = await login.finish_registration(
        state, session, form.token, form.password, visitor, username=form.username, timezone=form.timezone
    )
    set_cookie(response, request, state, token)
    return LoggedIn(token=token, user=user)


@router.post(
    "/login",
    responses=answers(400, 401, 403, 413, 422, 429),
    dependencies=[Depends(not_foreign)],
    summary="Log in",
)
async def log_in(
    form: LogIn, request: Request, response: Response, state: StateDep, session: SessionDep, visitor: VisitorDep
) -> LoggedIn:
    """Log in with an e-mail address or username, and a password.

    If the account has a second factor, the response is 401 with the code `second_factor_required`, a `ticket`, the
    available `methods` and, for a passkey, its challenge. Continue with `POST /api/auth/second-factor`.
    """
    token, user = await login.log_in(state, session, login=form.login, password=form.password, visitor=visitor)
    set_cookie(response, request, state, token)
    return LoggedIn(token=token, user=user)


@router.post("/logout", status_code=204, responses=answers(401, 403), summary="Log out")
async def log_out(identity: SettingUp, response: Response, session: SessionDep) -> None:
    """End this session."""
    await sessions.log_out(session, identity)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")


# Log-in providers


@router.get("/providers", responses=answers(), summary="List log-in providers")
async def read_providers(state: StateDep) -> Page[providers.ProviderView]:
    """The providers you can log in or sign up with on this server."""
    return Page(items=providers.offered(state.registry, state.settings))


@router.get(
    "/{provider}/authorize",
    response_model=Elsewhere,
    responses=answers(403, 404, 409, 422, 429) | PAGES,
    dependencies=[Depends(not_foreign)],
    summary="Log in with a provider",
)
async def authorize(
    provider: Slug,
    request: Request,
    response: Response,
    state: StateDep,
    session: SessionDep,
    address: Address,
    next: Annotated[Line, Query(max_length=2000, description="Where to redirect a browser afterwards")] = "/",  # noqa: A002
    link: Annotated[bool, Query(description="Not accepted: use `POST /api/me/logins/{provider}`")] = False,  # noqa: FBT002
    invitation: Annotated[Line | None, Query(max_length=100, description="If registration requires one")] = None,
) -> Elsewhere | Response:
    """The URL of the provider's page. Return from it with this response's cookie within ten minutes."""
    page, back = browser.wants_page(request), browser.local(next)
    secret = consent.new_secret()
    try:
        if link:  # older clients sent no password
            raise Forbidden("Link log-in providers in your profile. This requires your password.")
        url = await consent.log_in_address(
            state, session, provider,
            secret=secret, next=back, identity=None, invitation=invitation, address=address,
        )  # fmt: skip
    except Problem as problem:
        await session.rollback()
        if page:
            return browser.to(back, said=problem.message)
        raise
    if not page:
        consent.remember(response, request, state, secret)
        return Elsewhere(url=url)
    answer = browser.to(url)
    consent.remember(answer, request, state, secret)
    return answer
