"""Storage of a user's connections: each service's default one in `user_services`, named ones in their own table."""

from typing import Any, NamedTuple

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from typing_extensions import override

from area.db import contexts
from area.db.models import CONNECTIONS, Area, AreaConnection, ConnectionState, NamedConnection, Service, UserService
from area.db.notify import Channel
from area.db.session import notify
from area.kit.problems import Invalid, NotFound, TooMany
from area.sdk import Service as Connector
from area.sdk.credentials import CONTROL

MOST_NAMED = 100  # per user and service


class Ref(NamedTuple):
    """One of a user's connections. `number` is its id in `named_connections`, 0 for the default one."""

    user_id: int
    slug: str
    number: int = 0

    @override
    def __str__(self) -> str:
        return f"{self.user_id}:{self.slug}" + (f":{self.number}" if self.number else "")

    @classmethod
    def read(cls, payload: str) -> "Ref":
        """The inverse of `str`."""
        user_id, slug, *number = payload.split(":")
        return cls(int(user_id), slug, *map(int, number))

    def context(self, column: str) -> str:
        """The encryption context of one of its columns."""
        return contexts.connection(self.user_id, self.slug, self.number, column)


def name_of(typed: str) -> str:
    """A connection's name, normalised; empty for the default one. Raises `Invalid`."""
    name = " ".join(typed.split())
    if len(name) > 100:
        raise Invalid.field("name", "Enter a name of at most 100 characters.")
    if CONTROL.search(name):
        raise Invalid.field("name", "Remove the line break or control character.")
    return name


async def service(session: AsyncSession, connector: Connector) -> Service:
    """The service's row. Raises `NotFound`."""
    row = await session.scalar(select(Service).where(Service.name == connector.name))
    if row is None:
        raise NotFound("%(name)s is not in the catalog yet.", name=connector.name)
    return row


async def find(session: AsyncSession, connector: Connector, user_id: int, name: str) -> int | None:
    """The id of the user's connection with this name, even if disconnected. None if there is none."""
    name = name_of(name)
    if not name:
        return 0
    return await session.scalar(
        select(NamedConnection.id)
        .join(Service, Service.id == NamedConnection.service_id)
        .where(NamedConnection.user_id == user_id, Service.name == connector.name, NamedConnection.name == name)
    )


async def number(session: AsyncSession, connector: Connector, user_id: int, name: str) -> int:
    """Like `find`. Raises `NotFound`."""
    connection_id = await find(session, connector, user_id, name)
    if connection_id is None:
        raise NotFound("You have no connection '%(name)s' to %(service)s.", name=name, service=connector.name)
    return connection_id


async def names(session: AsyncSession, numbers: set[int]) -> dict[int, str]:
    """The names of connections."""
    if not numbers - {0}:
        return {}
    rows = await session.execute(
        select(NamedConnection.id, NamedConnection.name).where(NamedConnection.id.in_(numbers))
    )
    return {row.id: row.name for row in rows}


async def reserve(session: AsyncSession, user_id: int, service_id: int, name: str) -> int:
    """The id of the connection with this name, created if needed. Raises `TooMany`."""
    name = name_of(name)
    if not name:
        return 0
    mine = (NamedConnection.user_id == user_id, NamedConnection.service_id == service_id)
    count = await session.scalar(select(func.count()).select_from(NamedConnection).where(*mine))
    if (count or 0) >= MOST_NAMED:
        raise TooMany(
            "You have %(number)s connections to this service, which is as many as AREA keeps. Remove one first.",
            number=count,
        )
    await session.execute(
        insert(NamedConnection).values(user_id=user_id, service_id=service_id, name=name).on_conflict_do_nothing()
    )
    return (await session.scalars(select(NamedConnection.id).where(*mine, NamedConnection.name == name))).one()


async def rename(session: AsyncSession, number: int, name: str) -> bool:
    """Rename the connection. Returns whether the name was free."""
    try:
        async with session.begin_nested():
            await session.execute(update(NamedConnection).where(NamedConnection.id == number).values(name=name))
    except IntegrityError:
        return False
    using = select(AreaConnection.area_id).where(AreaConnection.connection_id == number)
    # cached views of AREAs are valid as long as this row is unchanged
    await session.execute(update(Area).where(Area.id.in_(using)).values(updated_at=func.clock_timestamp()))
    return True


async def put(session: AsyncSession, ref: Ref, service_id: int, tokens: dict[str, Any]) -> None:
    """Replace the connection's tokens, which are encrypted."""
    tokens = {"updated_at": func.clock_timestamp(), **tokens}
    if ref.number:
        await session.execute(update(NamedConnection).where(NamedConnection.id == ref.number).values(**tokens))
        return
    statement = insert(UserService).values(user_id=ref.user_id, service_id=service_id, **tokens)
    await session.execute(statement.on_conflict_do_update(index_elements=["user_id", "service_id"], set_=tokens))


async def leave(session: AsyncSession, ref: Ref, service_id: int, account_id: str) -> None:
    """Have a worker revoke the connection's tokens, which are about to be replaced, if they are of another account."""
    await session.execute(LEAVE, {**ref._asdict(), "service_id": service_id, "account_id": account_id})
    await notify(session, Channel.CLEANUP_QUEUED, "")


LEAVE = text("""
insert into vendor_cleanups (kind, user_id, service_id, connection_id, account_id, oauth_token, refresh_token,
    token_expires_at)
select 'revoke', c.user_id, c.service_id, c.connection_id, cs.account_id, c.oauth_token, c.refresh_token,
    c.token_expires_at
from connections c join connection_states cs on cs.user_id = c.user_id and cs.service_id = c.service_id
    and cs.connection_id = c.connection_id
where c.user_id = :user_id and c.service_id = :service_id and c.connection_id = :number
  and c.oauth_token is not null and cs.account_id <> :account_id
""")


async def there(session: AsyncSession, ref: Ref, service_id: int) -> bool:
    """Whether the connection exists and isn't disconnected."""
    mine = (
        CONNECTIONS.user_id == ref.user_id,
        CONNECTIONS.service_id == service_id,
        CONNECTIONS.connection_id == ref.number,
    )
    return bool(
        await session.scalar(
            select(func.count()).where(*mine, (CONNECTIONS.oauth_token.is_not(None)) | (CONNECTIONS.connection_id == 0))
        )
    )


async def mark(session: AsyncSession, ref: Ref, service_id: int, state: dict[str, Any]) -> None:
    """Set the connection's state."""
    where = {"user_id": ref.user_id, "service_id": service_id, "connection_id": ref.number}
    statement = insert(ConnectionState).values(**where, **state)
    await session.execute(statement.on_conflict_do_update(index_elements=list(where), set_=state))


async def forget(session: AsyncSession, ref: Ref, service_id: int) -> bool:
    """Delete the connection's tokens and state. Returns whether there were any. Its name stays while AREAs use it."""
    if not ref.number:
        mine = (UserService.user_id == ref.user_id, UserService.service_id == service_id)
        existed = await session.scalar(delete(UserService).where(*mine).returning(UserService.service_id)) is not None
    else:
        existed = True
        chosen = select(AreaConnection.area_id).where(AreaConnection.connection_id == ref.number).limit(1)
        if await session.scalar(chosen) is None:
            await session.execute(delete(NamedConnection).where(NamedConnection.id == ref.number))
        else:
            await put(session, ref, service_id, {"oauth_token": None, "refresh_token": None, "token_expires_at": None})
    await session.execute(
        delete(ConnectionState).where(
            ConnectionState.user_id == ref.user_id,
            ConnectionState.service_id == service_id,
            ConnectionState.connection_id == ref.number,
        )
    )
    await notify(session, Channel.CONNECTION_CHANGED, str(ref))
    return existed
