"""Accounts: sign up, log in, sessions, API tokens, profile, and what admins do with accounts.

What proves who one is (log-in, and whatever asks for the password again) takes two steps, each a transaction of the caller:
`attempt` counts the try and commits, and only then is the password looked at. Counted the other way round, a hundred guesses
sent at the same moment would all pass the limit.
"""

import asyncio
import ipaddress
import itertools
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from email_validator import EmailNotValidError, validate_email
from pydantic import BaseModel
from sqlalchemy import ColumnElement, Row, and_, bindparam, delete, func, insert, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from area import areas
from area.db.models import AccessToken, Area, AuditEntry, Consent, Invitation, LoginAttempt, User, UserSettings
from area.db.session import notify
from area.kit import crypto
from area.kit.problems import Conflict, FieldError, Forbidden, Invalid, NotFound, TooMany, Unauthenticated
from area.settings import Settings

Kind = Literal["session", "api"]

LANGUAGES = ("en", "fr")
MIN_PASSWORD = 8  # characters
WINDOW = timedelta(minutes=15)
ADDRESS_FACTOR = 5  # an address may fail this much more often than an account: a household or office shares it
TOUCH = timedelta(minutes=1)
MAX_SESSIONS = 100  # of one user; the oldest gives way
MAX_TOKENS = 100
INVITATION_DAYS = 7
ACCESS_CHANGED = "access_changed"  # NOTIFY with the user's id: sessions ended, so streams look again who is there
UPLOADED = re.compile(r"/avatars/[0-9a-f]{32}\.webp")  # the address of a picture that was uploaded here
PREFIX: Mapping[Kind, str] = {"session": "area_s_", "api": "area_t_"}

# Advisory locks, in the order in which they may be taken
_ACCOUNTS, _LOGIN, _ADDRESS = 4_127_011, 4_127_012, 4_127_013


class UserView(BaseModel):
    """An account as its owner and admins see it."""

    id: int
    email: str
    username: str
    icon_path: str | None
    is_admin: bool
    is_active: bool
    created_at: datetime
    updated_at: datetime
    last_connection_at: datetime | None
    timezone: str
    language: str | None
    has_password: bool


class TokenView(BaseModel):
    """A session or API token; the token itself is shown once, when it is made. `current` is the one that asks."""

    id: int
    name: str
    address: str | None
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    current: bool = False


class InvitationView(BaseModel):
    """An invitation; `id` is no secret, it only names it."""

    id: str
    created_by: int | None
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


class AuditView(BaseModel):
    """Who did what."""

    id: int
    at: datetime
    user_id: int | None
    username: str | None
    action: str
    subject: str
    detail: Any | None
    address: str | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking, and with what. `renewed` says that the session was just extended, and so should its cookie be."""

    user: UserView
    token_id: int
    kind: Kind
    renewed: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """A counted try to prove to be an account, or, without a `user_id`, one that there is not."""

    user_id: int | None
    password_hash: str | None = field(repr=False)
    address: str


# Registering


async def anybody(session: AsyncSession) -> bool:
    """Whether there is an account at all."""
    return await session.scalar(select(User.id).limit(1)) is not None


async def register(
    session: AsyncSession,
    settings: Settings,
    *,
    email: str,
    username: str,
    password: str,
    invitation: str | None = None,
    address: str | None = None,
) -> UserView:
    """Make an account; the very first one is the admin, whatever the registration mode.

    Raises `Invalid` for what breaks the rules, `Conflict` for a taken e-mail address or username, `Forbidden` when
    registration is closed or the invitation is missing or no longer good.
    """
    values = _checked({"email": email, "username": username, "password": password})
    hashed = await _hash(values["password"])  # before the session has a connection, which it would hold meanwhile
    await _lock(session, _ACCOUNTS)
    first = not await anybody(session)  # under the lock: of two that come first at the same time, one is
    if not first:
        await _let_in(session, settings, invitation)
    user = await _insert(session, values["email"], values["username"], hashed, is_admin=first, logs_in=True)
    await audit(session, user.id, "account.registered", f"user {user.id}", {"admin": first}, address)
    return user


async def create(
    session: AsyncSession, *, email: str, username: str, password: str, is_admin: bool = False
) -> UserView:
    """Make an account whatever the registration mode, for administrators. Raises as `register` does."""
    values = _checked({"email": email, "username": username, "password": password})
    hashed = await _hash(values["password"])
    await _lock(session, _ACCOUNTS)
    first = not await anybody(session)
    user = await _insert(session, values["email"], values["username"], hashed, is_admin=is_admin or first)
    await audit(session, None, "account.created", f"user {user.id}", {"admin": user.is_admin})
    return user


async def register_provided(
    session: AsyncSession,
    settings: Settings,
    *,
    email: str,
    name: str,
    invitation: str | None = None,
    address: str | None = None,
) -> UserView:
    """`register` for somebody who comes from a log-in provider, without a password; `name` becomes the username if it can."""
    email = _checked({"email": email})["email"]
    await alone(session)
    first = not await anybody(session)
    if not first:
        await _let_in(session, settings, invitation)
    username = await _free_username(session, name, email)
    user = await _insert(session, email, username, None, is_admin=first, logs_in=True)
    await audit(session, user.id, "account.registered", f"user {user.id}", {"admin": first, "provider": True}, address)
    return user


async def _free_username(session: AsyncSession, *wishes: str) -> str:
    """The first of the wishes that can be a username, with a number when it is taken."""
    for wish in (*wishes, "user"):
        try:
            name = check_username(wish.partition("@")[0][:90])
        except ValueError:
            continue
        taken = set(
            await session.scalars(
                select(func.lower(User.username)).where(func.starts_with(func.lower(User.username), func.lower(name)))
            )
        )
        numbers = (f"{name}{number}" for number in itertools.count(2))
        return next(one for one in itertools.chain([name], numbers) if one.lower() not in taken)
    raise AssertionError("`user` can be a username")


async def alone(session: AsyncSession) -> None:
    """Until the transaction ends, nobody else adds an account, or a way into one."""
    await _lock(session, _ACCOUNTS)


async def limit_registrations(session: AsyncSession, settings: Settings, address: str) -> None:
    """Count a registration from `address`. Raises `TooMany`. To be committed before `register`, which costs a bcrypt."""
    await _lock(session, _ADDRESS, network(address))
    await _limit(session, LoginAttempt.address, network(address), settings.login_attempts * ADDRESS_FACTOR)
    await session.execute(insert(LoginAttempt).values(login="register", address=network(address)))


async def _let_in(session: AsyncSession, settings: Settings, invitation: str | None) -> None:
    """Use up the invitation, where one is needed. Raises `Forbidden`."""
    if settings.registration == "open":
        return
    if settings.registration == "closed":
        raise Forbidden("Registration is closed here. Ask an administrator for an account.")
    if not invitation:
        raise Forbidden("Registration needs an invitation. Ask an administrator for one.")
    good = and_(
        Invitation.token_hash == crypto.hash_token(invitation),
        Invitation.used_at.is_(None),
        Invitation.expires_at > func.now(),
    )
    used = update(Invitation).where(good).values(used_at=func.now()).returning(Invitation.token_hash)
    if await session.scalar(used) is None:
        raise Forbidden("This invitation is unknown, used or too old. Ask an administrator for another.")


async def _insert(
    session: AsyncSession, email: str, username: str, hashed: str | None, *, is_admin: bool, logs_in: bool = False
) -> UserView:
    await _free(session, email=email, username=username)
    values: dict[str, Any] = {"email": email, "username": username, "password_hash": hashed, "is_admin": is_admin}
    if logs_in:
        values["last_connection_at"] = func.now()
    user_id = (await session.execute(insert(User).values(values).returning(User.id))).scalar_one()
    return await user(session, user_id)


async def _free(session: AsyncSession, *, email: str | None, username: str | None, but: int = 0) -> None:
    """Raise `Conflict` when somebody but `but` has the e-mail address or, in any case of letters, the username."""
    if email and await session.scalar(select(User.id).where(User.email == email, User.id != but)):
        raise Conflict("There is already an account with this e-mail address. Log in, or use another address.")
    same_name = func.lower(User.username) == func.lower(literal(username))
    if username and await session.scalar(select(User.id).where(same_name, User.id != but)):
        raise Conflict("This username is taken. Choose another one.")


# Logging in


async def attempt(session: AsyncSession, settings: Settings, login: str | int, address: str) -> Attempt:
    """Count a try to prove to be `login` (e-mail address, username or user id) from `address`; returns it, to go on with.

    Raises `TooMany` when the account or the address had its share of failures in the last 15 minutes. To be committed before
    the password is looked at; what succeeds takes it back.
    """
    who = User.id == login if isinstance(login, int) else _is_called(login)
    row = (await session.execute(select(User.id, User.password_hash).where(who).limit(1))).one_or_none()
    # by the account, however it is called, or else by the unknown name itself
    key = f"user:{row.id}" if row else f"name:{crypto.hash_token(str(login).lower())}"
    here = network(address)
    await _lock(session, _LOGIN, key)
    await _lock(session, _ADDRESS, here)
    await _limit(session, LoginAttempt.login, key, settings.login_attempts)
    await _limit(session, LoginAttempt.address, here, settings.login_attempts * ADDRESS_FACTOR)
    await session.execute(insert(LoginAttempt).values(login=key, address=here))
    await session.execute(
        delete(LoginAttempt).where(
            or_(LoginAttempt.login == key, LoginAttempt.address == here), LoginAttempt.at <= func.now() - WINDOW
        )
    )
    return Attempt(row.id if row else None, row.password_hash if row else None, address)


async def check(attempt: Attempt, password: str) -> None:
    """Compare the password, which takes a quarter of a second and no connection.

    Raises `Unauthenticated`, with the same words and after the same work whether there is such an account or not.
    """
    if not await asyncio.to_thread(crypto.check_password, password, attempt.password_hash):
        raise Unauthenticated("This login and password do not belong together.")


async def prove(attempt: Attempt, password: str | None, field: str = "password") -> None:
    """`check` for somebody who is logged in: raises `Invalid`, naming `field`.

    An account without a password (it logs in with a provider) has nothing to prove.
    """
    if attempt.password_hash is None:
        return
    try:
        await check(attempt, password or "")
    except Unauthenticated:
        sentence = "This is not your present password." if password else "Give your present password."
        raise Invalid.field(field, sentence) from None


async def log_in(session: AsyncSession, attempt: Attempt) -> UserView:
    """The account, once `check` found the password right. Raises `Forbidden` when it is disabled."""
    found = await user(session, attempt.user_id or 0)
    if not found.is_active:
        raise Forbidden("This account is disabled. Ask an administrator.")
    await forgive(session, attempt)
    # a log-in is no change of the account, so `updated_at` stays
    await session.execute(
        update(User).where(User.id == found.id).values(last_connection_at=func.now(), updated_at=User.updated_at)
    )
    return await user(session, found.id)


async def forgive(session: AsyncSession, attempt: Attempt) -> None:
    """Take back the attempts of this account from this address; those from elsewhere may be somebody else's guesses."""
    mine = (LoginAttempt.login == f"user:{attempt.user_id}", LoginAttempt.address == network(attempt.address))
    await session.execute(delete(LoginAttempt).where(*mine))


def _is_called(login: str) -> ColumnElement[bool]:
    return User.email == login.lower() if "@" in login else func.lower(User.username) == func.lower(literal(login))


async def _limit(session: AsyncSession, column: Any, value: str, most: int) -> None:
    """Raise `TooMany` when `most` attempts of the window have this value."""
    wait = func.extract("epoch", LoginAttempt.at + WINDOW - func.now())
    recent = select(wait).where(column == value, LoginAttempt.at > func.now() - WINDOW)
    left = await session.scalar(recent.order_by(LoginAttempt.at.desc()).offset(most - 1).limit(1))
    if left is not None:
        minutes = max(1, round(float(left) / 60))
        raise TooMany(
            "Too many failed attempts. Try again in %(minutes)s min.", retry_after=float(left), minutes=minutes
        )


def network(address: str) -> str:
    """What counts as one address: IPv6 is handed out by /64, so whoever has one address has them all."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


# Sessions and API tokens


async def open_session(session: AsyncSession, settings: Settings, user_id: int, *, name: str, address: str) -> str:
    """Begin a session, which ends when unused for `settings.session_days`; returns its token."""
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
    session: AsyncSession, user_id: int, *, name: str, expires_at: datetime | None = None, address: str | None = None
) -> tuple[str, TokenView]:
    """Make an API token; returns it, once and never again, and how it is listed. Raises `Conflict` at 100 of them."""
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise Invalid.field("expires_at", "This moment has passed.")
    of_user = select(func.count()).where(AccessToken.user_id == user_id, AccessToken.kind == "api")
    if (await session.scalar(of_user) or 0) >= MAX_TOKENS:
        raise Conflict("You have %(number)s API tokens. Revoke one that you no longer need.", number=MAX_TOKENS)
    token, token_id = await _add_token(session, user_id, "api", name=name, address=address, expires_at=expires_at)
    await audit(session, user_id, "token.created", f"token {token_id}", {"name": name}, address)
    view = next(one for one in await access(session, user_id, "api") if one.id == token_id)
    return token, view


async def _add_token(session: AsyncSession, user_id: int, kind: Kind, **values: Any) -> tuple[str, int]:
    token = crypto.new_token(PREFIX[kind])
    values["name"] = values["name"][:255]
    row = insert(AccessToken).values(user_id=user_id, kind=kind, token_hash=crypto.hash_token(token), **values)
    return token, (await session.execute(row.returning(AccessToken.id))).scalar_one()


async def authenticate(session: AsyncSession, settings: Settings, token: str) -> Identity | None:
    """Whose token this is, or None: unknown, expired, or its account disabled. Extends a session, once a minute at most."""
    row = (await session.execute(_WHOSE, {"hash": crypto.hash_token(token)})).one_or_none()
    if row is None:
        return None
    token_id, _, used, *columns = row
    kind: Kind = "api" if row.kind == "api" else "session"
    renewed = used is None or used < datetime.now(UTC) - TOUCH
    if renewed:
        values: dict[str, Any] = {"last_used_at": func.now()}
        if kind == "session":
            values["expires_at"] = func.now() + timedelta(days=settings.session_days)
        # skipped when another request is just doing it: nobody waits for this
        free = select(AccessToken.id).where(AccessToken.id == token_id).with_for_update(skip_locked=True)
        await session.execute(update(AccessToken).where(AccessToken.id.in_(free)).values(values))
    return Identity(_view(columns), token_id, kind, renewed=renewed)


async def access(session: AsyncSession, user_id: int, kind: Kind, current: int = 0) -> list[TokenView]:
    """The user's sessions or API tokens that are still good, newest first."""
    columns = (
        AccessToken.id,
        AccessToken.name,
        AccessToken.address,
        AccessToken.created_at,
        AccessToken.last_used_at,
        AccessToken.expires_at,
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
        raise NotFound(f"You have no such {'session' if kind == 'session' else 'API token'}.")
    await notify(session, ACCESS_CHANGED, str(user_id))
    await audit(
        session, user_id, f"{'session' if kind == 'session' else 'token'}.revoked", f"token {token_id}", None, address
    )


async def log_out(session: AsyncSession, identity: Identity) -> None:
    """End the session that asks. An API token is not ended this way: `Forbidden`."""
    if identity.kind != "session":
        raise Forbidden("An API token is revoked at /api/me/tokens, not logged out.")
    await session.execute(delete(AccessToken).where(AccessToken.id == identity.token_id))
    await notify(session, ACCESS_CHANGED, str(identity.user.id))


async def end_sessions(session: AsyncSession, user_id: int, *, keep: int = 0, tokens: bool = False) -> int:
    """End all sessions of the user but `keep`, and with `tokens` the API tokens too; returns how many ended."""
    condition = [AccessToken.user_id == user_id, AccessToken.id != keep]
    if not tokens:
        condition.append(AccessToken.kind == "session")
    ended = (await session.scalars(delete(AccessToken).where(*condition).returning(AccessToken.id))).all()
    await notify(session, ACCESS_CHANGED, str(user_id))
    return len(ended)


async def purge(session: AsyncSession) -> int:
    """Delete what has run out: sessions and tokens, old attempts, invitations; returns how many rows."""
    count = 0
    for model, old in (
        (AccessToken, AccessToken.expires_at <= func.now()),
        (LoginAttempt, LoginAttempt.at <= func.now() - WINDOW),
        (Invitation, Invitation.expires_at <= func.now() - timedelta(days=INVITATION_DAYS)),
        (Consent, Consent.expires_at <= func.now()),
    ):
        result = await session.execute(delete(model).where(old))
        count += getattr(result, "rowcount", 0)
    return count


# The account itself


async def user(session: AsyncSession, user_id: int) -> UserView:
    """One account. Raises `NotFound`."""
    statement = select(*_USER).outerjoin(UserSettings, UserSettings.user_id == User.id).where(User.id == user_id)
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        raise NotFound("There is no such account.")
    return _view(row)


async def find(session: AsyncSession, login: str) -> UserView:
    """The account of an e-mail address or username. Raises `NotFound`."""
    user_id = await session.scalar(select(User.id).where(_is_called(login)).limit(1))
    if user_id is None:
        raise NotFound("There is no account %(name)s.", name=repr(login))
    return await user(session, user_id)


async def change_profile(
    session: AsyncSession, user_id: int, changes: Mapping[str, Any], address: str | None = None
) -> UserView:
    """Change any of `email`, `username`, `icon_path`, `timezone` and `language`; a new e-mail address needs `prove` first.

    Raises `Invalid` or `Conflict`.
    """
    values = _checked(changes)
    own = {name: values.pop(name) for name in ("timezone", "language") if name in values}
    if own:
        row = upsert(UserSettings).values(user_id=user_id, **own)
        await session.execute(row.on_conflict_do_update(index_elements=["user_id"], set_=own))
    if values:
        await _lock(session, _ACCOUNTS)
        await _free(session, email=values.get("email"), username=values.get("username"), but=user_id)
        await session.execute(update(User).where(User.id == user_id).values(values))
    if changes:
        await audit(session, user_id, "account.changed", f"user {user_id}", {"fields": sorted(changes)}, address)
    return await user(session, user_id)


async def shows_icon(session: AsyncSession, icon_path: str) -> bool:
    """Whether the picture is anybody's: one that is nobody's may go."""
    return await session.scalar(select(User.id).where(User.icon_path == icon_path).limit(1)) is not None


async def change_password(
    session: AsyncSession, user_id: int, new: str, *, keep: int, address: str | None = None
) -> None:
    """Set a new password, after `prove`, and end every session but `keep`. Raises `Invalid`.

    API tokens stay: they belong to programs, were never typed anywhere, and each can be revoked by itself.
    """
    hashed = await _hash(_checked({"new_password": new})["new_password"])
    await session.execute(update(User).where(User.id == user_id).values(password_hash=hashed))
    ended = await end_sessions(session, user_id, keep=keep)
    await audit(session, user_id, "account.password_changed", f"user {user_id}", {"sessions_ended": ended}, address)


async def delete_account(session: AsyncSession, user_id: int, address: str | None = None) -> None:
    """Delete the account, after `prove`, with all that belongs to it. Raises `Conflict` for the last admin among others."""
    await _lock(session, _ACCOUNTS)
    await _keep_an_admin(session, user_id, "deleted")
    for area_id in await session.scalars(select(Area.id).where(Area.user_id == user_id)):
        await areas.remove(session, user_id, area_id)
    await audit(session, None, "account.deleted", f"user {user_id}", None, address)
    await session.execute(delete(User).where(User.id == user_id))
    await notify(session, ACCESS_CHANGED, str(user_id))


async def _keep_an_admin(session: AsyncSession, user_id: int, what: str) -> None:
    """Raise `Conflict` when others would be left without an active admin."""
    is_admin = await session.scalar(select(User.is_admin).where(User.id == user_id))
    others = await session.scalar(select(User.id).where(User.id != user_id).limit(1))
    left = await session.scalar(select(User.id).where(User.id != user_id, User.is_admin, User.is_active).limit(1))
    if is_admin and others and not left:
        raise Conflict(f"The last active administrator can't be {what} while there are other accounts.")


# What admins do


async def users(
    session: AsyncSession, *, limit: int, before: int | None = None, q: str | None = None
) -> list[UserView]:
    """Accounts, newest first, with an id below `before`; `q` is a part of the e-mail address or username."""
    statement = select(*_USER).outerjoin(UserSettings, UserSettings.user_id == User.id)
    if before is not None:
        statement = statement.where(User.id < before)
    if q:
        # strpos knows no wildcards that would have to be escaped
        part = func.lower(literal(q))
        statement = statement.where(
            or_(func.strpos(User.email, part) > 0, func.strpos(func.lower(User.username), part) > 0)
        )
    return [_view(row) for row in await session.execute(statement.order_by(User.id.desc()).limit(limit))]


async def change_user(
    session: AsyncSession,
    admin_id: int | None,
    user_id: int,
    *,
    is_admin: bool | None = None,
    is_active: bool | None = None,
    password: str | None = None,
    address: str | None = None,
) -> UserView:
    """Make or unmake an admin, enable or disable, reset the password of another account (or, from the CLI, any).

    Disabling ends the account's sessions at once and silences its API tokens for as long; a new password ends both for good.
    Raises `NotFound`, `Invalid`, and `Conflict` for the last active admin.
    """
    values: dict[str, Any] = {}
    if password is not None:
        values["password_hash"] = await _hash(_checked({"password": password})["password"])
    await _lock(session, _ACCOUNTS)
    await user(session, user_id)
    if is_admin is False or is_active is False:
        await _keep_an_admin(session, user_id, "disabled" if is_active is False else "demoted")
    if is_admin is not None:
        values["is_admin"] = is_admin
    if is_active is not None:
        values["is_active"] = is_active
    if values:
        await session.execute(update(User).where(User.id == user_id).values(values))
    if is_active is False or password is not None:
        await end_sessions(session, user_id, tokens=password is not None)
    elif is_admin is not None:
        await notify(session, ACCESS_CHANGED, str(user_id))
    if is_active is not None:  # the engine remembers whose AREAs may run
        for area_id in await session.scalars(select(Area.id).where(Area.user_id == user_id)):
            await notify(session, "area_changed", str(area_id))
    done = {"is_admin": is_admin, "is_active": is_active, "password": None if password is None else "reset"}
    detail = {name: value for name, value in done.items() if value is not None}
    await audit(session, admin_id, "admin.user_changed", f"user {user_id}", detail, address)
    return await user(session, user_id)


async def invite(
    session: AsyncSession, admin_id: int | None, *, days: int = INVITATION_DAYS, address: str | None = None
) -> tuple[str, InvitationView]:
    """Make an invitation for one registration; returns its token, once and never again, and how it is listed."""
    token = crypto.new_token("area_i_")
    values = {
        "token_hash": crypto.hash_token(token),
        "created_by": admin_id,
        "expires_at": datetime.now(UTC) + timedelta(days=days),
    }
    await session.execute(insert(Invitation).values(values))
    await audit(
        session, admin_id, "invitation.created", f"invitation {crypto.hash_token(token)[:16]}", {"days": days}, address
    )
    view = next(one for one in await invitations(session) if one.id == crypto.hash_token(token)[:16])
    return token, view


async def invitations(session: AsyncSession) -> list[InvitationView]:
    """The invitations of the last weeks, newest first."""
    rows = await session.scalars(select(Invitation).order_by(Invitation.created_at.desc()).limit(1000))
    return [
        InvitationView(
            id=row.token_hash[:16],
            created_by=row.created_by,
            created_at=row.created_at,
            expires_at=row.expires_at,
            used_at=row.used_at,
        )
        for row in rows
    ]


async def withdraw_invitation(
    session: AsyncSession, admin_id: int | None, invitation_id: str, address: str | None = None
) -> None:
    """Make an invitation worthless. Raises `NotFound`."""
    named = and_(func.left(Invitation.token_hash, 16) == invitation_id, Invitation.used_at.is_(None))
    if await session.scalar(delete(Invitation).where(named).returning(Invitation.token_hash)) is None:
        raise NotFound("There is no such unused invitation.")
    await audit(session, admin_id, "invitation.withdrawn", f"invitation {invitation_id}", None, address)


# The audit


async def audit(
    session: AsyncSession,
    user_id: int | None,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
    address: str | None = None,
) -> None:
    """Write down who (None: nobody known, or the command line) did `action` to `subject`; `detail` holds no secrets."""
    await session.execute(
        insert(AuditEntry).values(
            user_id=user_id,
            action=action,
            subject=subject[:255],
            detail=dict(detail) if detail else None,
            address=address[:64] if address else None,
        )
    )


async def audit_entries(
    session: AsyncSession,
    *,
    limit: int,
    before: int | None = None,
    user_id: int | None = None,
    action: str | None = None,
) -> list[AuditView]:
    """What was written down, newest first, with an id below `before`; `action` may be its beginning, such as `login.`."""
    statement = select(AuditEntry, User.username).outerjoin(User, User.id == AuditEntry.user_id)
    if before is not None:
        statement = statement.where(AuditEntry.id < before)
    if user_id is not None:
        statement = statement.where(AuditEntry.user_id == user_id)
    if action:
        statement = statement.where(func.starts_with(AuditEntry.action, action))
    rows = await session.execute(statement.order_by(AuditEntry.id.desc()).limit(limit))
    return [
        AuditView(
            id=entry.id,
            at=entry.at,
            user_id=entry.user_id,
            username=username,
            action=entry.action,
            subject=entry.subject,
            detail=entry.detail,
            address=entry.address,
        )
        for entry, username in rows
    ]


# Rules of the single fields


def check_email(value: str) -> str:
    """The address in lower case. Raises `ValueError` with a sentence."""
    try:
        # self-hosted means that user@server.lan is as good an address as any
        found = validate_email(value, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as error:
        raise ValueError(f"This is no e-mail address: {str(error).rstrip('.')}.") from None
    email = found.normalized.lower()
    if len(email) > 255:
        raise ValueError("An e-mail address has at most 255 characters.")
    return email


def check_username(value: str) -> str:
    """The name, trimmed. Raises `ValueError` with a sentence."""
    name = unicodedata.normalize("NFC", value).strip()
    if not 2 <= len(name) <= 100:
        raise ValueError("A username has 2 to 100 characters.")
    if "@" in name:
        raise ValueError("A username has no @, so that it can't be taken for an e-mail address.")
    if any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for letter in name):
        raise ValueError("A username has no control or invisible characters.")
    return name


def check_password(value: str) -> str:
    """The password itself. Raises `ValueError` with a sentence."""
    if len(value) < MIN_PASSWORD:
        raise ValueError(f"A password has at least {MIN_PASSWORD} characters.")
    if "\0" in value:
        raise ValueError("A password has no NUL character.")
    size = len(value.encode("utf-8", "replace"))
    if size > crypto.MAX_PASSWORD:
        raise ValueError(
            f"A password has at most {crypto.MAX_PASSWORD} bytes; this one has {size}, as letters outside of ASCII take two or more."
        )
    return value


def check_icon(value: str | None) -> str | None:
    """An https address, a picture that was uploaded here, or None. Raises `ValueError` with a sentence."""
    if value is None or UPLOADED.fullmatch(value):
        return value
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme != "https" or len(value) > 2000 or re.search(r"[\x00-\x20\x7f\\\"'<>]", value):
        raise ValueError("An icon is the https:// address of a picture.")
    return value


def check_language(value: str | None) -> str | None:
    """A language of the pages; `None` for the browser's. Raises `ValueError`."""
    if value not in (None, *LANGUAGES):
        raise ValueError(f"The pages are there in {', '.join(LANGUAGES)}.")
    return value


def check_timezone(value: str) -> str:
    """The name of a time zone. Raises `ValueError` with a sentence."""
    if value not in _zones():
        raise ValueError("This is no time zone; use a name such as Europe/Paris or UTC.")
    return value


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "email": check_email,
    "username": check_username,
    "password": check_password,
    "new_password": check_password,
    "icon_path": check_icon,
    "timezone": check_timezone,
    "language": check_language,
}


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as they are kept. Raises `Invalid` with every field that breaks its rule."""
    checked: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, value in values.items():
        try:
            checked[name] = _CHECKS[name](value)
        except ValueError as error:
            errors.append({"field": name, "message": str(error)})
    if errors:
        raise Invalid(errors=errors)
    return checked


# Small things

_USER = (
    User.id,
    User.email,
    User.username,
    User.icon_path,
    User.is_admin,
    User.is_active,
    User.created_at,
    User.updated_at,
    User.last_connection_at,
    func.coalesce(UserSettings.timezone, "UTC"),
    UserSettings.language,
    User.password_hash.is_not(None),
)
_NAMES = tuple(UserView.model_fields)
# asked by every request, so it is put together once
_WHOSE = (
    select(AccessToken.id, AccessToken.kind, AccessToken.last_used_at, *_USER)
    .join(User, User.id == AccessToken.user_id)
    .outerjoin(UserSettings, UserSettings.user_id == User.id)
    .where(
        AccessToken.token_hash == bindparam("hash"),
        User.is_active,
        or_(AccessToken.expires_at.is_(None), AccessToken.expires_at > func.now()),
    )
)


def _view(row: Sequence[Any] | Row[Any]) -> UserView:
    return UserView(**dict(zip(_NAMES, row, strict=True)))


async def _hash(password: str) -> str:
    return await asyncio.to_thread(crypto.hash_password, password)


async def _lock(session: AsyncSession, lock: int, name: str = "") -> None:
    """Hold an advisory lock until the transaction ends."""
    await session.execute(text("select pg_advisory_xact_lock(:lock, hashtext(:name))"), {"lock": lock, "name": name})
