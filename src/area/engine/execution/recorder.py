"""What became of executions, written in batches: results, retries with their jobs, health of AREAs. One transaction each."""

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
from area.engine.execution.outcome import Outcome
from area.engine.intake import enqueue_later
from area.engine.state import State
from area.kit.sentences import Sentence
from area.kit.text import clean_text, dump_json
from area.notices import notify_switched_off
from area.runs.record import KEEP, PLAIN, RECORDS, RunRecord, as_rows

log = structlog.get_logger()

BATCH = 500
WINDOW = 0.002  # seconds to wait for more outcomes, once more than `CROWD` came together
CROWD = 4
PUBLISH_EVERY = 0.2  # seconds between notifications for live views
PUBLISH_MOST = 200  # executions named in one of them
GIVE_UP_AFTER = 20  # permanent failures in a row switch an AREA off

FINISH = f"""
with finished as (
    update area_executions x set status = t.status, execution_result = t.result::jsonb, error_message = t.error,
        started_at = coalesce(t.started, x.started_at), completed_at = t.completed, execution_time_ms = t.ms, updated_at = now()
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
    "insert into area_health (area_id, failures, reason)"
    " select o.area, o.n, o.reason from unnest($1::int[], $2::int[], $3::text[]) as o(area, n, reason)"
    " join areas a on a.id = o.area order by o.area"
    " on conflict (area_id) do update set failures = area_health.failures + excluded.failures, reason = excluded.reason"
    " returning area_id, failures"
)
RECOVERED = "update area_health set failures = 0, reason = null where area_id = any($1::int[]) and failures > 0"
DONE_JOBS = "delete from execution_jobs where execution_id = any($1::bigint[])"


@dataclass
class Recorder:
    """Takes outcomes from all groups of a worker and writes them together. What `record` returns tells when they are durable."""

    state: State
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)  # what is written of executions, is written one by one
    _waiting: list[Outcome] = field(default_factory=list)
    _batch: "asyncio.Future[None] | None" = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _task: "asyncio.Task[None] | None" = None
    _changed: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    _publisher: "asyncio.Task[None] | None" = None

    def record(self, outcome: Outcome) -> "asyncio.Future[None]":
        """Have it written; the future, shared with others, is done once it is durable, however long the database is away."""
        if self._batch is None:
            self._batch = asyncio.get_running_loop().create_future()
        self._waiting.append(outcome)
        self._wake.set()
        return self._batch

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._run(), name="recorder")
        self._publisher = asyncio.create_task(self._publish_often(), name="publisher")

    async def stop(self) -> None:
        """Stop, and tell live views the last; whoever still waits in `record` is not answered, and its job is found again."""
        tasks = [task for task in (self._task, self._publisher) if task]
        for task in tasks:
            task.cancel()
        telling = asyncio.create_task(self._publish(), name="publish-last")
        await asyncio.wait([*tasks, telling], timeout=0.5)
        telling.cancel()

    def changed(self, user_id: int, execution_id: int) -> None:
        """Tell live views that an execution looks different now."""
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

    async def _write_until_done(self, outcomes: list[Outcome]) -> None:
        pause = 0.1
        while True:
            try:
                async with self.writing:
                    await self._write(outcomes)
            except asyncpg.DeadlockDetectedError:
                log.info("recorder.deadlock", outcomes=len(outcomes))
            except Exception as error:  # the recorder must not end: everything would wait for it
                if is_away(error):
                    log.warning("recorder.waiting", outcomes=len(outcomes), error=str(error), kind=type(error).__name__)
                elif len(outcomes) > 1:  # one of them can't be written: find it, and let the others through
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
            else:
                for outcome in outcomes:
                    self.changed(outcome.user_id, outcome.execution_id)
                for status, number in Counter(one.status for one in outcomes if one.later is None).items():
                    metrics.executions.labels(status).inc(number)
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)

    async def _write(self, outcomes: list[Outcome]) -> None:
        pool = await self.state.database.pool()
        simple = not any(one.later or one.own_job or one.permanent or one.recovers for one in outcomes)
        if simple:
            await self._finish(pool, outcomes)
            return
        async with pool.acquire(timeout=10) as conn, conn.transaction():
            written = await self._finish(conn, outcomes)
            later = [one.later for one in outcomes if one.later and one.execution_id in written]
            if later:
                await enqueue_later(conn, later)
            done = [one.execution_id for one in outcomes if one.own_job and not one.later]
            if done:
                await conn.execute(DONE_JOBS, done)
            await self._health(conn, [one for one in outcomes if one.execution_id in written])

    async def _finish(self, conn: Any, outcomes: list[Outcome]) -> set[int]:
        rows = await conn.fetch(
            FINISH,
            [one.execution_id for one in outcomes],
            [one.status for one in outcomes],
            [dump_json(one.result).decode() if one.result is not None else None for one in outcomes],
            [clean_text(one.error) if one.error else one.error for one in outcomes],
            [naive_utc(one.started) if one.started else None for one in outcomes],
            [naive_utc(one.completed) if one.completed else None for one in outcomes],
            [one.ms for one in outcomes],
            as_rows({one.execution_id: one.record for one in outcomes if one.record}),
        )
        return {row[0] for row in rows}

    async def _health(self, conn: Any, outcomes: list[Outcome]) -> None:
        """Count permanent failures in a row, and switch off what has too many."""
        failures: dict[int, int] = defaultdict(int)
        reasons: dict[int, str] = {}
        recovered = set()
        for one in outcomes:
            if one.permanent:
                failures[one.area_id] += 1
                reasons[one.area_id] = one.error or ""
            elif one.recovers:
                recovered.add(one.area_id)
        if recovered - set(failures):
            await conn.execute(RECOVERED, sorted(recovered - set(failures)))
            for area_id in recovered - set(failures):
                await send(conn, Channel.AREA_CHANGED, str(area_id))
        if not failures:
            return
        areas = sorted(failures)
        rows = await conn.fetch(FAILED, areas, [failures[one] for one in areas], [reasons[one] for one in areas])
        for area_id, count in rows:
            if count >= GIVE_UP_AFTER:
                await notify_switched_off(conn, self.state.settings, area_id, count, reasons[area_id])
            await send(conn, Channel.AREA_CHANGED, str(area_id))

    async def _publish_often(self) -> None:
        """Tell live views what changed, at most five times a second and never in the way of the writing."""
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
        except Exception as error:  # noqa: BLE001 - views are shown the next change
            log.warning("publish.failed", error=str(error), seconds=round(time.monotonic() - started, 3))
