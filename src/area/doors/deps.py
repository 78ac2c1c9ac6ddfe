"""Dependencies of the routes: the process's state, a session, the user, the client's address. All are `async`, even
without awaiting, because FastAPI runs plain functions in a thread.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Path, Request, Response
from fastapi.security import APIKeyCookie, HTTPBearer
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, StringConstraints
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection

from area import areas
from area.accounts import Identity, sessions, two_factor
from area.accounts.views import Scope
from area.doors.front import is_trusted
from area.engine.cache import Cache
from area.engine.state import State
from area.kit.crypto import new_token
from area.kit.fair import set_whose, user
from area.kit.problems import Forbidden, TwoFactorSetupRequired, Unauthenticated
from area.kit.sentences import Sentence
from area.kit.text import UNPRINTABLE

COOKIE = "area_session"
DEVICE = "area_device"  # identifies browsers that have signed in before
TICKET = "area_ticket"  # for the page that asks for the second factor
DEVICE_DAYS = 400  # browsers' limit for cookies
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
PRINTABLE = f"^[^{UNPRINTABLE}]*$"

Line = Annotated[str, StringConstraints(pattern=PRINTABLE)]


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # the last hours of the year 9999 overflow in other time zones
        raise ValueError(Sentence("This date is out of range.")) from None


Moment = Annotated[AwareDatetime, AfterValidator(_utc)]
Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
BigId = Annotated[int, Path(ge=1, le=2**63 - 1)]
Slug = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]*$", max_length=64, examples=["rss"])]


class In(BaseModel):
    """Base of request bodies: unknown keys are rejected."""

    model_config = ConfigDict(extra="forbid")


async def state(request: Request) -> State:
    """The process's open resources."""
    opened: State = request.app.state.area
    return opened


StateDep = Annotated[State, Depends(state)]


async def cache(request: Request) -> Cache:
    """The process's cache of connections."""
    connections: Cache = request.app.state.cache
    return connections


CacheDep = Annotated[Cache, Depends(cache)]


async def session(request: Request, state: StateDep) -> AsyncIterator[AsyncSession]:
    """One transaction per request: committed when the route returns, rolled back when it raises. Nothing else commits.

    Takes a connection only at its first statement. Audit entries made in it have the client's address.
    """
    async with state.database.transaction() as session:
        session.info["address"] = client_address(request, state)
        yield session


# scope="function": committed before the response is sent, so that clients can read their writes
SessionDep = Annotated[AsyncSession, Depends(session, scope="function")]


async def scope(state: StateDep) -> areas.Scope:
    """What the AREAs' functions need."""
    return state.scope


ScopeDep = Annotated[areas.Scope, Depends(scope)]


# Client address


async def address(request: Request, state: StateDep) -> str:
    """The client's address. Only entries of `X-Forwarded-For` written by trusted proxies count."""
    return client_address(request, state)


def client_address(request: HTTPConnection, state: State) -> str:
    """`address`, outside of FastAPI's dependencies."""
    here = request.client.host if request.client else "unknown"
    proxies = state.settings.trusted_proxies
    hops = [hop.strip() for hop in ",".join(request.headers.getlist("x-forwarded-for")).split(",") if hop.strip()]
    while hops and is_trusted(here, proxies):
        here = hops.pop()  # each proxy appends its client's address
    return here[:64]


Address = Annotated[str, Depends(address)]


# Authentication


_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="A session's or an API token.")
_cookie = APIKeyCookie(
    name=COOKIE,
    auto_error=False,
    scheme_name="cookie",
    description="A browser's session, for requests of the same origin.",
)


async def unenforced(
    request: Request, response: Response, state: StateDep, _one: Annotated[object, Depends(_bearer)] = None,
    _other: Annotated[object, Depends(_cookie)] = None,
) -> Identity:  # fmt: skip
    """The logged-in user, by bearer token or cookie. Raises `Unauthenticated`.

    Uses its own transaction, which ends before the route starts: otherwise a route that waits for another server would
    keep the session's row locked.
    """
    token, by_cookie = token_of(request)
    identity = None
    if token:
        async with state.database.transaction() as session:
            identity = await sessions.authenticate(session, state.settings, token)
    if identity is None:
        if token:
            raise Unauthenticated("This session or token is invalid or has expired. Log in again.")
        raise Unauthenticated
    set_whose(user(identity.user.id))
    request.state.language = identity.user.language
    if by_cookie:
        if request.method not in SAFE and not same_origin(request, state):
            raise Forbidden("This request didn't come from AREA's own pages.")
        if identity.renewed:
            set_cookie(response, request, state, token)
    return identity


async def identified(identity: "Unenforced", state: StateDep) -> Identity:
    """The logged-in user, with the second factor if it is required.

    API tokens are exempt: programs have no second factor, and creating a token takes a session.
    """
    if (
        identity.kind == "session"
        and not identity.user.two_factor
        and two_factor.required(state.settings, identity.user)
    ):
        raise TwoFactorSetupRequired
    return identity


async def setting_up(identity: "Unenforced") -> Identity:
    """The logged-in user with a session, even without the required second factor, in order to add it."""
    if identity.kind != "session":
        raise Forbidden("API tokens can't do this. Log in with a password.")
    return identity


def token_of(request: Request) -> tuple[str, bool]:
    """The request's token, or none, and whether it came from the cookie. A header, even a wrong one, takes precedence
    over the cookie.
    """
    header = request.headers.get("authorization")
    if header is None:
        return session_cookie(request), True
    kind, _, token = header.partition(" ")
    return (token.strip()[:500] if kind.lower() == "bearer" else ""), False


def session_cookie(request: Request) -> str:
    """The session token in a browser's cookie, or none. API tokens are not accepted in cookies."""
    token = request.cookies.get(COOKIE, "")[:500]
    return token if token.startswith(sessions.PREFIX["session"]) else ""


async def someone(request: Request, identity: "Identified") -> Identity:
    """The logged-in user. An API token needs the scope `read` for reading and `manage` for everything else."""
    return within(identity, "read" if request.method in SAFE else "manage")


async def runner(identity: "Identified") -> Identity:
    """A user who can start, repeat and cancel runs."""
    return within(identity, "run")


async def manager(identity: "Identified") -> Identity:
    """A user who can change AREAs and connections, even by a GET request."""
    return within(identity, "manage")


def within(identity: Identity, scope: Scope) -> Identity:
    """The user, if the scope allows it. Raises `Forbidden`."""
    if not identity.allows(scope):
        raise Forbidden(
            "This API token can't do this. It has the scope %(scope)s; this needs %(needed)s.",
            scope=identity.scope,
            needed=scope,
        )
    return identity


async def in_person(identity: "Identified") -> Identity:
    """The user with a session: an API token must not create credentials that outlive its own revocation."""
    if identity.kind != "session":
        raise Forbidden("API tokens can't do this. Log in with a password.")
    return identity


async def admin(identity: "Identified") -> Identity:
    """An administrator; an API token needs the scope `admin`."""
    if not identity.user.is_admin:
        raise Forbidden("Only administrators can do this.")
    return within(identity, "admin")


async def admin_in_person(identity: "InPerson") -> Identity:
    """An administrator with a session."""
    return await admin(identity)


Unenforced = Annotated[Identity, Depends(unenforced)]
SettingUp = Annotated[Identity, Depends(setting_up)]
Identified = Annotated[Identity, Depends(identified)]
Someone = Annotated[Identity, Depends(someone)]
Runner = Annotated[Identity, Depends(runner)]
Manager = Annotated[Identity, Depends(manager)]
InPerson = Annotated[Identity, Depends(in_person)]
Admin = Annotated[Identity, Depends(admin)]
AdminInPerson = Annotated[Identity, Depends(admin_in_person)]


# Browsers


def same_origin(request: Request, state: State, *, unknown: bool = False) -> bool:
    """Whether one of our pages sent this, by headers that pages can't change; `unknown` if there are none.

    `Host` is one of our names (`area.doors.front`). If the public URL is https, a page of the same host over plain http
    isn't ours.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    if origin is None:
        return unknown
    try:
        ours = urlsplit(state.settings.base_url)
        theirs = urlsplit(origin)
    except ValueError:
        return False
    if theirs.netloc == ours.netloc:
        return theirs.scheme == ours.scheme
    return theirs.scheme in ("http", "https") and theirs.netloc == request.headers.get("host", "")


def not_foreign(request: Request, state: StateDep) -> None:
    """Reject a foreign page that tries to log a browser in to an account of its choice."""
    if not same_origin(request, state, unknown=True):
        raise Forbidden("This request didn't come from AREA's own pages.")


def set_cookie(response: Response, request: Request, state: State, token: str) -> None:
    """Set a browser's session cookie and, after a log-in, the cookie that identifies the browser."""
    keep(response, request, state, COOKIE, token, state.settings.session_days * 86400)
    if device := getattr(request.state, "device", ""):
        keep(response, request, state, DEVICE, device, DEVICE_DAYS * 86400)


def keep(response: Response, request: Request, state: State, name: str, value: str, seconds: int) -> None:
    """Set a cookie that only the server reads."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        secure=state.settings.base_url.startswith("https://") or request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


@dataclass(frozen=True, slots=True)
class Visitor:
    """The client: its user agent, its address, and its browser cookie."""

    client: str
    address: str
    device: str = field(default="", repr=False)


async def visitor(request: Request, address: Address) -> Visitor:
    """The client that wants to sign in."""
    request.state.device = request.cookies.get(DEVICE, "")[:100] or new_token()
    return Visitor(client_name(request), address, request.state.device)


VisitorDep = Annotated[Visitor, Depends(visitor)]


def client_name(request: Request) -> str:
    """The session's name in lists: the user agent."""
    name = request.headers.get("user-agent", "")
    return "".join(letter for letter in name if letter.isprintable())[:255] or "unknown"
