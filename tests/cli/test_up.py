import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import psutil
import pytest
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from area import app
from area.cli import supervise
from area.settings import settings

HEAVY = ("asyncio", "aiohttp", "asyncpg", "babel", "fastapi", "pydantic", "rich", "sqlalchemy", "structlog", "yaml")
NOT_FOR_LONG = (*HEAVY, "area.app", "area.registry", "area.settings", "granian", "http", "jinja2", "ssl", "typer")


def test_the_help_comes_without_loading_anything_heavy():
    program = f"import sys, area.cli.commands; print([one for one in {HEAVY} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_supervisor_loads_little():
    program = (
        "import sys, area.cli.supervise, area.db.embedded;"
        f" print([name for name in {NOT_FOR_LONG} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_port_that_is_taken_is_said_before_anything_is_started(no_database, monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("AREA_PORT", str(taken.getsockname()[1]))
        for command in ("up", "serve"):
            assert "another program is using it" in no_database.refuses(command)
    assert not (tmp_path / "data").exists()


def test_a_host_that_is_not_ours(no_database, monkeypatch):
    monkeypatch.setenv("AREA_HOST", "192.0.2.1")
    assert "Check AREA_HOST" in no_database.refuses("up")


def test_a_wrong_setting_ends_it_with_a_sentence(no_database, monkeypatch):
    monkeypatch.setenv("AREA_PUBLIC_URL", "area.example.org")
    assert "AREA_PUBLIC_URL: the public URL must begin" in no_database.refuses("up", code=2)


def test_a_role_that_can_not_start_ends_it_with_its_sentence(clean, start, free_port):
    process = start("up", AREA_DATABASE_URL="postgresql://x@127.0.0.1:1/x", AREA_PORT=str(free_port))
    assert process.wait(60) == 1
    output = process.stdout.read()
    assert "The database at 127.0.0.1 can't be used: " in output
    assert "Traceback" not in output


def test_connectors_that_can_not_be_used_are_said_before_anything_is_started(clean, start, free_port, tmp_path):
    process = start("up", AREA_RSS_SERVER="https://feeds.example.org", AREA_PORT=str(free_port))
    assert process.wait(60) == 1
    assert process.stdout.read() == "AREA_RSS_SERVER can't be used: RSS and Atom feeds has no servers of one's own.\n"
    assert not (tmp_path / "data" / "postgres").exists()


def register(port):
    body = {"email": "ann@example.org", "username": "ann", "password": "correct horse battery"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/auth/register",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    return json.load(urllib.request.urlopen(request, timeout=30))


def until(process, text):
    output = ""
    for line in process.stdout:
        output += line
        if text in line:
            return output
    raise AssertionError(output)


def until_other(supervisor, name, pid):
    """Wait until another process of the same name serves in its place."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for child in supervisor.children():
            if child.pid != pid and child.name() == name and child.net_connections():
                return
        time.sleep(0.1)
    raise AssertionError(supervisor.children())


@pytest.mark.slow
def test_everything_runs_says_what_to_do_next_and_stops_on_ctrl_c(clean, start, free_port, tmp_path):
    process = start("up", AREA_PORT=str(free_port))
    output = until(process, "password")
    assert f"AREA runs at http://127.0.0.1:{free_port}" in output
    assert f"curl http://127.0.0.1:{free_port}/api/auth/register" in output
    supervisor = psutil.Process(process.pid)
    assert supervisor.num_threads() == 1, "a fork would copy what another thread holds, and not the thread"
    roles = {child.name(): child for child in supervisor.children()}
    assert {"area web", "area worker-1"} <= set(roles), (
        "the supervisor is the parent, not the launcher that forked them"
    )
    roles["area web"].kill()
    until(process, "supervisor.role_died")
    until_other(supervisor, "area web", roles["area web"].pid)
    assert register(free_port)["user"]["is_admin"]
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0, process.stdout.read()
    assert not (tmp_path / "data" / "postgres" / "postmaster.pid").exists()

    process = start("up", AREA_PORT=str(free_port))
    until(process, "AREA runs at")
    process.send_signal(signal.SIGTERM)
    assert "no account" not in process.stdout.read()
    assert process.wait(60) == 0


def test_counters_are_in_memory_and_what_killed_ones_left_is_removed(tmp_path):
    (tmp_path / "metrics").mkdir()
    with supervise.metrics_dir(tmp_path) as first:
        assert first.stat().st_mode & 0o777 == 0o700
        if sys.platform == "linux":
            assert first.is_relative_to("/dev/shm")
        assert not (tmp_path / "metrics").exists(), "where they were once"
        left = first.with_name(f"{first.name}-left")
        left.mkdir()
        (left / "lock").touch()
        with supervise.metrics_dir(tmp_path) as second:
            assert first.exists(), "in use by another `area up`"
            assert second != first
            assert not left.exists()
        assert not second.exists()
    assert not first.exists()


FULL = """
create function is_full() returns trigger language plpgsql as
$$begin raise disk_full using message = 'could not extend file "base/16384/16999": No space left on device'; end$$;
create trigger is_full before insert or update or delete on components for each statement execute function is_full();
"""


async def test_the_catalog_waits_for_a_disk_that_is_full(clean, database, dsn, monkeypatch):
    monkeypatch.setattr(app, "SYNC_AGAIN", 0.01)
    first = await app.prepare(settings(), dsn)
    assert first.syncing is None
    await first.close()
    pool = await database.pool()
    await pool.execute(FULL)
    with capture_logs() as logs:
        state = await app.prepare(settings(), dsn)
        try:
            for _ in range(5):
                await asyncio.sleep(0.02)
                assert (await app.Root(state, None, None)._healthz({}))[0] == 200
            assert b"can't be written" in (await app.Root(state, None, None)._healthz({}))[2]
            syncing = state.syncing
            await pool.execute("drop trigger is_full on components")
            await asyncio.wait_for(syncing, 60)
            assert (await app.Root(state, None, None)._healthz({}))[2] == b"ok\n"
        finally:
            await state.close()
    assert [log["event"] for log in logs] == ["catalog.waiting", "catalog.synced"]


async def test_what_older_versions_left_in_clear_is_not_served(clean, database, dsn, monkeypatch):
    await (await app.prepare(settings(), dsn)).close()
    pool = await database.pool()
    await pool.execute("delete from meta where key = 'sealed'")
    await pool.execute(FULL)
    monkeypatch.setattr(app, "PATIENCE", 0.0)
    with pytest.raises(DBAPIError, match="No space left"):
        await app.prepare(settings(), dsn)


@pytest.mark.slow
async def test_a_restart_while_the_database_can_only_be_read(clean, start, free_port, database, dsn):
    await (await app.prepare(settings(), dsn)).close()
    pool = await database.pool()
    name = await pool.fetchval("select current_database()")

    async def only_read(on: bool) -> None:
        await pool.execute(f"alter database {name} set default_transaction_read_only = {on}")
        await pool.fetch(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()",
            name,
        )

    def answer(path, body=None):
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{free_port}{path}", body, headers)
        while True:
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    return response.status, response.read()
            except urllib.error.HTTPError as error:
                return error.code, error.read()
            except urllib.error.URLError:
                time.sleep(0.05)  # it listens a moment after it says that it started

    form = {"email": "ann@example.org", "username": "ann", "password": "correct horse battery"}
    expected = ("/api/auth/register", json.dumps(form).encode())
    await only_read(True)
    process = start("serve", AREA_DATABASE_URL=dsn, AREA_PORT=str(free_port))
    output = await asyncio.to_thread(until, process, "web.started")
    assert output.count("catalog.waiting") == 1
    status, body = await asyncio.to_thread(answer, "/healthz")
    assert (status, b"can't be written" in body) == (200, True)
    assert (await asyncio.to_thread(answer, "/"))[0] == 200
    assert (await asyncio.to_thread(answer, *expected))[0] == 503
    await only_read(False)
    await asyncio.to_thread(until, process, "catalog.synced")
    assert (await asyncio.to_thread(answer, "/healthz")) == (200, b"ok\n")
    assert (await asyncio.to_thread(answer, *expected))[0] == 201
