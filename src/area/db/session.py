"""Connections: SQLAlchemy sessions for what people do, an asyncpg pool for the engine's hot path."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from area.kit.text import dump_json

Conn: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"


class Database:
    """One process's way to the database. `dsn` is a libpq address; nothing connects before it is used."""

    def __init__(self, dsn: str, *, sessions: int = 5, connections: int = 8) -> None:
        self.dsn = dsn.replace("postgresql+asyncpg://", "postgresql://")
        self._connections = connections
        self._pool: asyncpg.Pool | None = None
        self.engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=lambda: asyncpg.connect(self.dsn),
            pool_size=sessions,
            max_overflow=sessions * 2,
            pool_pre_ping=True,
            json_serializer=lambda value: dump_json(value).decode(),
            json_deserializer=orjson.loads,
        )
        self.sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    async def pool(self) -> asyncpg.Pool:
        """The engine's pool; jsonb goes in and out as text."""
        if self._pool is None:
            self._pool = await open_pool(self.dsn, 1, self._connections)
        return self._pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session that commits at the end, and rolls back on an error: for edges only (request, job, command)."""
        async with self.sessions.begin() as session:
            yield session

    async def close(self) -> None:
        """Close what is open."""
        if self._pool is not None:
            await self._pool.close()
        await self.engine.dispose()


WORKER = "area worker "  # what a worker's connections are called in pg_stat_activity: this, its machine, its process


async def open_pool(dsn: str, least: int, most: int, *, name: str = "area") -> asyncpg.Pool:
    """A pool whose connections are given back as they are: nothing here changes a session's settings, and asyncpg's own
    reset would be one more round trip for each use. `name` is how administrators see them in the database.
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


async def notify(session: AsyncSession, channel: str, payload: str) -> None:
    """NOTIFY once the session's transaction commits."""
    await session.execute(text("select pg_notify(:channel, :payload)"), {"channel": channel, "payload": payload})
