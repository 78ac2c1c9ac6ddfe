"""Accounts as their owners and administrators see them, and looking them up."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from pydantic import BaseModel
from sqlalchemy import ColumnElement, Row, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from area.db.models import Passkey, TwoFactor, User, UserSettings
from area.db.search import search
from area.kit.problems import NotFound

Kind = Literal["session", "api"]
Scope = Literal["read", "run", "manage", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)  # each includes the ones before it


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
    two_factor: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """The user making a request, the token used, and its scope.

    `renewed` means that the session was just extended, and so should its cookie be.
    """

    user: UserView
    token_id: int
    kind: Kind
    scope: Scope
    renewed: bool = False

    def allows(self, scope: Scope) -> bool:
        """Whether the scope includes `scope`."""
        return SCOPES.index(scope) <= SCOPES.index(self.scope)


USER = (
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
    or_(
        select(TwoFactor.user_id).where(TwoFactor.user_id == User.id, TwoFactor.secret.is_not(None)).exists(),
        select(Passkey.id).where(Passkey.user_id == User.id).exists(),
    ),
)
_NAMES = tuple(UserView.model_fields)


async def user(session: AsyncSession, user_id: int) -> UserView:
    """One account. Raises `NotFound`."""
    statement = select(*USER).outerjoin(UserSettings, UserSettings.user_id == User.id).where(User.id == user_id)
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        raise NotFound("No such account.")
    return view(row)


async def find(session: AsyncSession, login: str) -> UserView:
    """The account with this e-mail address or username. Raises `NotFound`."""
    user_id = await session.scalar(select(User.id).where(is_called(login)).limit(1))
    if user_id is None:
        raise NotFound("No account named %(name)s.", name=repr(login))
    return await user(session, user_id)


async def users(
    session: AsyncSession, *, limit: int, before: int | None = None, q: str | None = None
) -> list[UserView]:
    """Accounts with an id below `before`, newest first. `q` searches e-mail addresses and usernames."""
    statement = select(*USER).outerjoin(UserSettings, UserSettings.user_id == User.id)
    if before is not None:
        statement = statement.where(User.id < before)
    if q:
        # strpos has no wildcards to escape
        part = func.lower(literal(q))
        statement = statement.where(
            or_(func.strpos(User.email, part) > 0, func.strpos(func.lower(User.username), part) > 0)
        )
    async with search(session) if q else nullcontext():
        return [view(row) for row in await session.execute(statement.order_by(User.id.desc()).limit(limit))]


def is_called(login: str) -> ColumnElement[bool]:
    """The condition that an account has this e-mail address or username."""
    return User.email == login.lower() if "@" in login else func.lower(User.username) == func.lower(literal(login))


def view(row: Sequence[Any] | Row[Any]) -> UserView:
    """The account from a row of the columns `USER`."""
    return UserView(**dict(zip(_NAMES, row, strict=True)))
