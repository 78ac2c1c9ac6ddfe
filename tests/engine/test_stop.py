"""A worker that is told to stop finishes what is quick, hands back what is slow, and is gone within ten seconds."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from area import catalog
from area.engine.intake import Offer, accept
from area.engine.state import State
from area.registry import load
from area.settings import Settings

from .conftest import make_area, make_user, rows, until

# A third-party package: reactions that write what they do into a file, and take until a file is there.
CONNECTOR = '''
import asyncio, os
from pathlib import Path
from pydantic import BaseModel, Field
from area.sdk import Context, Service

service = Service("waiter", "Waiter", "Waits.", quality="generated")
FOLDER = Path(os.environ["WAITER_FOLDER"])


class Wait(BaseModel):
    seconds: float = Field(0, description="How long it takes", examples=[1])


class Waited(BaseModel):
    pid: int = Field(description="Where", examples=[1])


async def wait(ctx, params):
    with (FOLDER / "said").open("a") as file:
        file.write(f"begin {ctx.idempotency_key} {os.getpid()}\\n")
    for _ in range(int(params.seconds * 20)):
        if (FOLDER / "hurry").exists():
            break
        await asyncio.sleep(0.05)
    with (FOLDER / "said").open("a") as file:
        file.write(f"end {ctx.idempotency_key} {os.getpid()}\\n")
    return Waited(pid=os.getpid())


@service.reaction("Wait")
async def again(ctx: Context, params: Wait) -> Waited:
    """Wait; done again when it was cut off."""
    return await wait(ctx, params)


@service.reaction("Wait once", on_crash="fail")
async def once(ctx: Context, params: Wait) -> Waited:
    """Wait; not done again when it was cut off."""
    return await wait(ctx, params)
'''


class Folder:
    """Where the package is, and what its reactions say."""

    def __init__(self, path: Path):
        self.path = path

    def said(self, what: str) -> Counter:
        """How often each execution began or ended."""
        path = self.path / "said"
        lines = path.read_text().splitlines() if path.exists() else []
        return Counter(line.split()[1] for line in lines if line.startswith(f"{what} "))

    def hurry(self) -> None:
        """Let every reaction end now."""
        (self.path / "hurry").touch()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "waiter_connector.py").write_text(CONNECTOR)
    info = tmp_path / "waiter_connector-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: waiter-connector\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[area.connectors]\nwaiter = waiter_connector\n")
    monkeypatch.setenv("WAITER_FOLDER", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    yield Folder(tmp_path)
    sys.modules.pop("waiter_connector", None)


@pytest_asyncio.fixture
async def state(catalog_dsn, folder):
    settings = Settings(_env_file=None, data_dir=folder.path)
    opened = await State.open(settings, catalog_dsn)
    opened.registry = load()
    async with opened.database.transaction() as session:
        await catalog.sync(session, opened.registry)
    yield opened
    await opened.close()


@asynccontextmanager
async def a_worker(state, folder):
    """A real `area worker`; what it logged is printed when the test fails."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AREA_")},
        "AREA_DATABASE_URL": state.database.dsn,
        "AREA_DATA_DIR": str(folder.path),
        "AREA_LOG_FORMAT": "json",
        "PYTHONPATH": os.pathsep.join([str(folder.path), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / f"area-tests-pycache-{os.geteuid()}"),
    }
    log = folder.path / f"log-{time.monotonic_ns()}"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "area.cli", "worker"],
            cwd=folder.path,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        await until(lambda: process.poll() is not None or b'"worker.started"' in log.read_bytes())
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        print(log.read_text())


async def stopped(process, seconds=100.0):
    """How long it takes to end after SIGTERM."""
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    await until(lambda: process.poll() is not None, seconds)
    assert process.returncode == 0
    return time.monotonic() - begun


async def fire(state, area, number=1):
    pool = await state.database.pool()
    async with pool.acquire() as conn, conn.transaction():
        return [accepted.execution_id for accepted in await accept(conn, [Offer(area.id, "", b"{}")] * number)]


def key(state, execution):
    return f"{state.instance}-{execution}"


async def log_of(state):
    return {row["id"]: row for row in await rows(state)}


async def over(state, number):
    done = await rows(state, "select id from area_executions where status not in ('pending', 'running')")
    return len(done) == number


async def marked(state, number):
    return len(await rows(state, "select id from area_executions where status = 'running'")) == number


async def silent(state):
    """Let ten seconds pass for the jobs of a worker that is gone."""
    pool = await state.database.pool()
    await pool.execute("update pgqueuer set heartbeat = now() - interval '11 s' where status = 'picked'")


async def test_sigterm_finishes_the_quick_and_hands_back_the_slow(state, folder, capsys):
    user = await make_user(state, "ann")
    areas = {
        name: await make_area(state, user, "webhook.received", reaction, seconds=seconds)
        for name, reaction, seconds in [
            ("quick", "waiter.again", 3),
            ("slow", "waiter.again", 120),
            ("quick once", "waiter.once", 3),
            ("slow once", "waiter.once", 120),
        ]
    }
    crowd = await make_area(state, await make_user(state, "bob"), "webhook.received", "waiter.again", seconds=120)
    async with a_worker(state, folder) as first:
        ids = {name: await fire(state, area, 3) for name, area in areas.items()}
        ids["crowd"] = await fire(state, crowd, 1000)  # of which 100 run at the same time
        await until(lambda: len(folder.said("begin")) == 12 + 100)
        took = await stopped(first)
        with capsys.disabled():
            print(f"\n  SIGTERM with 1,000 executions: ended after {took:.2f} s")
    log = await log_of(state)
    assert {name: {log[run]["status"] for run in some} for name, some in ids.items()} == {
        "quick": {"success"},
        "slow": {"pending"},
        "quick once": {"success"},
        "slow once": {"failed"},
        "crowd": {"pending"},
    }
    assert {log[run]["error_message"] for run in ids["slow once"]} == {"Interrupted; the outcome is unknown."}
    assert not await rows(state, "select * from pgqueuer where status = 'picked'")

    folder.hurry()
    async with a_worker(state, folder) as second:
        await until(lambda: over(state, 12 + 1000))
        second.send_signal(signal.SIGTERM)
        await stopped(second)  # told twice
    log = await log_of(state)
    assert {log[run]["status"] for name in ("slow", "crowd") for run in ids[name]} == {"success"}
    assert {json.loads(log[run]["execution_result"])["pid"] for run in ids["slow"]} == {second.pid}
    begun, ended = folder.said("begin"), folder.said("end")
    assert {begun[key(state, run)] for run in ids["slow"]} == {2}  # with the same key both times
    assert {begun[key(state, run)] for name in ("quick", "quick once", "slow once") for run in ids[name]} == {1}
    assert {ended[key(state, run)] for name in ids if name != "slow once" for run in ids[name]} == {1}
    assert not await rows(state, "select * from pgqueuer")
    assert not await rows(state, "select * from execution_jobs")


async def test_what_a_killed_worker_held_is_repeated_or_failed(state, folder, capsys):
    user = await make_user(state, "ann")
    again = await make_area(state, user, "webhook.received", "waiter.again", seconds=120)
    once = await make_area(state, user, "webhook.received", "waiter.once", seconds=120)
    async with a_worker(state, folder) as first:
        (repeated,), (lost,) = await fire(state, again), await fire(state, once)
        await until(lambda: len(folder.said("begin")) == 2)
        await until(lambda: marked(state, 2))
        first.kill()
        first.wait()
    await silent(state)
    async with a_worker(state, folder) as second:
        await until(lambda: folder.said("begin")[key(state, repeated)] == 2)
        await until(lambda: over(state, 1))
        log = await log_of(state)
        assert log[lost]["status"] == "failed"
        assert log[lost]["error_message"] == "Interrupted; the outcome is unknown."

        # and now one that can't write down what it did: the database does not answer when it is told to stop
        query = "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        backends = [row["pid"] for row in await rows(state, query)]
        for pid in backends:
            os.kill(pid, signal.SIGSTOP)
        try:
            folder.hurry()
            took = await stopped(second)
        finally:
            for pid in backends:
                os.kill(pid, signal.SIGCONT)
        with capsys.disabled():
            print(f"\n  SIGTERM while the database does not answer: ended after {took:.2f} s")
    await silent(state)
    async with a_worker(state, folder):
        await until(lambda: over(state, 2))
    log = await log_of(state)
    assert log[repeated]["status"] == "success"
    begun = folder.said("begin")
    assert begun[key(state, lost)] == 1
    assert begun[key(state, repeated)] in (2, 3)  # a new connection may have been made, and it was written down
    (row,) = await rows(state, "select attempts from execution_records where execution_id = $1", repeated)
    attempts = json.loads(row["attempts"])
    assert [attempt["interrupted"] for attempt in attempts] == [True] * (begun[key(state, repeated)] - 1) + [False]
