"""Sessions at a personal data server: created with an app password, refreshed, and shared within the process."""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field, SecretStr

from area.sdk import AuthExpired, Context, Response, Sentence

MOST = 1000  # sessions that are kept


class Session(BaseModel):
    access: SecretStr = Field(alias="accessJwt")
    refresh: SecretStr = Field(alias="refreshJwt")
    did: str
    handle: str


class Over(AuthExpired):
    """The session has expired."""


# an account may begin 300 sessions a day, at some servers 100: https://docs.bsky.app/docs/advanced-guides/rate-limits
_sessions: dict[str, Session] = {}
_locks: dict[str, asyncio.Lock] = {}


def refusal(response: Response, body: Mapping[str, Any]) -> Over | None:
    """A 400 or 401 by its error name: https://atproto.com/specs/xrpc#error-responses."""
    if response.status in (400, 401) and body.get("error") in ("ExpiredToken", "InvalidToken"):
        return Over(
            Sentence(
                "%(host)s ended the session: %(said)s. Connect it again.", host=response.host, said=response.excerpt()
            )
        )
    return None


async def begin(ctx: Context) -> Session:
    """Create a session. Raises `AuthExpired` if the password is wrong."""
    login = ctx.credential
    given = {"identifier": login.handle.strip().removeprefix("@"), "password": login.app_password.get_secret_value()}
    # https://docs.bsky.app/docs/api/com-atproto-server-create-session
    return await ctx.http.post("/xrpc/com.atproto.server.createSession", Session, json=given)


async def account(ctx: Context) -> Session:
    """The session of the connection's account, for its DID and handle."""
    return await _session(ctx)


async def call(ctx: Context, method: str, name: str, **options: Any) -> dict[str, Any]:
    """Call an XRPC method; refreshes an expired session once. Raises `Retry`, `Permanent` or `AuthExpired`."""
    session = await _session(ctx)
    try:
        return await _send(ctx, session, method, name, **options)
    except Over:
        return await _send(ctx, await _session(ctx, stale=session), method, name, **options)


async def _send(ctx: Context, session: Session, method: str, name: str, **options: Any) -> dict[str, Any]:
    headers = {**options.pop("headers", {}), "Authorization": f"Bearer {session.access.get_secret_value()}"}
    return await ctx.http.ask(method, f"/xrpc/{name}", dict[str, Any], headers=headers, **options)


async def _session(ctx: Context, stale: Session | None = None) -> Session:
    """The connection's session, if it isn't `stale`; created by one caller at a time."""
    login = ctx.credential
    secret = login.app_password.get_secret_value()
    key = hashlib.sha256(f"{login.server}\n{login.handle}\n{secret}".encode()).hexdigest()
    async with _locks.setdefault(key, asyncio.Lock()):
        kept = _sessions.get(key)
        if kept is None or kept == stale:
            made = (await _refreshed(ctx, kept) if kept else None) or await begin(ctx)
            _sessions.pop(key, None)
            kept = _sessions[key] = made
            for oldest in [*_sessions][:-MOST]:
                del _sessions[oldest]
                _locks.pop(oldest, None)
        return kept


async def _refreshed(ctx: Context, session: Session) -> Session | None:
    """The refreshed session, or None if the refresh token has expired too."""
    headers = {"Authorization": f"Bearer {session.refresh.get_secret_value()}"}
    try:
        # https://docs.bsky.app/docs/api/com-atproto-server-refresh-session
        return await ctx.http.post("/xrpc/com.atproto.server.refreshSession", Session, headers=headers)
    except AuthExpired:
        return None
