"""Up, down and up again; by several at once; and never with a database that isn't ours to change."""

import asyncio
import sys
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import asyncpg
import pytest
from alembic.script import ScriptDirectory

from area.db import schema

# Whatever a schema can hold: after a downgrade to the beginning nothing is left of it.
OBJECTS = """
    select relname::text from pg_class where relnamespace = 'public'::regnamespace
    union all select typname::text from pg_type where typnamespace = 'public'::regnamespace
    union all select proname::text from pg_proc where pronamespace = 'public'::regnamespace
"""


async def fetch(dsn: str, query: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def execute(dsn: str, query: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(query)
    await connection.close()


def test_the_files_names_tell_the_head():
    scripts = ScriptDirectory.from_config(schema._config())
    assert scripts.get_heads() == [schema.head()]
    assert sorted(script.revision for script in scripts.walk_revisions()) == schema.revisions()


async def test_up_down_up(empty_dsn: str):
    assert await schema.current(empty_dsn) is None
    await schema.upgrade(empty_dsn)
    assert await schema.current(empty_dsn) == schema.head()
    results = sorted(await fetch(empty_dsn, OBJECTS))
    assert {"areas", "pgqueuer", "component_type", "fn_pgqueuer_changed"} < set(results)
    await schema.downgrade(empty_dsn, "base")
    assert await schema.current(empty_dsn) is None
    left = await fetch(empty_dsn, OBJECTS)
    assert set(left) <= {"alembic_version", "_alembic_version", "alembic_version_pkc"}
    await schema.upgrade(empty_dsn)
    assert sorted(await fetch(empty_dsn, OBJECTS)) == results


async def test_an_installation_has_an_identity(dsn: str):
    (identity,) = await fetch(dsn, "select value from meta where key = 'instance'")
    assert UUID(identity).version == 4


async def test_queue_tables_are_vacuumed_eagerly(dsn: str):
    (options,) = await fetch(dsn, "select reloptions from pg_class where relname = 'pgqueuer'")
    assert {"fillfactor=70", "autovacuum_vacuum_scale_factor=0.01"} <= set(options)


async def test_ensure_is_cheap_when_nothing_is_to_be_done(dsn: str):
    code = (
        "import asyncio, sys; from area.db import schema; asyncio.run(schema.ensure(sys.argv[1]));"
        "print('alembic' in sys.modules, 'sqlalchemy' in sys.modules)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, dsn, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert output.split() == [b"False", b"False"]


async def test_two_processes_at_once(empty_dsn: str):
    code = "import asyncio, sys; from area.db import schema; asyncio.run(schema.ensure(sys.argv[1]))"
    processes = [await asyncio.create_subprocess_exec(sys.executable, "-c", code, empty_dsn) for _ in range(3)]
    assert [await process.wait() for process in processes] == [0, 0, 0]
    assert await schema.current(empty_dsn) == schema.head()
    assert len(await fetch(empty_dsn, "select value from meta")) == 1


async def test_many_tasks_at_once(empty_dsn: str):
    await asyncio.gather(*(schema.ensure(empty_dsn) for _ in range(5)))
    assert await schema.current(empty_dsn) == schema.head()


async def test_a_newer_database_is_refused(dsn: str):
    await execute(dsn, "update alembic_version set version_num = '9999'")
    for attempt in (schema.ensure(dsn), schema.upgrade(dsn), schema.downgrade(dsn, "base")):
        with pytest.raises(schema.SchemaError, match=r"revision 9999, made by a newer AREA; this one knows up to 0"):
            await attempt


async def test_another_applications_database_is_refused(empty_dsn: str):
    await execute(empty_dsn, "create table users (id int)")
    with pytest.raises(schema.SchemaError, match="didn't make"):
        await schema.ensure(empty_dsn)
    assert await fetch(empty_dsn, "select count(*) from pg_class where relname = 'alembic_version'") == [0]


async def test_a_failing_migration_changes_nothing(empty_dsn: str):
    await execute(empty_dsn, "create type pgqueuer_status as enum ('x')")
    with pytest.raises(asyncpg.DuplicateObjectError):
        await schema.ensure(empty_dsn)
    assert await fetch(empty_dsn, "select relname::text from pg_class where relname in ('users', 'meta')") == []
    await execute(empty_dsn, "drop type pgqueuer_status")
    await schema.ensure(empty_dsn)


async def test_a_database_of_another_encoding_is_refused(postgres_dsn: str):
    name = f"area_test_{uuid4().hex[:12]}"
    await execute(
        postgres_dsn, f"create database {name} template template0 encoding 'LATIN1' locale 'C' locale_provider libc"
    )
    try:
        with pytest.raises(schema.SchemaError, match="encoding is LATIN1"):
            await schema.ensure(urlunsplit(urlsplit(postgres_dsn)._replace(path=f"/{name}")))
    finally:
        await execute(postgres_dsn, f"drop database {name}")


async def test_it_can_not_be_reached():
    with pytest.raises(OSError, match=r"nowhere|No such file"):
        await schema.ensure("postgresql://x@/x?host=/nowhere")


@pytest.mark.parametrize("name", ["area", "area worker box 7"])
async def test_an_older_area_must_end_before_what_it_writes_is_moved(empty_dsn: str, monkeypatch, name: str):
    await schema.upgrade(empty_dsn, "0012")
    monkeypatch.setattr(schema, "PATIENCE", 0.0)
    older = await asyncpg.connect(empty_dsn, server_settings={"application_name": name})
    with pytest.raises(schema.SchemaError, match=f"{name}.*Stop it first"):
        await schema.ensure(empty_dsn)
    assert await schema.current(empty_dsn) == "0012"
    monkeypatch.setattr(schema, "PATIENCE", 60.0)
    upgrade = asyncio.create_task(schema.ensure(empty_dsn))
    await older.close()
    await upgrade
    assert await schema.current(empty_dsn) == schema.head()
    assert schema.alone("0012") == ["0013"]
    assert schema.alone(schema.head()) == schema.alone(None) == []
