"""Where users' expressions run: tiny ones on the event loop, all others in a thread (docs/adr/0021)."""

from collections.abc import Callable
from typing import TypeVar

from area.kit.budget import Budget, Unfinished
from area.kit.fair import Fair

HERE = 2_500  # steps per call on the event loop: about 0.2 ms
SMALL = 32 * 1024  # bytes of data per call on the event loop

Result = TypeVar("Result")

# one thread: two would only compete for the interpreter
_pool = Fair(
    "expressions",
    "Too many of your events are being processed. Try again in a few seconds.",
    slots=1,
    per_key=1,
    waiting=4096,
    waiting_per_key=1024,  # more than a worker holds
)


async def evaluate(work: Callable[[Budget], Result], budget: Budget, size: int) -> Result:
    """The result of `work`, which reads data of `size` bytes, changes nothing and spends from `budget`.

    Raises `Full` if too much of one user waits, and what `work` raises.
    """
    if size <= SMALL:
        budget.here(HERE)
        try:
            return work(budget)
        except Unfinished:
            pass  # start over in a thread, with the rest of the budget
    return await _pool.run(_beside, work, budget)


def _beside(work: Callable[[Budget], Result], budget: Budget) -> Result:
    budget.beside()
    return work(budget)
