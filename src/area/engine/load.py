"""How long what a user's webhooks bring will wait: what is accepted and not done, and how fast it is done.

Each process says once a second what it accepted and did, by NOTIFY, and counts what the others say. What it counts is an estimate:
it begins with what the head of the queue and the workers hold, and with nothing whenever a worker finds the queue empty.
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

EVERY = 1.0  # seconds
REPORTS = 10  # of each worker that its speed is told from
SILENT = 60.0  # seconds after which a worker that says nothing is forgotten, if others say something
ASSUMED = 100.0  # executions a second, before anything was heard of a worker
FEW = 500  # waiting executions that any user may have
BEHIND = 2.0  # seconds of work that wait
NAMED = 250  # users in one notification, which holds 8,000 bytes


class Load:
    """One process's count. `behind`: workers have more than `BEHIND` seconds of work before them."""

    def __init__(self) -> None:
        self._owner = uuid.uuid4().hex[:12]
        self._waiting: Counter[int] = Counter()  # executions by user
        self._accepted: Counter[int] = Counter()  # since it was told
        self._done: Counter[int] = Counter()
        self._told = time.monotonic()
        self._idle = False
        self._unsure = True
        self._reports: dict[str, deque[tuple[float, dict[int, int]]]] = {}
        self._heard: dict[str, float] = {}
        self.behind = False

    def accepted(self, user_id: int, number: int) -> None:
        """Executions were accepted."""
        self._accepted[user_id] += number
        self._waiting[user_id] += number

    def done(self, user_id: int) -> None:
        """An execution is over, or waits with a job of its own."""
        self._done[user_id] += 1

    def lost(self) -> None:
        """Some of what others said may not have been heard."""
        self._unsure = True

    def pause(self, user_id: int, longest: float) -> float:
        """Seconds after which a user may send more; 0: at once. `longest` is how long what is sent may wait."""
        waiting = self._waiting.get(user_id, 0)
        if waiting <= FEW:
            return 0.0
        excess = waiting / self.rate(user_id) - longest
        return max(1.0, excess) + random.uniform(0, longest / 3) if excess > 0 else 0.0  # noqa: S311 - spreads load

    def rate(self, user_id: int) -> float:
        """Executions a second that are done for a user: what was, or an even share of all if that is more."""
        if not self._reports:
            return ASSUMED
        mine = sum(
            sum(done.get(user_id, 0) for _, done in reports) / sum(seconds for seconds, _ in reports)
            for reports in self._reports.values()
        )
        users = sum(1 for number in self._waiting.values() if number > 0)
        return max(mine, self._total() / max(1, users), 1.0)

    def _total(self) -> float:
        """Executions a second that are done for all."""
        return sum(
            sum(sum(done.values()) for _, done in reports) / sum(seconds for seconds, _ in reports)
            for reports in self._reports.values()
        )

    def heard(self, payload: str) -> None:
        """What a process said, this one too."""
        said = orjson.loads(payload)
        if said["from"] != self._owner:  # what this process accepted is counted already
            self._waiting.update({int(user_id): number for user_id, number in said["accepted"].items()})
        done = {int(user_id): number for user_id, number in said["done"].items()}
        if said["worker"]:
            moment = time.monotonic()
            reports = self._reports.setdefault(said["from"], deque(maxlen=REPORTS))
            reports.append((said["seconds"], done))
            self._heard[said["from"]] = moment
            for worker in [one for one, at in self._heard.items() if at < moment - SILENT]:
                del self._heard[worker], self._reports[worker]
        for user_id, number in done.items():
            self._waiting[user_id] -= number
        if said["idle"]:
            self._waiting.clear()
        else:
            self._waiting = +self._waiting  # what was counted done and not accepted is not a debt
        self.behind = self._waiting.total() > BEHIND * (self._total() or ASSUMED)

    async def share(self, pool: "asyncpg.Pool[asyncpg.Record]", *, worker: bool) -> None:
        """Tell the others, for ever."""
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.tell(pool, worker=worker)
            except Exception as error:  # noqa: BLE001 - it is told the next time
                log.warning("load.not_told", error=str(error), kind=type(error).__name__)

    async def tell(self, pool: "asyncpg.Pool[asyncpg.Record]", *, worker: bool) -> None:
        """Once. A worker with nothing to do says so once."""
        if self._unsure:
            self._waiting = Counter(await queue.waiting(pool))
            self._unsure = False
        if not self._accepted and not self._done and (self._idle or not worker):
            self._told = time.monotonic()
            return
        self._idle = worker and not self._done and await queue.is_idle(pool)
        accepted, done = dict(self._accepted.most_common(NAMED)), dict(self._done.most_common(NAMED))
        moment = time.monotonic()
        said: dict[str, Any] = {
            "from": self._owner,
            "worker": worker,
            "idle": self._idle,
            "seconds": round(moment - self._told, 3),
            "accepted": {str(user_id): number for user_id, number in accepted.items()},
            "done": {str(user_id): number for user_id, number in done.items()},
        }
        await send(pool, Channel.LOAD, orjson.dumps(said).decode())
        self._told = moment
        self._accepted = +(self._accepted - Counter(accepted))
        self._done = +(self._done - Counter(done))
