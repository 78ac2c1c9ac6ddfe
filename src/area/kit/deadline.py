"""Many timeouts, checked all together, which costs less than a timer for each."""

import asyncio
from types import TracebackType
from typing import Self

LOOK_EVERY = 0.1  # seconds between checks; a deadline is missed by up to that much
SHORTEST = 1.0  # seconds; what is shorter has a timer of its own


class Deadline:
    """`async with Deadline(seconds)` is `asyncio.timeout(seconds)`: it raises `TimeoutError` where that would.

    The first check of each event loop starts a timer, which runs until nothing is left to check.
    """

    __slots__ = ("_at", "_before", "_missed", "_seconds", "_task", "_timer")

    _running: dict[asyncio.AbstractEventLoop, set["Deadline"]] = {}  # noqa: RUF012 - of all

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._missed = False
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        """Start."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("A deadline needs a task.")
        self._task, self._before = task, task.cancelling()
        loop = asyncio.get_running_loop()
        if self._seconds < SHORTEST:
            self._timer = loop.call_later(self._seconds, self._miss)
            return self
        self._at = loop.time() + self._seconds
        running = self._running.get(loop)
        if running is None:
            running = self._running[loop] = set()
            loop.call_later(LOOK_EVERY, _look, loop)
        running.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Stop. Raises `TimeoutError` if it was cancelled for being late, and for nothing else."""
        if self._timer is not None:
            self._timer.cancel()
        else:
            running = self._running.get(asyncio.get_running_loop())
            if running is not None:
                running.discard(self)
        if self._missed and self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _miss(self) -> None:
        self._missed = True
        self._task.cancel()


def _look(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is late."""
    running = Deadline._running[loop]  # noqa: SLF001 - its own
    moment = loop.time()
    for deadline in [deadline for deadline in running if deadline._at <= moment]:  # noqa: SLF001
        running.discard(deadline)
        deadline._miss()  # noqa: SLF001
    if running:
        loop.call_later(LOOK_EVERY, _look, loop)
    else:
        del Deadline._running[loop]  # noqa: SLF001
