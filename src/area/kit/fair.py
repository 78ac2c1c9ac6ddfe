"""A fair share, per user, of a process's scarce resources: threads, decoders, the database's time.

Code deep down doesn't know whom it works for, so the edge sets it once: `working_for("user 7")` around a request, a
look at a source, an execution. It is a context variable, which tasks started inside inherit. Without it, work counts as
`NOBODY`'s.
"""

import asyncio
import os
import sys
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Literal, ParamSpec, TypeVar

from area.kit.problems import TooMany

NOBODY = "nobody"

_whose: ContextVar[str] = ContextVar("whose", default=NOBODY)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _nobody_counts(_pool: str, _what: Literal["waiting", "refused"], _more: int) -> None:
    """The default of `observe`."""


observe: Callable[[str, Literal["waiting", "refused"], int], None] = (
    _nobody_counts  # called with a pool's name, and how many more are waiting or were refused
)


def whose() -> str:
    """The key of the user or visitor that the current work is for."""
    return _whose.get()


def set_whose(key: str) -> None:
    """Set the key until the end of the enclosing `working_for`: a request's address gives way to its user."""
    _whose.set(key)


@contextmanager
def working_for(key: str) -> Iterator[None]:
    """Set whom the work inside is for: `user 7`, or `address 192.0.2.1` for a visitor."""
    token = _whose.set(key)
    try:
        yield
    finally:
        _whose.reset(token)


def user(user_id: int | None) -> str:
    """The key of a user; nobody's for None."""
    return NOBODY if user_id is None else f"user {user_id}"


class Full(TooMany):
    """Too much is waiting for a slot, or no slot became free in time."""


class Fair:
    """`slots` for work; one key (see `whose`) has at most `per_key` at a time.

    Work without a slot waits, and free slots go to the waiting keys in turn. At most `waiting` wait, and
    `waiting_per_key` of one key, each for at most `patience` seconds. When the queue is full, the newest of the key
    with the most in it gives way to a key with less, so that nobody is rejected because of another's queue.

    `name` is the name in metrics, `full` the message of `Full`. `nice` lowers the threads' priority (Linux). A pool
    serves one event loop.
    """

    def __init__(
        self,
        name: str,
        full: str,
        *,
        slots: int,
        per_key: int,
        waiting: int = 256,
        waiting_per_key: int = 32,
        patience: float | None = None,
        nice: int = 0,
    ) -> None:
        self._name = name
        self._slots, self._per_key = slots, per_key
        self._most, self._most_per_key = waiting, waiting_per_key
        self._patience = patience
        self._full = full
        self._admitted: Counter[str] = Counter()
        self._busy: Counter[str] = Counter()
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}  # of waiting keys, the next to serve first
        self._threads = ThreadPoolExecutor(slots, f"area-{name}", _be_nice, (nice,))

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a slot. Raises `Full`."""
        key = whose()
        await self._acquire(key)
        try:
            yield
        finally:
            self._release(key)

    async def run(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Call `function` in a thread of the pool. Raises `Full`, or what it raises.

        A thread can't be stopped: if this is cancelled, the slot is held until the function returns.
        """
        key = whose()
        await self._acquire(key)
        try:
            call = asyncio.wrap_future(self._threads.submit(function, *args, **kwargs))
        except BaseException:
            self._release(key)
            raise

        def ended(call: asyncio.Future[Result]) -> None:
            self._release(key)
            if not call.cancelled():
                call.exception()  # retrieve it, since the cancelled caller won't

        call.add_done_callback(ended)
        return await asyncio.shield(call)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Bound the work on its way to a slot, if it costs something before it asks for one. Raises `Full`.

        Admits as much as may hold or wait for a slot; beyond that, only a key that has less than another.
        """
        key = whose()
        own = self._admitted[key]
        fits = self._admitted.total() < self._slots + self._most
        if own >= self._per_key + self._most_per_key or not (fits or own + 1 < max(self._admitted.values())):
            raise self._refusal()
        self._admitted[key] += 1
        try:
            yield
        finally:
            self._admitted[key] -= 1
            if not self._admitted[key]:
                del self._admitted[key]

    async def _acquire(self, key: str) -> None:
        if self._has_room(key):
            self._busy[key] += 1
            return
        slot = self._enqueue(key)
        try:
            async with asyncio.timeout(self._patience):
                await slot
        except BaseException as error:
            if slot.done() and not slot.cancelled() and slot.exception() is None:
                self._release(key)  # it was given just as the wait was cancelled
            else:
                self._leave(key, slot)
            if isinstance(error, TimeoutError):
                observe(self._name, "refused", 1)
                raise Full(self._full, retry_after=5) from None
            raise

    def _has_room(self, key: str) -> bool:
        return self._busy.total() < self._slots and self._busy[key] < self._per_key

    def _enqueue(self, key: str) -> asyncio.Future[None]:
        longest = self._giving_way(key)
        if longest is not None:
            longest[-1].set_exception(self._refusal())
            longest.pop()
            observe(self._name, "waiting", -1)
        slot = asyncio.get_running_loop().create_future()
        self._queues.setdefault(key, deque()).append(slot)
        observe(self._name, "waiting", 1)
        return slot

    def _giving_way(self, key: str) -> deque[asyncio.Future[None]] | None:
        """The queue that gives way to one more of `key`; None while there is room. Raises `Full`."""
        own = len(self._queues.get(key, ()))
        if own >= self._most_per_key:
            raise self._refusal()
        if sum(map(len, self._queues.values())) < self._most:
            return None
        longest = max(self._queues.values(), key=len, default=None)
        if longest is None or len(longest) <= own + 1:
            raise self._refusal()
        return longest

    def _refusal(self) -> Full:
        observe(self._name, "refused", 1)
        return Full(self._full, retry_after=5)

    def _leave(self, key: str, slot: asyncio.Future[None]) -> None:
        queue = self._queues.get(key)
        if queue and slot in queue:
            queue.remove(slot)
            observe(self._name, "waiting", -1)
            if not queue:
                del self._queues[key]

    def _release(self, key: str) -> None:
        self._busy[key] -= 1
        if not self._busy[key]:
            del self._busy[key]
        while served := next((key for key in self._queues if self._has_room(key)), None):
            queue = self._queues.pop(served)
            slot = queue.popleft()
            observe(self._name, "waiting", -1)
            if queue:
                self._queues[served] = queue  # at the end: the others are next
            if not slot.done():
                self._busy[served] += 1
                slot.set_result(None)


def _be_nice(nice: int) -> None:
    if nice and sys.platform == "linux":  # elsewhere it applies to the whole process
        thread = threading.get_native_id()
        own = os.getpriority(os.PRIO_PROCESS, thread)  # the process may be nicer already, and only root may undo that
        os.setpriority(os.PRIO_PROCESS, thread, min(own + nice, 19))
