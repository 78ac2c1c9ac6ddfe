"""Connections: SQLAlchemy sessions for requests and commands, an asyncpg pool for the engine's hot path."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, cast

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy
from sqlalchemy import event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from area.db.dsn import DRIVER, raw_dsn
from area.db.locks import Lock
from area.db.notify import Channel
from area.kit.text import dump_json

Conn: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

IDLE = 30.0  # seconds without use after which a connection is checked


class Database:
    """One process's access to the database. `dsn` is a libpq address; it connects on first use."""

    def __init__(self, dsn: str, *, sessions: int = 5, connections: int = 8) -> None:
        self.dsn = raw_dsn(dsn)
        self._connections = connections
        self._pool: asyncpg.Pool | None = None
        self.engine: AsyncEngine = create_async_engine(
            DRIVER,
            async_creator=lambda: asyncpg.connect(self.dsn),
            pool_size=sessions,
            max_overflow=sessions * 2,
            json_serializer=lambda value: dump_json(value).decode(),
            json_deserializer=orjson.loads,
        )
        event.listen(self.engine.sync_engine, "checkin", self._used)
        event.listen(self.engine.sync_engine, "checkout", self._look)
        self.sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self._statements = async_sessionmaker(self.engine.execution_options(isolation_level="AUTOCOMMIT"))

    async def pool(self) -> asyncpg.Pool:
        """The engine's pool; jsonb is read and written as text."""
        if self._pool is None:
            self._pool = await open_pool(self.dsn, 1, self._connections)
        return self._pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session that commits at the end, and rolls back on an error. For edges only (request, job, command)."""
        async with self.sessions.begin() as session:
            yield session

    @asynccontextmanager
    async def statements(self) -> AsyncIterator[AsyncSession]:
        """A session that commits each statement, with one round trip each."""
        async with self._statements() as session:
            yield session

    def _used(self, _connection: Any, record: Any) -> None:
        record.info["used"] = time.monotonic()

    def _look(self, connection: Any, record: Any, _proxy: Any) -> None:
        """Replace a connection that is gone. The socket shows that, except after a time in which a network may have
        dropped it. Pinging each time (`pool_pre_ping`) would cost three round trips per session.
        """
        if connection.driver_connection.is_closed():
            raise DisconnectionError
        if time.monotonic() - record.info.get("used", time.monotonic()) > IDLE:
            dialect = self.engine.sync_engine.dialect
            try:
                dialect.do_ping(connection)
            except dialect.loaded_dbapi.Error as error:
                raise DisconnectionError from error

    async def close(self) -> None:
        """Close all connections."""
        if self._pool is not None:
            await self._pool.close()
        await self.engine.dispose()


WORKER = "area worker "  # application name of a worker's connections: this, its machine, its process


async def open_pool(dsn: str, least: int, most: int, *, name: str = "area") -> asyncpg.Pool:
    """A pool that doesn't reset its connections: nothing here changes a session's settings, and asyncpg's reset would
    cost a round trip per use. `name` is the application name in the database.
    """

    async def leave_as_it_is(_connection: Conn) -> None:
        return None

    return await asyncpg.create_pool(
        dsn,
        min_size=least,
        max_size=most,
        reset=leave_as_it_is,
        timeout=5,
        server_settings={"application_name": name},
    )


async def notify(session: AsyncSession, channel: Channel, payload: str) -> None:
    """NOTIFY once the session's transaction commits."""
    await session.execute(text("select pg_notify(:channel, :payload)"), {"channel": channel.value, "payload": payload})


async def raw(session: AsyncSession) -> Conn:
    """The session's asyncpg connection, inside its transaction. Pending writes of the session must be flushed first."""
    connection = (await (await session.connection()).get_raw_connection()).driver_connection
    assert connection is not None  # noqa: S101 - the session holds it
    if not connection.is_in_transaction():  # it only begins with the session's first statement
        await session.execute(text("select 1"))
    return cast("Conn", connection)


async def lock(session: AsyncSession, number: Lock, name: str | None = None) -> None:
    """Hold an advisory lock until the transaction ends; with a `name`, the one of that number and name."""
    if name is None:
        await session.execute(text("select pg_advisory_xact_lock(:number)"), {"number": number.value})
    else:
        statement = text("select pg_advisory_xact_lock(:number, hashtext(:name))")
        await session.execute(statement, {"number": number.value, "name": name})
