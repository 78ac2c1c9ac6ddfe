"""Senders that wait for what their run leads to.

1. A sender waits (`Results.answer`) once its event is committed, without a database connection.
2. `RUN_ANSWERED` tells of a run's answer, `EXECUTIONS_CHANGED` of all that ended. One statement then looks at the runs
   concerned, together, and at each run once when its sender begins to wait: what happened before isn't told again.
3. The sender gets the run's answer; else, when all of the run has ended, the result of its last execution.
4. After `LONGEST` seconds, or when the process stops, it gets 202 and the run's address.
"""

import asyncio
import contextlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson
import structlog

from area.db.away import is_away
from area.db.notify import Channel, listen
from area.engine.state import State
from area.hooks.answers import Answer, Receive, problem, replied
from area.kit.sentences import Sentence
from area.sdk import Reply

log = structlog.get_logger()

LONGEST = 25.0  # seconds; proxies and senders give up after 30
MOST_WAITING = 100  # senders of a user, in a process
APART = 0.01  # seconds between two looks
AGAIN = 0.5  # seconds after a look that failed
CHANNELS = (Channel.RUN_ANSWERED, Channel.EXECUTIONS_CHANGED)

LOOK = """
select r.root, a.reply, e.status, e.execution_result, m.failed, m.open
from unnest($1::bigint[]) as r(root)
left join run_answers a on a.root = r.root
cross join lateral (
    select max(x.id) as last, coalesce(bool_or(x.status = 'failed'), false) as failed,
           coalesce(bool_or(x.status in ('pending', 'running')), false) as open
    from (
        select id, status from area_executions where id = r.root
        union all
        select n.id, n.status from execution_links l join area_executions n on n.id = l.execution_id
        where l.root = r.root) x) m
left join area_executions e on e.id = m.last
"""


@dataclass(frozen=True, slots=True)
class Run:
    """A run whose result a sender waits for. `known`: an earlier request with the same delivery ID started it."""

    root: int
    user_id: int
    known: bool


@dataclass(eq=False, slots=True)
class Waiter:
    """A sender that waits."""

    run: Run
    answer: "asyncio.Future[Answer]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Results:
    """Who waits in this process, and for which runs."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._waiting: dict[int, set[Waiter]] = defaultdict(set)  # by run
        self._of: Counter[int] = Counter()  # by user
        self._due: set[int] = set()  # runs to look at
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._listening = self._closed = False

    async def answer(self, run: Run, receive: Receive) -> Answer:
        """Wait for the run's answer, as long as the sender does."""
        if self._closed or self._of[run.user_id] >= MOST_WAITING:
            return self._late(run)
        waiter = Waiter(run)
        self._add(waiter)
        gone = asyncio.ensure_future(receive())  # the body has been read: what follows is that the sender has left
        try:
            await asyncio.wait((waiter.answer, gone), timeout=LONGEST, return_when=asyncio.FIRST_COMPLETED)
            return waiter.answer.result() if waiter.answer.done() else self._late(run)
        finally:
            gone.cancel()
            self._remove(waiter)

    async def close(self) -> None:
        """Answer all that wait, because the server stops."""
        self._closed = True
        for waiter in [waiter for waiting in self._waiting.values() for waiter in waiting]:
            _settle(waiter, self._late(waiter.run))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _add(self, waiter: Waiter) -> None:
        self._waiting[waiter.run.root].add(waiter)
        self._of[waiter.run.user_id] += 1
        if not self._tasks:
            dsn = self._state.database.dsn
            hearing = listen(dsn, CHANNELS, self._heard, listening=self._begun, lost=self._lost)
            self._tasks = [
                asyncio.create_task(hearing, name="results"),
                asyncio.create_task(self._look_often(), name="looks at results"),
            ]
        if self._listening:  # otherwise once it does: a look before it could miss the end
            self._look_at([waiter.run.root])

    def _remove(self, waiter: Waiter) -> None:
        root, user_id = waiter.run.root, waiter.run.user_id
        self._waiting[root].discard(waiter)
        if not self._waiting[root]:
            del self._waiting[root]
        self._of[user_id] -= 1
        if not self._of[user_id]:
            del self._of[user_id]

    def _begun(self) -> None:
        self._listening = True
        self._look_at([*self._waiting])

    def _lost(self) -> None:
        self._listening = False

    def _heard(self, channel: str, payload: str) -> None:
        if not self._waiting:
            return
        if channel == Channel.RUN_ANSWERED:
            self._look_at([int(payload)])
            return
        users = {int(user_id) for user_id in orjson.loads(payload)["users"]}
        self._look_at(
            [root for root, waiting in self._waiting.items() if any(waiter.run.user_id in users for waiter in waiting)]
        )

    def _look_at(self, roots: list[int]) -> None:
        self._due.update(root for root in roots if root in self._waiting)
        if self._due:
            self._wake.set()

    async def _look_often(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            roots, self._due = self._due, set()
            try:
                pool = await self._state.database.pool()
                rows = await pool.fetch(LOOK, sorted(roots))
            except Exception as error:  # this loop must not end: every sender would wait in vain
                if is_away(error):
                    log.warning("results.unavailable", error=str(error), kind=type(error).__name__)
                else:
                    log.exception("results.bug")
                await asyncio.sleep(AGAIN)
                self._look_at([*roots])
                continue
            for row in rows:
                for waiter in self._waiting.get(row["root"], ()):
                    answer = _answer(waiter.run, row)
                    if answer is not None:
                        _settle(waiter, answer)
            await asyncio.sleep(APART)

    def _late(self, run: Run) -> Answer:
        address = f"{self._state.settings.base_url}/runs/{run.root}"
        told = {"execution_id": run.root, "duplicate": run.known, "run": address}
        return 202, orjson.dumps(told), [(b"location", address.encode())]


def _settle(waiter: Waiter, answer: Answer) -> None:
    if not waiter.answer.done():
        waiter.answer.set_result(answer)


def _answer(run: Run, row: asyncpg.Record) -> Answer | None:
    """What a run answers so far; None if nothing yet."""
    if row["reply"] is not None:
        return replied(Reply(**orjson.loads(row["reply"])))
    if row["open"]:
        return None
    if row["status"] is None:
        return problem(500, Sentence("The run was deleted before it ended."))
    if row["failed"]:
        return problem(500, Sentence("Run %(number)s failed. Its page says why.", number=run.root))
    result: Any = None
    with contextlib.suppress(orjson.JSONDecodeError):
        result = orjson.loads(row["execution_result"] or "null")
    told = {"execution_id": run.root, "duplicate": run.known, "status": row["status"], "result": result}
    return 200, orjson.dumps(told), []
