"""The schema's version: the database's, this code's, and the migration from one to the other.

Alembic is only imported when there is something to migrate: a start with an up-to-date database costs one query.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from area.db.dsn import DRIVER, raw_dsn
from area.db.locks import Lock

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).with_name("migrations")
OLDEST_SERVER = 15

ALONE = ("0013",)  # revisions after which an older AREA would write data that this one misreads
OLDER_AREA = (
    "select application_name from pg_stat_activity where datname = current_database()"
    " and application_name ~ '^area( worker |$)'"
)
PATIENCE = 20.0  # seconds that an older AREA may take to exit


class SchemaError(RuntimeError):
    """The database can't be used or migrated as it is. The message says why and what to do."""


async def ensure(dsn: str) -> None:
    """Migrate the database at `dsn` to this code's revision; returns at once if it is there already.

    Processes that start together wait for the one that migrates. Raises `SchemaError` if the database was created by a
    newer AREA, holds another application's tables, or its PostgreSQL is too old; `OSError` or `asyncpg.PostgresError`
    if it can't be reached.
    """
    connection = await asyncpg.connect(raw_dsn(dsn))
    try:
        await _check_server(connection)
        if await _current(connection) == head():
            return
    finally:
        await connection.close()
    await upgrade(dsn)


async def upgrade(dsn: str, revision: str = "head") -> None:
    """Migrate the database at `dsn` up to `revision`. Raises like `ensure`."""
    async with _alone(dsn) as connection:
        current = await _current(connection)
        _check_known(current)
        if revision == "head" and current == head():
            return  # another process did it meanwhile
        if current is None and await _holds_something(connection):
            raise SchemaError(
                "The database holds tables that AREA didn't make. Give it an empty one: `create database area`, and set"
                " AREA_DATABASE_URL."
            )
        if alone(current):
            await _without_others(connection)
        await _run(dsn, "upgrade", revision)


async def downgrade(dsn: str, revision: str) -> None:
    """Migrate the database at `dsn` down to `revision` (`base`: empty). Loses what later revisions added. Raises like
    `ensure`.
    """
    async with _alone(dsn) as connection:
        _check_known(await _current(connection))
        await _run(dsn, "downgrade", revision)


async def current(dsn: str) -> str | None:
    """The revision of the database at `dsn`; None if it was never migrated."""
    connection = await asyncpg.connect(raw_dsn(dsn))
    try:
        return await _current(connection)
    finally:
        await connection.close()


def head() -> str:
    """The revision of this code: the last of the migrations' files, each named after its revision."""
    return revisions()[-1]


def alone(current: str | None) -> list[str]:
    """The revisions between `current` and the last during which no older AREA may run."""
    return [revision for revision in ALONE if current and current < revision <= head()]


@cache
def revisions() -> list[str]:
    """All revisions, oldest first."""
    return sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


async def _check_server(connection: asyncpg.Connection) -> None:
    version = connection.get_server_version()
    if version.major < OLDEST_SERVER:
        raise SchemaError(f"The database is PostgreSQL {version.major}; AREA needs {OLDEST_SERVER} or later.")
    encoding = connection.get_settings().server_encoding
    if encoding != "UTF8":
        raise SchemaError(f"The database's encoding is {encoding}; AREA needs one made with `encoding 'UTF8'`.")


def _check_known(revision: str | None) -> None:
    if revision is not None and revision not in revisions():
        raise SchemaError(
            f"The database is at revision {revision}, made by a newer AREA; this one knows up to {head()}."
            " Install the newer AREA again, or restore a backup from before the update."
        )


async def _without_others(connection: asyncpg.Connection) -> None:
    """Wait a moment for an older AREA to exit. Raises `SchemaError` if it does not."""
    end = time.monotonic() + PATIENCE
    while names := [row[0] for row in await connection.fetch(OLDER_AREA)]:
        if time.monotonic() > end:
            raise SchemaError(
                f"An older AREA is connected to the database ({', '.join(sorted(set(names)))}). Stop it first:"
                " it can't run beside this one."
            )
        await asyncio.sleep(0.2)


async def _current(connection: asyncpg.Connection) -> str | None:
    try:
        value: str | None = await connection.fetchval("select version_num from alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    return value


async def _holds_something(connection: asyncpg.Connection) -> bool:
    exists: bool = await connection.fetchval(
        "select exists (select from pg_class c where relnamespace = current_schema()::regnamespace"
        " and relkind in ('r', 'p') and relname <> 'alembic_version'"
        " and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e'))"
    )
    return exists


@asynccontextmanager
async def _alone(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that holds the migration lock; PostgreSQL releases it if the process is killed."""
    connection = await asyncpg.connect(raw_dsn(dsn))
    try:
        await _check_server(connection)
        await connection.execute("select pg_advisory_lock($1)", Lock.MIGRATE)
        yield connection
    finally:
        await connection.close()


async def _run(dsn: str, command: str, *arguments: str, **options: Any) -> None:
    """Run one of Alembic's commands."""
    from alembic import command as commands
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    do: Callable[..., Any] = getattr(commands, command)
    engine = create_async_engine(DRIVER, async_creator=lambda: asyncpg.connect(raw_dsn(dsn)), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(lambda bind: do(_config(bind), *arguments, **options))
    finally:
        await engine.dispose()


def _config(bind: Any = None) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = bind
    return config
