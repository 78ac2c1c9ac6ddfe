"""Estimates how long the events of a user's webhooks will wait, from the backlog and the speed of the workers.

1. Each process counts the executions it accepts and finishes per user (`accepted`, `done`).
2. Four times a second it notifies the others of these counts (`tell`).
3. Every process adds up what it hears (`heard`): the backlog per user, and each worker's speed from its last reports.
4. `pause` tells a sender when to come back if the backlog would take too long; `now` is what `area.engine.pace` needs.

The counts are an estimate. They start with the head of the queue and the workers' jobs, and are reset to zero when a
worker finds the queue empty.
"""

import asyncio
import random
import time
import uuid
from collections import Counter, deque
from typing import Any

import asyncpg
import orjson
import structlog

from area.db import queue
from area.db.notify import Channel, send

log = structlog.get_logger()

EVERY = 0.25  # seconds
REPORTS = 40  # per worker, to measure its speed
RECENT = 10  # reports, whose best is what a worker can do
SILENT = 60.0  # seconds after which a silent worker is forgotten
ASSUMED = 100.0  # executions per second, before the first report of a worker
PRESUMED = 1000.0  # executions per second that a worker may do until its next report, whatever it did before
FEW = 500  # waiting executions that every user may have
BEHIND = 2.0  # seconds of work
NAMED = 250  # users per notification, which holds 8,000 bytes


class Load:
    """One process's counts. `behind`: the backlog is more than `BEHIND` seconds of work."""

    def __init__(self) -> None:
        self._owner = uuid.uuid4().hex[:12]
        self._waiting: Counter[int] = Counter()  # executions by user
        self._accepted: Counter[int] = Counter()  # since the last report
        self._done: Counter[int] = Counter()
        self._told = time.monotonic()
        self._idle = False
        self._unsure = True
        self._reports: dict[str, deque[tuple[float, dict[int, int]]]] = {}
        self._heard: dict[str, float] = {}
        self._best: dict[str, float] = {}  # executions per second of each worker
        self._rates: dict[int, float] = {}  # of users, as of the last report
        self.behind = False

    def accepted(self, user_id: int, number: int) -> None:
        """Executions of a user were accepted."""
        self._accepted[user_id] += number
        self._waiting[user_id] += number

    def done(self, user_id: int) -> None:
        """An execution has finished, or waits with its own job."""
        self._done[user_id] += 1

    def lost(self) -> None:
        """Notifications of other processes may have been lost."""
        self._unsure = True

    def pause(self, user_id: int, longest: float) -> float:
        """Seconds until a user may send more; 0 if now. `longest` is how long events may wait, in seconds."""
        waiting = self._waiting.get(user_id, 0)
        if waiting <= FEW:
            return 0.0
        excess = waiting / self.rate(user_id) - longest
        return max(1.0, excess) + random.uniform(0, longest / 3) if excess > 0 else 0.0  # noqa: S311 - spreads load

    def waiting(self, user_id: int) -> int:
        """Executions of a user that waited at the last report, and all that were accepted since."""
        return self._waiting.get(user_id, 0)

    def now(self, user_id: int) -> tuple[float, float]:
        """Executions of a user that wait now, assuming that workers went on as before since their last reports; and how
        many per second the workers can do for this user.
        """
        moment = time.monotonic()
        speed = done = 0.0
        for worker, best in self._best.items():
            speed += best
            done += best * min(1.0, moment - self._heard[worker])
        waiting, total = self._waiting.get(user_id, 0), self._waiting.total()
        share = waiting / total if total else 1.0
        return max(0.0, waiting - done * share), speed * share

    def rate(self, user_id: int) -> float:
        """Executions per second for a user: the measured rate, or an equal share of the total if that is more."""
        rate = self._rates.get(user_id)
        if rate is None:
            rate = self._rates[user_id] = self._rate(user_id)
        return rate

    def _rate(self, user_id: int) -> float:
        if not self._reports:
            return ASSUMED
        mine = sum(
            sum(done.get(user_id, 0) for _, done in reports) / sum(seconds for seconds, _ in reports)
            for reports in self._reports.values()
        )
        users = sum(1 for number in self._waiting.values() if number > 0)
        return max(mine, self._total() / max(1, users), 1.0)

    def _total(self) -> float:
        """Executions per second for all users."""
        return sum(
            sum(sum(done.values()) for _, done in reports) / sum(seconds for seconds, _ in reports)
            for reports in self._reports.values()
        )

    def heard(self, payload: str) -> None:
        """Count a report of any process, including this one."""
        report = orjson.loads(payload)
        if report["from"] != self._owner:  # this process's own are counted already
            self._waiting.update({int(user_id): number for user_id, number in report["accepted"].items()})
        done = {int(user_id): number for user_id, number in report["done"].items()}
        if report["worker"]:
            moment = time.monotonic()
            reports = self._reports.setdefault(report["from"], deque(maxlen=REPORTS))
            reports.append((report["seconds"], done))
            self._heard[report["from"]] = moment
            self._best[report["from"]] = max(
                PRESUMED, *(sum(counts.values()) / seconds for seconds, counts in list(reports)[-RECENT:])
            )
            for worker in [name for name, at in self._heard.items() if at < moment - SILENT]:
                del self._heard[worker], self._reports[worker], self._best[worker]
        for user_id, number in done.items():
            self._waiting[user_id] -= number
        if report["idle"]:
            self._waiting.clear()
        else:
            self._waiting = +self._waiting  # drop negative counts
        self._rates.clear()
        self.behind = self._waiting.total() > BEHIND * (self._total() or ASSUMED)

    async def share(self, pool: "asyncpg.Pool[asyncpg.Record]", *, worker: bool) -> None:
        """Notify the other processes every second, forever."""
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.tell(pool, worker=worker)
            except Exception as error:  # noqa: BLE001 - the next report includes it
                log.warning("load.not_told", error=str(error), kind=type(error).__name__)

    async def tell(self, pool: "asyncpg.Pool[asyncpg.Record]", *, worker: bool) -> None:
        """Notify the other processes once. An idle worker reports that once."""
        if self._unsure:
            self._waiting = Counter(await queue.waiting(pool))
            self._unsure = False
        if not self._accepted and not self._done and (self._idle or not worker):
            self._told = time.monotonic()
            return
        self._idle = worker and not self._done and await queue.is_idle(pool)
        accepted, done = dict(self._accepted.most_common(NAMED)), dict(self._done.most_common(NAMED))
        moment = time.monotonic()
        report: dict[str, Any] = {
            "from": self._owner,
            "worker": worker,
            "idle": self._idle,
            "seconds": round(moment - self._told, 3),
            "accepted": {str(user_id): number for user_id, number in accepted.items()},
            "done": {str(user_id): number for user_id, number in done.items()},
        }
        await send(pool, Channel.LOAD, orjson.dumps(report).decode())
        self._told = moment
        self._accepted = +(self._accepted - Counter(accepted))
        self._done = +(self._done - Counter(done))
