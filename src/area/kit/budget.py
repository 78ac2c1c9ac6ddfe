"""What the expressions of one event may cost: one account of steps that all of them draw from.

A step is about a tenth of a microsecond, so that a whole budget is a few hundredths of a second of computing. Who does
something that takes longer with more data spends first: what would be too much is never begun.
"""

import time
from typing import Any

from area.kit.sentences import Sentence, SentenceError

STEPS = 250_000
SLICE = 5_000  # steps between two rests of a budget that is spent beside the event loop
REST = 0.0002  # seconds
MAX_TEXT = 2**20  # characters of any one text that is made
MAX_EVENT = 2**20  # bytes of the JSON of an event
MAX_FILLED = 2**20  # bytes in UTF-8 of all parameters of a reaction together


class Exhausted(SentenceError):
    """More work than one event may cause. The message says what was too much, and how to mend it."""


class Unfinished(Exception):
    """What was begun on the event loop needs more than it may take there."""


class Budget:
    """The steps that are left. `room` is how many bytes may still be filled in, `folded` texts that were compared already.

    Hot paths take from `steps` themselves and call `renew` once it is negative.
    """

    __slots__ = ("_mode", "_rest", "folded", "room", "steps")

    def __init__(self, steps: int = STEPS) -> None:
        self.steps = steps
        self.room = MAX_FILLED
        self.folded: dict[int, tuple[str, str]] = {}
        self._rest = 0
        self._mode = ""

    def spend(self, steps: int) -> None:
        """Take `steps` before they are done. Raises `Exhausted`."""
        self.steps -= steps
        if self.steps < 0:
            self.renew()

    def renew(self) -> None:
        """Go on with the next slice. Raises `Exhausted`, or `Unfinished` on the event loop."""
        if self._rest + self.steps < 0:
            raise Exhausted(Sentence("This is more work than one event may cause."))
        if self._mode == "here":
            raise Unfinished
        while self.steps < 0:
            time.sleep(REST)  # whoever waits for the interpreter gets it now, and not only after its interval of 5 ms
            self._take(SLICE)

    def need(self, steps: int) -> None:
        """Something may take `steps`, and tells only afterwards. Raises `Unfinished` where there is no time for that."""
        if self._mode == "here" and self.steps < steps:
            raise Unfinished

    def here(self, steps: int) -> None:
        """What follows runs on the event loop, and may take so many steps."""
        self._settle()
        self._mode = "here"
        self._rest, self.steps = self.steps, 0
        self._take(steps)

    def beside(self) -> None:
        """What follows runs beside the event loop, and rests every so often."""
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
    """How many characters the JSON of `value` has at least; walking it is paid for, so that it ends.

    Plain data that was made by an expression may hold one list many times.
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
