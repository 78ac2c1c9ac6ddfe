"""The job queue: the only module that knows PgQueuer, its tables and its Python.

Jobs are enqueued in the transaction that causes them, on an asyncpg connection (`Conn`; of a session: `session.raw`).
Our migrations create the tables, not PgQueuer, so that each revision is the same schema whatever PgQueuer is installed;
`drift` shows what the installed one would change. The web's statements and the worker's consumer stand together, as
both depend on those tables.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib import metadata
from typing import Any, Protocol, TypeAlias, TypeVar, cast

import asyncpg
import orjson
import structlog
from pgqueuer import PgQueuer, Queries
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.domain.errors import SchemaDriftError
from pgqueuer.domain.settings import DBSettings
from pgqueuer.models import Job, TracebackRecord
from pgqueuer.ports.driver import Driver, NotifyCallback
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.types import JOB_STATUS, QueueEntrypoint, QueueManagerId
from pydantic_settings import PydanticBaseSettingsSource
from typing_extensions import override

from area.db.away import is_away, patiently
from area.db.notify import listen
from area.db.session import Conn, open_pool
from area.kit.clock import now

__all__ = ["EXECUTE", "LATER", "NAMES", "Consumer", "Depth", "Handler", "Job"]

log = structlog.get_logger()

Asked: TypeAlias = "Conn | asyncpg.Pool[asyncpg.Record]"  # runs one statement
Q = TypeVar("Q", bound=Queries)

EXECUTE = "execute"  # a group of fresh executions: lines of b"<id> <area> <data>"
LATER = "later"  # one execution: b"<id>"

BATCH = 10  # jobs per claim
HEARTBEAT = timedelta(seconds=10)  # a job whose worker was silent for that long runs elsewhere
IDLE = timedelta(seconds=5)  # at most, between two claims without a notification
LOOK_AHEAD = timedelta(milliseconds=250)  # between checks for deferred jobs while other jobs run
CROWD = 4  # executions in a claim, after which the next one waits: fewer, larger claims cost less
APART = 0.01  # seconds between two such claims
BUSY = timedelta(seconds=1)  # after a claim, more jobs are expected
LONGEST_PAUSE = 3.0  # seconds before it reconnects

# two CTEs: jobs of lines of `members (id, priority, part, line)`, one for each priority and part
ENQUEUE_MEMBERS = f"""jobs as (
    insert into pgqueuer (priority, entrypoint, payload, execute_after, status)
    select priority, '{EXECUTE}', convert_to(string_agg(line, E'\\n' order by id), 'UTF8'), now(), 'queued'
    from members group by priority, part returning id, entrypoint, priority
), logged as (
    insert into pgqueuer_log (job_id, status, entrypoint, priority) select id, 'queued', entrypoint, priority from jobs
)"""  # noqa: S608 - a constant
DEPTH = """
select entrypoint,
       count(*) filter (where status = 'queued') as queued,
       count(*) filter (where status = 'queued' and execute_after <= now()) as due,
       count(*) filter (where status = 'picked' and heartbeat > now() - interval '1 minute') as running,
       coalesce(extract(epoch from max(now() - execute_after) filter (where status = 'queued')), 0)::float as oldest
from pgqueuer group by entrypoint
"""
# in two halves, each with a partial index: many may wait for days
IDLES = (
    "select not exists (select from pgqueuer where entrypoint = 'execute' and status = 'queued')"
    " and not exists (select from pgqueuer where entrypoint = 'execute' and status = 'picked')"
)
WAITING = """
select a.user_id, count(*) as n from (
    (select payload from pgqueuer where status = 'queued' and entrypoint = 'execute' order by id limit 1000)
    union all
    (select payload from pgqueuer where status = 'picked' and entrypoint = 'execute' order by id limit 1000)) p
cross join lateral regexp_matches(convert_from(p.payload, 'UTF8'), '^[0-9]+ ([0-9]+) ', 'gn') as found
join areas a on a.id = found[1]::int group by 1
"""
CANCEL = """
delete from pgqueuer p using execution_jobs j where j.execution_id = $1 and p.id = j.job_id and p.status = 'queued'
"""
HURRY = """
with hurried as (
    update pgqueuer p set execute_after = least(execute_after, now()) from execution_jobs j
    where j.execution_id = $1 and p.id = j.job_id and p.status = 'queued' and j.reason in ('delay', 'retry')
    returning p.id
)
update execution_jobs set due_at = least(due_at, now()) where job_id in (select id from hurried) returning job_id
"""
CANCEL_ALL = """
delete from pgqueuer p using execution_jobs j
where j.execution_id = any($1::bigint[]) and p.id = j.job_id and p.status = 'queued'
"""
CANCEL_OF_AREA = """
delete from pgqueuer where status = 'queued' and id in (
    select j.job_id from execution_jobs j join area_executions e on e.id = j.execution_id where e.area_id = $1)
"""
PICKS = "select count(*) from pgqueuer_log where job_id = $1 and status = 'picked'"
# the AREAs of each job, except of very large ones
NEXT_IN_LINE = (
    "select p.id, case when octet_length(p.payload) < 200000 then (select array_agg(distinct found[1]::int)"
    " from regexp_matches(convert_from(p.payload, 'UTF8'), '^[0-9]+ ([0-9]+) ', 'gn') as found) end as areas"
    " from (select id, payload from pgqueuer where status = 'queued' and entrypoint = 'execute' and priority >= 0"
    " and execute_after <= now() order by priority desc, id limit 200) p"
)
STEP_BACK = "update pgqueuer set priority = $2 where id = any($1::bigint[]) and status = 'queued'"
PRUNE = (
    "delete from pgqueuer_log where id in"
    " (select id from pgqueuer_log where created < now() - interval '1 hour' and aggregated limit 20000)"
)
RESUME = """
update pgqueuer p set execute_after = now() from execution_jobs j
join area_executions e on e.id = j.execution_id join areas a on a.id = e.area_id
join components c on c.id = a.component_reaction_id join services s on s.id = c.service_id
left join area_connections ac on ac.area_id = a.id and ac.kind = 'reaction'
where p.id = j.job_id and p.status = 'queued' and j.reason in ('connection', 'parked')
  and a.user_id = $1 and s.name = $2
  and coalesce(ac.connection_id, 0) = $3
  and not exists (select from connection_states cs
                  where cs.user_id = $1 and cs.service_id = s.id and cs.connection_id = $3
                  and (cs.status <> 'works' or cs.parked_until > now()))
"""
RESUME_ALL = """
update pgqueuer p set execute_after = now() from execution_jobs j
join area_executions e on e.id = j.execution_id join areas a on a.id = e.area_id
join components c on c.id = a.component_reaction_id
left join area_connections ac on ac.area_id = a.id and ac.kind = 'reaction'
join connections us on us.user_id = a.user_id and us.service_id = c.service_id
    and us.connection_id = coalesce(ac.connection_id, 0) and us.oauth_token is not null
where p.id = j.job_id and p.status = 'queued' and p.execute_after > now() and j.reason = 'connection'
  and not exists (select from connection_states cs where cs.user_id = a.user_id and cs.service_id = c.service_id
                  and cs.connection_id = us.connection_id and (cs.status <> 'works' or cs.parked_until > now()))
"""
AHEAD = (
    """
with moved as (
    update pgqueuer set execute_after = now() + (execute_after - created), created = now()
    where status = 'queued' and created > now() + $1::interval returning id, execute_after
)
update execution_jobs j set due_at = m.execute_after from moved m where j.job_id = m.id
""",
    "update pgqueuer set heartbeat = now() where status = 'picked' and heartbeat > now() + $1::interval",
)


class _Names(DBSettings):
    """The names that our migrations use. PgQueuer would read others from the environment, even from CHANNEL and
    TRIGGER.
    """

    @override
    @classmethod
    def settings_customise_sources(
        cls, settings_cls: Any, init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


NAMES = _Names()


def _queries(kind: type[Q], driver: Driver) -> Q:
    return kind(
        driver,
        qbe=QueryBuilderEnvironment(NAMES),
        qbq=QueryQueueBuilder(NAMES),
        qbs=QuerySchedulerBuilder(NAMES),
    )


def _on(conn: Conn) -> Queries:
    """PgQueuer's statements on the caller's connection, inside its transaction."""
    return _queries(Queries, AsyncpgDriver(cast("asyncpg.Connection[asyncpg.Record]", conn)))


async def enqueue(
    conn: Conn,
    entrypoint: str,
    payloads: Sequence[bytes],
    priorities: Sequence[int],
    delays: Sequence[timedelta] | None = None,
) -> list[int]:
    """Enqueue jobs in the caller's transaction. Returns their ids, in order."""
    entrypoints = [entrypoint] * len(payloads)
    ids = await _on(conn).enqueue(entrypoints, list(payloads), list(priorities), list(delays) if delays else None)
    return [int(number) for number in ids]


async def cancel(conn: Conn, execution_id: int) -> None:
    """Remove an execution's own job, unless a worker has it."""
    await conn.execute(CANCEL, execution_id)


async def hurry(conn: Conn, execution_id: int) -> bool:
    """Make an execution due now that waits for its delay or its next attempt. Whether it did, and no worker has it."""
    return await conn.fetchval(HURRY, execution_id) is not None


async def cancel_all(conn: Conn, execution_ids: Sequence[int]) -> None:
    """Remove the own jobs of these executions, except those that a worker has."""
    await conn.execute(CANCEL_ALL, list(execution_ids))


async def cancel_of_area(conn: Conn, area_id: int) -> None:
    """Remove the own jobs of an AREA's executions, except those that a worker has."""
    await conn.execute(CANCEL_OF_AREA, area_id)


@dataclass(frozen=True, slots=True)
class Depth:
    """Jobs of one entrypoint, or of all: `due` and `later` ones wait. `oldest` is how many seconds the oldest has been
    due.
    """

    due: int = 0
    later: int = 0
    running: int = 0
    oldest: float = 0.0

    @property
    def queued(self) -> int:
        """All jobs that wait."""
        return self.due + self.later

    def __add__(self, other: "Depth") -> "Depth":
        return Depth(
            self.due + other.due,
            self.later + other.later,
            self.running + other.running,
            max(self.oldest, other.oldest),
        )


async def depth(conn: Asked) -> dict[str, Depth]:
    """Waiting and running jobs, by entrypoint."""
    rows = await conn.fetch(DEPTH)
    jobs = {
        row["entrypoint"]: Depth(row["due"], row["queued"] - row["due"], row["running"], max(0.0, row["oldest"]))
        for row in rows
    }
    return {EXECUTE: Depth(), LATER: Depth()} | jobs


async def is_idle(conn: Asked) -> bool:
    """Whether no fresh execution waits or runs."""
    return bool(await conn.fetchval(IDLES))


async def waiting(conn: Asked) -> dict[int, int]:
    """The number of fresh executions per user in the head of the queue and in the workers."""
    return {row["user_id"]: row["n"] for row in await conn.fetch(WAITING)}


async def picks(conn: Asked, job_id: int) -> int:
    """How many times a worker claimed the job: more than once if one died with it."""
    return int(await conn.fetchval(PICKS, job_id))


async def next_in_line(conn: Asked) -> dict[int, list[int]]:
    """The jobs that are claimed next, with the AREAs of each; a very large job has none."""
    return {row["id"]: row["areas"] or [] for row in await conn.fetch(NEXT_IN_LINE)}


async def step_back(conn: Asked, job_ids: Sequence[int], priority: int) -> None:
    """Give waiting jobs another priority."""
    await conn.execute(STEP_BACK, list(job_ids), priority)


async def resume(conn: Asked, user_id: int, service: str, connection: int) -> None:
    """Make executions that wait for this connection due now, if it works. `service` is a name, `connection` is 0 for
    the default.
    """
    await conn.execute(RESUME, user_id, service, connection)


async def resume_all(conn: Asked) -> None:
    """Make executions due now whose connection works."""
    await conn.execute(RESUME_ALL)


async def set_clock_back(conn: Asked, skew: timedelta) -> int:
    """Fix due times that were written while a clock was more than `skew` ahead, keeping the intended wait. Returns how
    many jobs.
    """
    return sum([int((await conn.execute(statement, skew)).rpartition(" ")[2]) for statement in AHEAD])


async def prune(conn: Asked) -> None:
    """Keep PgQueuer's log short."""
    await conn.execute(PRUNE)


def version() -> str:
    """The installed PgQueuer, with its version."""
    return f"PgQueuer {metadata.version('pgqueuer')}"


async def drift(conn: Conn) -> list[str]:
    """What the installed PgQueuer would change in this database's schema: one statement or sentence each; normally
    none.
    """
    try:
        plan = await _on(conn).plan_upgrade()
    except SchemaDriftError as error:
        return [str(error)]
    return [*plan.statements, *plan.notes]


# The worker's side


class Handler(Protocol):
    """Works on the jobs."""

    stopping: bool

    async def room(self) -> None:
        """Return when more jobs may be claimed."""

    def claimed(self, jobs: Sequence[Job]) -> int:
        """These jobs are held from now on. Returns how many executions they have."""

    async def execute(self, job: Job) -> None:
        """Work on a job of `EXECUTE`."""

    async def later(self, job: Job) -> None:
        """Work on a job of `LATER`."""


class Consumer:
    """Claims jobs for one worker, whose database connections are called `name`."""

    def __init__(self, dsn: str, handler: Handler, name: str) -> None:
        self._dsn = dsn
        self._handler = handler
        self._name = name
        self._stopping = False
        self._queue: PgQueuer | None = None

    def stop(self) -> None:
        """Claim no more; `run` returns when the claimed jobs are done."""
        self._stopping = True
        if self._queue is not None:
            self._queue.qm.shutdown.set()

    async def run(self) -> None:
        """Claim jobs until stopped, and start over after the database was away."""
        pause = 0.2
        while not self._stopping:
            pool: asyncpg.Pool | None = None
            try:
                pool = await open_pool(self._dsn, 2, 6, name=self._name)
                driver = _PatientDriver(pool, self._dsn)
                queries = _queries(_CarefulQueries, driver)
                queries.handler = self._handler
                self._queue = PgQueuer(driver, channel=NAMES.channel, queries=queries)
                self._queue.qm.entrypoint(EXECUTE)(self._handler.execute)
                self._queue.qm.entrypoint(LATER)(self._handler.later)
                pause = 0.2
                await self._queue.qm.run(batch_size=BATCH, dequeue_timeout=IDLE, heartbeat_timeout=HEARTBEAT)
            except Exception as error:
                if is_away(error):
                    log.warning("queue.waiting", error=str(error), kind=type(error).__name__)
                elif self._stopping:
                    raise
                else:
                    log.exception("queue.restarted")
            finally:
                if pool is not None:
                    pool.terminate()
            if not self._stopping:
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)


class _CarefulQueries(Queries):
    """Claims jobs only while there is room, since PgQueuer's own limit counts jobs that are done but not flushed, and
    throttles; and while there are many, not too few at once. Removes only jobs that are done.
    """

    handler: Handler
    _asked: float = 0.0
    _claimed: float = 0.0
    _crowded: bool = False

    @override
    async def eligible_queued_work(self, entrypoints: list[QueueEntrypoint]) -> int:
        """How many jobs are due. Called after every empty claim: while there was work lately, PgQueuer may as well look
        again.
        """
        if time.monotonic() - self._claimed < BUSY.total_seconds():
            return 1
        return await super().eligible_queued_work(entrypoints)

    @override
    async def next_deferred_eta(self, entrypoints: list[QueueEntrypoint]) -> timedelta | None:
        """When the next deferred job is due. Called after every job, so the database is only asked now and then."""
        moment = time.monotonic()
        if moment - self._asked < LOOK_AHEAD.total_seconds():
            return LOOK_AHEAD
        self._asked = moment
        return await super().next_deferred_eta(entrypoints)

    @override
    async def dequeue(
        self,
        batch_size: int,
        entrypoints: dict[QueueEntrypoint, EntrypointExecutionParameter],
        queue_manager_id: QueueManagerId,
        global_concurrency_limit: int | None,
        heartbeat_timeout: timedelta,
    ) -> list[Job]:
        """PgQueuer's, once the worker has room; nothing once it stops."""
        await self.handler.room()
        if self._crowded:
            await asyncio.sleep(self._claimed + APART - time.monotonic())
        if self.handler.stopping:
            return []
        jobs = await super().dequeue(
            batch_size, entrypoints, queue_manager_id, global_concurrency_limit, heartbeat_timeout
        )
        self._crowded = self.handler.claimed(jobs) > CROWD
        if jobs:
            self._claimed = time.monotonic()
        return jobs

    @override
    async def log_jobs(self, job_status: list[tuple[Job, JOB_STATUS, TracebackRecord | None]]) -> None:
        """Remove the jobs that succeeded. A job that was interrupted or failed is found again by its heartbeat: its
        executions are not over before the recorder has written them.
        """
        done = [entry for entry in job_status if entry[1] == "successful"]
        if done:
            await super().log_jobs(done)
        for job, status, trace in job_status:
            if status == "exception":
                log.error("queue.job_broke", job=job.id, entrypoint=job.entrypoint, trace=str(trace))


class _PatientDriver(AsyncpgPoolDriver):
    """Waits while the database is away, so that PgQueuer continues where it was: on an error it would wait for every
    running reaction first, and claim nothing meanwhile.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", dsn: str) -> None:
        super().__init__(pool)
        self._dsn = dsn
        self._listening: list[asyncio.Task[None]] = []

    @override
    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        ask = super().fetch
        return await patiently(lambda: ask(query, *args))

    @override
    async def execute(self, query: str, *args: object) -> str:
        ask = super().execute
        return await patiently(lambda: ask(query, *args))

    @override
    async def notify(self, channel: str, payload: str) -> None:
        ask = super().notify
        await patiently(lambda: ask(channel, payload))

    @override
    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        """Listen on a connection that reconnects when it breaks; after that, unheard jobs may be waiting."""

        def heard(_: str, payload: str) -> None:
            callback(payload)

        def missed() -> None:
            event = {
                "channel": channel,
                "operation": "insert",
                "sent_at": now(),
                "table": "",
                "type": "table_changed_event",
            }
            callback(orjson.dumps(event).decode())

        listening = listen(self._dsn, (channel,), heard, listening=missed, lost=missed)
        self._listening.append(asyncio.create_task(listening, name="listen-jobs"))

    @override
    async def __aexit__(self, *_: object) -> None:
        for task in self._listening:
            task.cancel()
        await asyncio.gather(*self._listening, return_exceptions=True)
        self._listening.clear()
