"""Starts and stops a worker: the queue, the sources, the recorder, the watch, the mails, the clean-up at vendors, and
the listener for notifications.

A worker stops in this order, within 10 seconds:

1. Claim no more jobs, and end looks and listeners.
2. Let running executions finish for `GRACE` seconds, then hand the rest back.
3. Finish token refreshes and the recorder's last batch.
4. Cancel everything that is left.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

from area.connections.vault import Ref
from area.db import queue
from area.db.away import is_away, patiently
from area.db.notify import Channel, listen
from area.db.session import WORKER
from area.engine.cache import Cache
from area.engine.cleanups import Cleanups
from area.engine.delivery import Delivery
from area.engine.execution.executor import Executor
from area.engine.execution.recorder import Recorder
from area.engine.sources import Sources
from area.engine.state import State
from area.engine.watch import Watch

log = structlog.get_logger()

GRACE = 6.0  # seconds that running executions get to finish; with what follows, under 10
PRUNE_EVERY = 60.0  # seconds
CHANNELS = (
    Channel.AREA_CHANGED,
    Channel.CATALOG_CHANGED,
    Channel.CLEANUP_QUEUED,
    Channel.CONNECTION_CHANGED,
    Channel.SOURCES_CHANGED,
    Channel.EXECUTION_CANCELLED,
    Channel.LOAD,
    Channel.MAIL_QUEUED,
)


def _name() -> str:
    """The name of this worker's database connections. PostgreSQL keeps 63 bytes of it."""
    return f"{WORKER}{socket.gethostname().encode()[:40].decode(errors='ignore')} {os.getpid()}"


class Worker:
    """One worker: claims jobs, looks at sources, records outcomes, sends mails."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.cache = Cache(state)
        self.recorder = Recorder(state)
        self.executor = Executor(state, self.cache, self.recorder)
        self.sources = Sources(state, self.cache)
        self.watch = Watch(state, self.sources)
        self.delivery = Delivery(state)
        self.cleanups = Cleanups(state, self.cache)
        self._consumer = queue.Consumer(state.database.dsn, self.executor, _name())
        self._tasks: list[asyncio.Task[None]] = []
        self._chores: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then finish or hand back what runs, within 10 s."""
        self.recorder.start()
        self._tasks = [
            asyncio.create_task(
                listen(self.state.database.dsn, CHANNELS, self._heard, listening=self._lost, lost=self._lost),
                name="listen",
            ),
            asyncio.create_task(self._consumer.run(), name="claim"),
            asyncio.create_task(self.sources.run(), name="sources"),
            asyncio.create_task(self.watch.run(), name="watch"),
            asyncio.create_task(self.delivery.run(), name="delivery"),
            asyncio.create_task(self.cleanups.run(), name="cleanups"),
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
        claim, looking = (
            next(task for task in self._tasks if task.get_name() == name) for name in ("claim", "sources")
        )
        self._consumer.stop()
        stopping_sources = asyncio.create_task(self._stop_sources(looking))
        await self.executor.stop(GRACE)
        # from here on, wait for nothing that a database that doesn't answer could block
        await asyncio.wait([claim, stopping_sources], timeout=0.5)
        await self.cache.tokens.finish(1)
        await self.recorder.stop()
        everything = {*self._tasks, *self._chores, stopping_sources}
        for _ in range(3):  # the first cancellation makes the queue wait for its jobs, the second ends them
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

    async def _tell(self) -> None:
        """Report what is done, so that web processes know how long what they accept will wait."""
        await self.state.load.share(await patiently(self.state.database.pool), worker=True)

    async def _prune(self) -> None:
        """Keep PgQueuer's log short."""
        while True:
            await asyncio.sleep(PRUNE_EVERY)
            try:
                pool = await self.state.database.pool()
                await queue.prune(pool)
            except Exception as error:  # noqa: BLE001 - the next round prunes
                log.warning("prune.failed", error=str(error))

    def _heard(self, channel: str, payload: str) -> None:
        match channel:
            case Channel.EXECUTION_CANCELLED:
                self.executor.cancel(int(payload))
            case Channel.SOURCES_CHANGED:
                self.sources.wake()
            case Channel.MAIL_QUEUED:
                self.delivery.wake()
            case Channel.CLEANUP_QUEUED:
                self.cleanups.wake()
            case Channel.LOAD:
                self.state.load.heard(payload)
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
        await patiently(lambda: queue.resume(pool, ref.user_id, service, ref.number))
        await patiently(lambda: self.sources.reconnect(ref))

    def _chore(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._patient(work))
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _patient(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what a notification asks for. While the database is away that is left to the watch, which checks
        the same.
        """
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
        self.cleanups.wake()
        self.state.load.lost()
        self._chore(patiently(self.watch.catch_up))


@asynccontextmanager
async def worker(state: State) -> AsyncIterator[Worker]:
    """A running worker, for tests: started, and stopped gracefully at the end."""
    stop = asyncio.Event()
    running = Worker(state)
    task = asyncio.create_task(running.run(stop))
    try:
        yield running
    finally:
        stop.set()
        await task
