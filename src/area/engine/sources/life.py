"""When AREA was running: distinguishes a firing that was missed from one that is only late."""

import asyncio
from datetime import datetime, timedelta

import asyncpg

from area.kit.clock import now

LATE = timedelta(seconds=60)  # firings within a longer time without workers are missed
TICK = 1.0  # seconds

SEEN = """
insert into worker_lives (owner, since, seen_at) values ($1, $2, $3)
on conflict (owner, since) do update set seen_at = excluded.seen_at
"""
LIVES = "select since, seen_at from worker_lives where seen_at >= $1 and since <= $2 order by since"


class Life:
    """Since when one worker has run without a break. A stopped process or a sleeping machine begins a new life; a
    database that is away does not.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._last = self.since = now()

    async def run(self) -> None:
        """Detect breaks, forever."""
        while True:
            await asyncio.sleep(TICK)
            self.tick()

    def tick(self) -> None:
        """The process is running at this moment."""
        moment = now()
        if abs(moment - self._last) > LATE:
            self.since = moment
        self._last = moment

    async def tell(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        """Record in the database that this worker is running."""
        await pool.execute(SEEN, self._owner, self.since, self._last)

    async def missed(self, pool: "asyncpg.Pool[asyncpg.Record]", planned: datetime, moment: datetime) -> bool:
        """Whether no worker ran for longer than `LATE` between `planned` and `moment`, so that the firing was
        missed.
        """
        if moment - planned <= LATE or self.since <= planned:
            return False
        lives = [(row["since"], row["seen_at"]) for row in await pool.fetch(LIVES, planned - LATE, moment)]
        covered = planned
        for since, until in [*lives, (self.since, moment)]:
            if since - covered > LATE:
                return True
            covered = max(covered, until)
        return moment - covered > LATE
