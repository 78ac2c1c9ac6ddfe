"""The models say what the migrations make."""

import re

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Connection, Enum, inspect, text

from area.db.models import Base
from area.db.session import Database


def differences(connection: Connection) -> list[object]:
    def ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or not (name or "").startswith(("pgqueuer", "alembic_version"))

    options = {"include_name": ours, "compare_type": True, "compare_server_default": True}
    return compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)


async def test_autogenerate_finds_nothing(database: Database):
    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_autogenerate_finds_a_difference(database: Database):
    async with database.engine.begin() as connection:
        await connection.execute(text("alter table areas drop column description"))
        assert await connection.run_sync(differences) != []


async def test_what_autogenerate_overlooks_is_the_same(database: Database):
    """Alembic compares neither checks, nor the labels of enums, nor storage parameters, nor what a foreign key does."""
    async with database.engine.connect() as connection:
        checks = await connection.run_sync(
            lambda sync: {
                (table, check["name"]): check["sqltext"]
                for table in Base.metadata.tables
                for check in inspect(sync).get_check_constraints(table)
            }
        )
        enums = dict(
            (
                await connection.execute(
                    text(
                        "select typname, array_agg(enumlabel::text order by enumsortorder) from pg_enum"
                        " join pg_type t on t.oid = enumtypid where typname not like 'pgqueuer%' group by typname"
                    )
                )
            ).all()
        )
        stored = dict(
            (
                await connection.execute(
                    text("select oid::regclass::text, reloptions from pg_class where relkind = 'r'")
                )
            ).all()
        )
        actions = dict(
            (
                await connection.execute(
                    text("select conname, confdeltype::text from pg_constraint where contype = 'f'")
                )
            ).all()
        )
    words = {None: "a", "NO ACTION": "a", "RESTRICT": "r", "CASCADE": "c", "SET NULL": "n"}
    for name, table in Base.metadata.tables.items():
        for constraint in table.constraints:
            if isinstance(constraint, CheckConstraint):
                mine = set(re.findall(r"'(\w+)'", str(constraint.sqltext)))
                assert set(re.findall(r"'(\w+)'", checks.pop((name, constraint.name)))) == mine
        for key in table.foreign_key_constraints:
            assert actions.pop(key.name) == words[key.ondelete], key.name
        for column in table.columns:
            if isinstance(column.type, Enum):
                assert enums.pop(column.type.name) == column.type.enums
        for option, value in (
            table.dialect_options["postgresql"]["with"].items() if "postgresql" in table.dialect_options else ()
        ):
            assert f"{option}={value}" in stored[name]
    assert (checks, enums, actions) == ({}, {}, {})
