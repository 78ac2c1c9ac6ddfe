"""Admits a user's webhook events as fast as the workers run them, once some are waiting.

Senders that wait for a response before they send more slow down to the workers' speed, so that their events run within
a fraction of a second instead of queueing for many. Nobody is refused for it, and no user waits for another's events.
"""

import asyncio
import time
from collections import Counter, deque

from area.engine.load import Load

FREE = 256  # executions of a user that may wait before events are held
BACKLOG = 0.25  # seconds of work that may wait
LONGEST = 1.0  # seconds that an event is held at most
TOGETHER = 64  # held events are admitted together, which makes committing them cheaper
APART_AFTER = 0.05  # seconds that the first one waits for that
TICK = 0.005


class Pace:
    """Call `enter` before an event is committed, and `leave` after."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._entered: Counter[int] = Counter()  # by user; not yet known to `load`
        self._held: dict[int, deque[tuple[float, asyncio.Future[None]]]] = {}  # in the order of their arrival

    async def enter(self, user_id: int) -> None:
        """Wait until it is this event's turn, for `LONGEST` seconds at most."""
        held = self._held.get(user_id)
        if held is None and self._room(user_id) > 0:
            self._entered[user_id] += 1
            return
        loop = asyncio.get_running_loop()
        if held is None:
            held = self._held[user_id] = deque()
            if len(self._held) == 1:
                loop.call_later(TICK, self._tick)
        turn = loop.create_future()
        held.append((time.monotonic() + LONGEST, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was this event's turn already
                self.leave(user_id)
            raise

    def leave(self, user_id: int) -> None:
        """The event is committed, or never will be."""
        self._entered[user_id] -= 1
        if not self._entered[user_id]:
            del self._entered[user_id]

    def _room(self, user_id: int) -> float:
        entered = self._entered[user_id]
        if self._load.waiting(user_id) + entered < FREE:
            return FREE
        waiting, speed = self._load.now(user_id)
        return max(FREE, speed * BACKLOG) - waiting - entered

    def _tick(self) -> None:
        moment = time.monotonic()
        for user_id, held in list(self._held.items()):
            room = self._room(user_id)
            waits = LONGEST - (held[0][0] - moment)
            if room < min(len(held), TOGETHER) and waits < APART_AFTER:
                continue
            while held and (room > 0 or held[0][0] <= moment):
                _, turn = held.popleft()
                if not turn.done():
                    turn.set_result(None)
                    self._entered[user_id] += 1
                    room -= 1
            if not held:
                del self._held[user_id]
        if self._held:
            asyncio.get_running_loop().call_later(TICK, self._tick)
