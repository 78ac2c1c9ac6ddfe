"""The log, its pages, its stream; notices; figures; retention."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import pytest_asyncio
from sqlalchemy import text

from area.db import search
from area.doors import stream
from area.runs import retention

AREA = {
    "name": "hello",
    "action": {"component": "hall.found"},
    "reaction": {"component": "hall.say", "parameters": {"item": "{{title}}"}},
}
INSERT = """
insert into area_executions (area_id, status, trigger_data, execution_result, error_message, created_at)
values (:area, :status, cast(:data as jsonb), cast(:result as jsonb), :error, now() - cast(:ago as interval)) returning id
"""
KEEP = """
insert into execution_records (execution_id, version, parameters, attempts)
select :id, version, parameters, attempts from jsonb_to_record(cast(:record as jsonb))
    as r(version int, parameters text, attempts jsonb)
"""


@pytest_asyncio.fixture
async def areas(people) -> dict[str, int]:
    return {
        name: (await getattr(people, name).post("/api/areas", {**AREA, "name": f"of {name}"})).json()["id"]
        for name in ("user", "other")
    }


@pytest.fixture
def put(state):
    async def put(
        area: int,
        status: str = "success",
        *,
        data: Any = None,
        error: str | None = None,
        result: Any = None,
        ago: timedelta = timedelta(),
    ) -> int:
        values = {
            "area": area,
            "status": status,
            "data": orjson.dumps(data or {}).decode(),
            "result": orjson.dumps(result or {}).decode(),
            "error": error,
            "ago": ago,
        }
        async with state.database.transaction() as session:
            return await session.scalar(text(INSERT), values)

    return put


@pytest.fixture
def keep(state):
    async def keep(execution: int, record: dict[str, Any]) -> None:
        async with state.database.transaction() as session:
            await session.execute(text(KEEP), {"id": execution, "record": orjson.dumps(record).decode()})

    return keep


def changed(user: int, *ids: int) -> dict[str, str]:
    return {"channel": "executions_changed", "payload": orjson.dumps({"users": {str(user): ids}}).decode()}


async def notify(state, channel: str, payload: str) -> None:
    async with state.database.transaction() as session:
        await session.execute(text("select pg_notify(:channel, :payload)"), {"channel": channel, "payload": payload})


async def test_only_ones_own_are_listed_newest_first_page_by_page(people, areas, put):
    mine = []
    for number in range(7):
        mine.append(await put(areas["user"], data={"n": number}))
        await put(areas["other"])
    seen: list[int] = []
    cursor = None
    for size in (3, 3, 1):
        page = (
            await people.user.get("/api/executions", params={"limit": 3} | ({"cursor": cursor} if cursor else {}))
        ).json()
        assert len(page["items"]) == size
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert seen == mine[::-1]
    run = (await people.user.get("/api/executions")).json()["items"][0]
    assert run["area_name"] == "of user"
    assert run["started_at"].endswith("Z")
    assert "trigger_data" not in run


async def test_pages_stay_whole_while_new_ones_come(people, areas, put):
    first = [await put(areas["user"]) for _ in range(4)]
    page = (await people.user.get("/api/executions", params={"limit": 2})).json()
    await put(areas["user"])
    rest = (await people.user.get("/api/executions", params={"limit": 2, "cursor": page["next_cursor"]})).json()
    assert [item["id"] for item in page["items"] + rest["items"]] == first[::-1]


@pytest.mark.parametrize("cursor", ["x", "eyJ", "1", "MTIz.AAAA", "é", "\x00"])
async def test_a_broken_cursor_is_a_422(people, cursor):
    answer = await people.user.get("/api/executions", params={"cursor": cursor})
    assert (answer.status, answer.json()["errors"][0]["field"].split(".")[-1]) == (422, "cursor")


async def test_a_cursor_of_another_list_is_a_422(people, areas, put):
    for _ in range(3):
        await put(areas["user"])
    cursor = (await people.user.get("/api/executions", params={"limit": 1})).json()["next_cursor"]
    assert (await people.user.get("/api/notices", params={"cursor": cursor})).status == 422
    for limit in (0, 101, "x"):
        assert (await people.user.get("/api/executions", params={"limit": limit})).status == 422


async def test_filters(people, areas, put):
    second = (await people.user.post("/api/areas", AREA)).json()["id"]
    failed = await put(areas["user"], "failed", error="The Server said 500% no_t", data={"title": "Grüße aus Köln"})
    old = await put(areas["user"], "success", data={"title": "umbrella"}, ago=timedelta(days=3))
    other = await put(second, "pending", data={"deep": {"er": ["Ärger"]}})
    await put(areas["other"], "failed", error="The Server said 500% no_t")

    async def ids(**params: Any) -> list[int]:
        answer = await people.user.get("/api/executions", params=params)
        assert answer.status == 200, answer.body
        return [item["id"] for item in answer.json()["items"]]

    assert await ids(area_id=second) == [other]
    assert await ids(area_id=areas["other"]) == []
    assert await ids(status="failed") == [failed]
    assert await ids(status=["failed", "pending"]) == [other, failed]
    assert await ids(q="500% NO_T") == [failed]
    assert await ids(q="grüsse") == []
    assert await ids(q="grüße") == [failed]
    assert await ids(q="ärger") == [other]
    assert await ids(q="_") == [failed]
    now = datetime.now(UTC)
    assert await ids(until=(now - timedelta(days=1)).isoformat()) == [old]
    assert await ids(since=(now - timedelta(days=1)).isoformat()) == [other, failed]
    assert (await people.user.get("/api/executions", params={"status": "lost"})).status == 422
    for wrong in ("yesterday", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"):
        assert (await people.user.get("/api/executions", params={"since": wrong})).status == 422


async def test_a_search_that_takes_too_long_is_a_422(people, areas, put, state, monkeypatch):
    await put(areas["user"])
    monkeypatch.setattr(search, "MILLISECONDS", 1)
    async with state.database.transaction() as session:
        await session.execute(
            text(
                "insert into area_executions (area_id, trigger_data) select :area, jsonb_build_object('x', repeat('y', 2000))"
                " from generate_series(1, 3000)"
            ),
            {"area": areas["user"]},
        )
    answer = await people.user.get("/api/executions", params={"q": "zzz"})
    assert answer.status == 422
    assert "takes too long" in answer.json()["detail"]
    assert (await people.user.get("/api/me")).status == 200  # the connection is as it was


async def test_one_execution_opened(people, areas, put, keep):
    number = await put(areas["user"], "success", data={"title": "umbrella"}, result={"ok": True})
    record = {
        "version": 1,
        "parameters": {"item": "umbrella"},
        "attempts": [
            {"at": "2026-11-23T09:00:00+00:00", "error": "busy", "ms": 12},
            {"at": "2026-11-23T09:01:00+00:00", "error": None, "ms": 30},
        ],
    }
    await keep(number, record)
    answer = (await people.user.get(f"/api/executions/{number}")).json()
    assert answer["trigger_data"] == {"title": "umbrella"}
    assert answer["result"] == {"ok": True}
    assert answer["parameters"] == {"item": "umbrella"}
    assert answer["attempts"] == [{"at": "2026-11-23T09:00:00Z", "error": "busy", "ms": 12, "interrupted": False}]
    assert answer["version"] == 1
    assert "succeeded" not in answer
    assert (await people.user.get("/api/executions")).json()["items"][0]["attempts"] == 1
    assert (await people.other.get(f"/api/executions/{number}")).status == 404
    assert (await people.admin.get(f"/api/executions/{number}")).status == 404
    for wrong in (0, -1, 2**63, "x"):
        assert (await people.user.get(f"/api/executions/{wrong}")).status == 422


async def test_run_cancel_and_replay(people, areas, put, state):
    started = await people.user.post(f"/api/areas/{areas['user']}/run", {"data": {"title": "by hand"}})
    assert started.status == 202, started.body
    number = started.json()["execution_id"]
    waiting = (await people.user.get(f"/api/executions/{number}")).json()
    assert (waiting["status"], waiting["trigger_data"]) == ("pending", {"title": "by hand"})
    assert (await people.other.post(f"/api/executions/{number}/cancel")).status == 404
    assert (await people.user.post(f"/api/executions/{number}/replay")).status == 409
    assert (await people.user.post(f"/api/executions/{number}/cancel")).json()["status"] == "cancelled"
    assert (await people.user.post(f"/api/executions/{number}/cancel")).status == 409
    again = await people.user.post(f"/api/executions/{number}/replay", {"mode": "as_it_was"})
    assert again.status == 202
    assert (await people.user.get(f"/api/executions/{again.json()['execution_id']}")).json()["replay_of"] == number
    assert (await people.other.post(f"/api/executions/{number}/replay")).status == 404
    assert (await people.user.post(f"/api/executions/{number}/replay", {"mode": "never"})).status == 422


async def test_figures(people, areas, put, state):
    await put(areas["user"], "success")
    await put(areas["user"], "failed", ago=timedelta(hours=2))
    await put(areas["user"], "success", ago=timedelta(days=2))
    await put(areas["user"], "success", ago=timedelta(days=8))
    await put(areas["other"], "skipped")
    mine = (await people.user.get("/api/me/stats")).json()
    assert (mine["hour"]["success"], mine["hour"]["failed"]) == (1, 0)
    assert (mine["day"]["success"], mine["day"]["failed"]) == (1, 1)
    assert (mine["week"]["success"], mine["week"]["skipped"]) == (2, 0)
    assert (mine["areas"], mine["active_areas"]) == (1, 1)
    await people.user.post(f"/api/areas/{areas['user']}/run")
    everything = (await people.admin.get("/api/admin/stats")).json()
    assert everything["week"]["skipped"] == 1
    assert (everything["users"], everything["areas"]) == (3, 2)
    assert everything["queue"]["due"] + everything["queue"]["later"] == 1
    assert everything["database_bytes"] > 1_000_000


async def test_notices_are_read_one_by_one_or_all(people, state):
    async with state.database.transaction() as session:
        for number in range(4):
            await session.execute(
                text("insert into notices (user_id, level, title, body) values (:user, 'info', :title, 'x')"),
                {"user": people.ids["user"], "title": f"n{number}"},
            )
    page = (await people.user.get("/api/notices", params={"limit": 3})).json()
    assert [item["title"] for item in page["items"]] == ["n3", "n2", "n1"]
    assert page["unread"] == 4
    ids = [item["id"] for item in page["items"]]
    assert (await people.other.post("/api/notices/read", {"ids": ids})).json() == {"unread": 0}
    assert (await people.user.post("/api/notices/read", {"ids": ids[:1]})).json() == {"unread": 3}
    unread = (await people.user.get("/api/notices", params={"unread": "true"})).json()["items"]
    assert [notice["title"] for notice in unread] == ["n2", "n1", "n0"]
    assert (await people.user.post("/api/notices/read", {})).json() == {"unread": 0}
    assert (await people.user.post("/api/notices/read", {"ids": [0]})).status == 422


# Retention


async def test_purge_deletes_what_is_old_and_over_in_batches(people, areas, put, state, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 3)
    monkeypatch.setattr(retention, "PAGES", 1)
    days = timedelta(days=1)
    waiting = [await put(areas["user"], "pending", ago=40 * days) for _ in range(4)]
    for _ in range(8):
        await put(areas["user"], ago=40 * days)
    fresh = [await put(areas["user"], ago=days) for _ in range(5)]
    async with state.database.transaction() as session:
        for name, ago in (("event:old", 91), ("event:middle", 80), ("cursor", 91)):
            await session.execute(
                text(
                    "insert into hook_states (area_id, state_key, updated_at) values (:area, :name, now() - cast(:ago as interval))"
                ),
                {"area": areas["user"], "name": name, "ago": timedelta(days=ago)},
            )
    now = datetime.now(UTC)
    pool = await state.database.pool()
    async with pool.acquire() as connection:
        gone = await retention.purge(connection, now - 30 * days, now - 90 * days)
    assert gone == {"executions": 8, "events": 1}
    async with state.database.sessions() as session:
        assert list(await session.scalars(text("select id from area_executions order by id"))) == waiting + fresh
        assert set(await session.scalars(text("select state_key from hook_states"))) == {"event:middle", "cursor"}


# The stream


async def test_the_stream_sends_what_changes_to_whom_it_concerns(people, areas, put, state):
    async with people.user.stream("/api/executions/stream") as live:
        assert (await live.next("notices"))["unread"] == 0
        assert live.status == 200
        mine, others = await put(areas["user"], "running"), await put(areas["other"])
        await notify(state, **changed(people.ids["user"], others))  # a mistake of the sender is not one of ours
        await notify(state, **changed(people.ids["other"], others))
        await notify(state, **changed(people.ids["user"], mine))
        event = await live.next()
        assert (event["status"], event["area_id"]) == ("running", areas["user"])
        assert event["id"] == mine  # the row's own, which overlays the event's
        async with state.database.transaction() as session:
            await session.execute(
                text("insert into notices (user_id, level, title, body) values (:id, 'info', 'x', 'x')"),
                {"id": people.ids["user"]},
            )
        await notify(state, "notices_changed", str(people.ids["user"]))
        assert (await live.next("notices"))["unread"] == 1
        for strange in ("{", "[]", '{"users": 1}', "x"):
            await notify(state, "executions_changed", strange)
        await notify(state, **changed(people.ids["user"], mine))
        assert (await live.next())["id"] == mine


async def test_the_stream_goes_on_where_it_was(people, areas, put, state):
    first = await put(areas["user"], "success")
    async with people.user.stream("/api/executions/stream") as live:
        await live.next("notices")
        await notify(state, **changed(people.ids["user"], first))
        while "id: " not in live.text:
            live.text += (await live.parts.get() or b"").decode()
        name = live.text.partition("id: ")[2].partition("\n")[0]
    async with state.database.transaction() as session:
        await session.execute(text("update area_executions set updated_at = now() - interval '1 minute'"))
    missed = await put(areas["user"], "failed")
    async with people.user.stream("/api/executions/stream", {"last-event-id": name}) as live:
        assert (await live.next())["id"] == missed
    for strange in ("x", "-", "99999999999999999999-1", "é"):
        async with people.user.stream("/api/executions/stream", {"last-event-id": strange}) as live:
            assert (await live.next("notices"))["unread"] == 0


async def test_the_stream_shows_that_it_is_alive(people, monkeypatch):
    monkeypatch.setattr(stream, "HEARTBEAT", 0.1)
    async with people.user.stream("/api/executions/stream") as live:
        await live.next("notices")
        assert await live.next("comment") == {"comment": ": alive"}


@pytest.mark.parametrize("how", ["logout", "disable", "delete", "password"])
async def test_the_stream_ends_with_the_session_at_once(people, nobody, how):
    async with people.user.stream("/api/executions/stream") as live:
        await live.next("notices")
        if how == "logout":
            await people.user.post("/api/auth/logout")
        elif how == "disable":
            await people.admin.patch(f"/api/admin/users/{people.ids['user']}", {"is_active": False})
        elif how == "delete":
            await people.user.delete("/api/me", {"password": "correct horse battery"})
        else:
            await people.admin.patch(f"/api/admin/users/{people.ids['user']}", {"password": "another password"})
        assert await live.ended()


async def test_the_stream_ends_when_the_server_stops(people, app):
    async with people.user.stream("/api/executions/stream") as live:
        await live.next("notices")
        await app.state.hub.close()
        assert await live.ended()


async def test_ten_streams_are_enough_for_one_user(people, app):
    hub = app.state.hub
    watchers = [hub.watch(people.ids["user"]) for _ in range(10)]
    answer = await people.user.get("/api/executions/stream")
    assert answer.status == 429
    hub.leave(watchers[0])
    async with people.user.stream("/api/executions/stream") as live:
        await live.next("notices")
    async with people.other.stream("/api/executions/stream") as live:
        await live.next("notices")
    await asyncio.sleep(0)
    assert len(hub._watchers[people.ids["user"]]) == 9


async def test_a_lost_listening_connection_loses_no_change(people, areas, put, state, app, monkeypatch):
    async with people.user.stream("/api/executions/stream") as live:
        await live.next("notices")
        async with state.database.transaction() as session:
            await session.execute(
                text(
                    "select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'listen%' and datname = current_database()"
                )
            )
        number = await put(areas["user"], "failed")
        await notify(state, **changed(people.ids["user"], number))  # nobody listens now
        monkeypatch.setattr(stream, "HEARTBEAT", 0.1)
        assert (await live.next())["id"] == number


async def test_a_slow_reader_is_told_of_the_newest(people, app, monkeypatch):
    monkeypatch.setattr(stream, "MOST_WAITING", 5)
    watcher = app.state.hub.watch(1)
    app.state.hub._heard("executions_changed", '{"users": {"1": [1,2,3,4,5,6,7]}}')
    assert watcher.ids == {3, 4, 5, 6, 7}
