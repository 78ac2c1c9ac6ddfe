"""The ten tables' columns mean what their descriptions say, in the real life of some AREAs from their making to their
end.
"""

from datetime import UTC, timedelta

import orjson

from area import areas
from area.db.models import Base
from area.engine import control
from area.engine.cache import Cache
from area.engine.lanes import Intake
from area.engine.sources import leases
from area.hooks import Hooks
from area.sdk import Permanent, Retry
from tests.engine.conftest import baselined, connect
from tests.engine.senders import send

from .conftest import make_area, rows, settled, until, worker

LONG_AGO = "timestamptz '2020-01-01'"
UTC_NOW = "timezone('utc', now())"
# by table and column: what the column is said to mean, and what then is true of each row, in SQL
MEANING = {
    "users": {
        "id": ("unique user identifier", "id > 0"),
        "email": ("address, used to log in", "email like '%@%'"),
        "username": ("chosen name", "username <> ''"),
        "password_hash": (
            "bcrypt; null for who logs in elsewhere",
            "password_hash is null or starts_with(password_hash, '$2')",
        ),
        "icon_path": ("path or address of the picture", "icon_path is null or icon_path <> ''"),
        "is_admin": ("administrative privileges", "is_admin in (true, false)"),
        "is_active": ("whether the account is active", "is_active"),
        "created_at": ("when the account was made", f"created_at between {LONG_AGO} and now()"),
        "updated_at": ("when it was last changed", "updated_at >= created_at"),
        "last_connection_at": ("last log-in", "last_connection_at is null or last_connection_at >= created_at"),
    },
    "user_oauth2_accounts": {  # nobody here logs in elsewhere
        "service_id": ("provider", "service_id in (select id from services)"),
        "service_account_id": ("id that the provider gave", "service_account_id <> ''"),
        "user_id": ("internal user", "user_id in (select id from users)"),
        "email": ("address there", "true"),
        "created_at": ("when it was linked", "created_at <= now()"),
    },
    "services": {
        "id": ("unique service identifier", "id > 0"),
        "name": ("unique name", "name <> ''"),
        "description": ("description", "description <> ''"),
        "icon_path": ("path of the icon", "icon_path is null or icon_path <> ''"),
        "requires_auth": ("whether it must be connected", "requires_auth = (name = 'Locked')"),
        "is_active": ("whether it is enabled", "is_active"),
    },
    "user_services": {
        "user_id": ("the user", "user_id in (select id from users)"),
        "service_id": ("the service", "service_id in (select id from services where requires_auth)"),
        "oauth_token": ("encrypted", "starts_with(oauth_token, 'v1.')"),
        "refresh_token": ("encrypted, if applicable", "refresh_token is null or starts_with(refresh_token, 'v1.')"),
        "token_expires_at": ("when the token expires", "token_expires_at is null"),
        "created_at": ("when it was linked", f"created_at between {LONG_AGO} and now()"),
        "updated_at": ("when the link was changed", "updated_at >= created_at"),
    },
    "components": {
        "id": ("unique component identifier", "id > 0"),
        "service_id": ("its service", "service_id in (select id from services)"),
        "type": ("action or reaction", "type::text in ('action', 'reaction')"),
        "name": ("unique within the service", r"name ~ '^\w+$'"),
        "description": ("what it does", "description <> ''"),
        "is_active": ("whether it is enabled", "is_active"),
        "webhook_endpoint": ("relative path, of webhook actions", "webhook_endpoint is null or type::text = 'action'"),
        "polling_interval": (
            "interval of polling actions",
            "polling_interval is null or (type::text = 'action' and polling_interval > 0)",
        ),
    },
    "variables": {
        "id": ("unique variable identifier", "id > 0"),
        "component_id": ("its component", "component_id in (select id from components)"),
        "name": ("name", r"name ~ '^\w+$'"),
        "description": ("purpose", "description <> ''"),
        "kind": ("input, or output of an action", "kind::text in ('parameter', 'return_value')"),
        "type": ("data type", "type::text in ('string', 'number', 'boolean', 'date', 'email', 'url', 'json')"),
        "nullable": ("whether it is optional", "nullable in (true, false)"),
        "placeholder": ("example", "placeholder is null or placeholder <> ''"),
        "validation_regex": ("of parameters only", "validation_regex is null or kind::text = 'parameter'"),
        "display_order": ("order of parameters", "display_order >= 0"),
    },
    "areas": {
        "id": ("unique AREA identifier", "id > 0"),
        "user_id": ("its owner", "user_id in (select id from users)"),
        "component_action_id": (
            "its action",
            "component_action_id in (select id from components where type::text = 'action')",
        ),
        "component_reaction_id": (
            "its reaction",
            "component_reaction_id in (select id from components where type::text = 'reaction')",
        ),
        "name": ("name that its user gave", "name <> ''"),
        "description": ("description", "description is null"),
        "is_active": ("whether it is to trigger", "is_active = (name not like 'off %')"),
        "created_at": ("when it was made", f"created_at between {LONG_AGO} and now()"),
        "updated_at": ("when it was last changed", "updated_at >= created_at"),
        "last_triggered_at": (
            "when it was last triggered",
            f"(last_triggered_at is null) = (triggered_count = 0) and coalesce(last_triggered_at <= {UTC_NOW}, true)",
        ),
        "triggered_count": (
            "how often it was triggered: by events, not by hand",
            (
                "triggered_count = (select count(*) from area_executions e left join execution_records r on r.execution_id = e.id"
                " where e.area_id = t.id and not coalesce(r.forced, false))"
            ),
        ),
    },
    "area_parameters": {
        "area_id": ("its AREA", "area_id in (select id from areas)"),
        "variable_id": ("the parameter", "variable_id in (select id from variables where kind::text = 'parameter')"),
        "value": ("as the user wrote it, with placeholders", "value <> ''"),
    },
    "area_executions": {
        "id": ("unique execution identifier", "id > 0"),
        "area_id": ("the AREA that ran", "area_id in (select id from areas)"),
        "status": ("present status", "status in ('success', 'failed', 'cancelled', 'skipped')"),
        "trigger_data": ("what the action gave: its return values", "jsonb_typeof(trigger_data) = 'object'"),
        "execution_result": (
            "what the reaction returned, and nothing else",
            (
                "case when status = 'success' then execution_result = jsonb_build_object('text', execution_result->'text')"
                " else execution_result is null end"
            ),
        ),
        "error_message": ("why it failed", "(error_message is null) = (status = 'success')"),
        "started_at": ("when it began", "started_at at time zone 'utc' >= created_at - interval '1 millisecond'"),
        "completed_at": ("when it finished, whatever became of it", f"completed_at between started_at and {UTC_NOW}"),
        "execution_time_ms": (
            "duration: from the first attempt to the end, if it was attempted",
            (
                "case when status in ('success', 'failed')"
                " then abs(execution_time_ms - extract(epoch from completed_at - started_at) * 1000) < 250"
                " else coalesce(execution_time_ms, 0) >= 0 end"
            ),
        ),
        "created_at": ("when it was triggered", f"created_at between {LONG_AGO} and now()"),
        "updated_at": ("when the record was last changed", "updated_at >= created_at"),
    },
    "hook_states": {
        "area_id": ("its AREA", "area_id in (select id from areas)"),
        "state_key": ("what is tracked: an event, or where the source stands", "state_key ~ '^(event:.+|source)$'"),
        "state_value": (
            "the event's execution; the source's cursor",
            (
                "case when state_key = 'source' then starts_with(state_value, '{')"
                " else state_value::bigint in (select id from area_executions e where e.area_id = t.area_id) end"
            ),
        ),
        "last_checked_at": ("when the condition was last checked", "last_checked_at between created_at and now()"),
        "created_at": ("when the state was made", f"created_at between {LONG_AGO} and now()"),
        "updated_at": ("when it was last changed", "updated_at >= created_at"),
    },
}


async def wrong(state) -> list[str]:
    """Columns that say something else than they mean."""
    results = []
    for table, columns in MEANING.items():
        for column, (meaning, predicate) in columns.items():
            query = f"select to_jsonb(t)::text as row from {table} t where not coalesce({predicate}, false)"
            results += [f"{table}.{column} ({meaning}): {row['row']}" for row in await rows(state, query)]
    return results


async def one(state, area, number=0):
    """The AREA's runs, oldest first: one of them."""
    return (await rows(state, "select * from area_executions where area_id = $1 order by id", area.id))[number]


async def source_of(state, area):
    records = await rows(state, "select * from hook_states where area_id = $1 and state_key = 'source'", area.id)
    return records[0] if records else None


def test_each_column_is_told():
    tables = {name: set(table.columns.keys()) for name, table in Base.metadata.tables.items() if name in MEANING}
    assert tables == {name: set(columns) for name, columns in MEANING.items()}
    assert len(tables) == 10


async def test_the_life_of_an_area(state, user, world):
    async def behave(ctx, params, attempt):
        if params.text.startswith("fail") and attempt <= 2:
            raise Retry(f"attempt {attempt} failed", timedelta(milliseconds=300))
        if params.text.startswith("fail"):
            raise Permanent("It was refused for good.")
        if params.text.startswith("wait") and attempt == 1:
            raise Retry("not now", timedelta(hours=1))

    world.behaviour = behave
    await connect(state, user)
    polled = await make_area(state, user, action_parameters={"only_if": "title != 'no'"})
    hooked = await make_area(state, user, action="webhook.received", text="{{body.text}}")
    listening = await make_area(state, user, action="probe.heard")
    assert await rows(state, "select * from hook_states") == []
    intake = Intake(state.database.dsn)
    intake.start()
    hooks = Hooks(state, Cache(state), intake)
    async with worker(state):
        await until(lambda: baselined(state))
        await until(lambda: source_of(state, polled))
        for number, title in enumerate(("yes", "no", "wait", "fail")):
            world.publish(f"item-{number}", title)
        world.heard.put_nowait("heard-1")
        status, answer, _ = await send(hooks, hooked.webhook_url, b'{"text": "fail as well"}')
        assert status == 202
        await until(lambda: _all_but_one_over(state, 6))
        waits = next(row for row in await rows(state) if row["status"] == "pending")
        async with state.database.transaction() as session:
            await control.cancel(session, user, waits["id"])
            again = await control.replay(session, state, user, answer["execution_id"], "present", {"text": "by hand"})
        await until(lambda: settled(state))
    await intake.stop()

    assert await wrong(state) == []
    titles = {row["id"]: orjson.loads(row["trigger_data"]).get("title") for row in await rows(state)}
    became = {titles[row["id"]]: row["status"] for row in await rows(state) if row["area_id"] == polled.id}
    assert became == {"yes": "success", "no": "skipped", "wait": "cancelled", "fail": "failed"}
    failed = await one(state, hooked)
    (stored,) = await rows(state, "select attempts from execution_records where execution_id = $1", failed["id"])
    attempts = orjson.loads(stored["attempts"])
    assert [attempt["error"] for attempt in attempts] == [
        "attempt 1 failed",
        "attempt 2 failed",
        "It was refused for good.",
    ]
    assert failed["execution_time_ms"] > sum(attempt["ms"] for attempt in attempts)
    assert failed["started_at"].replace(tzinfo=UTC).isoformat(timespec="microseconds")[:26] == attempts[0]["at"][:26]
    replay = await one(state, hooked, 1)
    assert (replay["id"], replay["status"]) == (again, "success")
    assert orjson.loads(replay["execution_result"]) == {"text": "by hand"}
    # where the sources stand: of what is polled and of what listens, not of a webhook
    stands = orjson.loads((await source_of(state, polled))["state_value"])
    assert (stands["last"], set(stands)) == ("item-3", {"since", "last"})
    assert orjson.loads((await source_of(state, listening))["state_value"]) == {
        "last": "heard-1", "cursor": {"last": "heard-1"},
    }  # fmt: skip
    assert await source_of(state, hooked) is None

    async with state.database.transaction() as session:
        scope = control.scope(state)
        await areas.change(session, scope, user, polled.id, areas.AreaPatch(name="off now"))
        await areas.set_active(session, scope, user, polled.id, active=False)
    assert await wrong(state) == []
    assert await source_of(state, polled), "it is known where it stood"
    async with state.database.transaction() as session:
        await areas.remove(session, user, polled.id)
    assert await wrong(state) == []
    for table in ("area_parameters", "area_executions", "hook_states"):
        assert await rows(state, f"select * from {table} where area_id = $1", polled.id) == []


async def _all_but_one_over(state, count):
    """All have come, and only the one that waits an hour is not over."""
    records = await rows(state)
    waiting = [row for row in records if row["status"] in ("pending", "running")]
    return (
        len(records) == count
        and len(waiting) == 1
        and await rows(state, "select 1 from execution_jobs where due_at > now() + interval '30 minutes'")
    )


async def checked(state, area):
    row = await source_of(state, area)
    return row and row["last_checked_at"]


async def age(state, by):
    pool = await state.database.pool()
    await pool.execute(
        "update hook_states set last_checked_at = now() - $1::interval, created_at = now() - $1::interval where state_key = 'source'",
        by,
    )


async def test_where_a_source_stands_is_written_seldom_and_at_once_when_there_is_news(state, user, world):
    """A look that finds nothing writes nothing, unless what stands there is some minutes old."""
    first = await make_area(state, user)
    second = await make_area(state, user, text="also {{title}}")
    async with worker(state):
        await until(lambda: source_of(state, first))
        await until(lambda: source_of(state, second))
        before = [await source_of(state, area) for area in (first, second)]
        looks = world.polls["default"]
        await until(lambda: world.polls["default"] >= looks + 2)
        assert [await source_of(state, area) for area in (first, second)] == before
        await age(state, timedelta(minutes=10))
        old = await checked(state, first)
        await until(lambda: _moved(state, first, old))
        await until(lambda: _moved(state, second, old))
        fresh = await checked(state, first)
        world.publish("a", "Hello")
        await until(lambda: _moved(state, first, fresh))
        await until(lambda: settled(state))
    assert orjson.loads((await source_of(state, second))["state_value"])["last"] == "a"


async def test_a_listener_that_hears_nothing_is_checked_all_the_same(state, user, world, monkeypatch):
    from area.engine import sources

    monkeypatch.setattr(sources, "RENEW_EVERY", 0.1)
    monkeypatch.setattr(sources, "STANDS_EVERY", timedelta(seconds=0.2))
    area = await make_area(state, user, action="probe.heard")
    async with worker(state):
        await until(lambda: source_of(state, area))
        world.heard.put_nowait("x")
        await until(lambda: world.resumed)
        await age(state, timedelta(minutes=10))
        old = await checked(state, area)
        await until(lambda: _moved(state, area, old))
    assert orjson.loads((await source_of(state, area))["state_value"])["last"] == "x"


async def test_what_stands_there_is_of_the_present_source(state, user, world):
    area = await make_area(state, user)
    scope = control.scope(state)
    async with worker(state):
        await until(lambda: source_of(state, area))
    part = {"component": "webhook.received", "parameters": {}}
    reaction = {"component": "probe.send", "parameters": {"text": "x"}}
    async with state.database.transaction() as session:
        patch = areas.AreaPatch.model_validate({"action": part, "reaction": reaction})
        await areas.change(session, scope, user, area.id, patch)
    assert await source_of(state, area) is None


async def _moved(state, area, before):
    now = await checked(state, area)
    return now is not None and now > before


async def test_what_is_deleted_meanwhile_holds_up_nothing(state, user):
    """An AREA that another transaction is deleting is passed over, with or without a row."""
    area, other = await make_area(state, user), await make_area(state, user, text="also {{title}}")
    (source,) = await rows(state, "select id from sources")
    pool = await state.database.pool()
    for number in range(2):
        async with pool.acquire() as conn, pool.acquire() as looks:
            deletion = conn.transaction()
            await deletion.start()
            await conn.execute("delete from areas where id = $1", area.id)
            async with looks.transaction():
                await looks.execute("set local lock_timeout = '1ms'")
                await looks.execute(leases.STAND, [source["id"]], timedelta(), True, f"e{number}")
            await deletion.rollback()
        assert await source_of(state, area) is None
        assert orjson.loads((await source_of(state, other))["state_value"]) == {"last": f"e{number}"}
    await pool.execute(leases.STAND, [source["id"]], timedelta(), True, "e2")
    before = await source_of(state, area)
    async with pool.acquire() as conn, pool.acquire() as looks:
        deletion = conn.transaction()
        await deletion.start()
        await conn.execute("delete from areas where id = $1", area.id)
        async with looks.transaction():
            await looks.execute("set local lock_timeout = '1ms'")
            await looks.execute(leases.STAND, [source["id"]], timedelta(), True, "e3")
        await deletion.rollback()
    assert await source_of(state, area) == before
    assert orjson.loads((await source_of(state, other))["state_value"]) == {"last": "e3"}
