"""What every test may ask for: one PostgreSQL for the whole run, and a migrated database of its own.

`AREA_TEST_DATABASE_URL` names an external server to use instead of the embedded one; its user must be allowed to create
databases.
"""

import fcntl
import gc
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from area import catalog
from area.db import embedded, schema
from area.db.session import Database
from area.registry import Registry, registry
from tests.budget import Budget
from tests.passwords import cheapen

# Nothing here must outlive a crash of the machine.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"}


cheapen()


# What is imported and collected stays: the garbage collector need not look for anything in its million objects.
gc.disable()


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Budget())


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def in_database(dsn: str, name: str) -> str:
    """The address of another database of the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def memory() -> Path:
    """A place in memory if there is one with enough room: a database is copied in 20 ms there, and in 300 on a busy
    disk.
    """
    shared = Path("/dev/shm")
    if shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 2 << 30:
        return shared
    return Path(tempfile.gettempdir())


@pytest.fixture(scope="session")
def postgres_dsn(memory: Path) -> Iterator[str]:
    """The address of the server that all tests of this run share, those of other xdist workers too."""
    if external := os.environ.get("AREA_TEST_DATABASE_URL"):
        yield external
        return
    _clear(memory)
    # The workers of a run find the same directory; who is first starts the server, who is last stops it.
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid4().hex)
    directory = memory / f"area-tests-{os.geteuid()}-{run[:12]}"
    server = embedded.start(directory, options=FAST)
    yield server.dsn
    if server.stop():
        shutil.rmtree(directory, ignore_errors=True)


def _clear(memory: Path) -> None:
    """End and remove the servers of runs that were killed: nobody holds their `postgres.users`."""
    for directory in memory.glob(f"area-tests-{os.geteuid()}-*"):
        with suppress(OSError, embedded.EmbeddedError):
            if time.time() - directory.stat().st_mtime < 600:
                continue
            with (directory / "postgres.users").open() as users:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            embedded.start(directory).stop()
            shutil.rmtree(directory)


@pytest_asyncio.fixture(scope="session")
async def _server(postgres_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres_dsn)
    yield connection
    await connection.close()


@pytest_asyncio.fixture(scope="session")
async def _template(postgres_dsn: str, _server: asyncpg.Connection) -> AsyncIterator[str]:
    """A migrated database to copy, this worker's own."""
    name = f"area_template_{uuid4().hex[:12]}"
    await _server.execute(f"create database {name} template template0 encoding 'UTF8'")
    await schema.ensure(in_database(postgres_dsn, name))
    yield name
    await _server.execute(f"drop database {name} with (force)")


@pytest_asyncio.fixture
async def empty_dsn(postgres_dsn: str, _server: asyncpg.Connection) -> AsyncIterator[str]:
    """The address of a database without any tables, dropped after the test."""
    name = f"area_test_{uuid4().hex[:12]}"
    await _server.execute(f"create database {name} template template0 encoding 'UTF8'")
    yield in_database(postgres_dsn, name)
    await _server.execute(f"drop database {name} with (force)")


Copied = Callable[[str], AbstractAsyncContextManager[str]]  # the name of a database, the address of its copy


@pytest.fixture(scope="session")
def copied(postgres_dsn: str, _server: asyncpg.Connection) -> Copied:
    """Copies a database until the end of a block, in 25 ms; nobody may be connected to it meanwhile."""

    @asynccontextmanager
    async def copy(template: str) -> AsyncIterator[str]:
        name = f"area_test_{uuid4().hex[:12]}"
        await _server.execute(f"create database {name} template {template} strategy file_copy")
        yield in_database(postgres_dsn, name)
        await _server.execute(f"drop database {name} with (force)")

    return copy


async def write_catalog(dsn: str, services: Registry) -> None:
    database = Database(dsn)
    async with database.transaction() as session:
        await catalog.sync(session, services)
    await database.close()


def name_of(dsn: str) -> str:
    """The name of the database at this address."""
    return urlsplit(dsn).path.removeprefix("/")


@pytest_asyncio.fixture(scope="session")
async def _catalogued(copied: Copied, _template: str) -> AsyncIterator[str]:
    """A database to copy that has the catalog in it, this worker's own: its 5,000 rows take two seconds to write."""
    async with copied(_template) as dsn:
        await write_catalog(dsn, registry())
        yield name_of(dsn)


@pytest_asyncio.fixture
async def dsn(copied: Copied, _template: str) -> AsyncIterator[str]:
    """The address of a fresh, migrated database, dropped after the test."""
    async with copied(_template) as dsn:
        yield dsn


@pytest_asyncio.fixture
async def catalog_dsn(copied: Copied, _catalogued: str) -> AsyncIterator[str]:
    """`dsn`, with the catalog in it."""
    async with copied(_catalogued) as dsn:
        yield dsn


@pytest_asyncio.fixture(scope="module")
async def module_dsn(copied: Copied, _catalogued: str) -> AsyncIterator[str]:
    """`catalog_dsn`, for all tests of a module."""
    async with copied(_catalogued) as dsn:
        yield dsn


@pytest_asyncio.fixture(scope="session")
async def session_dsn(copied: Copied, _catalogued: str) -> AsyncIterator[str]:
    """`catalog_dsn`, for all tests of this worker that want it."""
    async with copied(_catalogued) as dsn:
        yield dsn


@pytest_asyncio.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    """A fresh, migrated database, closed and dropped after the test."""
    database = Database(dsn)
    yield database
    await database.close()
