"""Register, log in, log out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from area import accounts
from area.api.problems import answers
from area.doors import login
from area.doors.body import Route
from area.doors.deps import (
    COOKIE,
    Address,
    In,
    InPerson,
    Line,
    SessionDep,
    StateDep,
    client_name,
    not_foreign,
    set_cookie,
)

router = APIRouter(prefix="/auth", tags=["auth"], route_class=Route)

Password = Annotated[str, Field(max_length=1024, examples=["correct horse battery"])]


class Register(In):
    """A new account."""

    email: Line = Field(max_length=320, examples=["ann@example.org"])
    username: Line = Field(max_length=200, description="2 to 100 characters, no @", examples=["ann"])
    password: Password = Field(description="8 characters or more, 72 bytes at most")
    invitation: Line | None = Field(None, max_length=100, description="Where registration needs one")


class LogIn(In):
    """Who one is, and the proof."""

    login: Line = Field(max_length=320, description="E-mail address or username", examples=["ann"])
    password: Password


class LoggedIn(BaseModel):
    """A session's token, for `Authorization: Bearer`, and whose it is."""

    token: str
    user: accounts.UserView


@router.post(
    "/register",
    status_code=201,
    responses=answers(400, 403, 409, 413, 422, 429),
    dependencies=[Depends(not_foreign)],
    summary="Register",
)
async def register(
    form: Register, request: Request, response: Response, state: StateDep, session: SessionDep, address: Address
) -> LoggedIn:
    """Make an account and log in. The first account is the administrator's, whatever the registration mode."""
    token, user = await login.register(
        state,
        session,
        email=form.email,
        username=form.username,
        password=form.password,
        invitation=form.invitation,
        client=client_name(request),
        address=address,
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
    form: LogIn, request: Request, response: Response, state: StateDep, session: SessionDep, address: Address
) -> LoggedIn:
    """Begin a session by e-mail address or username."""
    token, user = await login.log_in(
        state, session, login=form.login, password=form.password, client=client_name(request), address=address
    )
    set_cookie(response, request, state, token)
    return LoggedIn(token=token, user=user)


@router.post("/logout", status_code=204, responses=answers(401, 403), summary="Log out")
async def log_out(identity: InPerson, response: Response, session: SessionDep) -> None:
    """End this session."""
    await accounts.log_out(session, identity)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")
