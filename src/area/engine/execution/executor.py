"""A worker's jobs: read, attempted and recorded.

The executions of a group run concurrently. One that must wait (for a retry, a delay or a parked connection) leaves the
group with its own job, so that it blocks no other. A group that is claimed again after a crash skips what is already
recorded.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import orjson
import structlog

from area.db import queue
from area.db.away import patiently
from area.db.queue import Job
from area.db.types import naive_utc
from area.engine import metrics
from area.engine.cache import Broken, Cache, Runnable
from area.engine.execution import fairness, followers
from area.engine.execution.attempt import START, UNKNOWN, Means, attempt, retry_later
from area.engine.execution.outcome import Outcome, crowded, leave, over
from area.engine.execution.recorder import Recorder
from area.engine.execution.running import Member, Running, RunningExecutions
from area.engine.state import State
from area.kit.clock import now
from area.kit.fair import user, working_for
from area.kit.sentences import Sentence
from area.runs.record import RunRecord
from area.sdk import Retry

log = structlog.get_logger()

FRESH = timedelta(seconds=1)  # executions of a job this young can't have been cancelled or interrupted
ATTEMPT_LIMIT = 150.0  # seconds, whatever the reaction's own limits
SHOW_RUNNING_AFTER = 0.25  # seconds; shorter runs go from pending to the end in one write
HELD = 512  # executions that a worker holds in memory

# an execution that left its group has a job of its own
RECHECK = (
    "select id, status, started_at from area_executions e"
    " where id = any($1::bigint[]) and status in ('pending', 'running')"
    " and not exists (select from execution_jobs j where j.execution_id = e.id)"
)
OWN = (
    "select e.id, e.area_id, e.status, e.started_at, e.trigger_data, j.reason, to_jsonb(r) as record"
    " from area_executions e"
    " join execution_jobs j on j.execution_id = e.id left join execution_records r on r.execution_id = e.id"
    " where e.id = $1 and j.job_id = $2"
)


@dataclass
class Executor:
    """Runs the jobs of one worker."""

    state: State
    cache: Cache
    recorder: Recorder
    held: int = 0
    stopping: bool = False
    running: RunningExecutions = field(default_factory=RunningExecutions)
    _claims: dict[int, int] = field(default_factory=dict)  # executions by job id
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _means: Means = field(init=False)

    def __post_init__(self) -> None:
        self._room.set()
        self._means = Means(self.state, self.cache, fairness.Slots(self.state.settings.max_running))

    async def room(self) -> None:
        """Wait until the worker has room to claim more jobs."""
        await self._room.wait()

    def claimed(self, jobs: Sequence[Job]) -> int:
        """Count the executions of these jobs immediately: else the worker would claim far more than it has room for."""
        before = self.held
        for job in jobs:
            if job.id not in self._claims:
                self._claims[job.id] = (job.payload or b"").count(b"\n") + 1
                self.held += self._claims[job.id]
        if self.held >= HELD:
            self._room.clear()
        return self.held - before

    def _let_go(self, job: Job) -> None:
        self.held -= self._claims.pop(job.id, 0)
        if self.held < HELD:
            self._room.set()

    # Jobs

    async def execute(self, job: Job) -> None:
        """Run a job of a group of executions.

        1. Read its executions: those of a group are in the job, with their events.
        2. If the job is not fresh, leave out executions that are over, and detect interrupted ones (`_recheck`).
        3. Load their AREAs, all in one query.
        4. Attempt them concurrently (`attempt`).
        5. Wait until their outcomes are durable; then the job is done.
        """
        try:
            await self._run_all(await self._group(job))
        finally:
            self._let_go(job)

    async def later(self, job: Job) -> None:
        """Run a job of a single execution that waited. Like `execute`, but the execution is read from the database."""
        try:
            await self._run_all(await self._single(job))
        finally:
            self._let_go(job)

    async def _group(self, job: Job) -> list[Member]:
        members = []
        for line in (job.payload or b"").split(b"\n"):
            execution_id, area_id, data = line.split(b" ", 2)
            event = orjson.loads(data) if data else None
            members.append(Member(int(execution_id), int(area_id), event, len(data)))
        return members if datetime.now(UTC) - job.created <= FRESH else await self._recheck(job, members)

    async def _single(self, job: Job) -> list[Member]:
        pool = await patiently(self.state.database.pool)
        row = await patiently(lambda: pool.fetchrow(OWN, int(job.payload or b"0"), job.id))
        if row is None or row["status"] not in ("pending", "running"):
            return []  # superseded by a newer job, cancelled, or over
        record = RunRecord.read(row["record"], row["status"])
        member = Member(
            execution_id=row["id"],
            area_id=row["area_id"],
            data=orjson.loads(row["trigger_data"]) if row["trigger_data"] else {},
            size=len(row["trigger_data"] or ""),
            own=True,
            reason=row["reason"],
            record=record,
            was_running=row["status"] == "running",
        )
        if record.attempts or member.was_running:
            member.started = row["started_at"].replace(tzinfo=UTC)
        picks = await patiently(lambda: queue.picks(pool, job.id))
        member.interrupted = picks > 1 or member.was_running
        member.interruptions = record.interruptions + max(picks - 1, int(member.was_running))
        return [member]

    async def _recheck(self, job: Job, members: list[Member]) -> list[Member]:
        """The executions that are still to run, of a group that waited or was found again."""
        pool = await patiently(self.state.database.pool)
        picks = await patiently(lambda: queue.picks(pool, job.id))
        ids = [member.execution_id for member in members]
        rows = {row["id"]: row for row in await patiently(lambda: pool.fetch(RECHECK, ids))}
        left = []
        for member in members:
            row = rows.get(member.execution_id)
            if row is None:
                continue
            member.was_running = row["status"] == "running"
            member.started = row["started_at"].replace(tzinfo=UTC) if member.was_running else None
            member.interrupted = picks > 1 or member.was_running
            member.interruptions = max(picks - 1, int(member.was_running))
            left.append(member)
        return left

    async def _run_all(self, members: Sequence[Member]) -> None:
        if not members:
            return
        loaded = await patiently(lambda: self.cache.areas([member.area_id for member in members]))
        if len(members) == 1:
            batches = [await self._run(members[0], loaded[members[0].area_id])]
        else:
            batches = await asyncio.gather(*(self._run(member, loaded[member.area_id]) for member in members))
        for batch in {batch for batch in batches if batch is not None}:
            await asyncio.shield(batch)

    # One execution

    async def _run(self, member: Member, area: Runnable | Broken | None) -> "asyncio.Future[None] | None":
        """Attempt an execution. Returns a future that is done once the outcome is durable; None if the AREA was
        deleted.
        """
        task = asyncio.current_task()
        if area is None or task is None:
            return None
        running = Running(member, area.user_id, task)
        self.running.add(running)
        try:
            try:
                with working_for(user(area.user_id)):
                    outcome = await attempt(self._means, running, area)
            except asyncio.CancelledError:
                task.uncancel()  # the outcome must be recorded all the same
                outcome = await self._ended(running, area)
            except Exception as error:  # else the job would be dropped, and the execution would wait forever
                log.exception("executor.bug", execution=member.execution_id, area=area.id)
                text = Sentence(
                    "AREA had an internal error (%(kind)s). See the server's log.", kind=type(error).__name__
                )
                outcome = over(member, area, "failed", now(), error=text, permanent=True)
            self.running.remove(running)  # from here on the outcome is recorded, whoever cancels
            if not member.own:
                self.state.load.done(area.user_id)
            if area.followers and outcome.later is None:
                outcome.follow = await followers.prepare(self.state, self.cache, member, area, outcome)
            return self.recorder.record(outcome)
        finally:
            self.running.remove(running)

    async def _ended(self, running: Running, area: Runnable | Broken) -> Outcome:
        """The outcome of an attempt that was ended from outside: by the user, by the limit, or because the worker
        stops.
        """
        member, moment = running.member, now()
        called = running.clock is not None
        match running.ended:
            case "overdue" if isinstance(area, Runnable):
                text = Sentence("No response within %(number)s seconds.", number=f"{ATTEMPT_LIMIT:.0f}")
                return await retry_later(self._means, running, area, Retry(text, unsure=True))
            case "crowded":
                return crowded(member, area)
            case "cancelled":
                text = Sentence("Cancelled while running. Its action may already have been carried out.")
                return over(member, area, "cancelled", moment, error=text)
        if isinstance(area, Runnable) and not area.repeatable and called:
            return over(member, area, "failed", moment, error=UNKNOWN)
        return leave(member, area, moment, "handed_back")

    # From outside

    def cancel(self, execution_id: int) -> None:
        """The user cancelled the execution: end its attempt, if it runs here."""
        running = self.running.get(execution_id)
        if running is not None:
            running.end("cancelled")

    async def make_room(self) -> None:
        """Evict executions that fill the worker while other users wait, forever."""
        await fairness.make_room(self.state, self.cache, self.running, self._room)

    async def show_running(self) -> None:
        """Mark executions that have run for a while as running, and end those that exceed the limit, forever."""
        while True:
            await asyncio.sleep(SHOW_RUNNING_AFTER)
            metrics.running.set(sum(running.clock is not None for running in self.running))
            for running in self.running.called_for(ATTEMPT_LIMIT):
                if running.ended is None:
                    running.end("overdue")
            try:
                async with self.recorder.writing:  # else an execution that just began to wait would be marked
                    await self._show()
            except Exception as error:  # noqa: BLE001 - the next round marks them
                log.warning("show_running.failed", error=str(error), kind=type(error).__name__)

    async def _show(self) -> None:
        """Mark as running what has run for a while and is not marked yet."""
        slow = [running for running in self.running.called_for(SHOW_RUNNING_AFTER) if not running.shown]
        if not slow:
            return
        ids = [running.member.execution_id for running in slow]
        firsts = [naive_utc(running.first) for running in slow if running.first is not None]
        owners = {running.member.execution_id: running.owner for running in slow}
        pool = await self.state.database.pool()
        for row in await pool.fetch(START, ids, firsts):
            self.recorder.changed(owners[row[0]], row[0])
        for running in slow:
            running.shown = True

    async def stop(self, grace: float) -> None:
        """Let running executions finish for `grace` seconds, then hand the rest back."""
        self.stopping = True
        self._room.set()  # wake the claimer, which then sees that this stops
        end = time.monotonic() + grace
        while len(self.running) and time.monotonic() < end:
            await asyncio.sleep(0.05)
        for running in self.running:
            running.task.cancel()
        await _until(lambda: not len(self.running) and not self.held, 1.5)


async def _until(done: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        await asyncio.sleep(0.02)
