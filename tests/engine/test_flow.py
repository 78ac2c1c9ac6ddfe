"""From an event to a done reaction: the promises one by one."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from prometheus_client import REGISTRY

from area import areas
from area.areas import AreaPatch
from area.engine import control, load
from area.engine.execution.executor import Executor
from area.engine.intake import Offer, accept
from area.engine.lanes import Intake
from area.engine.sources import listeners
from area.kit.budget import MAX_EVENT
from area.kit.problems import Conflict, NotFound
from area.sdk import Partial, Permanent, Retry
from tests.engine.conftest import baselined

from .conftest import make_area, make_user, offer, rows, settled, statuses, until, worker


async def first_look(state, world, topic="default"):
    await until(lambda: world.polls[topic] >= 1)
    await until(lambda: baselined(state))


async def test_a_new_item_runs_the_reaction_once(state, user, world):
    world.publish("old", "from before")
    area = await make_area(state, user)
    async with worker(state):
        await first_look(state, world)
        world.publish("a", "Hello")
        await until(lambda: world.sent)
        await asyncio.sleep(1.5)
    assert [text for _, text in world.sent] == ["Hello"]
    (execution,) = await rows(state)
    assert execution["status"] == "success"
    assert execution["area_id"] == area.id
    (row,) = await rows(state, "select * from areas")
    assert row["triggered_count"] == 1
    assert row["last_triggered_at"] is not None
    (known,) = await rows(state, "select * from hook_states where state_key <> 'source'")
    assert (known["state_key"], known["state_value"]) == ("event:a", str(execution["id"]))


async def test_how_long_each_attempt_takes_is_measured(state, user, world):
    def measured():
        return (
            REGISTRY.get_sample_value("area_execution_seconds_count"),
            REGISTRY.get_sample_value("area_execution_seconds_sum"),
        )

    async def behave(ctx, params, attempt):
        await asyncio.sleep(0.05)
        if params.text == "bad":
            raise Permanent("no")

    world.behaviour = behave
    area = await make_area(state, user, action="webhook.received", text="{{body.text}}")
    pool = await state.database.pool()
    number, seconds = measured()
    async with pool.acquire() as conn, conn.transaction():
        await accept(conn, [Offer(area.id, "", orjson.dumps({"body": {"text": text}})) for text in ("good", "bad")])

    async def ended():
        return set(await statuses(state)) == {"success", "failed"}

    async with worker(state):
        await until(ended)
    after, took = measured()
    assert after == number + 2
    assert took - seconds >= 0.1


async def test_areas_that_watch_the_same_share_one_fetch(state, user, world):
    for _ in range(20):
        await make_area(state, user)
    other = await make_user(state, "bob")
    await make_area(state, other)
    async with worker(state):
        await first_look(state, world)
        world.publish("a", "Hello")
        await until(lambda: len(world.sent) == 21)
    assert len(await rows(state, "select * from sources")) == 1
    assert world.polls["default"] <= 5


async def test_an_area_that_joins_later_does_not_replay_the_past(state, user, world):
    await make_area(state, user)
    async with worker(state):
        await first_look(state, world)
        world.publish("a", "first")
        await until(lambda: len(world.sent) == 1)
        late = await make_area(state, user, text="late: {{title}}")
        await until(lambda: baselined(state))
        world.publish("b", "second")
        await until(lambda: len(world.sent) == 3)
    assert sorted(text for _, text in world.sent) == ["first", "late: second", "second"]
    assert late.id


async def test_switching_on_again_never_replays_the_past(state, user, world):
    area = await make_area(state, user)
    scope = control.scope(state)
    async with worker(state):
        await first_look(state, world)
        async with state.database.transaction() as session:
            await areas.set_active(session, scope, user, area.id, active=False)
        world.publish("a", "while off")
        await asyncio.sleep(0.2)
        async with state.database.transaction() as session:
            await areas.set_active(session, scope, user, area.id, active=True)
        await until(lambda: baselined(state))
        world.publish("b", "after")
        await until(lambda: world.sent)
        await asyncio.sleep(1.2)
    assert [text for _, text in world.sent] == ["after"]


async def test_editing_keeps_the_state_unless_the_action_changes(state, user, world):
    area = await make_area(state, user)
    scope = control.scope(state)
    async with worker(state):
        await first_look(state, world)
        patch = AreaPatch.model_validate(
            {"reaction": {"component": "probe.send", "parameters": {"text": "new: {{title}}"}}}
        )
        world.publish("a", "Hello")
        async with state.database.transaction() as session:
            changed = await areas.change(session, scope, user, area.id, patch)
        await until(lambda: world.sent)
    assert changed.version == 2
    assert [text for _, text in world.sent] == ["new: Hello"]


async def test_the_same_event_id_is_accepted_once(state, user):
    area = await make_area(state, user)
    intake = Intake(state.database.dsn)
    intake.start()
    offers = [Offer(area.id, "same", b'{"title": "x"}') for _ in range(50)]
    outcome = await asyncio.gather(*(intake.take(offer) for offer in offers))
    again = await intake.take(Offer(area.id, "same", b'{"title": "y"}'))
    await intake.stop()
    assert sum(not step.known for step in outcome) == 1
    assert again.known
    (execution,) = await rows(state)
    assert again.execution_id == execution["id"]


async def test_each_execution_gets_the_data_of_its_own_event(state, user, world):
    areas_ = [await make_area(state, user, text=f"{number}:{{{{title}}}}") for number in range(3)]
    pool = await state.database.pool()
    offers = [Offer(areas_[n % 3].id, f"e{n}", b'{"title": "t%d"}' % n) for n in range(30)]
    gone = [Offer(999_999, "x", b"{}"), *offers, Offer(999_999, "", b"{}")]
    async with pool.acquire() as conn, conn.transaction():
        outcome = await accept(conn, gone)
    assert outcome[0].execution_id is None
    assert outcome[-1].execution_id is None
    for n, step in enumerate(outcome[1:-1]):
        (row,) = await rows(
            state, "select area_id, trigger_data->>'title' as t from area_executions where id = $1", step.execution_id
        )
        assert (row["area_id"], row["t"]) == (areas_[n % 3].id, f"t{n}")
    async with worker(state):
        await until(lambda: len(world.sent) == 30)
    assert sorted(text for _, text in world.sent) == sorted(f"{n % 3}:t{n}" for n in range(30))


async def test_a_retry_keeps_its_idempotency_key_and_shows_its_attempts(state, user, world):
    async def fail_twice(ctx, params, attempt):
        if attempt <= 2:
            raise Retry(f"attempt {attempt} failed", timedelta(milliseconds=300))

    world.behaviour = fail_twice
    area = await make_area(state, user)
    await offer(state, area, {"title": "Hello"})
    async with worker(state):
        await until(lambda: world.sent)
        await until(lambda: settled(state))
    (execution,) = await rows(state)
    assert execution["status"] == "success"
    assert list(world.attempts.values()) == [3]
    (record,) = await rows(state, "select * from execution_records")
    attempts = orjson.loads(record["attempts"])
    assert [attempt["error"] for attempt in attempts] == ["attempt 1 failed", "attempt 2 failed", None]
    assert orjson.loads(execution["execution_result"]) == {"text": "Hello"}
    assert await rows(state, "select * from execution_jobs") == []


@pytest.mark.parametrize(("reaction", "attempts", "status"), [("send_once", 1, "failed"), ("send", 2, "success")])
async def test_what_may_have_been_done_is_done_again_only_if_that_is_no_harm(
    state, user, world, reaction, attempts, status
):
    async def unanswered(ctx, params, attempt):
        if attempt == 1:
            raise Retry("example.org did not respond within 30 s.", timedelta(milliseconds=100), unsure=True)

    world.behaviour = unanswered
    area = await make_area(state, user, reaction=f"probe.{reaction}")
    await offer(state, area, {"title": "Hello"})
    async with worker(state):
        await until(lambda: settled(state))
    (execution,) = await rows(state)
    assert (execution["status"], list(world.attempts.values())) == (status, [attempts])
    if status == "failed":
        text = "example.org did not respond within 30 s. The outcome is unknown."
        assert execution["error_message"] == text


async def test_what_waits_is_not_marked_as_running_by_a_look_that_came_late(state, user, world):
    """The look saw it run; while it was being marked, it left to wait."""
    area = await make_area(state, user)
    seen = asyncio.Event()

    async def until_it_is_marked(ctx, params, attempt):
        await seen.wait()
        raise Retry("Not now.", after=timedelta(hours=1))

    world.behaviour = until_it_is_marked
    marking = (
        "select 1 from pg_stat_activity where query like 'update area_executions x set status = ''running''%'"
        " and wait_event_type = 'Lock' and datname = current_database()"
    )
    pool = await state.database.pool()
    async with worker(state):
        async with pool.acquire() as conn, conn.transaction():
            execution = await offer(state, area, {"title": "x"})
            await conn.execute("select from area_executions where id = $1 for update", execution.execution_id)
            await until(lambda: rows(state, marking))
            seen.set()
            await until(lambda: world.attempts)
        await until(lambda: rows(state, "select 1 from execution_jobs where reason = 'retry'"))
        assert await statuses(state) == ["pending"]


async def test_an_area_whose_newest_run_is_tried_again_says_so(state, user, world):
    async def away(ctx, params, attempt):
        if attempt == 1:
            raise Retry("The other side is away.", timedelta(seconds=2))

    async def look():
        async with state.database.sessions() as session:
            return await areas.get(session, control.scope(state), user, area.id)

    world.behaviour = away
    area = await make_area(state, user)
    await offer(state, area, {"title": "Hello"})
    async with worker(state):
        await until(lambda: rows(state, "select 1 from execution_jobs where reason = 'retry'"))
        view = await look()
        assert view.state == "retrying"
        assert view.reason.startswith("The other side is away.")
        await until(lambda: settled(state))
    assert (await look()).state == "healthy"


async def test_a_permanent_failure_says_why_and_twenty_in_a_row_switch_off(state, user, world):
    async def refuse(ctx, params, attempt):
        raise Permanent("example.org returned 404.")

    world.behaviour = refuse
    area = await make_area(state, user)
    for _ in range(25):
        await offer(state, area, {"title": "Hello"})
    async with worker(state):
        await until(lambda: settled(state))
        await until(lambda: rows(state, "select 1 from areas where not is_active"))
    executions = await rows(state)
    assert {row["error_message"] for row in executions if row["status"] == "failed"} == {"example.org returned 404."}
    (notice,) = await rows(state, "select * from notices")
    assert notice["title"].endswith("was switched off")
    async with state.database.sessions() as session:
        view = await areas.get(session, control.scope(state), user, area.id)
    assert (view.state, view.is_active) == ("switched_off", False)
    assert "404" in view.reason


async def test_only_if_skips(state, user, world):
    area = await make_area(state, user, action_parameters={"only_if": "title contains 'yes'"})
    for title in ("yes please", "no"):
        await offer(state, area, {"title": title})
    async with worker(state):
        await until(lambda: settled(state))
    assert await statuses(state) == ["success", "skipped"]


async def test_what_can_not_be_filled_fails_with_a_sentence(state, user, world):
    area = await make_area(state, user, text="{{title}}", count="{{number}}")
    await offer(state, area, {"title": "x", "number": "many"})
    async with worker(state):
        await until(lambda: settled(state))
    (execution,) = await rows(state)
    assert execution["status"] == "failed"
    assert "count" in execution["error_message"]


async def test_a_delay_waits_and_survives_a_restart(state, user, world):
    area = await make_area(state, user, text="{{title}}", delay="2s")
    await offer(state, area, {"title": "later"})
    async with worker(state):
        await until(lambda: rows(state, "select 1 from execution_jobs where reason = 'delay'"))
    waits = "select j.due_at - e.created_at at time zone 'utc' as pause from area_executions e"
    (job,) = await rows(state, f"{waits} join execution_jobs j on j.execution_id = e.id")
    assert timedelta(seconds=2) <= job["pause"] < timedelta(seconds=60)
    async with worker(state):
        await until(lambda: settled(state))
    (execution,) = await rows(state)
    assert execution["status"] == "success"
    assert execution["started_at"].replace(tzinfo=UTC) - execution["created_at"].replace(tzinfo=UTC) >= timedelta(
        seconds=2
    )
    assert [text for _, text in world.sent] == ["later"]


async def test_an_area_switched_off_before_it_ran_is_skipped(state, user, world):
    area = await make_area(state, user)
    await offer(state, area, {"title": "x"})
    async with state.database.transaction() as session:
        await areas.set_active(session, control.scope(state), user, area.id, active=False)
    async with worker(state):
        await until(lambda: settled(state))
    assert await statuses(state) == ["skipped"]
    assert world.sent == []


async def test_cancel_waiting_and_running(state, user, world):
    began = asyncio.Event()

    async def hang(ctx, params, attempt):
        began.set()
        await asyncio.sleep(60)

    world.behaviour = hang
    area = await make_area(state, user)
    waiting = await make_area(state, user, text="x", delay="1h")
    first, two = await offer(state, area, {"title": "x"}), await offer(state, waiting, {"title": "x"})
    async with worker(state):
        await began.wait()
        await until(lambda: rows(state, "select 1 from area_executions where status = 'running'"))
        await until(lambda: rows(state, "select 1 from execution_jobs where reason = 'delay'"))
        for accepted in (first, two):
            async with state.database.transaction() as session:
                await control.cancel(session, user, accepted.execution_id)
        await until(lambda: settled(state))
        await asyncio.sleep(0.3)
    assert await statuses(state) == ["cancelled", "cancelled"]
    assert await rows(state, "select * from pgqueuer") == []


async def test_what_waits_is_tried_now(state, user, world):
    other = await make_user(state, "bob")
    area = await make_area(state, user, text="x", delay="1h")
    accepted = await offer(state, area, {"title": "x"})

    async def hurry(whose):
        async with state.database.transaction() as session:
            await control.hurry(session, whose, accepted.execution_id)

    with pytest.raises(Conflict):
        await hurry(user)  # it waits for a worker only
    async with worker(state):
        await until(lambda: rows(state, "select 1 from execution_jobs where reason = 'delay'"))
        assert world.sent == []
        with pytest.raises(NotFound):
            await hurry(other)
        await hurry(user)
        await until(lambda: settled(state))
    assert await statuses(state) == ["success"]
    assert len(world.sent) == 1
    with pytest.raises(Conflict):
        await hurry(user)  # it is over


async def test_replay_as_it_was_and_as_it_is(state, user, world):
    area = await make_area(state, user, text="old {{title}}")
    accepted = await offer(state, area, {"title": "x"})
    async with worker(state):
        await until(lambda: settled(state))
        patch = AreaPatch.model_validate(
            {"reaction": {"component": "probe.send", "parameters": {"text": "new {{title}}"}}}
        )
        async with state.database.transaction() as session:
            await areas.change(session, control.scope(state), user, area.id, patch)
        for mode, parameters in (("as_it_was", None), ("present", None), ("present", {"text": "edited"})):
            async with state.database.transaction() as session:
                await control.replay(session, state, user, accepted.execution_id, mode, parameters)
        await until(lambda: len(world.sent) == 4)
    assert sorted(text for _, text in world.sent[1:]) == ["edited", "new x", "old x"]
    assert len({key for key, _ in world.sent}) == 4


async def test_a_replay_of_what_was_done_in_part_does_the_rest(state, user, world):
    seen = []

    async def refuse_some(ctx, params, attempt):
        seen.append(dict(ctx.state))
        if len(seen) <= 25:
            raise Partial("Bob was refused. Ann got it.", result={"done": ["ann"]}, state={"done": ["ann"]})

    world.behaviour = refuse_some
    area = await make_area(state, user)
    for number in range(25):
        accepted = await offer(state, area, {"title": str(number)})
    async with worker(state):
        await until(lambda: settled(state))
        executions = await rows(state)
        assert {row["status"] for row in executions} == {"failed"}
        assert {row["error_message"] for row in executions} == {"Bob was refused. Ann got it."}
        assert orjson.loads(executions[0]["execution_result"]) == {"done": ["ann"]}
        assert await rows(state, "select 1 from areas where is_active"), "half of it is done each time"
        patch = AreaPatch.model_validate({"reaction": {"component": "probe.send", "parameters": {"text": "new"}}})
        async with state.database.transaction() as session:
            await areas.change(session, control.scope(state), user, area.id, patch)
        for mode, parameters in (("as_it_was", None), ("present", None), ("present", {"text": "edited"})):
            async with state.database.transaction() as session:
                await control.replay(session, state, user, accepted.execution_id, mode, parameters)
        await until(lambda: settled(state))
        assert seen[25:] == [{"done": ["ann"]}] * 3
        replayed = max(row["id"] for row in await rows(state))
        other = AreaPatch.model_validate({"reaction": {"component": "probe.send_once", "parameters": {"text": "x"}}})
        async with state.database.transaction() as session:
            await areas.change(session, control.scope(state), user, area.id, other)
            await control.replay(session, state, user, accepted.execution_id, "present")  # another reaction
        await until(lambda: settled(state))
        async with state.database.transaction() as session:
            await control.replay(session, state, user, replayed, "as_it_was")  # of a success: all of it once more
        await until(lambda: settled(state))
    assert seen[28:] == [{}, {}]


async def test_run_once_works_on_an_area_that_is_off_and_with_the_sample(state, user, world):
    area = await make_area(state, user)
    async with state.database.transaction() as session:
        await areas.set_active(session, control.scope(state), user, area.id, active=False)
        await control.run(session, state, user, area.id)
    async with worker(state):
        await until(lambda: world.sent)
    assert world.sent[0][1] == "Hello"


async def test_a_dry_run_shows_what_would_be_sent_and_sends_nothing(state, user, world):
    area = await make_area(
        state, user, text="Re: {{title | upper}}", action_parameters={"only_if": "title contains 'h'"}
    )
    async with state.database.sessions() as session:
        preview = await control.preview(session, state, user, area.id)
        refused = await control.preview(session, state, user, area.id, {"title": "zzz"})
    assert preview.parameters["text"] == "Re: HELLO"
    assert (preview.runs, preview.sample) == (True, True)
    assert (refused.runs, refused.why) == (False, "This event doesn't match the condition.")
    assert await rows(state) == []


async def test_a_timer_fires_each_planned_instant_once(state, user, world):
    await make_area(state, user, action="probe.every_second", text="{{hour}}")
    async with worker(state):
        await until(lambda: len(world.sent) >= 3)
    known = [row["state_key"] for row in await rows(state, "select * from hook_states order by state_key")]
    assert len(known) == len(set(known)) >= 3
    instants = [datetime.fromisoformat(key.removeprefix("event:")) for key in known]
    assert all(instant.tzinfo == UTC and instant.microsecond == 0 for instant in instants)


async def test_a_missed_timer_fires_once_late_or_is_skipped(state, user, world):
    await make_area(
        state, user, action="probe.every_second", action_parameters={"missed": "late"}, text="late {{late_seconds}}"
    )
    await make_area(
        state, user, action="probe.every_second", action_parameters={"missed": "skip"}, text="skip {{late_seconds}}"
    )
    pool = await state.database.pool()
    await pool.execute(
        "update sources set planned_at = now() - interval '1 hour', due_at = now() - interval '1 hour';"
        "update triggers set since = now() - interval '2 hours'"
    )
    async with worker(state):
        await until(lambda: any(text.startswith("late 3") for _, text in world.sent))
        await until(lambda: any(text == "skip 0" for _, text in world.sent))
    late = [text for _, text in world.sent if text.split()[1] not in ("0", "1")]
    assert len(late) == 1
    assert late[0].startswith("late 36")


async def test_a_listener_commits_each_event_before_it_goes_on(state, user, world):
    await make_area(state, user, action="probe.heard")
    async with worker(state):
        for identity in ("a", "b", "b", "c"):
            world.heard.put_nowait(identity)
        await until(lambda: len(world.sent) == 3)
        await until(lambda: len(world.resumed) == 4)
    assert sorted(text for _, text in world.sent) == ["a", "b", "c"]
    (source,) = await rows(state, "select state from sources")
    assert source["state"] == '{"last": "c"}'


async def test_a_listener_that_floods_waits_until_there_is_room(state, user, world, monkeypatch):
    monkeypatch.setattr(load, "FEW", 20)
    monkeypatch.setattr(load, "ASSUMED", 1.0)
    monkeypatch.setattr(listeners, "LOOK_AGAIN", 0.01)
    state.settings = state.settings.model_copy(update={"longest_wait": 1})
    gate, looks, pause = asyncio.Event(), Counter(), state.load.pause

    def counted(user_id, longest):
        result = pause(user_id, longest)
        looks[result > 0] += 1
        return result

    async def held(*_):
        await gate.wait()

    monkeypatch.setattr(state.load, "pause", counted)
    world.behaviour = held
    await make_area(state, user, action="probe.heard")
    async with worker(state):
        for number in range(100):
            world.heard.put_nowait(str(number))
        await until(lambda: looks[True] > 100)
        assert len(await rows(state)) == 21, "as many as may wait, and one"
        assert world.heard.qsize() == 78, "what it heard last it holds"
        gate.set()
        await until(lambda: len(world.sent) == 100)
    assert sorted(text for _, text in world.sent) == sorted(str(number) for number in range(100))


async def test_a_listener_that_breaks_is_started_again(state, user, world):
    await make_area(state, user, action="probe.heard")
    async with worker(state):
        world.heard.put_nowait(Retry("gone", timedelta(milliseconds=200)))
        world.heard.put_nowait("a")
        await until(lambda: world.sent)
    assert world.sent[0][1] == "a"


async def test_a_source_that_fails_backs_off_and_catches_up(state, user, world):
    area = await make_area(state, user)
    async with worker(state):
        await first_look(state, world)
        world.poll_error = Retry("The feed returned 500.")
        world.publish("a", "meanwhile")
        await until(lambda: rows(state, "select 1 from sources where failures >= 1"))
        async with state.database.sessions() as session:
            view = await areas.get(session, control.scope(state), user, area.id)
        assert (view.state, view.reason) == ("failing", "The feed returned 500.")
        world.poll_error = None
        await until(lambda: world.sent)
    assert world.sent[0][1] == "meanwhile"


async def test_what_is_too_large_is_left_out_told_once_and_holds_up_nothing(state, user, world):
    other = await make_user(state, "bob")
    created = [await make_area(state, owner) for owner in (user, other)]
    async with worker(state):
        await first_look(state, world)
        for identity, title in (("a", "before"), ("b", "x" * MAX_EVENT), ("c", "after")):
            world.publish(identity, title)
        await until(lambda: len(world.sent) == 4)
        polls = world.polls["default"]
        await until(lambda: world.polls["default"] >= polls + 3)  # each look finds it again
    assert sorted(title for _, title in world.sent) == ["after", "after", "before", "before"]
    assert set(await statuses(state)) == {"success"}
    records = await rows(state, "select * from notices order by area_id")
    assert [(row["user_id"], row["area_id"]) for row in records] == [(user, created[0].id), (other, created[1].id)]
    for row, area in zip(records, created, strict=True):
        assert row["title"] == f"{area.name} skipped an event"
        assert "the limit is 1,048,576" in row["body"]
        assert "Other events still do." in row["body"]
        async with state.database.sessions() as session:
            view = await areas.get(session, control.scope(state), row["user_id"], area.id)
        assert (view.state, view.triggered_count) == ("healthy", 2)
    (source,) = await rows(state, "select failures from sources")
    assert source["failures"] == 0


async def test_one_of_two_workers_runs_each_execution(state, user, world):
    area = await make_area(state, user)
    async with worker(state), worker(state):
        for n in range(200):
            await offer(state, area, {"title": str(n)})
        await until(lambda: settled(state))
    assert sorted(int(text) for _, text in world.sent) == list(range(200))


@pytest.mark.parametrize("what", [RuntimeError("a bug of ours"), asyncio.CancelledError()])
async def test_a_job_that_broke_or_was_cut_off_stays_in_the_queue(state, user, world, monkeypatch, what):
    area = await make_area(state, user)
    run_all, broken = Executor._run_all, []

    async def break_once(self, members):
        if not broken:
            broken.append(members)
            raise what
        await run_all(self, members)

    monkeypatch.setattr(Executor, "_run_all", break_once)
    await offer(state, area, {"title": "Hello"})
    async with worker(state):
        await until(lambda: broken)
        await asyncio.sleep(0.5)  # PgQueuer writes down together what happened in a tenth of a second
        assert await statuses(state) == ["pending"]
        pool = await state.database.pool()
        await pool.execute("update pgqueuer set heartbeat = now() - interval '11 s' where status = 'picked'")
        await until(lambda: settled(state))
    assert [text for _, text in world.sent] == ["Hello"]


async def test_a_placeholder_reads_the_run(state, user, world):
    """The same in each attempt, and another's in no other run."""

    async def fails_once(ctx, params, attempt):
        answer.append(params.text)
        if len(answer) == 1:
            raise Retry("Not now.", timedelta(seconds=0.1))

    answer = []
    world.behaviour = fails_once
    area = await make_area(state, user, text="{{run.id}} {{run.key}} {{title}}")
    await offer(state, area, {"title": "a"})
    async with worker(state):
        await until(lambda: settled(state))
        await offer(state, area, {"title": "b"})
        await until(lambda: settled(state))
    first, second = await rows(state)
    assert answer == [
        f"{first['id']} {state.instance}-{first['id']} a",
        f"{first['id']} {state.instance}-{first['id']} a",
        f"{second['id']} {state.instance}-{second['id']} b",
    ]


async def test_a_number_fills_text_and_json_keeps_its_form(state, user, world):
    area = await make_area(state, user, text="{{number}}", extra={"say": '"{{title}}"', "n": "{{number}}"})
    got = []

    async def look(ctx, params, attempt):
        got.append(params)

    world.behaviour = look
    await offer(state, area, {"title": 'a "quoted" one', "number": 7})
    async with worker(state):
        await until(lambda: settled(state))
    assert got[0].text == "7"
    assert got[0].extra == {"say": '"a "quoted" one"', "n": 7}
