"""Several connections of one user to one service: each is chosen by name, expires, waits and resumes by itself."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import text

from area import areas, connections, rotation
from area.areas import AreaIn, AreaPatch, bundles
from area.engine import control
from area.kit.crypto import Keyring
from area.kit.problems import Conflict, Invalid, NotFound
from area.sdk import AuthExpired, Retry

from . import conftest
from .conftest import LOGIN, make_user, offer, rows, settled, statuses, until, worker


async def connect(state, user, name="", **changes):
    return await conftest.connect(state, user, LOGIN | changes, name=name)


def wanted(name, connection=None, action="probe.item", reaction="locked.send_locked", **changes):
    provided = {
        "name": name,
        "action": {"component": action},
        "reaction": {"component": reaction, "parameters": {"text": "{{title}}"}},
    }
    if connection is not None:
        provided["reaction"]["connection"] = connection
    return AreaIn.model_validate(provided | changes)


async def make(state, user, area):
    async with state.database.transaction() as session:
        return await areas.create(session, control.scope(state), user, area)


async def view(state, user, area):
    async with state.database.sessions() as session:
        return await areas.get(session, control.scope(state), user, area.id)


def seen_by(world):
    """Have each reaction note the login that it was given."""
    logins = []

    async def note(ctx, params, attempt):
        logins.append((ctx.credential.login, params.text))

    world.behaviour = note
    return logins


async def test_each_area_acts_with_the_connection_that_it_has_chosen(state, user, world):
    await connect(state, user, login="default")
    await connect(state, user, "Work", login="at-work")
    first = await make(state, user, wanted("first"))
    second = await make(state, user, wanted("second", "Work"))
    assert (first.reaction.connection, second.reaction.connection) == (None, "Work")
    logins = seen_by(world)
    async with worker(state):
        await offer(state, first, {"title": "1"})
        await offer(state, second, {"title": "2"})
        await until(lambda: settled(state))
        # changed while it is running: the next one goes by the other connection
        async with state.database.transaction() as session:
            patch = AreaPatch.model_validate({"reaction": wanted("x", "Work").reaction.model_dump()})
            await areas.change(session, control.scope(state), user, first.id, patch)
        await offer(state, first, {"title": "3"})
        await until(lambda: settled(state))
    assert sorted(logins) == [("at-work", "2"), ("at-work", "3"), ("default", "1")]


async def test_one_that_expires_stops_only_its_own_areas_and_they_catch_up(state, user, world):
    async def expired(ctx, params, attempt):
        if ctx.credential.password.get_secret_value() == "old":
            raise AuthExpired("Locked returned 401.")

    world.behaviour = expired
    await connect(state, user)
    await connect(state, user, "Work", password="old")
    first, second = await make(state, user, wanted("first")), await make(state, user, wanted("second", "Work"))
    async with worker(state):
        await offer(state, second, {"title": "2"})
        await until(lambda: _waits(state, "connection"))
        await offer(state, first, {"title": "1"})
        await until(lambda: _sent(world, "1"))
        (notice,) = await rows(state, "select * from notices")
        assert notice["title"] == "Locked (Work) must be reconnected"
        assert (await view(state, user, first)).state == "healthy"
        waiting = await view(state, user, second)
        assert (waiting.state, waiting.waits_for) == ("waiting_for_connection", "locked")
        assert "Locked (Work)" in waiting.reason
        # the default one connected anew resumes nothing of the other's
        await connect(state, user)
        assert await _waits(state, "connection")
        await connect(state, user, "Work", password="new")
        await until(lambda: settled(state))
    assert set(await statuses(state)) == {"success"}


async def _waits(state, reason):
    return await rows(state, "select * from execution_jobs where reason = $1", reason)


def _sent(world, text):
    return [message for message in world.sent if message[1] == text]


async def test_a_used_up_quota_parks_one_connection_alone(state, user, world):
    async def limited(ctx, params, attempt):
        if ctx.credential.login == "busy" and params.text == "first":
            raise Retry("Locked returned 429.", timedelta(seconds=600), parks=True)

    world.behaviour = limited
    await connect(state, user)
    await connect(state, user, "Work", login="busy")
    first, second = await make(state, user, wanted("first")), await make(state, user, wanted("second", "Work"))
    async with worker(state):
        await offer(state, second, {"title": "first"})
        await until(lambda: _waits(state, "retry"))
        await offer(state, second, {"title": "second"})
        await until(lambda: _waits(state, "parked"))
        await offer(state, first, {"title": "mine"})
        await until(lambda: _sent(world, "mine"))
    assert len(world.sent) == 1


async def test_a_replay_goes_by_the_connection_of_then_or_says_that_it_is_gone(state, user, world):
    await connect(state, user, login="default")
    await connect(state, user, "Old", login="old")
    area = await make(state, user, wanted("first", "Old"))
    logins = seen_by(world)
    async with worker(state):
        await offer(state, area, {"title": "1"})
        await until(lambda: settled(state))
        async with state.database.transaction() as session:
            patch = AreaPatch.model_validate({"reaction": wanted("x").reaction.model_dump()})
            await areas.change(session, control.scope(state), user, area.id, patch)
        (execution,) = await rows(state)
        async with state.database.transaction() as session:
            await control.replay(session, state, user, execution["id"], "as_it_was")
            await control.replay(session, state, user, execution["id"], "present")
        await until(lambda: settled(state))
        assert sorted(logins) == [("default", "1"), ("old", "1"), ("old", "1")]
        async with state.database.transaction() as session:
            assert await connections.disconnect(session, state.registry, user, "locked", name="Old") == []
            number = await control.replay(session, state, user, execution["id"], "as_it_was")
        await until(lambda: settled(state))
    (last,) = await rows(state, "select * from area_executions where id = $1", number)
    assert (last["status"], last["error_message"]) == (
        "failed", "Its Locked connection was removed."
    )  # fmt: skip


async def test_disconnecting_tells_who_uses_it_and_keeps_the_name_for_them(state, user, world):
    await connect(state, user)
    await connect(state, user, "Work")
    area = await make(state, user, wanted("second", "Work"))
    await make(state, user, wanted("first"))
    async with state.database.transaction() as session:
        (needing,) = await connections.disconnect(session, state.registry, user, "locked", name="Work")
    assert needing.id == area.id
    assert (await view(state, user, area)).state == "waiting_for_connection"
    (row,) = await rows(state, "select * from named_connections")
    assert (row["name"], row["oauth_token"]) == ("Work", None)
    async with worker(state):
        await offer(state, area, {"title": "1"})
        await until(lambda: _waits(state, "connection"))
        await connect(state, user, "Work")
        await until(lambda: settled(state))
    assert await statuses(state) == ["success"]
    async with state.database.transaction() as session:
        await areas.remove(session, user, area.id)
        assert await connections.disconnect(session, state.registry, user, "locked", name="Work") == []
    assert await rows(state, "select * from named_connections") == []


async def test_a_name_that_is_nobodys_or_somebody_elses_is_refused(state, user):
    other = await make_user(state, "bob")
    await connect(state, other, "Theirs")
    for name in ("Theirs", "Nobody's"):
        with pytest.raises(Invalid) as caught:
            await make(state, user, wanted("x", name))
        assert caught.value.errors[0]["field"] == "reaction.connection"
        with pytest.raises(NotFound):
            async with state.database.transaction() as session:
                await connections.disconnect(session, state.registry, user, "locked", name=name)
    with pytest.raises(Invalid, match="needs no connection"):
        await make(state, user, wanted("x", "Theirs", reaction="probe.send"))


async def test_areas_are_carried_out_and_in_by_the_connections_names(state, user):
    await connect(state, user)
    await connect(state, user, "Work")
    scope = control.scope(state)
    await make(state, user, wanted("one", "Work"))
    async with state.database.transaction() as session:
        (exported,) = await bundles.export(session, scope, user)
        assert exported.reaction.connection == "Work"
        assert (await bundles.apply(session, scope, user, [exported]))["same"] == ["one"]
        left_out = exported.model_copy(update={"reaction": wanted("one").reaction})
        assert (await bundles.apply(session, scope, user, [left_out]))["changed"] == ["one"]
        assert (await bundles.export(session, scope, user))[0].reaction.connection is None
        assert (await bundles.apply(session, scope, user, [exported]))["changed"] == ["one"]
        assert (await bundles.export(session, scope, user))[0].reaction.connection == "Work"


async def test_a_change_of_parameters_leaves_the_connection(state, user):
    await connect(state, user, "Work")
    area = await make(state, user, wanted("one", "Work"))
    async with state.database.transaction() as session:
        patch = AreaPatch.model_validate(
            {"reaction": {"component": "locked.send_locked", "parameters": {"text": "new"}}}
        )
        changed = await areas.change(session, control.scope(state), user, area.id, patch)
    assert changed.reaction.connection == "Work"


async def test_keys_are_rotated_and_credentials_stand_nowhere_in_clear(state, user):
    await connect(state, user, "Work", password="canary-of-work")
    (before,) = await rows(state, "select * from named_connections")
    assert before["oauth_token"].startswith("v1.")
    new = Keyring(["another-key-of-more-than-32-characters!", *state.settings.secret_keys()])
    async with state.database.transaction() as session:
        assert (await rotation.rotate(session, new, state.registry)).count == 1
        stored = await connections.credential(session, new, state.registry, user, "locked", number=before["id"])
    assert stored.password.get_secret_value() == "canary-of-work"
    for table in await rows(state, "select tablename from pg_tables where schemaname = 'public'"):
        for row in await rows(state, f'select t::text as text from "{table["tablename"]}" t'):
            assert "canary-of-work" not in row["text"]


async def test_a_user_who_goes_takes_them_along(state, user):
    await connect(state, user, "Work")
    await make(state, user, wanted("one", "Work"))
    async with state.database.transaction() as session:
        await session.execute(text("delete from users where id = :id"), {"id": user})
    for table in ("named_connections", "area_connections", "connection_states"):
        assert await rows(state, f"select * from {table}") == []


async def test_a_connection_is_renamed_and_its_areas_keep_it(state, user, world):
    for name in ("Work", "Home"):
        await connect(state, user, name, login=name)
    area = await make(state, user, wanted("one", "Work"))
    logins = seen_by(world)

    async def rename(name, new):
        async with state.database.transaction() as session:
            await connections.rename(session, state.registry, user, "locked", name, new)

    await rename("Work", "  Night   shift ")
    assert (await view(state, user, area)).reaction.connection == "Night shift"
    await rename("Night shift", "Night shift")
    async with worker(state):
        await offer(state, area, {"title": "1"})
        await until(lambda: settled(state))
    assert logins == [("Work", "1")]
    for name, new, error, message in (
        ("Night shift", "Home", Conflict, "already have a connection called Home"),
        ("Night shift", " ", Invalid, "Enter a name"),
        ("Night shift", "x" * 101, Invalid, "at most 100"),
        ("Night shift", "a\x1bb", Invalid, "control character"),
        ("", "Default", Invalid, "The default connection has no name"),
        ("Work", "New", NotFound, "You have no connection 'Work'"),
    ):
        with pytest.raises(error, match=message):
            await rename(name, new)
    stranger = await make_user(state, "stranger")
    with pytest.raises(NotFound):
        async with state.database.transaction() as session:
            await connections.rename(session, state.registry, stranger, "locked", "Home", "Mine")
    assert sorted(row["name"] for row in await rows(state, "select name from named_connections")) == [
        "Home",
        "Night shift",
    ]
    (noted,) = await rows(state, "select * from audit where action = 'connection.renamed'")
    assert json.loads(noted["detail"]) == {"name": "Night shift", "before": "Work"}
