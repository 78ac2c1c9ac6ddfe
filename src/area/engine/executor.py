"""A job to done reactions: fill `{{…}}`, validate, call with the idempotency key, record.

The members of a group run side by side. One that must wait (a retry, a delay, a parked connection) leaves the group with a
job of its own, so that it holds nobody up. A group that is found again after a crash skips what is recorded already.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import orjson
import structlog
from pydantic import BaseModel, ValidationError

from area.areas.plans import field_errors
from area.connections.vault import Ref
from area.db import queue
from area.db.away import DatabaseAwayError, asking, patiently
from area.db.notify import Channel, send
from area.db.queue import Job
from area.db.types import naive_utc
from area.engine import access, metrics
from area.engine.cache import Cache, Loaded
from area.engine.intake import BULK, LaterJob
from area.engine.platform import UserPlatform
from area.engine.recorder import Outcome, Recorder
from area.engine.state import State
from area.kit.budget import Budget, Exhausted
from area.kit.clock import now
from area.kit.crypto import Undecryptable
from area.kit.evaluation import evaluate
from area.kit.fair import user, working_for
from area.kit.sentences import Sentence
from area.kit.template import RenderError
from area.kit.text import dump_json
from area.records import PLAIN, Attempt, Reason, RunRecord, Status, unseal
from area.sdk import AuthExpired, Context, Permanent, Retry

log = structlog.get_logger()

Result = TypeVar("Result")

FRESH = timedelta(seconds=1)  # a job this young can't have been cancelled, switched off or interrupted before
ATTEMPT_LIMIT = 150.0  # seconds, whatever the reaction's own limits
MAX_ATTEMPTS = 16
LONGEST_PAUSE = timedelta(hours=4)
MAX_INTERRUPTIONS = 5
SHOW_RUNNING_AFTER = 0.25  # seconds; shorter runs go from pending to their end in one write
HELD = 512  # executions that a worker holds in memory
LOOK_FOR_ROOM = 0.25  # seconds between looks whether one user fills the worker while another waits
CONNECTION_RECHECK = timedelta(hours=6)
MAX_RESULT = 64 * 1024  # bytes of a reaction's result that are kept
# looked up once: by label it costs as much as the counting
ATTEMPTS = {outcome: metrics.attempts.labels(outcome) for outcome in ("success", "retry", "error")}

# what has left its group has a job of its own
RECHECK = (
    "select id, status, started_at from area_executions e where id = any($1::bigint[]) and status in ('pending', 'running')"
    " and not exists (select from execution_jobs j where j.execution_id = e.id)"
)
OWN = (
    "select e.id, e.area_id, e.status, e.started_at, e.trigger_data, j.reason, to_jsonb(r) as record from area_executions e"
    " join execution_jobs j on j.execution_id = e.id left join execution_records r on r.execution_id = e.id"
    " where e.id = $1 and j.job_id = $2"
)
DATA = "select trigger_data from area_executions where id = $1"
START = (
    "update area_executions x set status = 'running', started_at = t.started, updated_at = now()"
    " from unnest($1::bigint[], $2::timestamp[]) as t(id, started) where x.id = t.id and x.status = 'pending' returning x.id"
)
PARK = (
    "insert into connection_states (user_id, service_id, connection_id, parked_until, last_error)"
    " select $1, id, $3, $4, $5 from services where name = $2"
    " on conflict (user_id, service_id, connection_id) do update set parked_until = excluded.parked_until, last_error = excluded.last_error"
)


@dataclass(slots=True)
class Member:
    """One execution to attempt; `own` when the job is its own, for a `reason`. `started` is when its first attempt began, if it had one.

    `size` is of its event, in bytes; all that the user's expressions do with it draws from `budget`.
    """

    execution_id: int
    area_id: int
    data: Any
    size: int = 0
    budget: Budget = field(default_factory=Budget)
    own: bool = False
    reason: Reason | None = None
    record: RunRecord = field(default_factory=RunRecord)
    started: datetime | None = None
    interrupted: bool = False
    interruptions: int = 0
    was_running: bool = False


class Started(NamedTuple):
    """An attempt that runs: when the execution's first one began, and since when this one runs by `time.perf_counter`."""

    first: datetime
    clock: float


@dataclass
class Executor:
    """Runs jobs of one worker."""

    state: State
    cache: Cache
    recorder: Recorder
    held: int = 0
    _claims: dict[int, int] = field(default_factory=dict)  # how many executions each job holds
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _running: dict[int, asyncio.Task[Any]] = field(default_factory=dict)
    _started: dict[int, Started] = field(default_factory=dict)
    _owners: dict[int, int] = field(default_factory=dict)
    _cancelled: set[int] = field(default_factory=set)
    _slots: dict[int, asyncio.Semaphore] = field(default_factory=dict)
    _queued: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    _evicted: set[int] = field(default_factory=set)
    _overdue: set[int] = field(default_factory=set)
    stopping: bool = False

    def __post_init__(self) -> None:
        self._room.set()

    async def room(self) -> None:
        """Wait until the worker may claim more."""
        await self._room.wait()

    def claimed(self, jobs: Sequence[Job]) -> None:
        """Count what these jobs hold, at once: before they begin the worker would claim far more than it has room for."""
        for job in jobs:
            if job.id not in self._claims:
                self._claims[job.id] = (job.payload or b"").count(b"\n") + 1
                self.held += self._claims[job.id]
        if self.held >= HELD:
            self._room.clear()

    def _let_go(self, job: Job) -> None:
        self.held -= self._claims.pop(job.id, 0)
        if self.held < HELD:
            self._room.set()

    # Jobs

    async def execute(self, job: Job) -> None:
        """A group of fresh executions."""
        try:
            await self._execute(job)
        finally:
            self._let_go(job)

    async def later(self, job: Job) -> None:
        """One execution that waited by itself."""
        try:
            await self._later(job)
        finally:
            self._let_go(job)

    async def _execute(self, job: Job) -> None:
        members = []
        for line in (job.payload or b"").split(b"\n"):
            execution_id, area_id, data = line.split(b" ", 2)
            event = orjson.loads(data) if data else None
            members.append(Member(int(execution_id), int(area_id), event, len(data)))
        if datetime.now(UTC) - job.created > FRESH:
            members = await self._recheck(job, members)
        await self._run_all(members)

    async def _later(self, job: Job) -> None:
        pool = await patiently(self.state.database.pool)
        row = await patiently(lambda: pool.fetchrow(OWN, int(job.payload or b"0"), job.id))
        if row is None or row["status"] not in ("pending", "running"):
            return  # superseded by a newer job, cancelled, or over
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
        await self._run_all([member])

    async def _recheck(self, job: Job, members: list[Member]) -> list[Member]:
        """What of a group that waited, or was found again, is still to be done."""
        pool = await patiently(self.state.database.pool)
        picks = await patiently(lambda: queue.picks(pool, job.id))
        ids = [one.execution_id for one in members]
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
        for batch in {one for one in batches if one is not None}:
            await asyncio.shield(batch)

    # One execution

    async def _run(self, member: Member, area: Loaded | None) -> "asyncio.Future[None] | None":
        """Attempt it; returns what is done once the outcome is durable."""
        if area is None:
            return None  # the AREA is deleted, and its log with it
        task = asyncio.current_task()
        if task is not None:
            self._running[member.execution_id] = task
            self._owners[member.execution_id] = area.user_id
        try:
            try:
                with working_for(user(area.user_id)):
                    outcome = await self._attempt(member, area)
            except asyncio.CancelledError:
                if task is not None:
                    task.uncancel()  # what follows is to be done all the same
                overdue = member.execution_id in self._overdue
                outcome = await self._too_slow(member, area) if overdue else self._interrupted(member, area)
            except Exception as error:  # else the job would be dropped, and the execution would wait for ever
                log.exception("executor.bug", execution=member.execution_id, area=area.id)
                text = f"AREA met an error of its own ({type(error).__name__}); the server's log has it."
                outcome = self._over(member, area, "failed", now(), error=text, permanent=True)
            self._running.pop(member.execution_id, None)  # what became of it is written, whoever cancels
            if not member.own:
                self.state.load.done(area.user_id)
            return self.recorder.record(outcome)
        finally:
            self._running.pop(member.execution_id, None)
            self._owners.pop(member.execution_id, None)
            self._started.pop(member.execution_id, None)
            self._cancelled.discard(member.execution_id)
            self._overdue.discard(member.execution_id)

    async def _attempt(self, member: Member, area: Loaded) -> Outcome:
        started = now()
        area = await self._as_it_was(member, area)
        refusal = self._refusal(member, area)
        if refusal:
            return refusal
        plan = area.plan
        if plan is None:
            return self._over(member, area, "failed", started, error=area.broken, permanent=True)
        if member.data is None:
            pool = await patiently(self.state.database.pool)
            text = await patiently(lambda: pool.fetchval(DATA, member.execution_id))
            member.data, member.size = (orjson.loads(text), len(text)) if text else ({}, 0)
        if not member.own:
            try:
                holds = plan.only_if is None or await self._evaluate(member, plan.holds)
            except Exhausted as error:
                return self._over(member, area, "failed", started, error=str(error), permanent=True)
            if not holds:
                return self._over(member, area, "skipped", started, error="Its condition (only_if) did not hold.")
            due = plan.due(started, area.timezone)
            if due:
                return self._leave(member, area, due, "delay")
        waits = await self._waits_for_connection(member, area)
        if waits:
            return waits
        slot = self._slot(area.user_id)
        queued = self._queued[area.user_id]
        queued.add(member.execution_id)
        try:
            await slot.acquire()
        finally:
            queued.discard(member.execution_id)
        try:
            return await self._call(member, area)
        finally:
            slot.release()

    async def _as_it_was(self, member: Member, area: Loaded) -> Loaded:
        """The AREA, for a replay with the configuration that it had then."""
        version = member.record.version if member.record.as_it_was else None
        if version is None or version == area.version:
            return area
        then = await patiently(lambda: self.cache.area_as_it_was(area.id, version))
        member.record.as_it_was = then is not None
        return then or area

    def _refusal(self, member: Member, area: Loaded) -> Outcome | None:
        """Why it will not be attempted at all, if so."""
        moment = now()
        if not area.active and not member.record.forced:
            return self._over(member, area, "skipped", moment, error="The AREA was switched off before this ran.")
        if not area.available:
            return self._over(member, area, "skipped", moment, error="Its action or reaction is switched off here.")
        if member.interrupted:
            cut = Attempt(at=moment, error="The worker stopped in the middle.", interrupted=True)
            member.record.attempts += [cut] * (member.interruptions - member.record.interruptions)
            member.started = member.started or moment
            fails = area.plan is not None and area.plan.reaction.on_crash == "fail" and member.was_running
            if fails:
                return self._over(
                    member, area, "failed", moment, error="Interrupted; whether it was done is not known."
                )
            # one that is not marked as running may have been held by a worker that stopped because of another
            if member.interruptions >= MAX_INTERRUPTIONS * (1 if member.was_running else 4):
                error = Sentence(
                    "Given up: the worker stopped %(number)s times while this ran.", number=member.interruptions
                )
                return self._over(member, area, "failed", moment, error=error, permanent=True)
        return None

    async def _waits_for_connection(self, member: Member, area: Loaded) -> Outcome | None:
        if area.plan is None or not area.plan.connects:
            return None
        service, number = area.plan.reaction.service, area.plan.reaction_connection
        connection = await patiently(lambda: self.cache.connection(area.user_id, service.slug, number))
        if connection.status == "gone":
            error = Sentence("The connection to %(name)s that this was to use has been removed.", name=service.name)
            return self._over(member, area, "failed", now(), error=error, permanent=True)
        if connection.status != "works":
            error = Sentence(
                "Waits for the connection to %(name)s: connect it (again), and this runs.", name=service.name
            )
            return self._leave(member, area, now() + CONNECTION_RECHECK, "connection", error=error)
        if connection.parked_until and connection.parked_until > now():
            jitter = timedelta(seconds=random.uniform(0, 2))  # noqa: S311 - spreads load, keeps no secret
            error = Sentence(
                "Waits: %(name)s takes no more requests until %(time)s UTC.",
                name=service.name,
                time=f"{connection.parked_until:%H:%M:%S}",
            )
            return self._leave(member, area, connection.parked_until + jitter, "parked", error=error)
        return None

    def _slot(self, user_id: int) -> asyncio.Semaphore:
        slot = self._slots.get(user_id)
        if slot is None:
            slot = self._slots[user_id] = asyncio.Semaphore(self.state.settings.max_running)
        return slot

    async def _call(self, member: Member, area: Loaded) -> Outcome:
        plan = area.plan
        assert plan is not None  # noqa: S101 - _attempt has seen to it
        started, clock = now(), time.perf_counter()
        try:
            params = await self._params(member, area)
        except (RenderError, Undecryptable, ValidationError) as error:
            return self._over(member, area, "failed", started, error=_sentence(error), permanent=True)
        if plan.reaction.on_crash == "fail" and (refusal := await self._mark(member, area, started)):
            return refusal
        self._started[member.execution_id] = Started(member.started or started, clock)
        outcome = "error"
        since: datetime | None = None
        try:
            if plan.reaction.service.auth is not None:
                slug, number = plan.reaction.service.slug, plan.reaction_connection
                since = (await patiently(lambda: self.cache.connection(area.user_id, slug, number))).since
            context = await self._context(member, area)
            result = await plan.reaction.function(context, params)
            outcome = "success"
        except Retry as error:
            outcome = "error" if error.unsure and plan.reaction.on_crash == "fail" else "retry"
            return await self._again(member, area, started, clock, error)
        except AuthExpired as error:
            return await self._expired(member, area, error, since)
        except Permanent as error:
            return self._over(member, area, "failed", started, clock, error=str(error), permanent=True)
        except (TimeoutError, DatabaseAwayError) as error:
            ours = isinstance(error, DatabaseAwayError)
            said = "AREA's own database could not be reached." if ours else "It took too long."
            return await self._again(member, area, started, clock, Retry(said, unsure=not ours))
        except Exception as error:  # whatever else a connector raises is our bug, and is logged as one
            log.exception("reaction.bug", execution=member.execution_id, area=area.id, reaction=plan.reaction.key)
            text = Sentence(
                "%(name)s met an error of its own (%(kind)s); the server's log has it.",
                name=plan.reaction.key,
                kind=type(error).__name__,
            )
            return self._over(member, area, "failed", started, clock, error=text, permanent=True)
        finally:
            ATTEMPTS[outcome].inc()
            metrics.execution_seconds.observe(time.perf_counter() - clock)
        return self._over(member, area, "success", started, clock, result=_bounded(result), recovers=area.failures > 0)

    async def _mark(self, member: Member, area: Loaded, started: datetime) -> Outcome | None:
        """Mark as running what must not be repeated after a crash; what keeps it from running, if so."""
        pool = await patiently(self.state.database.pool)
        try:
            with asking():
                marked = await pool.fetch(START, [member.execution_id], [naive_utc(member.started or started)])
        except DatabaseAwayError:  # whether it is marked is not known, so it begins anew
            return self._leave(member, area, now(), "retry")
        return None if marked else self._over(member, area, "cancelled", now(), error="Cancelled before it ran.")

    async def _params(self, member: Member, area: Loaded) -> BaseModel:
        assert area.plan is not None  # noqa: S101 - as above
        if member.record.parameters is not None:
            given = unseal(self.state.keyring, member.execution_id, member.record.parameters)
            return area.plan.reaction.params.model_validate(given)
        return await self._evaluate(member, area.plan.fill)

    async def _evaluate(self, member: Member, work: Callable[[Mapping[str, Any], Budget], Result]) -> Result:
        """What the user's expressions make of the event."""
        return await evaluate(lambda budget: work(member.data, budget), member.budget, member.size)

    async def _context(self, member: Member, area: Loaded) -> Context:
        assert area.plan is not None  # noqa: S101 - as above
        service = area.plan.reaction.service
        ref = Ref(area.user_id, service.slug, area.plan.reaction_connection)
        credential = None
        if area.plan.connects:
            connection = await patiently(lambda: self.cache.connection(*ref))
            credential = connection.credential
        key = f"{self.state.instance}-{member.execution_id}"
        chain = [*member.record.chain, area.id]
        return access.context(
            self.state, self.cache.tokens, service, ref, credential,
            area_id=area.id, chain=chain, key=key, memory=dict(member.record.state),
        )  # fmt: skip

    # What became of it

    def _over(
        self,
        member: Member,
        area: Loaded,
        status: Status,
        started: datetime,
        clock: float | None = None,
        *,
        error: str | None = None,
        result: Any = None,
        permanent: bool = False,
        recovers: bool = False,
    ) -> Outcome:
        completed = now()
        ms = round((time.perf_counter() - clock) * 1000) if clock is not None else 0
        record = _with_version(member, area)
        if status == "failed" or (status == "success" and record.attempts):
            record.attempts.append(Attempt(at=started, error=error, ms=ms))
        if member.started is not None:
            ms = round((completed - member.started).total_seconds() * 1000)
        return Outcome(
            execution_id=member.execution_id,
            area_id=area.id,
            user_id=area.user_id,
            status=status,
            result=result,
            record=None if status == "success" and not member.own and record == PLAIN else record,
            error=error,
            started=member.started or started,
            completed=completed,
            ms=ms,
            own_job=member.own,
            recovers=recovers,
            permanent=permanent,
        )

    def _leave(
        self,
        member: Member,
        area: Loaded,
        due: datetime,
        reason: Reason,
        *,
        error: str | None = None,
        priority: int = 0,
    ) -> Outcome:
        """Wait with a job of its own."""
        return Outcome(
            execution_id=member.execution_id,
            area_id=area.id,
            user_id=area.user_id,
            status="pending",
            result=None,
            record=_with_version(member, area),
            error=error,
            started=member.started,
            completed=None,
            ms=None,
            later=LaterJob(member.execution_id, due, reason, priority),
        )

    async def _again(self, member: Member, area: Loaded, started: datetime, clock: float, error: Retry) -> Outcome:
        """Try again later, or give up after so many attempts; a used-up quota parks the whole connection.

        What must not be done twice, and may have been done, is not tried again.
        """
        if error.unsure and area.plan is not None and area.plan.reaction.on_crash == "fail":
            text = Sentence("%(error)s Whether it was done is not known.", error=error)
            return self._over(member, area, "failed", started, clock, error=text, permanent=True)
        record = member.record
        number = len(record.attempts) - record.interruptions + 1
        if number >= MAX_ATTEMPTS:
            text = Sentence("Given up after %(number)s attempts. The last one: %(error)s", number=number, error=error)
            return self._over(member, area, "failed", started, clock, error=text, permanent=True)
        ms = round((time.perf_counter() - clock) * 1000)
        record.attempts.append(Attempt(at=started, error=str(error), ms=ms))
        record.state = error.state or record.state
        member.started = member.started or started
        pause = pause_after(number, error.after)
        due = now() + pause
        if error.parks and area.plan is not None:
            due = now() + (error.after or max(pause, timedelta(seconds=30)))
            await self._park(area, due, str(error))
        return self._leave(
            member,
            area,
            due,
            "retry",
            error=Sentence("%(error)s Next attempt at %(time)s UTC.", error=error, time=f"{due:%Y-%m-%d %H:%M:%S}"),
        )

    async def _park(self, area: Loaded, until: datetime, error: str) -> None:
        assert area.plan is not None  # noqa: S101 - as above
        service = area.plan.reaction.service
        ref = Ref(area.user_id, service.slug, area.plan.reaction_connection)
        if service.auth is None or not (ref.number or service.requires_auth):
            return  # there is nothing to park

        async def park() -> None:
            pool = await self.state.database.pool()
            async with pool.acquire() as conn, conn.transaction():
                await conn.execute(PARK, area.user_id, service.name, ref.number, until, error)
                await send(conn, Channel.CONNECTION_CHANGED, str(ref))

        await patiently(park)

    async def _expired(self, member: Member, area: Loaded, error: AuthExpired, since: datetime | None) -> Outcome:
        assert area.plan is not None  # noqa: S101 - as above
        ref = Ref(area.user_id, area.plan.reaction.service.slug, area.plan.reaction_connection)
        platform = UserPlatform(self.state, area.user_id, area.id, [], "")
        await patiently(lambda: platform.connection_expired(ref, str(error), since))
        return self._leave(member, area, now() + CONNECTION_RECHECK, "connection", error=str(error))

    async def _too_slow(self, member: Member, area: Loaded) -> Outcome:
        """The attempt took longer than any may."""
        clock = self._started[member.execution_id].clock
        started = now() - timedelta(seconds=time.perf_counter() - clock)
        error = Retry(Sentence("No answer within %(number)s seconds.", number=f"{ATTEMPT_LIMIT:.0f}"), unsure=True)
        return await self._again(member, area, started, clock, error)

    def _interrupted(self, member: Member, area: Loaded) -> Outcome:
        """It was cancelled by its user, or the worker stops and hands it back."""
        moment = now()
        if member.execution_id in self._evicted:
            self._evicted.discard(member.execution_id)
            due = moment + timedelta(seconds=random.uniform(1, 30))  # noqa: S311 - spreads load
            return self._leave(member, area, due, "crowded", priority=BULK - 1)
        if member.execution_id in self._cancelled:
            return self._over(member, area, "cancelled", moment, error="Cancelled while it ran; it may have been done.")
        if area.plan and area.plan.reaction.on_crash == "fail" and member.execution_id in self._started:
            return self._over(member, area, "failed", moment, error="Interrupted; whether it was done is not known.")
        return self._leave(member, area, moment, "handed_back")

    # From outside

    def cancel(self, execution_id: int) -> None:
        """Its user cancelled it."""
        task = self._running.get(execution_id)
        if task is not None:
            self._cancelled.add(execution_id)
            task.cancel()

    async def make_room(self) -> None:
        """While one user's slow executions fill the worker and another user's wait to be claimed, send the former away."""
        while True:
            await asyncio.sleep(LOOK_FOR_ROOM)
            if self._room.is_set() or not any(self._queued.values()):
                continue
            crowd = max(self._queued, key=lambda user_id: len(self._queued[user_id]))
            try:
                if not await self._somebody_else_waits(crowd):
                    continue
            except Exception as error:  # noqa: BLE001 - it is looked again in a moment
                log.warning("make_room.failed", error=str(error), kind=type(error).__name__)
                continue
            evicted = [one for one in self._queued[crowd] if one in self._running]
            log.info("executor.crowded", user=crowd, executions=len(evicted))
            for one in evicted:
                self._evicted.add(one)
                self._running[one].cancel()

    async def _somebody_else_waits(self, user_id: int) -> bool:
        """Whether another user's events wait; what waits of this user alone steps back behind them."""
        pool = await self.state.database.pool()
        jobs = await queue.next_in_line(pool)
        areas = await self.cache.areas({area_id for ids in jobs.values() for area_id in ids})
        theirs = {area_id for area_id, area in areas.items() if area is None or area.user_id == user_id}
        crowd = [job_id for job_id, ids in jobs.items() if ids and theirs.issuperset(ids)]
        if crowd:
            await queue.step_back(pool, crowd, BULK)
        return len(crowd) < len(jobs)

    async def show_running(self) -> None:
        """Every so often, mark in the log what has been running for a while, and end what runs too long."""
        shown: set[int] = set()
        while True:
            await asyncio.sleep(SHOW_RUNNING_AFTER)
            metrics.running.set(len(self._started))
            self._end_overdue()
            shown &= set(self._started)
            try:
                async with self.recorder.writing:  # else what has left by then to wait would be marked after it
                    shown.update(await self._show(shown))
            except Exception as error:  # noqa: BLE001 - they are marked at the next look
                log.warning("show_running.failed", error=str(error), kind=type(error).__name__)

    async def _show(self, shown: set[int]) -> list[int]:
        """Mark as running what has been for a while, and is not `shown` yet."""
        before = time.perf_counter() - SHOW_RUNNING_AFTER
        slow = [one for one, started in self._started.items() if started.clock < before and one not in shown]
        if slow:
            pool = await self.state.database.pool()
            for row in await pool.fetch(START, slow, [naive_utc(self._started[one].first) for one in slow]):
                self.recorder.changed(self._owners.get(row[0], 0), row[0])
        return slow

    def _end_overdue(self) -> None:
        """One look at all of them is cheaper than a timer for each."""
        latest = time.perf_counter() - ATTEMPT_LIMIT
        for execution_id in [one for one, started in self._started.items() if started.clock < latest]:
            if execution_id in self._running and execution_id not in self._overdue:
                self._overdue.add(execution_id)
                self._running[execution_id].cancel()

    async def stop(self, grace: float) -> None:
        """Let what runs finish for `grace` seconds, then hand the rest back."""
        self.stopping = True
        self._room.set()  # whoever waits for room is to see that it stops
        end = time.monotonic() + grace
        while self._running and time.monotonic() < end:
            await asyncio.sleep(0.05)
        for task in list(self._running.values()):
            task.cancel()
        await _until(lambda: not self._running and not self.held, 1.5)


def pause_after(number: int, asked: timedelta | None) -> timedelta:
    """Before the next attempt after `number` failed ones: what the vendor asked for, else full jitter from 1 s to hours."""
    if asked:
        return asked + timedelta(seconds=random.uniform(0, min(5, asked.total_seconds() / 10)))  # noqa: S311 - jitter
    most = min(LONGEST_PAUSE.total_seconds(), 2.0**number)
    return timedelta(seconds=max(1.0, random.uniform(0, most)))  # noqa: S311 - jitter


def _with_version(member: Member, area: Loaded) -> RunRecord:
    if not member.record.as_it_was:
        member.record.version = area.version
    return member.record


def _bounded(result: Any) -> Any:
    value = result.model_dump(mode="json") if isinstance(result, BaseModel) else result
    if value is None:
        return None
    size = len(dump_json(value))
    return value if size <= MAX_RESULT else {"truncated": f"The result was {size:,} bytes, more than is kept."}


def _sentence(error: RenderError | Undecryptable | ValidationError) -> str:
    if isinstance(error, ValidationError):
        found = field_errors(error, "")
        return " ".join(f"{one['field'].lstrip('.')}: {one['message']}." for one in found).replace("..", ".")
    return str(error)


async def _until(done: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        await asyncio.sleep(0.02)
