"""The hot path's queries use their indexes, with many rows around them."""

from datetime import UTC, datetime

import orjson
import pytest
from sqlalchemy import Text, bindparam
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY

from area import notices
from area.db import queue
from area.engine import cache, control, delivery, hints, intake, nudges, watch
from area.engine.execution import executor, followers, recorder
from area.engine.sources import leases, life, turns
from area.hooks import results
from area.runs import history, retention, whole

from .conftest import make_area


@pytest.fixture
async def filled(state, user):
    """2,000 AREAs with sources, 50,000 executions, 50,000 known events."""
    area = await make_area(state, user)
    pool = await state.database.pool()
    await pool.execute(
        """
        insert into areas (user_id, component_action_id, component_reaction_id, name)
        select user_id, component_action_id, component_reaction_id, name from areas, generate_series(1, 2000);
        insert into sources (key, component_id, params, due_at, share_of)
        select md5(n::text), (select component_action_id from areas limit 1), '{}', now() + n * interval '1 minute', n % 20
        from generate_series(1, 2000) n;
        insert into worker_lives (owner, since, seen_at)
        select n::text, now() - n * interval '1 hour', now() - n * interval '1 hour' from generate_series(1, 2000) n;
        insert into source_hints (source_id, token_hash, token, secret, subscription)
        select id, md5(id::text), '', '', 'S' || id from sources;
        insert into outgoing_mail (user_id, kind, recipient, share, sent_at, attempted_at, created_at)
        select (select min(id) from users), 'notice', n || '@example.org', 'user:' || n % 500, now(), now(),
               now() - n * interval '1 minute' from generate_series(1, 20000) n;
        insert into triggers (area_id, source_id, token_hash)
        select a.id, s.id, md5(a.id::text) from areas a join sources s on s.id = a.id where a.id > 1;
        insert into area_versions (area_id, version, config)
        select id, 1, (select config from area_versions limit 1) from areas where id > 1;
        insert into area_executions (area_id, status) select 1 + n % 2000, 'success' from generate_series(1, 50000) n;
        insert into hook_states (area_id, state_key) select 1 + n % 2000, 'event:' || n from generate_series(1, 50000) n;
        insert into execution_records (execution_id, replay_of) select n, case when n % 10 = 0 then n end from generate_series(1, 50000) n;
        insert into area_links (area_id, follows, "when") select id, id - 1, 'success' from areas where id > 2 and id % 5 > 0;
        insert into execution_links (execution_id, parent, root) select n, n - 1, n - n % 10 from generate_series(1, 50000) n where n % 10 > 0;
        insert into execution_jobs (execution_id, job_id, reason, due_at) select n, n, 'retry', now() from generate_series(1, 5000) n;
        insert into pgqueuer (priority, status, entrypoint, payload) select 0, 'queued', 'later', '1' from generate_series(1, 5000);
        insert into pgqueuer_log (job_id, status, priority, entrypoint) select n, 'picked', 0, 'later' from generate_series(1, 5000) n;
        analyze
        """
    )
    return area


def runs(*filters):
    """The query for the list of runs, as `explain` reads it."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    values = {
        "user": 1,
        "before": 40_000,
        "limit": 50,
        "area_id": 7,
        "service": "Inbox",
        "status": ["failed"],
        "q": "x",
    }
    query = whole.matching(filters)
    values = {name: value for name, value in {**values, "since": now, "until": now}.items() if f":{name}" in query.text}
    typed = query.bindparams(*(bindparam(name, value, *TYPES.get(name, ())) for name, value in values.items()))
    return str(typed.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}))


async def plan(state, query, *values):
    pool = await state.database.pool()
    async with pool.acquire() as conn:
        await conn.execute("set plan_cache_mode = force_generic_plan")
        try:
            rows = await conn.fetch(f"explain {query}", *values)
        finally:
            await conn.execute("reset plan_cache_mode")
    return "\n".join(row[0] for row in rows)


TYPES = {"status": [ARRAY(Text)]}
CANCEL_RUN = str(control.CANCEL_RUN)
for place, name in enumerate(("root", "user", "running", "pending"), 1):
    CANCEL_RUN = CANCEL_RUN.replace(f":{name}", f"${place}")
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
LARGE = (
    "areas",
    "area_executions",
    "hook_states",
    "triggers",
    "execution_jobs",
    "execution_links",
    "execution_records",
    "area_links",
    "area_versions",
    "sources",
    "source_hints",
    "worker_lives",
    "outgoing_mail",
    "pgqueuer",
    "pgqueuer_log",
)
QUERIES = {
    "what is due": (turns.DUE, ("poll", turns.LINE)),
    "what is due of each user": (turns.DUE_OF_EACH, ("poll", turns.OF_EACH)),
    "when the next is due": (turns.NEXT, ("timer",)),
    "claim": (leases.CLAIM, ("me", leases.LEASE, [1, 2, 3])),
    "for whom it counts": (leases.SHARE, (5, [1, 2])),
    "for whom it counts after all": (watch.SHARE_ANEW, ()),
    "when AREA ran": (life.LIVES, (LONG_AGO, LONG_AGO)),
    "what a vendor has news of": (nudges.NUDGE, ("Probe", ["T1"], nudges.PAUSE)),
    "what shares a vendor's subscription": (nudges.NUDGE_SUBSCRIPTIONS, ("Probe", ["S5"], nudges.PAUSE)),
    "that it was heard": (hints.TOLD_ALL, ("Probe", ["S5"])),
    "who watches, and knows where it stands": (leases.WATCHERS, (5, leases.STANDS_FOR)),
    "where it stands": (leases.STAND, ([5], leases.STANDS_FOR, True, None)),
    "who watches": (leases.SUBSCRIBERS, (5,)),
    "is it switched on": (intake.SWITCHED_ON, ([1, 2, 3],)),
    "is the event known": (intake.KNOWN, ([1, 2], ["event:1", "event:2"])),
    "take in": (intake.ACCEPT, ([1, 2], ["{}", "{}"], [0, 0])),
    "take in with a record": (intake.INSERT, ([1, 2], ["{}", "{}"])),
    "finish": (recorder.FINISH, ([1], ["success"], ["{}"], [None], [None], [None], [1], "[]")),
    "what a run answers": (results.LOOK, ([10, 20],)),
    "lock what follows": (followers.LOCK_AREAS, ([1, 2],)),
    "which run it is of": (followers.ROOTS, ([1, 2],)),
    "lock the run": (followers.LOCK_ROOTS, ([1, 2],)),
    "how large the run is": (followers.COUNT, ([10, 20],)),
    "place what follows in its run": (followers.PLACE, ([1], [1], [1], [None])),
    "cancel a run": (CANCEL_RUN, (10, 1, "", "")),
    "cancel the jobs of a run": (queue.CANCEL_ALL, ([1, 2, 3],)),
    "cancel the jobs of an AREA": (queue.CANCEL_OF_AREA, (5,)),
    "old runs, each whole": (retention.PURGE, ([1, 2, 10, 11], datetime(2026, 1, 1))),
    "run by another AREA": (intake.RECORD, ("[]",)),
    "mark as running": (executor.START, ([1], [None])),
    "what was run again": (str(history.REPLAYS).replace(":ids", "$1::bigint[]"), ([1, 2, 3],)),
    "how often it was claimed": (queue.PICKS, (5,)),
    "what is claimed next": (queue.NEXT_IN_LINE, ()),
    "whether all is done": (queue.IDLES, ()),
    "cancel": (queue.CANCEL, (5,)),
    "step back": (queue.STEP_BACK, ([1, 2], -1)),
    "own job": (executor.OWN, (5, 5)),
    "what is left of a group": (executor.RECHECK, ([1, 2, 3],)),
    "load AREAs": (cache.LOAD, ([1, 2, 3], None)),
    "whose address": ("select area_id from triggers where token_hash = $1", ("x",)),
    "whose mail is sent": (delivery.CLAIM, (delivery.BATCH, delivery.LEASE)),
    "to whom a notice is mailed": (notices.MAIL, (1, 1, 50)),
    "what runs led to": (str(whole.LED_TO).replace(":ids", "$1::bigint[]"), ([1, 2, 3],)),
    "a user's runs": (runs(), ()),
    "an AREA's runs": (runs("area_id"), ()),
    "a user's runs that failed": (runs("status", "since"), ()),
    "an AREA's log": ("select * from area_executions where area_id = $1 order by id desc limit 50", (5,)),
}

OF_ONE = ("a user's runs", "an AREA's runs", "a user's runs that failed")  # who has all of the AREAs


async def test_no_large_table_is_read_whole(state, filled):
    """All of them at one filling, which takes seconds: a plan is only told, nothing is run."""
    read_whole = {}
    for name, (query, values) in QUERIES.items():
        text = await plan(state, query, *values)
        large = LARGE[1:] if name in OF_ONE else LARGE
        if any(f"Seq Scan on {table} " in text for table in large):
            read_whole[name] = text
    assert not read_whole, "\n\n".join(f"{name}:\n{text}" for name, text in read_whole.items())


async def test_a_turn_costs_the_same_however_many_sources_are_due(state, filled):
    """Rows that are read to find whose turn it is, while one user has 10,000 sources due and 20 others have some."""
    pool = await state.database.pool()
    await pool.execute(
        """
        insert into sources (key, component_id, params, due_at, share_of)
        select 'due ' || n, (select component_action_id from areas limit 1), '{}', now() - n * interval '1 second', 7
        from generate_series(1, 10000) n;
        update sources set due_at = now() where share_of <> 7;
        analyze sources
        """
    )
    for query, values in [(turns.DUE, ("poll", turns.LINE)), (turns.DUE_OF_EACH, ("poll", turns.OF_EACH))]:
        (answer,) = await pool.fetchrow(f"explain (analyze, buffers, format json) {query}", *values)
        plan = orjson.loads(answer)[0]["Plan"]
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 2000, answer
    result = await turns.waiting(pool, "poll")
    assert {row.user_id for row in result} == set(range(20))  # the many of one don't hide the others
