"""The oldest PostgreSQL that AREA supports: Debian's 15 serves as an external server."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from area.db import backup as backups
from area.db import schema
from area.db.embedded.account import account_of

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
HERE = Path(__file__).parent

pytestmark = [
    pytest.mark.skipif(not PROGRAMS.is_dir(), reason="needs PostgreSQL 15: apt-get install postgresql-15"),
    pytest.mark.skipif("AREA_TEST_DATABASE_URL" in os.environ, reason="an external server is used already"),
]


@pytest.fixture(scope="module")
def server(memory: Path) -> Iterator[str]:
    """The address of a PostgreSQL 15, run by an unprivileged user when we are root."""
    directory = Path(tempfile.mkdtemp(prefix="area-15-", dir=memory))
    account = account_of(directory / "data")
    directory.chmod(0o711)
    (directory / "data").mkdir(mode=0o700)
    account.give(directory / "data")
    user: dict[str, Any] = {"cwd": "/", "stdout": subprocess.DEVNULL, **account.popen()}
    command = [
        PROGRAMS / "initdb",
        "-D",
        directory / "data",
        "-U",
        "postgres",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--no-sync",
    ]
    subprocess.run([*command, "--locale=C.UTF-8"], check=True, **user)
    command = [PROGRAMS / "postgres", "-D", directory / "data", "-k", directory / "data", "-h", "", "-F"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, **user) as process:
        while not (directory / "data" / ".s.PGSQL.5432").exists():
            assert process.poll() is None
            time.sleep(0.02)
        yield f"postgresql://postgres@/postgres?host={directory / 'data'}&port=5432"
        process.terminate()
    shutil.rmtree(directory)


def test_the_tests_of_the_schema_pass(server: str):
    tests = [HERE / f"test_{name}.py" for name in ("schema", "models", "migrations", "deletes")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=HERE.parents[1],
        env=os.environ | {"AREA_TEST_DATABASE_URL": server},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]


async def execute(dsn: str, query: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_backup_and_restore_with_newer_programs(server: str, tmp_path: Path):
    dsns = [urlunsplit(urlsplit(server)._replace(path=f"/{name}")) for name in ("before", "after")]
    for name in ("before", "after"):
        await execute(server, f"create database {name}")
    await schema.ensure(dsns[0])
    identity = await execute(dsns[0], "select value from meta")
    await asyncio.to_thread(backups.backup, dsns[0], tmp_path / "backup")
    await asyncio.to_thread(backups.restore, dsns[1], tmp_path / "backup")
    await asyncio.to_thread(backups.restore, dsns[1], tmp_path / "backup", force=True)
    assert await execute(dsns[1], "select value from meta") == identity
    await schema.ensure(dsns[1])


async def test_from_15_to_the_embedded_and_back(server: str, empty_dsn: str, tmp_path: Path):
    """Moving house: from an external server to the embedded one, and the other way."""
    there = urlunsplit(urlsplit(server)._replace(path="/there"))
    await execute(server, "create database there")
    await schema.ensure(there)
    identity = await execute(there, "select value from meta")
    await asyncio.to_thread(backups.backup, there, tmp_path / "backup")
    await asyncio.to_thread(backups.restore, empty_dsn, tmp_path / "backup")
    assert await execute(empty_dsn, "select value from meta") == identity
    await asyncio.to_thread(backups.backup, empty_dsn, tmp_path / "backup")
    await asyncio.to_thread(backups.restore, there, tmp_path / "backup", force=True)
    assert await execute(there, "select value from meta") == identity
