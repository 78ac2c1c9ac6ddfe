"""A session at a personal data server: begun with an app password, refreshed, and shared by all that runs in this process."""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import orjson
from pydantic import AfterValidator, BaseModel, Field, SecretStr

from area.sdk import Access, AuthExpired, Context, Response, parse

MOST = 1000  # sessions that are kept
OVER = {"ExpiredToken", "InvalidToken"}


def _origin(text: str) -> str:
    parts = urlsplit(text if "://" in text else f"https://{text.strip()}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("It must be the address of a server, such as https://bsky.social.")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class Login(BaseModel):
    """An account, and a password made for AREA."""

    handle: str = Field(min_length=3, description="Your handle, or your e-mail address", examples=["ada.bsky.social"])
    app_password: SecretStr = Field(
        description="App password, made under Settings, Privacy and security", examples=["abcd-efgh-ijkl-mnop"]
    )
    server: Annotated[str, AfterValidator(_origin)] = Field(
        "https://bsky.social", description="Server of your account, if it is another", examples=["https://bsky.social"]
    )


class Session(BaseModel):
    """What the server gives."""

    access: SecretStr = Field(alias="accessJwt")
    refresh: SecretStr = Field(alias="refreshJwt")
    did: str


# an account may begin 300 sessions a day, at some servers 100: https://docs.bsky.app/docs/advanced-guides/rate-limits
_sessions: dict[str, Session] = {}
_locks: dict[str, asyncio.Lock] = {}


def access(login: Login) -> Access:
    """Where the server is; what lets requests in is the session's."""
    return Access(base_url=login.server, secrets=(login.app_password.get_secret_value(),))


async def begin(ctx: Context, login: Login) -> Session:
    """A new session. Raises `AuthExpired` when the password is wrong."""
    given = {"identifier": login.handle.strip().removeprefix("@"), "password": login.app_password.get_secret_value()}
    # https://docs.bsky.app/docs/api/com-atproto-server-create-session
    return parse(Session, await ctx.http.call("POST", "/xrpc/com.atproto.server.createSession", json=given), "Bluesky")


async def whose(ctx: Context) -> str:
    """The account's DID."""
    return (await _session(ctx)).did


async def call(
    ctx: Context, method: str, name: str, params: Mapping[str, str] | None = None, json: Any = None
) -> dict[str, Any]:
    """Ask for what a lexicon describes; a session that is over is refreshed once. Raises the three errors."""
    session = await _session(ctx)
    response = await _send(ctx, session, method, name, params, json)
    if _is_over(response):
        session = await _session(ctx, stale=session)
        response = await _send(ctx, session, method, name, params, json)
        if _is_over(response):
            raise AuthExpired(f"{response.host} no longer takes the session: {response.excerpt()}. Connect it again.")
    ctx.http.check(response)
    return parse(dict[str, Any], response, "Bluesky")


async def _send(
    ctx: Context, session: Session, method: str, name: str, params: Mapping[str, str] | None, json: Any
) -> Response:
    headers = {"Authorization": f"Bearer {session.access.get_secret_value()}"}
    return await ctx.http.request(method, f"/xrpc/{name}", params=params, json=json, headers=headers)


async def _session(ctx: Context, stale: Session | None = None) -> Session:
    """The session of this connection, another one than `stale`; one at a time makes it."""
    login: Login = ctx.credential
    secret = login.app_password.get_secret_value()
    key = hashlib.sha256(f"{login.server}\n{login.handle}\n{secret}".encode()).hexdigest()
    async with _locks.setdefault(key, asyncio.Lock()):
        kept = _sessions.get(key)
        if kept is None or kept == stale:
            made = (await _refreshed(ctx, kept) if kept else None) or await begin(ctx, login)
            _sessions.pop(key, None)
            kept = _sessions[key] = made
            for oldest in [*_sessions][:-MOST]:
                del _sessions[oldest]
                _locks.pop(oldest, None)
        return kept


async def _refreshed(ctx: Context, session: Session) -> Session | None:
    """None when the refresh token is over, too."""
    headers = {"Authorization": f"Bearer {session.refresh.get_secret_value()}"}
    # https://docs.bsky.app/docs/api/com-atproto-server-refresh-session
    response = await ctx.http.request("POST", "/xrpc/com.atproto.server.refreshSession", headers=headers)
    if _is_over(response) or response.status == 401:
        return None
    ctx.http.check(response)
    return parse(Session, response, "Bluesky")


def _is_over(response: Response) -> bool:
    """400 or 401, with the error's name: https://atproto.com/specs/xrpc#error-responses."""
    if response.status not in (400, 401):
        return False
    try:
        told = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(told, dict) and told.get("error") in OVER
