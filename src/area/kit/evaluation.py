"""Where expressions of users run: on the event loop what is tiny, in a thread beside it everything else (docs/adr/0021)."""

from collections.abc import Callable
from typing import TypeVar

from area.kit.budget import Budget, Unfinished
from area.kit.fair import Fair

HERE = 2_500  # steps that one piece of work may take on the event loop: about 0.2 ms
SMALL = 32 * 1024  # bytes of data that it may look at there

Result = TypeVar("Result")

# one thread, for two would only take the interpreter from each other
_pool = Fair(
    "expressions",
    "Too many events of yours are being worked on. Try again in a few seconds.",
    slots=1,
    per_key=1,
    waiting=4096,
    waiting_per_key=1024,  # more than a worker holds
)


async def evaluate(work: Callable[[Budget], Result], budget: Budget, size: int) -> Result:
    """What `work` gives, which looks at data of `size` bytes, changes nothing and draws from `budget` whatever takes time.

    Raises `Full` when too much of one user waits, and what `work` raises.
    """
    if size <= SMALL:
        budget.here(HERE)
        try:
            return work(budget)
        except Unfinished:
            pass  # begun anew, with all that is left
    return await _pool.run(_beside, work, budget)


def _beside(work: Callable[[Budget], Result], budget: Budget) -> Result:
    budget.beside()
    return work(budget)
