"""What the expressions of one event may cost: a number of steps that all of them share.

A step is about a tenth of a microsecond, so a whole budget is a few hundredths of a second of CPU. Code whose cost
grows with its data spends first, so that what would be too much never starts.
"""

import time
from typing import Any

from area.kit.sentences import Sentence, SentenceError

STEPS = 250_000
SLICE = 5_000  # steps between two rests of work in a thread
REST = 0.0002  # seconds
MAX_TEXT = 2**20  # characters of any created text
MAX_EVENT = 2**20  # bytes of the JSON of an event
MAX_FILLED = 2**20  # bytes in UTF-8 of all of a reaction's parameters together


class Exhausted(SentenceError):
    """More processing than one event is allowed. The message says what was too much, and what to do."""


class Unfinished(Exception):
    """The work needs more time than it may take on the event loop."""


class Budget:
    """The steps left. `room` is how many bytes may still be filled in, `folded` caches case-folded texts.

    Hot paths subtract from `steps` themselves and call `renew` once it is negative.
    """

    __slots__ = ("_mode", "_rest", "folded", "room", "steps")

    def __init__(self, steps: int = STEPS) -> None:
        self.steps = steps
        self.room = MAX_FILLED
        self.folded: dict[int, tuple[str, str]] = {}
        self._rest = 0
        self._mode = ""

    def spend(self, steps: int) -> None:
        """Take `steps` before the work. Raises `Exhausted`."""
        self.steps -= steps
        if self.steps < 0:
            self.renew()

    def renew(self) -> None:
        """Start the next slice. Raises `Exhausted`, or `Unfinished` on the event loop."""
        if self._rest + self.steps < 0:
            raise Exhausted(Sentence("This takes more processing than one event is allowed."))
        if self._mode == "here":
            raise Unfinished
        while self.steps < 0:
            time.sleep(REST)  # give up the interpreter now rather than after its interval of 5 ms
            self._take(SLICE)

    def need(self, steps: int) -> None:
        """The next work may take up to `steps`, but spends only afterwards. Raises `Unfinished` if that is too much
        here.
        """
        if self._mode == "here" and self.steps < steps:
            raise Unfinished

    def here(self, steps: int) -> None:
        """What follows runs on the event loop, for at most `steps`."""
        self._settle()
        self._mode = "here"
        self._rest, self.steps = self.steps, 0
        self._take(steps)

    def beside(self) -> None:
        """What follows runs in a thread, and rests now and then."""
        self._settle()
        self._mode = "beside"
        self._rest, self.steps = self.steps, 0
        self._take(SLICE)

    def _settle(self) -> None:
        self.steps += self._rest
        self._rest = 0

    def _take(self, steps: int) -> None:
        taken = min(steps, self._rest)
        self._rest -= taken
        self.steps += taken


def size_of(value: Any, budget: Budget) -> int:
    """The minimum length of the JSON of `value` in characters. Walking it costs steps, so that it ends.

    Data made by an expression may contain one list many times.
    """
    size = 0
    waiting = [value]
    while waiting:
        value = waiting.pop()
        kind = type(value)
        if kind is str:
            inside = len(value) + 2
            budget.steps -= inside >> 4
            size += inside
        elif kind is list or kind is tuple:
            budget.spend(2 * len(value) + 2)
            waiting += value
            size += 2 + len(value)
        elif kind is dict:
            budget.spend(5 * len(value) + 2)
            waiting += value
            waiting += value.values()
            size += 2 + 2 * len(value)
        else:
            size += 1
    budget.spend(0)
    return size
