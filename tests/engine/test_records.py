"""What is kept of a run: its result alone in the seed's column, all else beside it, and given parameters encrypted."""

from datetime import UTC, timedelta

import orjson
import pytest

from area import areas, rotation, runs, sealing
from area.areas import AreaPatch
from area.db.models import Meta
from area.engine import control
from area.kit.crypto import Keyring, Undecryptable
from area.kit.problems import Invalid
from area.runs.record import RunRecord, unseal
from area.sdk import Permanent, Retry

from .conftest import make_area, offer, rows, settled, until, worker

SECRET = "a-secret-of-someones"
GIVEN = {"url": "https://api.example.com/", "headers": f"X-Api-Key: {SECRET}"}


async def record(state, execution_id):
    (row,) = await rows(
        state, "select to_jsonb(r) as record from execution_records r where execution_id = $1", execution_id
    )
    return RunRecord.read(row["record"], "pending")


async def view(state, user, execution_id):
    async with state.database.sessions() as session:
        return await runs.get(session, control.scope(state), user, execution_id)


async def change(state, user, area, text):
    patch = AreaPatch.model_validate({"reaction": {"component": "probe.send", "parameters": {"text": text}}})
    async with state.database.transaction() as session:
        await areas.change(session, control.scope(state), user, area.id, patch)


async def replay(state, user, execution_id, mode="present", parameters=None):
    async with state.database.transaction() as session:
        return await control.replay(session, state, user, execution_id, mode, parameters)


async def given(state, user):
    """A replay of an HTTP request with parameters of its own, which nobody runs."""
    area = await make_area(state, user, reaction="http.request", url="https://example.com/")
    async with state.database.transaction() as session:
        first = await control.run(session, state, user, area.id, {"title": "x"})
        await control.cancel(session, user, first)
    return await replay(state, user, first, parameters=GIVEN)


async def test_a_plain_success_needs_no_record(state, user, world):
    area = await make_area(state, user)
    first = await offer(state, area, {"title": "a"})
    async with worker(state):
        await until(lambda: settled(state))
        assert await rows(state, "select * from execution_records") == []
        (execution,) = await rows(state)
        assert orjson.loads(execution["execution_result"]) == {"text": "a"}
        assert (await view(state, user, first.execution_id)).version == 1
        await change(state, user, area, "new {{title}}")
        second = await offer(state, area, {"title": "b"})
        await until(lambda: settled(state))
    assert await record(state, second.execution_id) == RunRecord(version=2)
    assert (await view(state, user, second.execution_id)).result == {"text": "new b"}


async def test_times_are_of_the_whole_run_and_each_attempt_has_its_own(state, user, world):
    async def fail_twice(ctx, params, attempt):
        if attempt <= 2:
            raise Retry(f"attempt {attempt} failed", timedelta(milliseconds=300))

    world.behaviour = fail_twice
    area = await make_area(state, user)
    accepted = await offer(state, area, {"title": "a"})
    async with worker(state):
        await until(lambda: settled(state))
    (row,) = await rows(state)
    stored = await record(state, accepted.execution_id)
    first, second, last = stored.attempts
    assert row["started_at"].replace(tzinfo=UTC) == first.at < second.at < last.at
    whole = (row["completed_at"] - row["started_at"]) / timedelta(milliseconds=1)
    assert row["execution_time_ms"] == round(whole) >= 600 > last.ms  # two pauses of 300 ms at least
    shown = await view(state, user, accepted.execution_id)
    assert [attempt.error for attempt in shown.attempts] == ["attempt 1 failed", "attempt 2 failed"]
    assert shown.succeeded == last
    assert set(shown.model_dump()).isdisjoint({"succeeded", "record"})


async def test_a_failure_after_a_retry_tells_of_both(state, user, world):
    async def fail(ctx, params, attempt):
        raise Retry("later", timedelta(milliseconds=10)) if attempt == 1 else Permanent("no")

    world.behaviour = fail
    area = await make_area(state, user)
    accepted = await offer(state, area, {"title": "a"})
    async with worker(state):
        await until(lambda: settled(state))
    (row,) = await rows(state)
    first, last = (await record(state, accepted.execution_id)).attempts
    assert (row["status"], row["execution_result"]) == ("failed", None)
    assert row["started_at"].replace(tzinfo=UTC) == first.at < last.at
    assert row["execution_time_ms"] == round((row["completed_at"] - row["started_at"]) / timedelta(milliseconds=1))


async def test_cancelling_between_attempts_tells_how_long_it_took(state, user, world):
    async def fail(ctx, params, attempt):
        raise Retry("later", timedelta(hours=1))

    world.behaviour = fail
    area = await make_area(state, user)
    accepted = await offer(state, area, {"title": "a"})
    async with worker(state):
        await until(lambda: rows(state, "select 1 from execution_jobs where reason = 'retry'"))
    async with state.database.transaction() as session:
        await control.cancel(session, user, accepted.execution_id)
    (row,) = await rows(state)
    assert row["status"] == "cancelled"
    assert row["execution_time_ms"] == round((row["completed_at"] - row["started_at"]) / timedelta(milliseconds=1))


async def test_a_replay_that_waits_says_for_what_and_runs_as_it_was(state, user, world):
    """It waits as any other run, so that what wakes those wakes it, and still knows what it is to run with."""
    area = await make_area(state, user, text="old {{title}}")
    first = await offer(state, area, {"title": "x"})
    async with worker(state):
        await until(lambda: settled(state))

        async def fail_once(ctx, params, attempt):
            if attempt == 1:
                raise Retry("busy", timedelta(milliseconds=300))

        world.behaviour = fail_once
        await change(state, user, area, "new {{title}}")
        number = await replay(state, user, first.execution_id, "as_it_was")
        await until(lambda: rows(state, "select 1 from execution_jobs where reason = 'retry'"))
        assert (await view(state, user, number)).waits_for == "retry"
        await until(lambda: len(world.sent) == 2)
        await until(lambda: settled(state))
    assert [text for _, text in world.sent] == ["old x", "old x"]
    assert (await record(state, number)).version == 1


async def test_given_parameters_are_encrypted_and_shown_with_dots(state, user):
    number = await given(state, user)
    stored = str(await rows(state, "select t::text from execution_records t"))
    assert SECRET not in stored
    shown = (await view(state, user, number)).parameters
    assert shown == {"url": GIVEN["url"], "headers": "X-Api-Key: ••••••••"}
    async with state.database.transaction() as session:
        await control.cancel(session, user, number)
    again = await replay(state, user, number, "as_it_was")
    saved = await record(state, again)
    assert (saved.replay_of, saved.as_it_was) == (number, True)
    assert unseal(state.keyring, again, saved.parameters or "") == GIVEN
    with pytest.raises(Undecryptable):
        unseal(state.keyring, number, saved.parameters or "")  # nor are they good for another run
    with pytest.raises(Invalid) as refused:
        await replay(state, user, number, parameters=shown)
    (error,) = refused.value.errors
    assert error["field"] == "parameters.headers"


async def test_a_key_that_is_lost_fails_the_run_and_shows_nothing(state, user, world):
    area = await make_area(state, user)
    async with state.database.transaction() as session:
        first = await control.run(session, state, user, area.id, {"title": "x"})
        await control.cancel(session, user, first)
    number = await replay(state, user, first, parameters={"text": "given"})
    old, state.keyring = state.keyring, Keyring(["another-key-of-more-than-32-characters"])
    assert (await view(state, user, number)).parameters == {}
    async with worker(state):
        await until(lambda: settled(state))
    (row,) = await rows(state, "select * from area_executions where id = $1", number)
    assert row["status"] == "failed"
    assert "secret key" in row["error_message"]
    assert world.sent == []
    state.keyring = old


async def test_given_parameters_are_encrypted_after_an_upgrade_and_with_a_new_key(state, user):
    number = await given(state, user)
    pool = await state.database.pool()
    clear = orjson.dumps(GIVEN).decode()
    await pool.execute("update execution_records set parameters = $1 where execution_id = $2", clear, number)
    assert (await view(state, user, number)).parameters is not None  # also before a worker starts
    async with state.database.transaction() as session:
        await session.merge(Meta(key=sealing.DONE, value="1"))
    async with state.database.transaction() as session:
        assert await sealing.seal(session, state.keyring, state.registry) == 1
    assert SECRET not in ((await record(state, number)).parameters or "")
    new = Keyring(["a-new-key-of-more-than-32-characters", *state.settings.secret_keys()])
    async with state.database.transaction() as session:
        assert (await rotation.rotate(session, new, state.registry)).count >= 1
    stored = await record(state, number)
    assert not new.needs_rotation(stored.parameters or "")
    assert unseal(new, number, stored.parameters or "") == GIVEN
    async with state.database.transaction() as session:
        assert await sealing.unseal_given(session, new) == 0
    assert orjson.loads((await record(state, number)).parameters or "") == GIVEN
