"""The watchdog: dead triggers, failing sources, and retention."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from area.areas import views
from area.engine import control
from area.engine.cache import Cache
from area.engine.intake import LaterJob, Offer, accept, enqueue_later
from area.engine.sources import Sources
from area.engine.watch import Watch
from area.kit.clock import now
from area.runs.record import RunRecord

from .conftest import make_area, rows, until, worker


@pytest.fixture
def watch(state):
    return Watch(state, Sources(state, Cache(state)))


async def test_a_trigger_that_nobody_looks_at_is_noticed_once(state, user, watch):
    area = await make_area(state, user)
    pool = await state.database.pool()
    await pool.execute("update sources set due_at = now() - interval '5 minutes'")
    await watch.look()
    await watch.look()
    (notice,) = await rows(state, "select * from notices")
    assert (notice["user_id"], notice["area_id"], notice["level"]) == (user, area.id, "warning")
    assert "Is a worker running?" in notice["body"]


async def test_what_waits_for_its_turn_is_told_once_a_day(state, user, watch):
    await make_area(state, user)
    await make_area(state, user, action_parameters={"topic": "other"})
    pool = await state.database.pool()
    await pool.execute("update sources set due_at = now() - interval '5 minutes'")
    await pool.execute("insert into worker_lives values ('somebody', now() - interval '1 hour', now())")
    await watch.look()
    await pool.execute("update sources set noticed_at = null")
    await watch.look()
    (notice,) = await rows(state, "select * from notices")
    assert "is still waiting its turn" in notice["body"]


async def test_a_listener_that_runs_is_not_dead(state, user, world, watch):
    area = await make_area(state, user, "probe.heard")
    async with worker(state) as running:
        world.heard.put_nowait("1")
        await until(lambda: rows(state))
        pool = await state.database.pool()
        await pool.execute("update sources set due_at = now() - interval '1 hour'")
        await running.watch.look()
        assert await rows(state, "select * from notices") == []
        async with state.database.sessions() as session:
            (view,) = await views.load(session, control.scope(state), [area.id])
        assert view.next_due_at is None
    # nobody holds it any more
    await pool.execute(
        "update sources set due_at = now() - interval '1 hour', lease_until = now() - interval '1 minute'"
    )
    await pool.execute("delete from worker_lives")
    await watch.look()
    (notice,) = await rows(state, "select * from notices")
    assert notice["area_id"] == area.id


@pytest.mark.parametrize("ahead", ["1 hour", "366 days"])
async def test_after_a_clock_that_was_ahead_everything_goes_on(state, user, world, watch, ahead):
    await make_area(state, user)
    await make_area(state, user, "probe.every_second", text="tick")
    await make_area(state, user, "probe.heard")
    async with worker(state):
        await until(lambda: world.polls["default"] and not world.heard.qsize())
        await until(lambda: rows(state))
    pool = await state.database.pool()
    # all that was written meanwhile
    await pool.execute(
        f"""
        update sources set due_at = due_at + interval '{ahead}', planned_at = planned_at + interval '{ahead}',
            checked_at = now() + interval '{ahead}',
            seen = jsonb_set(seen, '{{since}}', to_jsonb(now() + interval '{ahead}'));
        update sources set lease_owner = 'gone', lease_until = now() + interval '{ahead}' where lane = 'listen';
        update triggers set since = now() + interval '{ahead}'
        """
    )
    before = len(await rows(state))
    world.publish("new", "hello", at=None)
    async with worker(state):
        world.heard.put_nowait("2")
        await until(lambda: any(text == "hello" for _, text in world.sent))
        await until(lambda: "2" in world.resumed)
        await until(lambda: sum(text == "tick" for _, text in world.sent) >= 3)
    assert len(await rows(state)) > before


async def test_jobs_of_a_clock_that_was_ahead_are_due_when_they_should_be(state, user, watch):
    area = await make_area(state, user)
    pool = await state.database.pool()
    async with pool.acquire() as conn, conn.transaction():
        (accepted,) = await accept(conn, [Offer(area.id, "", b"{}", record=RunRecord())])
        await enqueue_later(conn, [LaterJob(accepted.execution_id, now() + timedelta(minutes=5), "delay")])
    await pool.execute(
        "update pgqueuer set created = created + interval '1 day', execute_after = execute_after + interval '1 day'"
    )
    await watch.catch_up()
    records = await rows(
        state,
        "select p.execute_after - now() as left, j.due_at = p.execute_after as same"
        " from pgqueuer p join execution_jobs j on j.job_id = p.id where p.execute_after > now()",
    )
    (job,) = records
    assert timedelta(minutes=3) < job["left"] <= timedelta(minutes=5)
    assert job["same"]


@pytest.mark.parametrize("ahead", ["2 hours", "366 days"])
async def test_what_is_due_later_than_it_can_be_is_brought_back(state, user, world, ahead):
    """Moved without any other sign of a clock that was ahead."""
    await make_area(state, user)
    await make_area(state, user, "probe.every_second", text="tick")
    await make_area(state, user, "timer.daily_timer", action_parameters={"time": "09:00"}, text="{{date}}")
    async with worker(state):
        await until(lambda: world.polls["default"])
        await until(lambda: rows(state))
        await until(lambda: rows(state, "select 1 from sources where planned_at > now() + interval '10 seconds'"))
    pool = await state.database.pool()
    (daily,) = await rows(state, "select id, due_at from sources order by due_at desc limit 1")
    await pool.execute(
        f"update sources set due_at = due_at + interval '{ahead}', planned_at = planned_at + interval '{ahead}'"
    )
    before = sum(text == "tick" for _, text in world.sent)
    world.publish("new", "hello", at=None)
    async with worker(state):
        await until(lambda: any(text == "hello" for _, text in world.sent))
        await until(lambda: sum(text == "tick" for _, text in world.sent) > before + 1)
    (again,) = await rows(state, "select due_at, planned_at from sources where id = $1", daily["id"])
    assert again["due_at"] == again["planned_at"] == daily["due_at"]


async def test_timers_that_wait_after_a_failure_are_left_alone(state, user, watch):
    await make_area(state, user, "probe.every_second", text="tick")
    pool = await state.database.pool()
    await pool.execute("update sources set due_at = now() + interval '50 minutes', failures = 9, checked_at = now()")
    await watch.catch_up()
    (row,) = await rows(state, "select due_at - now() > interval '40 minutes' as waits from sources")
    assert row["waits"]


ACCOUNTS = """
insert into login_attempts (login, address, at) select 'ann', '1', now() + interval '1 year' from generate_series(1, 20);
insert into two_factor (user_id, secret, last_step)
    values ({user}, 'x', extract(epoch from now() + interval '1 year')::bigint / 30);
insert into access_tokens (user_id, kind, token_hash, name, created_at, last_used_at, expires_at) values
    ({user}, 'session', 'a', 'old', now(), now() + interval '1 year', now() + interval '1 year 30 days'),
    ({user}, 'session', 'b', 'new', now() + interval '1 year', now() + interval '1 year', now() + interval '1 year 30 days'),
    ({user}, 'api', 'c', 'mine', now(), null, now() + interval '3 years');
insert into invitations (token_hash, created_at, expires_at)
    values ('a', now() + interval '1 year', now() + interval '1 year 7 days');
insert into email_links (token_hash, user_id, purpose, email, created_at, expires_at)
    values ('a', {user}, 'reset', 'a@example.org', now() + interval '1 year', now() + interval '1 year 1 hour');
insert into outgoing_mail (kind, recipient, share, created_at, next_attempt_at)
    values ('reset', 'a@example.org', 'x', now() + interval '1 year', now() + interval '1 year 4 minutes');
insert into worker_lives values ('gone', now() + interval '1 year', now() + interval '1 year');
"""
LEFT = """
select (select count(*) from login_attempts) as attempts,
       (select last_step <= extract(epoch from now())::bigint / 30 from two_factor) as codes_work,
       (select max(expires_at) <= now() + interval '30 days' and max(last_used_at) <= now()
        from access_tokens where kind = 'session') as sessions_end,
       (select expires_at > now() + interval '2 years' from access_tokens where kind = 'api') as token_stays,
       (select expires_at <= now() + interval '7 days' and expires_at > now() from invitations) as invitation_ends,
       (select expires_at <= now() + interval '1 hour' and expires_at > now() from email_links) as link_ends,
       (select next_attempt_at < now() + interval '5 minutes' from outgoing_mail) as mail_goes,
       (select count(*) from worker_lives) as lives
"""


async def test_what_accounts_have_of_a_clock_that_was_ahead_ends_in_time(state, user, watch):
    pool = await state.database.pool()
    await pool.execute(ACCOUNTS.format(user=user))
    await watch.catch_up()
    (left,) = await rows(state, LEFT)
    assert dict(left) == {
        "attempts": 0,
        "codes_work": True,
        "sessions_end": True,
        "token_stays": True,
        "invitation_ends": True,
        "link_ends": True,
        "mail_goes": True,
        "lives": 0,
    }


async def test_a_clock_that_is_ahead_for_a_moment_purges_nothing(state, user, watch):
    area = await make_area(state, user)
    pool = await state.database.pool()
    async with pool.acquire() as conn, conn.transaction():
        await accept(conn, [Offer(area.id, "", b"{}")])
    await pool.execute("update area_executions set status = 'success', completed_at = now()")
    watch._purged -= 60  # it has run for a while
    with time_machine.travel(datetime.now(UTC) + timedelta(days=366)):
        await watch.look()
    assert len(await rows(state)) == 1


async def test_a_clock_that_went_back_is_noticed_by_the_mark(state, user, watch):
    """What was written by a clock that was ahead may look right, such as when to renew a subscription."""
    pool = await state.database.pool()
    await make_area(state, user)
    await pool.execute("update sources set due_at = now() + interval '4 minutes', checked_at = now()")
    await watch.catch_up()
    assert not await rows(state, "select 1 from sources where due_at <= now()")
    await pool.execute("update meta set value = (now() + interval '1 hour')::text where key = 'clock'")
    await watch.catch_up()
    assert await rows(state, "select 1 from sources where due_at <= now()")
    (mark,) = await rows(state, "select value::timestamptz <= now() as right from meta where key = 'clock'")
    assert mark["right"]


async def test_a_source_that_keeps_failing_is_noticed_with_its_reason(state, user, watch):
    await make_area(state, user)
    pool = await state.database.pool()
    await pool.execute(
        "update sources set due_at = now() + interval '1 hour', failing_since = now() - interval '10 minutes',"
        " last_error = 'example.org returned 500.'"
    )
    await watch.look()
    (notice,) = await rows(state, "select * from notices")
    assert "example.org returned 500." in notice["body"]


async def test_what_a_look_leaves_out_is_shown_with_the_area_until_a_look_takes_it_back(state, user, world):
    area = await make_area(state, user)

    async def note():
        async with state.database.sessions() as session:
            (view,) = await views.load(session, control.scope(state), [area.id])
        return view.note

    assert await note() is None
    world.note = "2 rows can't be read and were left out."
    async with worker(state):
        await until(note)
        assert await note() == world.note
        world.publish("1", "beside them")
        await until(lambda: rows(state))
        assert await note() == world.note
        world.note = ""

        async def is_gone():
            return await note() is None

        await until(is_gone)


async def test_what_a_listener_could_not_read_is_shown_with_its_next_event(state, user, world):
    area = await make_area(state, user, action="probe.heard")
    async with worker(state):
        for number, note in enumerate(("Half of it can't be read.", "")):
            world.note = note
            world.heard.put_nowait(str(number))
            await until(lambda number=number: len(world.resumed) > number)
            async with state.database.sessions() as session:
                (view,) = await views.load(session, control.scope(state), [area.id])
            assert view.note == (note or None)


async def test_what_is_on_time_is_not_noticed(state, user, watch):
    await make_area(state, user)
    await watch.look()
    assert await rows(state, "select * from notices") == []


async def test_old_executions_and_events_go_and_the_rest_stays(state, user, watch):
    area = await make_area(state, user)
    pool = await state.database.pool()
    await pool.execute(
        "insert into area_executions (area_id, status, created_at)"
        " select $1, s, now() - make_interval(days => d) from (values ('success', 40), ('pending', 40), ('success', 20)) v(s, d)",
        area.id,
    )
    await pool.execute(
        "insert into hook_states (area_id, state_key, updated_at)"
        " select $1, 'event:' || d, now() - make_interval(days => d) from unnest(array[100, 50]) d",
        area.id,
    )
    async with pool.acquire() as conn:
        await watch._purge(conn)
    assert [row["status"] for row in await rows(state)] == ["pending", "success"]
    assert [row["state_key"] for row in await rows(state, "select * from hook_states")] == ["event:50"]


async def test_sources_that_nobody_watches_go(state, user, watch):
    area = await make_area(state, user)
    pool = await state.database.pool()
    await pool.execute("delete from areas where id = $1", area.id)
    async with pool.acquire() as conn:
        await watch._purge(conn)
    assert await rows(state, "select * from sources") == []
