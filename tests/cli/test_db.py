import asyncio
import stat

import asyncpg
import pytest

from area.db import schema
from area.kit.crypto import Keyring
from area.runs.record import seal


def test_the_schema_is_brought_up_to_date(clean, empty_dsn, monkeypatch):
    from tests.cli.conftest import Area

    monkeypatch.setenv("AREA_DATABASE_URL", empty_dsn)
    assert "The database is at" in Area().ok("db", "upgrade")
    assert "The database is at" in Area().ok("db", "upgrade")
    assert Area().ok("db", "url") == f"{empty_dsn}\n"


def test_a_new_database_is_made_ready_by_the_first_command(clean, empty_dsn, monkeypatch):
    from tests.cli.conftest import Area

    monkeypatch.setenv("AREA_DATABASE_URL", empty_dsn)
    Area().user("ann")
    assert "rss.new_item" in Area().ok("catalog", "list")


def test_a_backup_is_restored_as_it_was(area, tmp_path):
    area.user("ann")
    file = tmp_path / "area.dump"
    assert "secret_key" in area.ok("db", "backup", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    area.user("bob")
    assert "not empty" in area.refuses("db", "restore", str(file))
    assert "Restored" in area.ok("db", "restore", str(file), "--force")
    assert [account["username"] for account in area.json("user", "list")] == ["ann"]


async def test_nothing_is_restored_while_others_use_the_database(area, database):
    await asyncio.to_thread(area.user, "ann")
    await asyncio.to_thread(area.ok, "db", "backup", "area.dump")
    await asyncio.to_thread(area.user, "bob")
    await database.pool()
    for options in ((), ("--force",)):
        assert "Stop AREA first" in await asyncio.to_thread(area.refuses, "db", "restore", "area.dump", *options)
    assert len(await asyncio.to_thread(area.json, "user", "list")) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("db", "restore", "none.dump"), "no file"),
        (("db", "backup", "none/area.dump"), "Can't write"),
    ],
)
def test_files_that_can_not_be_used(area, arguments, sentence):
    assert sentence in area.refuses(*arguments)


def test_a_file_that_is_no_backup_changes_nothing(area, tmp_path):
    area.user("ann")
    (tmp_path / "text").write_text("hello")
    assert "database is as it was" in area.refuses("db", "restore", "text", "--force")
    assert len(area.json("user", "list")) == 1


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://nobody@127.0.0.1:1/area", "at 127.0.0.1 can't be used"),
        ("mysql://x/y", "can't be used"),
    ],
)
@pytest.mark.parametrize("command", [("user", "list"), ("db", "upgrade"), ("doctor",), ("serve",), ("worker",)])
def test_a_database_that_can_not_be_reached_is_a_sentence(no_database, monkeypatch, free_port, url, sentence, command):
    monkeypatch.setenv("AREA_DATABASE_URL", url)
    monkeypatch.setenv("AREA_PORT", str(free_port))
    result = no_database(*command)
    assert result.exit_code == 1
    assert sentence in result.output
    assert "Traceback" not in result.output


def test_an_older_schema_is_not_touched_by_a_look(area, dsn, monkeypatch):
    monkeypatch.setattr(schema, "head", lambda: "9999")
    assert "area db upgrade" in area.refuses("user", "list")
    assert "Run `area db upgrade`" in area("doctor").stdout


@pytest.mark.slow
def test_the_embedded_database_is_started_for_a_command_and_stopped_after(no_database, tmp_path):
    result = no_database("db", "url")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].startswith("postgresql://postgres@/area?host=")
    assert "isn't running now" in result.stderr
    assert not (tmp_path / "data" / "postgres" / "postmaster.pid").exists()


async def value(dsn, query):
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


GIVEN = """
    insert into users (email, username) values ('a@example.org', 'a');
    insert into areas (user_id, component_action_id, component_reaction_id, name)
        select 1, (select min(id) from components where type = 'action'), (select min(id) from components where type = 'reaction'), 'a';
    insert into area_executions (area_id, status) values (1, 'success'), (1, 'success');
    insert into execution_records (execution_id, version, parameters) values (1, 1, '{0}'), (2, 1, 'v1.lost.key')
"""


async def test_a_database_goes_back_to_the_older_area_and_comes_again(area, dsn, tmp_path):
    keyring = Keyring((tmp_path / "data" / "secret_key").read_text().split())
    connection = await asyncpg.connect(dsn)
    await connection.execute(GIVEN.format(seal(keyring, 1, {"text": "x"})))
    await connection.close()
    down = await asyncio.to_thread(area, "db", "downgrade", "0012", typed="n\n")
    assert down.exit_code == 1
    assert await value(dsn, "select version_num from alembic_version") == schema.head()
    down = await asyncio.to_thread(area, "db", "downgrade", "0012", typed="y\n")
    assert down.exit_code == 0, down.output
    assert "1 executions have parameters that no key can decrypt" in down.stderr
    assert "this one would upgrade it again" in down.stdout
    assert await value(dsn, "select version_num from alembic_version") == "0012"
    old = "select execution_result->'parameters'->>'text' from area_executions where id = 1"
    assert await value(dsn, old) == "x"
    up = await asyncio.to_thread(area, "db", "upgrade")
    assert "0013: this version can't run alongside the older one" in up.stderr
    assert f"The database is at {schema.head()}" in up.stdout
    assert await value(dsn, "select parameters from execution_records where execution_id = 2") == "v1.lost.key"


async def test_a_downgrade_is_refused_where_it_can_not_be(area, dsn):
    for revision in ("0000", schema.head(), "9999", "base"):
        output = await asyncio.to_thread(area.refuses, "db", "downgrade", revision, "--yes")
        assert "Choose one of 0001 to" in output
    connection = await asyncpg.connect(dsn)
    try:
        assert "Stop AREA first" in await asyncio.to_thread(area.refuses, "db", "downgrade", "0012", "--yes")
    finally:
        await connection.close()
    assert await value(dsn, "select version_num from alembic_version") == schema.head()
