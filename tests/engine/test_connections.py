"""Connections that expire, are missing, or have their quota used up: executions wait and catch up."""

import asyncio
from datetime import timedelta

import pytest

from area import areas, connections
from area.connections.vault import Ref
from area.engine import control
from area.engine.cache import Cache
from area.engine.platform import UserPlatform
from area.sdk import AuthExpired, Permanent, Retry
from area.sdk.errors import Unauthorized
from tests.engine.conftest import LOGIN, connect, waiting

from .conftest import make_area, offer, rows, settled, statuses, until, worker


async def test_without_a_connection_executions_wait_and_then_catch_up(state, user, world):
    area = await make_area(state, user, reaction="locked.send_locked", text="{{title}}")
    async with state.database.sessions() as session:
        view = await areas.get(session, control.scope(state), user, area.id)
    assert view.state == "waiting_for_connection"
    for number in range(3):
        await offer(state, area, {"title": str(number)})
    async with worker(state):
        await until(lambda: _count(state, "connection", 3))
        assert await statuses(state) == ["pending"] * 3
        assert world.sent == []
        await connect(state, user)
        await until(lambda: settled(state))
    assert sorted(text for _, text in world.sent) == ["0", "1", "2"]


async def _count(state, reason, number):
    return len(await waiting(state, reason)) == number


async def test_an_expired_connection_pauses_tells_once_and_resumes(state, user, world):
    async def expired(ctx, params, attempt):
        if ctx.credential.password.get_secret_value() != "new password here":
            raise AuthExpired("Locked returned 401. The connection must be renewed.")

    world.behaviour = expired
    await connect(state, user)
    area = await make_area(state, user, reaction="locked.send_locked", text="{{title}}")
    for number in range(5):
        await offer(state, area, {"title": str(number)})
    async with worker(state):
        await until(lambda: _count(state, "connection", 5))
        (notice,) = await rows(state, "select * from notices")
        assert notice["title"] == "Locked must be reconnected"
        async with state.database.sessions() as session:
            view = await areas.get(session, control.scope(state), user, area.id)
        assert view.state == "waiting_for_connection"
        await connect(state, user, LOGIN | {"password": "new password here"})
        await until(lambda: settled(state))
    assert sorted(text for _, text in world.sent) == ["0", "1", "2", "3", "4"]
    assert set(await statuses(state)) == {"success"}


async def test_who_renews_it_while_a_run_finds_it_expired_has_it_work(state, user):
    """The run read the connection before, and says so while the new credential is being stored."""
    await connect(state, user)
    pool = await state.database.pool()
    since = await pool.fetchval("select updated_at from connections where user_id = $1", user)
    platform = UserPlatform(state, user, 0)
    async with state.database.transaction() as session:
        service = state.registry.services["locked"]
        await connections.keep(session, state.keyring, service, user, LOGIN, "")
        await session.flush()
        expiring = asyncio.create_task(platform.connection_expired(Ref(user, "locked"), "Locked answered 401.", since))
        await until(lambda: pool.fetchval("select count(*) from pg_locks where not granted"))
    await expiring
    assert await rows(state, "select status from connection_states") == [{"status": "works"}]
    assert await rows(state, "select * from notices") == []


MAY_NOT = "The connection to Locked works, but its account or token isn't allowed to do this."


async def test_a_401_that_means_a_missing_right_expires_nothing(state, user, world):
    """Vendors answer so to an ordinary user's token at what is for administrators, which is good elsewhere."""

    async def may_not(ctx, params, attempt):
        if params.text == "forbidden":
            raise Unauthorized("Locked returned 401.")

    world.behaviour = may_not
    await connect(state, user)
    area = await make_area(state, user, reaction="locked.send_locked", text="{{title}}")
    for title in ("forbidden", "allowed"):
        await offer(state, area, {"title": title})
    async with worker(state):
        await until(lambda: settled(state))
    failed, succeeded = await rows(state)
    assert (failed["status"], failed["error_message"]) == ("failed", f"Locked returned 401. {MAY_NOT}")
    assert succeeded["status"] == "success"
    (connection,) = await rows(state, "select status from connection_states")
    assert connection["status"] == "works"


@pytest.mark.parametrize(
    ("login_error", "status"),
    [(None, "works"), (Permanent("Locked rejected this password."), "expired"), (Retry("Locked is away."), "works")],
)
async def test_a_401_at_a_look_is_found_out_about(state, user, world, login_error, status):
    await connect(state, user)
    await make_area(state, user, action="locked.locked_item", action_parameters={"topic": "t"})
    world.login_error, world.poll_error = login_error, Unauthorized("Locked returned 401.")
    async with worker(state):
        await until(lambda: rows(state, "select 1 from sources where last_error is not null"))
    (connection,) = await rows(state, "select status from connection_states")
    (source,) = await rows(state, "select last_error from sources")
    assert connection["status"] == status
    assert (MAY_NOT in source["last_error"]) == (login_error is None)


async def test_a_run_waits_while_nobody_knows_what_a_401_means(state, user, world):
    async def refused(ctx, params, attempt):
        raise Unauthorized("Locked returned 401.")

    world.behaviour = refused
    await connect(state, user)
    area = await make_area(state, user, reaction="locked.send_locked", text="{{title}}")
    world.login_error = Retry("Locked is away.")
    await offer(state, area, {"title": "x"})
    async with worker(state):
        await until(lambda: _count(state, "retry", 1))
    (connection,) = await rows(state, "select status from connection_states")
    assert connection["status"] == "works"


async def test_a_used_up_quota_parks_the_whole_connection(state, user, world):
    calls = 0

    async def limited(ctx, params, attempt):
        nonlocal calls
        calls += 1
        if calls == 1:
            raise Retry("Locked returned 429.", timedelta(seconds=2), parks=True)

    world.behaviour = limited
    await connect(state, user)
    area = await make_area(state, user, reaction="locked.send_locked", text="{{title}}")
    async with worker(state):
        await offer(state, area, {"title": "first"})
        await until(lambda: _count(state, "retry", 1))
        for number in range(10):
            await offer(state, area, {"title": str(number)})
        await until(lambda: _count(state, "parked", 10))
        assert calls == 1
        await until(lambda: settled(state))
    assert calls == 12
    assert len(world.sent) == 11


async def test_a_run_looks_its_connection_up_once(state, user, world, monkeypatch):
    """Or it could act with one credential, and be told of another's end."""
    looked_up = []
    look_up = Cache.known_connection

    def counting(self, ref):
        looked_up.append(ref)
        return look_up(self, ref)

    monkeypatch.setattr(Cache, "known_connection", counting)
    await connect(state, user)
    area = await make_area(state, user, reaction="locked.send_locked", text="{{title}}")
    for number in range(3):
        await offer(state, area, {"title": str(number)})
    async with worker(state):
        await until(lambda: settled(state))
    assert set(await statuses(state)) == {"success"}
    assert looked_up == [(user, "locked", 0)] * 3


async def test_credentials_are_nowhere_in_clear(state, user):
    await connect(state, user, {"login": "ann", "password": "very secret words"})
    (row,) = await rows(state, "select * from user_services")
    assert row["oauth_token"].startswith("v1.")
    for table in await rows(state, "select tablename from pg_tables where schemaname = 'public'"):
        for record in await rows(state, f'select t::text as text from "{table["tablename"]}" t'):
            assert "very secret words" not in record["text"]


async def test_a_chain_that_comes_back_is_refused(state, user, world):
    first = await make_area(state, user, text="{{title}}")
    second = await make_area(
        state, user, reaction="area.run", area_id=first.id, data={"title": "from the second: {{title}}"}
    )
    async with state.database.transaction() as session:
        patch = areas.AreaPatch.model_validate(
            {"reaction": {"component": "area.run", "parameters": {"area_id": second.id, "data": {"title": "back"}}}}
        )
        await areas.change(session, control.scope(state), user, first.id, patch)
    await offer(state, second, {"title": "go"})
    async with worker(state):
        await until(lambda: settled_with(state, 2))
    executions = await rows(state)
    assert [row["status"] for row in executions] == ["success", "failed"]
    assert "would never end" in executions[1]["error_message"]


async def settled_with(state, number):
    result = await statuses(state)
    return len(result) == number and all(row not in ("pending", "running") for row in result)


async def test_an_area_hears_of_failures_but_not_of_those_it_caused(state, user, world):
    async def refuse(ctx, params, attempt):
        from area.sdk import Permanent

        raise Permanent("no")

    world.behaviour = refuse
    failing = await make_area(state, user, text="{{title}}")
    await make_area(
        state, user, action="area.area_failed", reaction="area.run", area_id=failing.id, data={"title": "again"}
    )
    pool = await state.database.pool()
    async with worker(state):
        await until(lambda: looked(state))
        await offer(state, failing, {"title": "x"})
        await until(lambda: settled(state))
        looks = 0
        while looks < 3:  # as many more as would show a chain that goes on
            await pool.execute("update sources set due_at = now() where lease_owner is null")
            await pool.execute("select pg_notify('sources_changed', '1')")
            await asyncio.sleep(0.7)
            looks += await settled_with(state, 3) or len(await statuses(state)) > 3
        await until(lambda: settled(state))
    executions = await rows(
        state, "select e.status, a.id from area_executions e join areas a on a.id = e.area_id order by e.id"
    )
    assert [(row["id"] == failing.id, row["status"]) for row in executions] == [
        (True, "failed"),
        (False, "success"),
        (True, "failed"),
    ]


async def looked(state):
    return await rows(state, "select 1 from sources where checked_at is not null") and not await rows(
        state,
        "select 1 from triggers t join sources s on s.id = t.source_id join components c on c.id = s.component_id"
        " where baseline and c.name = 'area_failed'",
    )


async def test_a_component_that_is_switched_off_rests_and_begins_anew(state, user, world):
    from area import catalog

    await make_area(state, user)
    async with worker(state):
        await until(lambda: world.polls["default"] >= 1)
        (row,) = await rows(state, "select component_action_id as id from areas")
        async with state.database.transaction() as session:
            await catalog.switch(session, "component", row["id"], active=False, by=None)
        await until(lambda: rows(state, "select 1 from sources where due_at is null"))
        world.publish("a", "while off")
        pool = await state.database.pool()
        await pool.execute("update triggers set since = '2020-01-01'")  # so that beginning anew can be seen
        async with state.database.transaction() as session:
            await catalog.switch(session, "component", row["id"], active=True, by=None)
        await until(lambda: looked_again(state))
        world.publish("b", "after")
        await until(lambda: world.sent)
    assert [text for _, text in world.sent] == ["after"]


async def looked_again(state):
    return await rows(state, "select 1 from sources where seen is not null") and not await rows(
        state, "select 1 from triggers where baseline or since < '2021-01-01'"
    )
