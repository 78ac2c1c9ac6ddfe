"""An installation that the oldest supported version made is upgraded, and everything in it goes on.

`installation.sql` is what that version left behind (`make.py` says how it was made). Its times are moved to now, so that
what it waits for is as far away as it was.
"""

import hashlib
import hmac
import importlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

import area.sdk
from area import catalog, rotation, sealing
from area.api import attach, make_api
from area.connections.vault import Ref
from area.db import schema
from area.engine.cache import Cache
from area.engine.lanes import Intake
from area.engine.runtime import worker
from area.engine.state import State
from area.hooks import Hooks
from area.kit.crypto import Keyring
from area.registry import Registry, _load, registry
from area.settings import Settings
from tests.api.conftest import Client
from tests.engine.conftest import rows, until
from tests.engine.senders import send

HERE = Path(__file__).parent
COMMIT = "4abbf44"
KNOWN = json.loads((HERE / "installation.json").read_text())

# the old connectors use the SDK's old names, which warn
pytestmark = pytest.mark.filterwarnings("ignore:area.sdk.* is now area.:DeprecationWarning")

MOMENTS = """
select table_name, string_agg(format('%1$I = %1$I + $1::interval', column_name), ', ') as changes
from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
where table_schema = 'public' and table_type = 'BASE TABLE' and data_type like 'timestamp%' group by table_name
"""
COUNTED = """
select table_name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'
and table_name not in ('alembic_version', 'services', 'components', 'variables')
"""


async def restore(dsn: str) -> dict[str, int]:
    """Put the old installation into an empty database; returns how many rows each of its tables has."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute((HERE / "installation.sql").read_text())
        await connection.execute("set search_path to public")
        age = datetime.now(UTC) - datetime.fromisoformat(KNOWN["at"])
        for row in await connection.fetch(MOMENTS):
            await connection.execute(f"update {row['table_name']} set {row['changes']}", age)
        return await counts(connection)
    finally:
        await connection.close()


async def counts(connection) -> dict[str, int]:
    tables = [row[0] for row in await connection.fetch(COUNTED)]
    return {table: await connection.fetchval(f"select count(*) from {table}") for table in tables}


async def upgraded(dsn: str, data_dir: Path) -> State:
    """What a process of this version has open after it started on the old installation."""
    await schema.ensure(dsn)
    settings = Settings(
        _env_file=None,
        data_dir=data_dir,
        secret_key=KNOWN["key"],
        public_url="https://area.example",
        registration="invite",
    )
    state = await State.open(settings, dsn)
    state.registry = old_registry()
    async with state.database.transaction() as session:
        await catalog.sync(session, state.registry)
        await sealing.seal(session, state.keyring, state.registry)
    return state


def old_registry() -> Registry:
    """The connectors that the installation had, those of others loaded as an installed package is."""
    built_in = registry()
    names = ("area", "inbox", "rss", "timer", "webhook")
    chosen = Registry(
        {name: built_in.services[name] for name in names}, {name: built_in.folders[name] for name in names}
    )
    for name in ("old_shop", "old_notes"):
        _load(chosen, f"tests.upgrade.{name}", None)
    return chosen


@pytest.fixture
def shop():
    module = importlib.import_module("tests.upgrade.old_shop")
    module.ITEMS.clear()
    module.DONE.clear()
    return module


@pytest_asyncio.fixture
async def state(empty_dsn, tmp_path):
    await restore(empty_dsn)
    state = await upgraded(empty_dsn, tmp_path)
    yield state
    await state.close()


@pytest_asyncio.fixture
async def nobody(state):
    app = make_api()
    attach(app, state)
    yield Client(app)
    await app.state.hub.close()


@pytest_asyncio.fixture
async def hooks(state):
    intake = Intake(state.database.dsn, state.load)
    intake.start()
    yield Hooks(state, Cache(state), intake)
    await intake.stop()


async def test_the_installation_is_what_that_version_made(empty_dsn, dsn, tmp_path):
    """Its tables are those of the commit's migrations. This needs the history; the others need the file alone."""
    git = shutil.which("git")
    result = git and subprocess.run(
        [git, "archive", COMMIT, "src"], cwd=HERE.parents[1], capture_output=True, check=False
    )
    if not result or result.returncode:
        pytest.skip(f"this checkout has no commit {COMMIT}: the installation is taken as it is in the file")
    with tarfile.open(fileobj=io.BytesIO(result.stdout)) as archive:
        archive.extractall(tmp_path, filter="data")
    code = "import asyncio, sys; from area.db import schema; asyncio.run(schema.ensure(sys.argv[1])); print(schema.__file__)"
    created = subprocess.run(
        [sys.executable, "-c", code, empty_dsn],
        env={"PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert created.stdout.startswith(str(tmp_path))
    connection = await asyncpg.connect(dsn)
    await connection.execute("drop schema public cascade; create schema public")
    await connection.close()
    await restore(dsn)
    assert await columns(dsn) == await columns(empty_dsn)


async def columns(dsn: str) -> set[str]:
    """Tables, columns, indexes and keys of ours; checks are written otherwise once they went through a dump."""
    connection = await asyncpg.connect(dsn)
    try:
        result = await connection.fetch(
            """
            select format('%s.%s %s %s', table_name, column_name, data_type, is_nullable)
            from information_schema.columns where table_schema = 'public'
            union all select indexdef from pg_indexes where schemaname = 'public'
            union all select format('%s: %s', conrelid::regclass, pg_get_constraintdef(oid)) from pg_constraint
            where connamespace = 'public'::regnamespace and contype not in ('n', 'c')
            """
        )
        return {row[0] for row in result if "pgqueuer" not in row[0]}
    finally:
        await connection.close()


async def test_nothing_is_lost(empty_dsn, tmp_path):
    before = await restore(empty_dsn)
    assert before["areas"] == 12
    state = await upgraded(empty_dsn, tmp_path)
    try:
        pool = await state.database.pool()
        after = await counts(pool)
        assert await schema.current(empty_dsn) == schema.head()
        assert {table: number for table, number in before.items() if after.get(table, 0) < number} == {}
    finally:
        await state.close()


async def test_the_old_log_in_and_the_old_tokens(nobody):
    answer = await nobody.post("/api/auth/login", {"login": "ann@example.org", "password": KNOWN["password"]})
    assert answer.status == 200, answer.body
    fresh = answer.json()["token"]
    assert (await nobody.post("/api/auth/login", {"login": "ann", "password": "another one"})).status == 401
    for token in (fresh, KNOWN["session"], KNOWN["token"]):
        me = await nobody.as_(token).get("/api/me")
        assert (me.status, me.json()["username"], me.json()["timezone"]) == (200, "ann", "Europe/Paris")
    created = await nobody.post(
        "/api/auth/register",
        {
            "email": "eve@example.org",
            "username": "eve",
            "password": "a new password",
            "invitation": KNOWN["invitation"],
        },
    )
    assert created.status == 201, created.body


async def test_the_old_areas_and_their_executions_are_shown(nobody):
    ann = nobody.as_(KNOWN["token"])
    listed = (await ann.get("/api/areas", params={"limit": 100})).json()["items"]
    assert {row["name"]: row["id"] for row in listed} == KNOWN["areas"]
    assert {row["name"]: row["webhook_url"] for row in listed if row["webhook_url"]} == KNOWN["hooks"]
    assert {row["name"] for row in listed if not row["is_active"]} == {"notes", "off"}
    signed = next(row for row in listed if row["name"] == "signed hook")
    assert "typed" not in str(signed)
    assert signed["action"]["parameters"]["signature"] == "hmac_sha256"
    page = (await ann.get("/api/executions", params={"limit": 100})).json()["items"]
    statuses = {row["id"]: row["status"] for row in page}
    assert {name: statuses[number] for name, number in KNOWN["executions"].items()} == {
        "hook: lamp": "success",
        "hook: never": "failed",
        "filtered: nothing": "skipped",
        "hook: later lamp": "pending",
        "filtered: x": "pending",
        "chain: begin": "success",
        "filtered: x y": "cancelled",
        "hook: queued": "pending",
        "hook: died": "running",
    }
    done = (await ann.get(f"/api/executions/{KNOWN['executions']['hook: lamp']}")).json()
    assert (done["trigger_data"]["body"], done["result"]) == ({"text": "lamp"}, {"id": "order of lamp"})
    later = (await ann.get(f"/api/executions/{KNOWN['executions']['hook: later lamp']}")).json()
    assert [attempt["error"] for attempt in later["attempts"]] == ["The shop is closed."]


async def test_the_old_addresses_take_what_is_sent(state, hooks, shop):
    before = len(await rows(state))
    body = b'{"text": "by hook"}'
    json_type = {"content-type": "application/json"}
    assert (await send(hooks, KNOWN["hooks"]["hook"], body, json_type))[0] == 202
    known = {**json_type, "idempotency-key": "delivery of lamp"}
    _, answer, _ = await send(hooks, KNOWN["hooks"]["hook"], body, known)  # it was accepted before the upgrade
    assert answer["execution_id"] == KNOWN["executions"]["hook: lamp"]
    secret = b"a secret that the user typed"
    signature = {"x-signature": hmac.new(secret, body, hashlib.sha256).hexdigest()}
    assert (await send(hooks, KNOWN["hooks"]["signed hook"], body, {**json_type, **signature}))[0] == 202
    assert (await send(hooks, KNOWN["hooks"]["signed hook"], body, {**json_type, "x-signature": "0" * 64}))[0] == 401
    sold = json.dumps({"delivery": "d1", "ware": {"id": "7", "content": {"title": "Vase"}}}).encode()
    signature = {
        "x-shop-signature": hmac.new(KNOWN["subscription"]["secret"].encode(), sold, hashlib.sha256).hexdigest()
    }
    assert (await send(hooks, KNOWN["subscription"]["url"], sold, {**json_type, **signature}))[0] == 202
    assert len(await rows(state)) == before + 3


async def test_what_waited_runs_and_what_watched_goes_on(state, shop):
    async def status(name):
        number = KNOWN["executions"][name]
        return (await rows(state, "select status from area_executions where id = $1", number))[0]["status"]

    async def fired(title):
        query = "select id from area_executions where trigger_data->>'title' = $1 and status = 'success'"
        return await rows(state, query, title)

    shop.ITEMS.append(("old-1", "old ware"))  # fired before the upgrade
    async with worker(state):
        for name in ("hook: queued", "hook: died"):
            await until(lambda name=name: is_done(status(name)))
        shop.ITEMS.append(("new-1", "new ware"))
        await until(lambda: fired("new ware"))
        await shop.HEARD.put("new word")
        await until(lambda: fired("new word"))
    assert len(await fired("old ware")) == 1
    assert [await status(name) for name in ("hook: later lamp", "filtered: x")] == ["pending", "pending"]
    texts = [text for _, text in shop.DONE]
    assert sorted(texts) == ["died", "new ware at https://shop.example/w/new-1", "new word", "queued"]
    (source,) = await rows(state, "select state from sources where params @> '{\"shelf\": \"1\"}' and state ? 'last'")
    assert "new word" in source["state"]


async def is_done(status):
    return await status == "success"


async def test_the_old_connections_can_be_read_and_their_keys_rotated(state, nobody):
    ann = nobody.as_(KNOWN["token"])
    listed = (await ann.get("/api/connections")).json()
    items = listed["items"] if isinstance(listed, dict) else listed
    assert {item["service"] for item in items if item["status"] == "works"} == {"old_shop", "old_notes"}
    number = (await ann.get("/api/me")).json()["id"]
    cache = Cache(state)
    credential = (await cache.connection(number, "old_shop")).credential
    assert credential.token.get_secret_value() == "sh0p-secret-of-ann"
    service = state.registry.services["old_notes"]
    assert (await cache.tokens.current(Ref(number, "old_notes"), service)).access.get_secret_value() == "access-of-ann"
    rotated = Keyring(["another-secret-key-of-this-installation-12", KNOWN["key"]])
    async with state.database.transaction() as session:
        assert (await rotation.rotate(session, rotated, state.registry)).count > 12
    state.keyring = Keyring(["another-secret-key-of-this-installation-12"])
    assert (await Cache(state).connection(number, "old_shop")).credential == credential


def test_the_old_sdk_is_there():
    """Connectors of others import these names."""
    assert [name for name in KNOWN["sdk"] if not hasattr(area.sdk, name)] == []
    loaded = old_registry()
    assert set(loaded.services["old_shop"].actions) == {"ware_added", "ware_sold", "said", "opens"}
    assert set(loaded.services["old_shop"].reactions) == {"order", "ring"}
    assert set(loaded.services["old_notes"].reactions) == {"write_note"}


def test_the_old_api_is_there():
    paths = make_api().openapi()["paths"]
    assert {path: set(methods) - set(paths.get(path, ())) for path, methods in KNOWN["api"].items()} == {
        path: set() for path in KNOWN["api"]
    }
