"""Makes `installation.sql`: what AREA at commit 4abbf44, the oldest version that is upgraded, leaves behind.

    mkdir old && git archive 4abbf44 src | tar x -C old
    PYTHONPATH=old/src .venv/bin/python tests/upgrade/make.py

It runs that version's code, on its migrations and its embedded PostgreSQL: accounts, tokens, connections, AREAs of each
kind, and executions that its worker ran or left. What a user knows of it (password, tokens, addresses) goes to
`installation.json`. It is run again only when what it fills in changes. The keys and tokens are good for nothing else.
"""

import asyncio
import importlib
import json
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

import area.sdk
from area import accounts, areas, catalog, connections, grants
from area.api import make_api
from area.areas import AreaIn, Part
from area.db import embedded, schema
from area.db.models import Draft, Notice
from area.db.session import Database
from area.engine import control
from area.engine.intake import Offer, accept
from area.engine.runtime import worker
from area.engine.state import State
from area.kit.crypto import Keyring
from area.kit.http import Client
from area.kit.oauth2 import Grant
from area.registry import Registry
from area.sdk import Account
from area.settings import Settings

HERE = Path(__file__).parent
KEY = "the-secret-key-of-an-old-installation-1234"
PASSWORD = "correct horse battery staple"
BUILT_IN = ("area", "inbox", "rss", "timer", "webhook")
QUIET = re.compile(
    r"SET |SELECT pg_catalog\.set_config|\\|--"
)  # lines of a dump that are not SQL, or only newer servers know

STATUS = "select status = $2 from area_executions where id = $1"
WAITS = "select exists (select from execution_jobs where execution_id = $1)"
DONE = "select exists (select from area_executions where trigger_data::text like $1 and status = 'success')"
LOOKED = """
select checked_at is not null from sources s join components c on c.id = s.component_id where c.name = 'ware_added'
"""
SUBSCRIBED = "select exists (select from sources where state ? 'subscription')"
DIED = """
update pgqueuer set status = 'picked', heartbeat = now() - interval '1 hour', queue_manager_id = gen_random_uuid()
where payload like ('{0} %')::bytea;
insert into pgqueuer_log (job_id, status, priority, entrypoint)
select id, 'picked', 0, entrypoint from pgqueuer where payload like ('{0} %')::bytea;
update area_executions set status = 'running', started_at = timezone('utc', now()) where id = {0};
"""


def old_registry() -> Registry:
    registry = Registry()
    for name in BUILT_IN:
        module = importlib.import_module(f"area.connectors.{name}")
        registry.add(module.service, Path(module.__file__).parent)
    sys.path.insert(0, str(HERE))
    for name in ("old_shop", "old_notes"):
        registry.add(importlib.import_module(name).service, HERE)
    return registry


async def fill(state: State) -> dict:
    import old_shop

    known: dict = {"key": KEY, "password": PASSWORD, "areas": {}, "hooks": {}, "executions": {}}
    scope = control.scope(state)
    pool = await state.database.pool()
    async with state.database.transaction() as session:
        await catalog.sync(session, state.registry)
        ann = (
            await accounts.register(session, state.settings, email="ann@example.org", username="ann", password=PASSWORD)
        ).id
        await accounts.create(session, email="bob@example.org", username="bob", password=PASSWORD)
        await accounts.change_profile(session, ann, {"timezone": "Europe/Paris", "language": "fr"})
        known["session"] = await accounts.open_session(
            session, state.settings, ann, name="Firefox", address="192.0.2.1"
        )
        known["token"], _ = await accounts.create_token(session, ann, name="script")
        known["invitation"] = (await accounts.invite(session, ann))[0]
        session.add(Notice(user_id=ann, level="warning", title="An old notice", body="It stays."))
    async with state.database.sessions() as session:
        supplied = {"server": "https://shop.example", "token": "sh0p-secret-of-ann"}
        await connections.connect(
            session, state.keyring, state.client, state.guard, state.registry, ann, "old_shop", supplied
        )
        grant = Grant(SecretStr("access-of-ann"), SecretStr("refresh-of-ann"), 3600.0 * 24 * 3650, ("read", "write"))
        linked = grants.Linked(grant, Account("77", "Ann of Notes"), ("read", "write"))
        await grants.keep(session, state.keyring, state.registry, ann, "old_notes", linked)
        await session.commit()

    async def new_area(
        name: str, action: str, reaction: str, provided: dict, sent: dict, *, active: bool = True
    ) -> int:
        expected = AreaIn(
            name=name,
            action=Part(component=action, parameters=provided),
            reaction=Part(component=reaction, parameters=sent),
            is_active=active,
        )
        async with state.database.transaction() as session:
            created = await areas.create(session, scope, ann, expected)
        known["areas"][name] = created.id
        if created.webhook_url:
            known["hooks"][name] = created.webhook_url
        return created.id

    order = {"text": "{{body.text}}"}
    hook = await new_area("hook", "webhook.received", "old_shop.order", {}, order)
    secret = {"signature": "hmac_sha256", "signature_header": "X-Signature", "secret": "a secret that the user typed"}
    await new_area("signed hook", "webhook.received", "old_shop.order", secret, order)
    await new_area("poll", "old_shop.ware_added", "old_shop.order", {"shelf": "1"}, {"text": "{{title}} at {{url}}"})
    await new_area("subscription", "old_shop.ware_sold", "old_shop.order", {"shelf": "2"}, {"text": "{{title}}"})
    await new_area("listener", "old_shop.said", "old_shop.ring", {"shelf": "1"}, {"text": "{{title}}"})
    await new_area("timer", "timer.daily_timer", "inbox.post", {"time": "09:00"}, {"title": "{{time}}", "body": "-"})
    await new_area("old timer", "old_shop.opens", "old_shop.order", {}, {"text": "open at {{time}}"})
    await new_area(
        "notes", "old_notes.note_written", "old_notes.write_note", {"folder": "a"}, {"folder": "b"}, active=False
    )
    await new_area(
        "chain", "webhook.received", "area.run", {}, {"area_id": hook, "data": '{"body": {"text": "chained"}}'}
    )
    await new_area(
        "failures", "area.area_failed", "inbox.post", {"area_id": hook}, {"title": "{{reason}}", "body": "-"}
    )
    await new_area(
        "filtered",
        "webhook.received",
        "old_shop.order",
        {"only_if": "body.text contains 'x'"},
        {**order, "delay": "1h"},
    )
    await new_area("off", "webhook.received", "old_shop.order", {}, order, active=False)

    async def event(name: str, words: str, identity: str = "") -> int:
        data = json.dumps({"body": {"text": words}, "method": "POST"}).encode()
        async with pool.acquire() as conn, conn.transaction():
            (accepted,) = await accept(conn, [Offer(known["areas"][name], identity, data)])
        known["executions"][f"{name}: {words}"] = accepted.execution_id
        return accepted.execution_id

    async def until(query: str, *values: object) -> None:
        async with asyncio.timeout(120):
            while not await pool.fetchval(query, *values):
                await asyncio.sleep(0.1)

    async with worker(state):
        await until(STATUS, await event("hook", "lamp", "idempotency-key:delivery of lamp"), "success")
        await until(STATUS, await event("hook", "never", "idempotency-key:delivery of never"), "failed")
        await until(STATUS, await event("filtered", "nothing"), "skipped")
        await until(WAITS, await event("hook", "later lamp"))
        await until(WAITS, await event("filtered", "x"))
        await event("chain", "begin")
        await until(DONE, "%chained%")
        await until(LOOKED)
        old_shop.ITEMS.append(("old-1", "old ware"))
        await until(DONE, "%old ware%")
        await until(SUBSCRIBED)
        await old_shop.HEARD.put("old word")
        await until(DONE, "%old word%")
        cancelled = await event("filtered", "x y")
        await until(WAITS, cancelled)
        async with state.database.transaction() as session:
            await control.cancel(session, ann, cancelled)
    known["subscription"] = {"url": old_shop.HOOKS["hook-2"].url, "secret": old_shop.HOOKS["hook-2"].secret}
    await event("hook", "queued")  # nobody works any more: its job waits
    died = await event("hook", "died")  # and with this one the worker died
    await pool.execute(DIED.format(died))
    async with state.database.transaction() as session:
        session.add(Draft(user_id=ann, key="new", content={"name": "half typed"}))
    known["sdk"] = sorted(area.sdk.__all__)
    known["api"] = {path: sorted(methods) for path, methods in sorted(make_api(state).openapi()["paths"].items())}
    known["at"] = datetime.now(UTC).isoformat()
    return known


async def main(dsn: str, data_dir: Path) -> dict:
    await schema.ensure(dsn)
    settings = Settings(
        _env_file=None, data_dir=data_dir, secret_key=KEY, public_url="https://area.example", registration="invite"
    )
    guard = settings.guard()
    database = Database(dsn)
    state = State(
        settings=settings,
        database=database,
        keyring=Keyring(settings.secret_keys()),
        guard=guard,
        client=Client(guard),
        registry=old_registry(),
    )
    state.instance = await (await database.pool()).fetchval("select value from meta where key = 'instance'")
    try:
        return await fill(state)
    finally:
        await state.close()


def dump(dsn: str) -> str:
    command = [embedded._tool("pg_dump"), "--inserts", "--no-owner", "--no-privileges", f"--dbname={dsn}"]
    sql = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return "\n".join(line for line in sql.splitlines() if line and not QUIET.match(line)) + "\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="old-area-") as directory, embedded.start(Path(directory)) as server:
        known = asyncio.run(main(server.dsn, Path(directory)))
        sql = dump(server.dsn)
    (HERE / "installation.sql").write_text(sql)
    (HERE / "installation.json").write_text(json.dumps(known, indent=1) + "\n")
