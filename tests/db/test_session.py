"""Connections that are gone are replaced before they are used; what takes one round trip takes one."""

import asyncio
from collections import Counter

import asyncpg
from sqlalchemy import text

from area.db import session as module

# the minute is what PostgreSQL may take to end one, which it says once that is done
END = """select pg_terminate_backend(pid, 60000) from pg_stat_activity
         where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()"""


async def backend(database):
    async with database.transaction() as session:
        return await session.scalar(text("select pg_backend_pid()"))


async def end_all(dsn):
    connection = await asyncpg.connect(dsn)
    assert [ended for (ended,) in await connection.fetch(END)] == [True]
    await connection.close()


async def test_a_connection_that_was_ended_is_replaced_unseen(database, dsn):
    first = await backend(database)
    assert await backend(database) == first, "it is used again"
    async with database.engine.connect() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
    await end_all(dsn)
    async with asyncio.timeout(60):
        while not raw.is_closed():
            await asyncio.sleep(0.01)
    assert await backend(database) != first


async def test_a_connection_that_was_not_used_for_long_is_asked(database, dsn, monkeypatch):
    first = await backend(database)
    monkeypatch.setattr(module, "IDLE", -1.0)
    assert await backend(database) == first
    await end_all(dsn)
    # a network that has forgotten the connection tells nobody
    monkeypatch.setattr(asyncpg.Connection, "is_closed", lambda _one: False)
    assert await backend(database) != first


async def test_statements_commit_by_themselves_without_a_transaction_around_them(database, monkeypatch):
    counter: Counter[str] = Counter()
    execute = asyncpg.Connection.execute

    async def counted(connection, query, *args, **options):
        counter[query.partition(" ")[0].rstrip(";")] += 1
        return await execute(connection, query, *args, **options)

    await backend(database)
    monkeypatch.setattr(asyncpg.Connection, "execute", counted)
    async with database.statements() as session:
        await session.execute(text("insert into meta (key, value) values ('a', 'b')"))
    assert not counter
    async with database.transaction() as session:
        assert await session.scalar(text("select value from meta where key = 'a'")) == "b"
    assert counter == {"BEGIN": 1, "COMMIT": 1}
