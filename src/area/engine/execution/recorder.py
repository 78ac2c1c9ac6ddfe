"""Writes outcomes in batches: results, retries with their jobs, the health of AREAs.

An outcome is recorded like this:

1. `record` puts it on the list of waiting outcomes, and returns the future of the batch.
2. `_run` takes everything that waits. After a batch of more than `CROWD`, it first waits `WINDOW` for more.
3. `_write_until_done` writes up to `BATCH` of them, and repeats that while the database is away. If a batch is refused,
   it writes them one by one; one that can't be stored is recorded as failed.
4. `_write` is one transaction: end the executions, store their records and the runs that follow them (`followers`),
   enqueue the jobs of those that wait, delete the jobs of those that are done, and count permanent failures of AREAs.
5. The batch's future is done: its outcomes are durable, and its jobs may be acknowledged.
6. `_publish` notifies live pages of what changed.
"""

import asyncio
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson
import structlog

from area.db.away import is_away
from area.db.notify import Channel, send
from area.db.types import naive_utc
from area.engine import metrics
from area.engine.execution import followers
from area.engine.execution.outcome import Outcome
from area.engine.intake import enqueue_later
from area.engine.state import State
from area.kit.sentences import Sentence
from area.kit.text import clean_text, dump_parts
from area.notices import notify_switched_off
from area.runs.record import KEEP, PLAIN, RECORDS, RunRecord, as_rows

log = structlog.get_logger()

BATCH = 500
WINDOW = 0.002  # seconds to wait for more outcomes, after a batch of more than `CROWD`
CROWD = 4
PUBLISH_EVERY = 0.2  # seconds between notifications for live views
PUBLISH_MOST = 200  # executions named in one notification
GIVE_UP_AFTER = 20  # permanent failures in a row switch an AREA off

FINISH = f"""
with finished as (
    update area_executions x set status = t.status, execution_result = t.result::jsonb, error_message = t.error,
        started_at = coalesce(t.started, x.started_at), completed_at = t.completed, execution_time_ms = t.ms,
        updated_at = now()
    from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::timestamp[], $6::timestamp[], $7::bigint[])
        as t(id, status, result, error, started, completed, ms)
    where x.id = t.id and x.status in ('pending', 'running') returning x.id
), kept as (
    {KEEP} {RECORDS.format("$8")} join finished f on f.id = r.execution_id
    on conflict (execution_id) do update set version = excluded.version, as_it_was = excluded.as_it_was,
        attempts = excluded.attempts, state = excluded.state, said = excluded.said
)
select id from finished
"""  # noqa: S608 - of constants
FAILED = (
    "insert into area_health (area_id, failures, reason, said)"
    " select o.area, o.n, o.reason, o.said::jsonb"
    " from unnest($1::int[], $2::int[], $3::text[], $4::text[]) as o(area, n, reason, said)"
    " join areas a on a.id = o.area order by o.area"
    " on conflict (area_id) do update set failures = area_health.failures + excluded.failures,"
    " reason = excluded.reason, said = excluded.said returning area_id, failures"
)
RECOVERED = "update area_health set failures = 0, reason = null where area_id = any($1::int[]) and failures > 0"
DONE_JOBS = "delete from execution_jobs where execution_id = any($1::bigint[])"


@dataclass
class Recorder:
    """Takes outcomes from all groups of a worker, and writes them together."""

    state: State
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)  # held for each write to executions
    _waiting: list[Outcome] = field(default_factory=list)
    _batch: "asyncio.Future[None] | None" = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _task: "asyncio.Task[None] | None" = None
    _changed: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    _publisher: "asyncio.Task[None] | None" = None
    _beside: "set[asyncio.Future[None]]" = field(default_factory=set)

    def record(self, outcome: Outcome) -> "asyncio.Future[None]":
        """Queue an outcome. Returns a future, shared by its batch, that is done once it is durable, however long the
        database is away.
        """
        if outcome.follow and outcome.follow.size > followers.APART:
            return self._apart(outcome)
        if self._batch is None:
            self._batch = asyncio.get_running_loop().create_future()
        self._waiting.append(outcome)
        self._wake.set()
        return self._batch

    def _apart(self, outcome: Outcome) -> "asyncio.Future[None]":
        """Write an outcome beside the others, since much follows it."""
        task = asyncio.ensure_future(self._write_until_done([outcome], asyncio.Lock()))
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task

    def start(self) -> None:
        """Start writing."""
        self._task = asyncio.create_task(self._run(), name="recorder")
        self._publisher = asyncio.create_task(self._publish_often(), name="publisher")

    async def stop(self) -> None:
        """Stop, and publish the last changes. Futures that are still pending never finish; their jobs are
        found again.
        """
        tasks = [task for task in (self._task, self._publisher, *self._beside) if task]
        for task in tasks:
            task.cancel()
        telling = asyncio.create_task(self._publish(), name="publish-last")
        await asyncio.wait([*tasks, telling], timeout=0.5)
        telling.cancel()

    def changed(self, user_id: int, execution_id: int) -> None:
        """Notify live pages, with the next publication, that an execution changed."""
        mine = self._changed[user_id]
        if len(mine) < PUBLISH_MOST:
            mine.append(execution_id)

    async def _run(self) -> None:
        last = 0
        while True:
            await self._wake.wait()
            if last > CROWD:
                await asyncio.sleep(WINDOW)
            self._wake.clear()
            outcomes, batch = self._waiting, self._batch
            self._waiting, self._batch = [], None
            last = len(outcomes)
            for start in range(0, len(outcomes), BATCH):
                await self._write_until_done(outcomes[start : start + BATCH])
            if batch and not batch.done():
                batch.set_result(None)

    async def _write_until_done(self, outcomes: list[Outcome], turn: asyncio.Lock | None = None) -> None:
        pause = 0.1
        while True:
            try:
                async with turn or self.writing:
                    await self._write(outcomes)
            except asyncpg.DeadlockDetectedError:
                log.info("recorder.deadlock", outcomes=len(outcomes))
            except Exception as error:  # if the recorder ended, every execution would wait forever
                if is_away(error):
                    log.warning("recorder.waiting", outcomes=len(outcomes), error=str(error), kind=type(error).__name__)
                elif len(outcomes) > 1:  # one of them can't be stored: find it, and let the others through
                    log.exception("recorder.batch_refused", outcomes=len(outcomes))
                    for outcome in outcomes:
                        await self._write_until_done([outcome])
                    return
                else:
                    log.exception("recorder.refused", execution=outcomes[0].execution_id)
                    outcomes[0].result, outcomes[0].later = None, None
                    record = outcomes[0].record
                    outcomes[0].record = RunRecord(version=record.version if record else PLAIN.version)
                    outcomes[0].status, outcomes[0].error = (
                        "failed",
                        clean_text(Sentence("The result can't be stored: %(error)s", error=error)),
                    )
                    refused = outcomes[0].follow.refused if outcomes[0].follow else None
                    outcomes[0].follow = refused(outcomes[0]) if refused else None
            else:
                for outcome in outcomes:
                    self.changed(outcome.user_id, outcome.execution_id)
                for status, number in Counter(outcome.status for outcome in outcomes if outcome.later is None).items():
                    metrics.executions.labels(status).inc(number)
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)

    async def _write(self, outcomes: list[Outcome]) -> None:
        pool = await self.state.database.pool()
        simple = not any(
            outcome.later or outcome.own_job or outcome.permanent or outcome.recovers or outcome.follow
            for outcome in outcomes
        )
        if simple:
            await self._finish(pool, outcomes)
            return
        following = [outcome for outcome in outcomes if outcome.follow]
        async with pool.acquire(timeout=10) as conn, conn.transaction():
            roots = await followers.lock(conn, following) if following else {}
            written = await self._finish(conn, outcomes)
            if following:
                await followers.store(
                    conn, [outcome for outcome in following if outcome.execution_id in written], roots
                )
            later = [outcome.later for outcome in outcomes if outcome.later and outcome.execution_id in written]
            if later:
                await enqueue_later(conn, later)
            done = [outcome.execution_id for outcome in outcomes if outcome.own_job and not outcome.later]
            if done:
                await conn.execute(DONE_JOBS, done)
            await self._health(conn, [outcome for outcome in outcomes if outcome.execution_id in written])
        for outcome in following:
            if outcome.follow and outcome.execution_id in written:
                self.state.load.accepted(outcome.user_id, len(outcome.follow.runs))

    async def _finish(self, conn: Any, outcomes: list[Outcome]) -> set[int]:
        rows = await conn.fetch(
            FINISH,
            [outcome.execution_id for outcome in outcomes],
            [outcome.status for outcome in outcomes],
            [outcome.result.decode() if outcome.result is not None else None for outcome in outcomes],
            [clean_text(outcome.error) if outcome.error else outcome.error for outcome in outcomes],
            [naive_utc(outcome.started) if outcome.started else None for outcome in outcomes],
            [naive_utc(outcome.completed) if outcome.completed else None for outcome in outcomes],
            [outcome.ms for outcome in outcomes],
            as_rows({outcome.execution_id: outcome.record for outcome in outcomes if outcome.record}),
        )
        return {row[0] for row in rows}

    async def _health(self, conn: Any, outcomes: list[Outcome]) -> None:
        """Count permanent failures in a row, and switch off AREAs that have too many."""
        failures: dict[int, int] = defaultdict(int)
        reasons: dict[int, str] = {}
        recovered = set()
        for outcome in outcomes:
            if outcome.permanent:
                failures[outcome.area_id] += 1
                reasons[outcome.area_id] = outcome.error or ""
            elif outcome.recovers:
                recovered.add(outcome.area_id)
        if recovered - set(failures):
            await conn.execute(RECOVERED, sorted(recovered - set(failures)))
            for area_id in recovered - set(failures):
                await send(conn, Channel.AREA_CHANGED, str(area_id))
        if not failures:
            return
        areas = sorted(failures)
        rows = await conn.fetch(
            FAILED,
            areas,
            [failures[area] for area in areas],
            [clean_text(reasons[area]) for area in areas],
            [dump_parts(reasons[area]) for area in areas],
        )
        for area_id, count in rows:
            if count >= GIVE_UP_AFTER:
                await notify_switched_off(conn, self.state.settings, area_id, count, reasons[area_id])
            await send(conn, Channel.AREA_CHANGED, str(area_id))

    async def _publish_often(self) -> None:
        """Publish changes to live pages at most five times a second, without delaying the writes."""
        while True:
            await asyncio.sleep(PUBLISH_EVERY)
            await self._publish()

    async def _publish(self) -> None:
        changed, self._changed = self._changed, defaultdict(list)
        started = time.monotonic()
        try:
            for user_id, ids in changed.items():
                pool = await self.state.database.pool()
                payload = orjson.dumps({"users": {str(user_id): ids}}).decode()
                await send(pool, Channel.EXECUTIONS_CHANGED, payload)
        except Exception as error:  # noqa: BLE001 - pages show the next change
            log.warning("publish.failed", error=str(error), seconds=round(time.monotonic() - started, 3))
