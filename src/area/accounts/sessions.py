"""Sessions and API tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel
from sqlalchemy import and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from area import audit
from area.accounts import alerts, attempts, invitations, places
from area.accounts.views import SCOPES, USER, Identity, Kind, Scope, UserView, view
from area.db.models import (
    AccessToken,
    Consent,
    Invitation,
    KnownPlace,
    LoginAttempt,
    PendingRegistration,
    UsedTicket,
    User,
    UserSettings,
)
from area.db.notify import Channel
from area.db.session import notify
from area.kit import crypto
from area.kit.problems import Conflict, Forbidden, Invalid, NotFound
from area.kit.sentences import Sentence
from area.settings import Settings

TOUCH = timedelta(minutes=1)
MAX_SESSIONS = 100  # per user; the oldest is dropped
MAX_TOKENS = 100
PREFIX: Mapping[Kind, str] = {"session": "area_s_", "api": "area_t_"}


class TokenView(BaseModel):
    """A session or API token, without its secret. `current` marks the one making the request; `scope` limits an API
    token.
    """

    id: int
    name: str
    address: str | None
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    scope: Scope | None = None
    current: bool = False


# runs on every request, so it is built once
_WHOSE = (
    select(AccessToken.id, AccessToken.kind, AccessToken.last_used_at, AccessToken.scope, *USER)
    .join(User, User.id == AccessToken.user_id)
    .outerjoin(UserSettings, UserSettings.user_id == User.id)
    .where(
        AccessToken.token_hash == bindparam("hash"),
        User.is_active,
        or_(AccessToken.expires_at.is_(None), AccessToken.expires_at > func.now()),
    )
)


async def open_session(session: AsyncSession, settings: Settings, user_id: int, *, name: str, address: str) -> str:
    """Start a session, which expires when unused for `settings.session_days`. Returns its token."""
    await session.execute(
        delete(AccessToken).where(
            AccessToken.id.in_(
                select(AccessToken.id)
                .where(AccessToken.user_id == user_id, AccessToken.kind == "session")
                .order_by(func.coalesce(AccessToken.last_used_at, AccessToken.created_at).desc())
                .offset(MAX_SESSIONS - 1)
            )
        )
    )
    expires = datetime.now(UTC) + timedelta(days=settings.session_days)
    token, _ = await _add_token(
        session, user_id, "session", name=name or "unknown", address=address, expires_at=expires
    )
    return token


async def create_token(
    session: AsyncSession,
    user: UserView,
    *,
    name: str,
    scope: Scope,
    expires_at: datetime | None = None,
    address: str | None = None,
) -> tuple[str, TokenView]:
    """Create an API token. Returns it, once, and its entry in the list.

    Raises `Conflict` at 100 tokens, `Invalid` for a scope beyond the user's permissions or an expiry in the past.
    """
    user_id = user.id
    if scope == "admin" and not user.is_admin:
        raise Invalid.field("scope", "Only administrators can create tokens with the scope admin.")
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise Invalid.field("expires_at", "Choose a time in the future.")
    of_user = select(func.count()).where(AccessToken.user_id == user_id, AccessToken.kind == "api")
    if (await session.scalar(of_user) or 0) >= MAX_TOKENS:
        raise Conflict("You already have %(number)s API tokens. Revoke one you no longer need.", number=MAX_TOKENS)
    token, token_id = await _add_token(
        session, user_id, "api", name=name, scope=scope, address=address, expires_at=expires_at
    )
    await audit.record(session, user_id, "token.created", f"token {token_id}", {"name": name, "scope": scope}, address)
    await alerts.alert(session, user_id, Sentence("An API token was created for your account"))
    view = next(entry for entry in await access(session, user_id, "api") if entry.id == token_id)
    return token, view


async def _add_token(session: AsyncSession, user_id: int, kind: Kind, **values: Any) -> tuple[str, int]:
    token = crypto.new_token(PREFIX[kind])
    values["name"] = values["name"][:255]
    row = insert(AccessToken).values(user_id=user_id, kind=kind, token_hash=crypto.hash_token(token), **values)
    return token, (await session.execute(row.returning(AccessToken.id))).scalar_one()


async def authenticate(session: AsyncSession, settings: Settings, token: str) -> Identity | None:
    """The user of a token, or None: unknown, expired, or account disabled. Extends a session, at most once a minute."""
    row = (await session.execute(_WHOSE, {"hash": crypto.hash_token(token)})).one_or_none()
    if row is None:
        return None
    token_id, _, used, scope, *columns = row
    kind: Kind = "api" if row.kind == "api" else "session"
    renewed = used is None or used < datetime.now(UTC) - TOUCH
    if renewed:
        values: dict[str, Any] = {"last_used_at": func.now()}
        if kind == "session":
            values["expires_at"] = func.now() + timedelta(days=settings.session_days)
        # skipped if another request is doing it, so that none waits
        free = select(AccessToken.id).where(AccessToken.id == token_id).with_for_update(skip_locked=True)
        await session.execute(update(AccessToken).where(AccessToken.id.in_(free)).values(values))
    user = view(columns)
    most: Scope = "admin" if user.is_admin else "manage"
    granted: Scope = next((known for known in SCOPES if known == scope), most)
    return Identity(user, token_id, kind, min(granted, most, key=SCOPES.index), renewed)


async def access(session: AsyncSession, user_id: int, kind: Kind, current: int = 0) -> list[TokenView]:
    """The user's valid sessions or API tokens, newest first."""
    columns = (
        AccessToken.id,
        AccessToken.name,
        AccessToken.address,
        AccessToken.created_at,
        AccessToken.last_used_at,
        AccessToken.expires_at,
        AccessToken.scope,
    )
    statement = select(*columns).where(
        AccessToken.user_id == user_id,
        AccessToken.kind == kind,
        or_(AccessToken.expires_at.is_(None), AccessToken.expires_at > func.now()),
    )
    rows = await session.execute(statement.order_by(AccessToken.id.desc()))
    return [TokenView(**row._mapping, current=row.id == current) for row in rows]  # noqa: SLF001 - Row's public API


async def revoke(session: AsyncSession, user_id: int, kind: Kind, token_id: int, address: str | None = None) -> None:
    """End one of the user's own sessions or API tokens. Raises `NotFound`."""
    mine = and_(AccessToken.id == token_id, AccessToken.user_id == user_id, AccessToken.kind == kind)
    if await session.scalar(delete(AccessToken).where(mine).returning(AccessToken.id)) is None:
        if kind == "session":
            raise NotFound("No such session.")
        raise NotFound("No such API token.")
    await notify(session, Channel.ACCESS_CHANGED, str(user_id))
    await audit.record(
        session, user_id, f"{'session' if kind == 'session' else 'token'}.revoked", f"token {token_id}", None, address
    )


async def log_out(session: AsyncSession, identity: Identity) -> None:
    """End the current session. Raises `Forbidden` for an API token."""
    if identity.kind != "session":
        raise Forbidden("An API token can't log out. Revoke it at /api/me/tokens.")
    await session.execute(delete(AccessToken).where(AccessToken.id == identity.token_id))
    await notify(session, Channel.ACCESS_CHANGED, str(identity.user.id))


async def end_sessions(session: AsyncSession, user_id: int, *, keep: int = 0) -> int:
    """End all sessions of the user but `keep`. Returns how many."""
    return await _end(session, user_id, "session", keep)


async def end_tokens(session: AsyncSession, user_id: int) -> int:
    """Revoke all API tokens of the user. Returns how many."""
    return await _end(session, user_id, "api", 0)


async def _end(session: AsyncSession, user_id: int, kind: Kind, keep: int) -> int:
    mine = (AccessToken.user_id == user_id, AccessToken.kind == kind, AccessToken.id != keep)
    ended = (await session.scalars(delete(AccessToken).where(*mine).returning(AccessToken.id))).all()
    await notify(session, Channel.ACCESS_CHANGED, str(user_id))
    return len(ended)


@dataclass(frozen=True, slots=True)
class Ended:
    """How many ended."""

    sessions: int
    tokens: int


async def sign_out_everywhere(
    session: AsyncSession, user_id: int, *, keep: int, tokens: bool, address: str | None = None
) -> Ended:
    """End all sessions of the user but `keep`, and with `tokens` the API tokens."""
    ended = Ended(await end_sessions(session, user_id, keep=keep), await end_tokens(session, user_id) if tokens else 0)
    await places.forget(session, user_id)
    detail = {"sessions": ended.sessions, "tokens": ended.tokens}
    await audit.record(session, user_id, "account.signed_out_everywhere", f"user {user_id}", detail, address)
    return ended


async def purge(session: AsyncSession) -> int:
    """Delete expired sessions, tokens, attempts, invitations and registrations. Returns the number of rows."""
    count = 0
    for model, old in (
        (AccessToken, AccessToken.expires_at <= func.now()),
        (LoginAttempt, LoginAttempt.at <= func.now() - attempts.WINDOW),
        (Invitation, Invitation.expires_at <= func.now() - timedelta(days=invitations.INVITATION_DAYS)),
        (Consent, Consent.expires_at <= func.now()),
        (UsedTicket, UsedTicket.expires_at <= func.now()),
        (PendingRegistration, PendingRegistration.expires_at <= func.now()),
        (KnownPlace, KnownPlace.last_at <= func.now() - places.KEPT),
    ):
        result = await session.execute(delete(model).where(old))
        count += getattr(result, "rowcount", 0)
    return count
