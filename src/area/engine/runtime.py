"""Starts and stops the engine: the job queue, the sources, the recorder, the watch, and the ear on PostgreSQL's word."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import orjson
import structlog
from pgqueuer import PgQueuer, Queries
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.models import Job, TracebackRecord
from pgqueuer.ports.driver import NotifyCallback
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.types import JOB_STATUS, QueueEntrypoint, QueueManagerId
from typing_extensions import override

from area.connections.vault import Ref
from area.db.away import is_away, patiently
from area.db.notify import Channel, listen
from area.db.session import WORKER, open_pool
from area.engine.cache import Cache
from area.engine.delivery import Delivery, Say, as_written
from area.engine.executor import HEARTBEAT, Executor
from area.engine.intake import EXECUTE, LATER
from area.engine.recorder import Recorder
from area.engine.sources import Sources
from area.engine.state import State
from area.engine.watch import Watch
from area.kit.clock import now

log = structlog.get_logger()

GRACE = 6.0  # seconds that running executions get to finish; with what follows, under 10
BATCH = 10
LOOK_AHEAD = timedelta(milliseconds=250)  # between looks for deferred jobs while others come and go
IDLE = timedelta(seconds=5)  # at most, between looks into the queue without a notification
PRUNE_EVERY = 60.0  # seconds
PRUNE = "delete from pgqueuer_log where id in (select id from pgqueuer_log where created < now() - interval '1 hour' and aggregated limit 20000)"
CHANNELS = (
    Channel.AREA_CHANGED,
    Channel.CATALOG_CHANGED,
    Channel.CONNECTION_CHANGED,
    Channel.SOURCES_CHANGED,
    Channel.EXECUTION_CANCELLED,
    Channel.MAIL_QUEUED,
)
RESUME = """
update pgqueuer p set execute_after = now() from execution_jobs j
join area_executions e on e.id = j.execution_id join areas a on a.id = e.area_id
join components c on c.id = a.component_reaction_id join services s on s.id = c.service_id
left join area_connections ac on ac.area_id = a.id and ac.kind = 'reaction'
where p.id = j.job_id and p.status = 'queued' and j.reason in ('connection', 'parked') and a.user_id = $1 and s.name = $2
  and coalesce(ac.connection_id, 0) = $3
  and not exists (select from connection_states cs where cs.user_id = $1 and cs.service_id = s.id and cs.connection_id = $3
                  and (cs.status <> 'works' or cs.parked_until > now()))
"""


class CarefulQueries(Queries):
    """Claims jobs only while there is room, for PgQueuer's own limit counts jobs whose end is not yet flushed, and throttles;
    removes none but those that are done.
    """

    executor: Executor
    _asked: float = 0.0

    @override
    async def next_deferred_eta(self, entrypoints: list[QueueEntrypoint]) -> timedelta | None:
        """When the next deferred job is due; asked of the database only now and then, for it is asked after every job."""
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
        """As PgQueuer's, once the worker has room; nothing more once it stops."""
        await self.executor.room()
        if self.executor.stopping:
            return []
        jobs = await super().dequeue(
            batch_size, entrypoints, queue_manager_id, global_concurrency_limit, heartbeat_timeout
        )
        self.executor.claimed(jobs)
        return jobs

    @override
    async def log_jobs(self, job_status: list[tuple[Job, JOB_STATUS, TracebackRecord | None]]) -> None:
        """Remove what succeeded. A job that was cut off while the worker stops, or broke, is found again by its heartbeat:
        its executions are not over before the recorder has written so.
        """
        done = [one for one in job_status if one[1] == "successful"]
        if done:
            await super().log_jobs(done)
        for job, status, trace in job_status:
            if status == "exception":
                log.error("queue.job_broke", job=job.id, entrypoint=job.entrypoint, trace=str(trace))


class PatientDriver(AsyncpgPoolDriver):
    """Waits while the database is away, so that PgQueuer goes on where it was: on an error it would first wait for every
    reaction that runs, and claim nothing meanwhile.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", dsn: str) -> None:
        super().__init__(pool)
        self._dsn = dsn
        self._ears: list[asyncio.Task[None]] = []

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
        """Hear the channel, on a connection that is made anew when it breaks; then there may be jobs that were not heard of."""

        def heard(_: str, payload: str) -> None:
            callback(payload)

        def lost() -> None:
            event = {
                "channel": channel,
                "operation": "insert",
                "sent_at": now(),
                "table": "",
                "type": "table_changed_event",
            }
            callback(orjson.dumps(event).decode())

        self._ears.append(
            asyncio.create_task(listen(self._dsn, (channel,), heard, listening=lost, lost=lost), name="listen-jobs")
        )

    @override
    async def __aexit__(self, *_: object) -> None:
        for task in self._ears:
            task.cancel()
        await asyncio.gather(*self._ears, return_exceptions=True)
        self._ears.clear()


def _name() -> str:
    """What the database calls this worker's connections; PostgreSQL keeps 63 bytes of it."""
    return f"{WORKER}{socket.gethostname().encode()[:40].decode(errors='ignore')} {os.getpid()}"


class Worker:
    """One worker: claims jobs, looks at sources, records. `say` puts what it mails into a user's language."""

    def __init__(self, state: State, say: Say = as_written) -> None:
        self.state = state
        self.cache = Cache(state)
        self.recorder = Recorder(state)
        self.executor = Executor(state, self.cache, self.recorder)
        self.sources = Sources(state, self.cache)
        self.watch = Watch(state, self.sources)
        self.delivery = Delivery(state, say)
        self._queue: PgQueuer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._chores: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then finish or hand back what runs, within 10 s."""
        self.recorder.start()
        self._tasks = [
            asyncio.create_task(
                listen(self.state.database.dsn, CHANNELS, self._heard, listening=self._lost, lost=self._lost),
                name="listen",
            ),
            asyncio.create_task(self._claim(), name="claim"),
            asyncio.create_task(self.sources.run(), name="sources"),
            asyncio.create_task(self.watch.run(), name="watch"),
            asyncio.create_task(self.delivery.run(), name="delivery"),
            asyncio.create_task(self.executor.show_running(), name="show-running"),
            asyncio.create_task(self.executor.make_room(), name="make-room"),
            asyncio.create_task(self._prune(), name="prune"),
            asyncio.create_task(self._tell(), name="load"),
        ]
        log.info("worker.started", owner=self.sources.owner)
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([stopped, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopped}:
            log.error("worker.task_ended", task=task.get_name(), error=repr(task.exception()))
        await self._stop()
        for task in done - {stopped}:
            task.result()

    async def _stop(self) -> None:
        log.info("worker.stopping", held=self.executor.held)
        self._stopping.set()
        claim, looking = (next(one for one in self._tasks if one.get_name() == name) for name in ("claim", "sources"))
        if self._queue is not None:
            self._queue.qm.shutdown.set()
        stopping_sources = asyncio.create_task(self._stop_sources(looking))
        await self.executor.stop(GRACE)
        # from here on nothing is waited for that a database could keep waiting which does not answer
        await asyncio.wait([claim, stopping_sources], timeout=0.5)
        await self.cache.tokens.finish(1)
        await self.recorder.stop()
        everything = {*self._tasks, *self._chores, stopping_sources}
        for _ in range(3):  # the queue waits for its jobs when it is cancelled, and only then ends them
            for task in everything:
                task.cancel()
            _, everything = await asyncio.wait(everything, timeout=0.3)
            if not everything:
                break
        log.info("worker.stopped")

    async def _stop_sources(self, looking: asyncio.Task[None]) -> None:
        looking.cancel()
        await asyncio.wait([looking])
        await self.sources.stop()

    async def _claim(self) -> None:
        """Run the queue, and run it anew when the database was away."""
        pause = 0.2
        while not self._stopping.is_set():
            pool: asyncpg.Pool | None = None
            try:
                pool = await open_pool(self.state.database.dsn, 2, 6, name=_name())
                driver = PatientDriver(pool, self.state.database.dsn)
                queries = CarefulQueries(driver)
                queries.executor = self.executor
                self._queue = PgQueuer(driver, queries=queries)
                self._queue.qm.entrypoint(EXECUTE)(self.executor.execute)
                self._queue.qm.entrypoint(LATER)(self.executor.later)
                pause = 0.2
                await self._queue.qm.run(
                    batch_size=BATCH,
                    dequeue_timeout=IDLE,
                    heartbeat_timeout=HEARTBEAT,
                )
            except Exception as error:
                if is_away(error):
                    log.warning("queue.waiting", error=str(error), kind=type(error).__name__)
                elif self._stopping.is_set():
                    raise
                else:
                    log.exception("queue.restarted")
            finally:
                if pool is not None:
                    pool.terminate()
            if not self._stopping.is_set():
                await asyncio.sleep(pause)
                pause = min(pause * 2, 3)

    async def _tell(self) -> None:
        """Say how much is done, so that the web processes know how long what they accept will wait."""
        await self.state.load.share(await patiently(self.state.database.pool), worker=True)

    async def _prune(self) -> None:
        """Keep PgQueuer's log of what it did short."""
        while True:
            await asyncio.sleep(PRUNE_EVERY)
            try:
                pool = await self.state.database.pool()
                await pool.execute(PRUNE)
            except Exception as error:  # noqa: BLE001 - it is pruned the next time
                log.warning("prune.failed", error=str(error))

    def _heard(self, channel: str, payload: str) -> None:
        match channel:
            case Channel.EXECUTION_CANCELLED:
                self.executor.cancel(int(payload))
            case Channel.SOURCES_CHANGED:
                self.sources.wake()
            case Channel.MAIL_QUEUED:
                self.delivery.wake()
            case _:
                self.cache.forget(channel, payload)
                if channel == Channel.CONNECTION_CHANGED:
                    self._chore(self._reconnected(payload))
                if channel == Channel.CATALOG_CHANGED:
                    self._chore(self.sources.revive())

    async def _reconnected(self, payload: str) -> None:
        ref = Ref.read(payload)
        service = self.state.registry.services[ref.slug].name
        pool = await self.state.database.pool()
        await patiently(lambda: pool.execute(RESUME, ref.user_id, service, ref.number))
        await patiently(lambda: self.sources.reconnect(ref))

    def _chore(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._patient(work))
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _patient(self, work: Coroutine[Any, Any, None]) -> None:
        """What a notification asks for; while the database is away it is left to the watch, which looks at the same things."""
        try:
            await work
        except Exception as error:
            if is_away(error):
                log.warning("chore.failed", error=str(error))
            else:
                log.exception("chore.failed")

    def _lost(self) -> None:
        self.cache.forget_all()
        self.sources.wake()
        self.delivery.wake()
        self._chore(patiently(self.watch.catch_up))


@asynccontextmanager
async def worker(state: State) -> AsyncIterator[Worker]:
    """A running worker, for tests: started, and stopped gracefully at the end."""
    stop = asyncio.Event()
    one = Worker(state)
    task = asyncio.create_task(one.run(stop))
    try:
        yield one
    finally:
        stop.set()
        await task
