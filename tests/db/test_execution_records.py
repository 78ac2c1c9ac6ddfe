"""What AREA keeps of an execution moves into its own table when an installation upgrades, and back."""

import asyncpg
import orjson
import pytest_asyncio

from area.db import schema
from area.runs.record import RunRecord

ROWS = """
    insert into services (name) values ('Webhook'), ('HTTP');
    insert into components (service_id, type, name) values (1, 'action', 'received'), (2, 'reaction', 'request');
    insert into users (email, username) values ('a@example.org', 'a');
    insert into areas (user_id, component_action_id, component_reaction_id, name) values (1, 1, 2, 'one');
"""
INSERT = """
    insert into area_executions (area_id, status, execution_result, started_at, completed_at, execution_time_ms)
    values (1, $1::text, $2, timestamp '2026-11-01 12:10:00', case when $1::text in ('pending', 'running') then null
        else timestamp '2026-11-01 12:10:00.5' end, case when $1::text in ('pending', 'running') then null else 500 end)
    returning id
"""
FAILED = {"at": "2026-11-01T12:00:00+00:00", "error": "503", "ms": 40}
CUT = {"at": "2026-11-01T12:01:00+00:00", "error": "The worker stopped during the run.", "interrupted": True}
LAST = {"at": "2026-11-01T12:10:00+00:00", "error": "404", "ms": 500}
OLD = {  # by name: status, and what `execution_result` was before 0013
    "plain": ("success", {"version": 1, "result": {"status": 200, "none": None}}),
    "nothing returned": ("success", {"version": 1}),
    "of a later version": ("success", {"version": 3, "result": [1]}),
    "repeated": ("success", {"version": 1, "attempts": [FAILED, CUT], "result": "text", "state": {"task": 7}}),
    "failed": ("failed", {"version": 2, "attempts": [FAILED, LAST]}),
    "waits": ("pending", {"version": 1, "attempts": [FAILED], "left": True}),
    "replay": ("pending", {"version": 2, "forced": True, "replay_of": 1, "parameters": {"url": "x"}, "left": True}),
    "chained": ("skipped", {"version": 1, "chain": [4, 5]}),
    "fresh": ("pending", None),
    "left out": ("skipped", None),
}


@pytest_asyncio.fixture
async def connection(empty_dsn: str):
    await schema.upgrade(empty_dsn, "0012")
    connection = await asyncpg.connect(empty_dsn)
    await connection.execute(ROWS)
    yield connection
    await connection.close()


async def fill(connection: asyncpg.Connection) -> dict[str, int]:
    ids = {}
    for name, (status, result) in OLD.items():
        text = orjson.dumps(result).decode() if result else None
        ids[name] = await connection.fetchval(INSERT, status, text)
        if result and "left" in result:
            reason = "replay" if name == "replay" else "retry"
            await connection.execute("insert into execution_jobs values ($1, $1, $2, now())", ids[name], reason)
    return ids


async def look(connection: asyncpg.Connection) -> list[tuple]:
    rows = await connection.fetch(
        "select id, status, execution_result, started_at, completed_at, execution_time_ms from area_executions order by id"
    )
    return [(*row[:2], orjson.loads(row[2]) if row[2] else None, *row[3:]) for row in rows]


async def test_results_are_alone_after_the_upgrade_and_come_back(connection: asyncpg.Connection, empty_dsn: str):
    ids = await fill(connection)
    before = await look(connection)
    await schema.upgrade(empty_dsn)
    after = {row[0]: row for row in await look(connection)}
    results = {name: after[number][2] for name, number in ids.items()}
    assert results == {name: (old or {}).get("result") for name, (_, old) in OLD.items()}
    rows = await connection.fetch(
        "select execution_id, to_jsonb(r) - 'execution_id' as record from execution_records r"
    )
    result = {row["execution_id"]: row["record"] for row in rows}
    names = [name for name, number in ids.items() if number in result]
    assert names == ["of a later version", "repeated", "failed", "waits", "replay", "chained"]
    stored = {name: RunRecord.read(result[ids[name]], OLD[name][0]) for name in names}
    assert stored["of a later version"] == RunRecord(version=3)
    assert [attempt.error for attempt in stored["repeated"].attempts] == ["503", CUT["error"], None]
    assert (stored["repeated"].interruptions, stored["repeated"].state) == (1, {"task": 7})
    assert stored["repeated"].attempts[-1].ms == 500
    replay = stored["replay"]
    assert (replay.forced, replay.as_it_was, replay.version, replay.replay_of) == (True, True, 2, 1)
    assert orjson.loads(replay.parameters or "") == {"url": "x"}
    assert stored["chained"].chain == [4, 5]
    # from the first attempt to the end
    whole = {name: (f"{after[number][3]:%H:%M}", after[number][5]) for name, number in ids.items()}
    assert whole["repeated"] == whole["failed"] == ("12:00", 600_500)
    assert (whole["plain"], whole["waits"]) == (("12:10", 500), ("12:00", None))

    await schema.downgrade(empty_dsn, "0012")
    back = await look(connection)
    waits = ids["waits"]
    assert [row for row in back if row[0] != waits] == [row for row in before if row[0] != waits]
    assert next(row[:3] for row in back if row[0] == waits) == next(row[:3] for row in before if row[0] == waits)
    jobs = await connection.fetch("select execution_id, reason from execution_jobs order by 1")
    assert jobs == [(waits, "retry"), (ids["replay"], "replay")]
    await schema.upgrade(empty_dsn)
    assert {row[0]: row for row in await look(connection)} == after


async def test_encrypted_parameters_survive_both_ways(connection: asyncpg.Connection, empty_dsn: str):
    await fill(connection)
    await schema.upgrade(empty_dsn)
    await connection.execute("update execution_records set parameters = 'v1.key.text' where parameters is not null")
    await schema.downgrade(empty_dsn, "0012")
    await schema.upgrade(empty_dsn)
    assert await connection.fetchval("select parameters from execution_records where parameters is not null") == (
        "v1.key.text"
    )
