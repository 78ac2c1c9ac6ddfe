"""A worker is killed at every step of a chain: each link of each run, for each item, is one execution all the same."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from area import areas
from area.areas import AreaIn
from area.db.models import User
from area.engine import control
from area.engine.intake import Offer, accept
from area.engine.state import State
from area.settings import Settings

ITEMS = 20
# the dead worker's jobs are free at once, as they are after ten seconds
FREE = "update pgqueuer set heartbeat = now() - interval '1 minute' where status = 'picked'"
DUE = "update pgqueuer set execute_after = now() where status = 'queued' and execute_after > now()"
OPEN = "select count(*) from area_executions where status in ('pending', 'running')"
MADE = """
select a.name, e.status, l.index, coalesce(l.root, e.id) as root, l.parent is not null as linked
from area_executions e join areas a on a.id = e.area_id left join execution_links l on l.execution_id = e.id
"""


@asynccontextmanager
async def target():
    """A server that counts requests by their idempotency key."""
    keys = Counter()

    async def take(request):
        keys[request.headers["Idempotency-Key"]] += 1
        return web.json_response({"ok": True})

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/", keys
    await runner.cleanup()


def chain(url):
    def call(body):
        return {"component": "http.request", "parameters": {"url": url, "body": body}}

    return AreaIn.model_validate(
        {
            "name": "First",
            "action": {"component": "webhook.received"},
            "reaction": call("{{body.id}}"),
            "then": [
                {
                    "name": "Second",
                    "reaction": call("{{origin.body.id}} {{result.status}}"),
                    "then": [
                        {
                            "name": "Each",
                            "for_each": "origin.body.items",
                            "reaction": call("{{item}} {{steps.second.status}}"),
                        }
                    ],
                }
            ],
        }
    )


async def kill_at(dsn, data_dir, place, number, pool):
    """Run a worker until it dies, or until all is done."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.chain_worker", dsn, str(data_dir), place, str(number),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    ended = asyncio.create_task(process.wait())
    async with asyncio.timeout(120):
        while not ended.done() and await pool.fetchval(OPEN):
            await pool.execute(DUE)
            await asyncio.sleep(0.05)
    killed = ended.done()
    if not killed:
        os.kill(process.pid, signal.SIGKILL)
    await ended
    await pool.execute(FREE)
    return killed


async def trial(dsn, data_dir, rounds):
    """Start a run each round, and kill a worker at each of its steps in turn."""
    settings = Settings(_env_file=None, data_dir=data_dir, allow_private_network="127.0.0.1")
    state = await State.open(settings, dsn)
    pool = await state.database.pool()
    kills = 0
    async with target() as (url, keys):
        async with state.database.transaction() as session:
            user = User(email="ann@example.org", username="ann")
            session.add(user)
            await session.flush()
            area = await areas.create(session, control.scope(state), user.id, chain(url))
        for number, (place, step) in enumerate(rounds):
            data = json.dumps({"body": {"id": number, "items": list(range(ITEMS))}}).encode()
            async with pool.acquire() as conn, conn.transaction():
                await accept(conn, [Offer(area.id, f"event {number}", data)])
            kills += await kill_at(dsn, data_dir, place, step, pool)
            await kill_at(dsn, data_dir, "none", 0, pool)
        made = await pool.fetch(MADE)
        await state.close()
    return made, keys, kills


def account(made, rounds):
    """Each link of each run once for each item, and all of it done."""
    assert {row["status"] for row in made} == {"success"}
    runs = {row["root"] for row in made}
    assert len(runs) == rounds
    wanted = Counter({(root, name, None): 1 for root in runs for name in ("First", "Second")})
    wanted += Counter({(root, "Each", index): 1 for root in runs for index in range(ITEMS)})
    assert Counter((row["root"], row["name"], row["index"]) for row in made) == wanted


STEPS = [(place, step) for step in (1, 2, 3) for place in ("before", "in", "after")]


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_a_worker_is_killed_at_each_step_of_a_chain(catalog_dsn, tmp_path):
    rounds = [STEPS[number % len(STEPS)] for number in range(20)]
    made, keys, kills = await trial(catalog_dsn, tmp_path, rounds)
    account(made, len(rounds))
    assert kills >= 18  # few end before they die
    assert len(keys) == len(made)  # what is done again has the same key
