"""The one loop that listens, on a real server that ends its connection."""

import asyncio
import contextlib

import asyncpg

from area.db.locks import Lock
from area.db.notify import Channel, listen

ENDED = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"


def test_the_names_are_those_of_every_version():
    assert sorted(Channel) == [
        "access_changed",
        "area_changed",
        "catalog_changed",
        "cleanup_queued",
        "connection_changed",
        "execution_cancelled",
        "executions_changed",
        "load",
        "mail_queued",
        "notices_changed",
        "run_answered",
        "sources_changed",
    ]
    numbers = [0x41524541, 4127001, 4127010, 4127011, 4127012, 4127013, 4127014]
    assert sorted(Lock) == sorted(numbers)


async def test_it_hears_again_after_its_connection_is_lost(dsn: str):
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    began: asyncio.Queue[None] = asyncio.Queue()
    lost: asyncio.Queue[None] = asyncio.Queue()
    task = asyncio.create_task(
        listen(
            dsn,
            (Channel.AREA_CHANGED, Channel.LOAD),
            lambda *what: heard.put_nowait(what),
            listening=lambda: began.put_nowait(None),
            lost=lambda: lost.put_nowait(None),
        )
    )
    connection = await asyncpg.connect(dsn)
    try:
        for number in range(3):
            await began.get()
            await connection.execute("select pg_notify('area_changed', $1), pg_notify('load', '')", str(number))
            assert [await heard.get(), await heard.get()] == [("area_changed", str(number)), ("load", "")]
            assert lost.empty()
            assert await connection.fetchval(ENDED) == 1
            await lost.get()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await connection.close()


async def test_it_goes_on_after_what_nobody_expected(dsn: str):
    began: asyncio.Queue[None] = asyncio.Queue()

    def listening() -> None:
        began.put_nowait(None)
        if began.qsize() == 1:
            raise RuntimeError

    task = asyncio.create_task(listen(dsn, (Channel.LOAD,), lambda *_: None, listening=listening))
    try:
        while began.qsize() < 2:
            await asyncio.sleep(0.01)
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
