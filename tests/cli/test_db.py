import stat

import pytest


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
    assert [one["username"] for one in area.json("user", "list")] == ["ann"]


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
    from area.db import schema

    monkeypatch.setattr(schema, "head", lambda: "9999")
    assert "area db upgrade" in area.refuses("user", "list")
    assert "Run `area db upgrade`" in area("doctor").stdout


@pytest.mark.slow
def test_the_embedded_database_is_started_for_a_command_and_stopped_after(no_database, tmp_path):
    result = no_database("db", "url")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].startswith("postgresql://postgres@/area?host=")
    assert "while AREA runs" in result.stderr
    assert not (tmp_path / "data" / "postgres" / "postmaster.pid").exists()
