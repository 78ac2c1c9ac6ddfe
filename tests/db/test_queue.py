"""The queue's schema is that of the installed PgQueuer, and an upgrade of PgQueuer that changes it is noticed."""

import asyncio
import os
import sys

import asyncpg
import pytest
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment

from area.db import queue, schema

# all that a schema holds of PgQueuer, a line each; the order of columns is left out, since an upgrade adds them at the
# end
OBJECTS = """
with t as (select oid, relname, relpersistence, relkind from pg_class
           where relnamespace = current_schema()::regnamespace and relname like '%pgqueuer%')
select format('%s %s, persistence %s', relkind, relname, relpersistence) from t
union all
select format('column %s.%s %s%s default %s identity "%s"', relname, attname, format_type(atttypid, atttypmod),
              case when attnotnull then ' not null' else '' end, coalesce(pg_get_expr(adbin, adrelid), '-'), attidentity)
from t join pg_attribute a on attrelid = t.oid and attnum > 0 and not attisdropped
left join pg_attrdef d on d.adrelid = t.oid and d.adnum = attnum where relkind = 'r'
union all select 'index ' || pg_get_indexdef(i.indexrelid) from t join pg_index i on i.indrelid = t.oid
union all select format('constraint %s on %s: %s', conname, relname, pg_get_constraintdef(c.oid))
from t join pg_constraint c on c.conrelid = t.oid where contype <> 'n'
union all select format('enum %s: %s', typname, string_agg(enumlabel, ', ' order by enumsortorder))
from pg_type join pg_enum on enumtypid = pg_type.oid where typname like '%pgqueuer%' group by typname
union all select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal and tgrelid in (select oid from t)
union all select pg_get_functiondef(oid) from pg_proc
where pronamespace = current_schema()::regnamespace and proname like '%pgqueuer%'
union all select format('sequence %s: %s', relname, seqtypid::regtype) from t join pg_sequence on seqrelid = t.oid
order by 1
"""


async def objects(dsn: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    try:
        return {row[0] for row in await connection.fetch(OBJECTS)}
    finally:
        await connection.close()


async def execute(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def drift(dsn: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        return await queue.drift(connection)
    finally:
        await connection.close()


async def test_the_migrations_make_what_the_installed_pgqueuer_would(dsn: str, empty_dsn: str):
    """When this fails, PgQueuer was upgraded to a version of another schema: write a migration that makes the
    difference.
    """
    await execute(empty_dsn, QueryBuilderEnvironment(queue.NAMES).build_install_query())
    migrated, installed = await objects(dsn), await objects(empty_dsn)
    assert len(installed) > 50
    missing, left = "\n".join(sorted(installed - migrated)), "\n".join(sorted(migrated - installed))
    assert migrated == installed, (
        f"{queue.version()} has another schema than the migrations make.\nA migration must add:\n{missing}\n\nand remove:\n"
        f"{left}\n\nPgQueuer's own statements:\n" + "\n".join(await drift(dsn))
    )
    assert await drift(dsn) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("alter table pgqueuer drop column slot", "slot"),
        ("alter table pgqueuer alter column id type integer", "id"),
        ("drop index pgqueuer_ep_prio_id_idx", "pgqueuer_ep_prio_id_idx"),
        ("alter table pgqueuer alter column headers type text", "headers"),
        ("drop trigger tg_pgqueuer_changed on pgqueuer", "tg_pgqueuer_changed"),
    ],
)
async def test_a_difference_is_named(dsn: str, change: str, named: str):
    before = await objects(dsn)
    await execute(dsn, change)
    assert await objects(dsn) != before
    assert any(named in sentence for sentence in await drift(dsn))


async def test_the_tables_of_any_pgqueuer_are_left(empty_dsn: str):
    """A downgrade to the beginning leaves none of what the first migration made."""
    await schema.upgrade(empty_dsn)
    assert await objects(empty_dsn)
    await schema.downgrade(empty_dsn, "base")
    assert not await objects(empty_dsn)


async def test_the_environment_does_not_rename_the_queue(dsn: str):
    """PgQueuer reads names from variables as common as CHANNEL."""

    code = (
        "import asyncio, sys, asyncpg\n"
        "from area.db import queue\n"
        "async def main():\n"
        "    connection = await asyncpg.connect(sys.argv[1])\n"
        "    (number,) = await queue.enqueue(connection, queue.LATER, [b'1'], [0])\n"
        "    print(number, await connection.fetchval('select count(*) from pgqueuer'), queue.NAMES.channel)\n"
        "    await connection.close()\n"
        "asyncio.run(main())\n"
    )
    names = {
        "PGQUEUER_PREFIX": "x_",
        "CHANNEL": "tv",
        "TRIGGER": "finger",
        "QUEUE_TABLE": "chairs",
        "PGQUEUER_SCHEMA": "s",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, dsn, env=os.environ | names, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert output.split() == [b"1", b"1", b"ch_pgqueuer"]
