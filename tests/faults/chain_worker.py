"""A worker that kills itself with SIGKILL: `python -m tests.faults.chain_worker DSN DATA_DIR PLACE N`.

It dies at its N-th outcome that leads to more runs, or at the N-th that ends a chain: `before` the transaction, `in` it
(when all is written but nothing committed), or `after` its commit, before anybody is told. With N = 0 it lives on.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from area.engine.execution import followers
from area.engine.execution.recorder import Recorder
from area.engine.runtime import worker
from area.engine.state import State
from area.settings import Settings


def arm(place: str, number: int) -> None:
    """Have the recorder die."""
    write, finish, store = Recorder._write, Recorder._finish, followers.store
    writes = 0

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    async def dying_write(self, outcomes):
        nonlocal writes
        writes += 1
        if place == "before" and writes == number:
            die()
        await write(self, outcomes)
        if place == "after" and writes == number:
            die()

    async def dying_finish(self, conn, outcomes):
        written = await finish(self, conn, outcomes)
        if place == "in" and writes == number and not any(outcome.follow for outcome in outcomes):
            die()
        return written

    async def dying_store(conn, outcomes, roots):
        stored = await store(conn, outcomes, roots)
        if place == "in" and writes == number:
            die()
        return stored

    Recorder._write, Recorder._finish, followers.store = dying_write, dying_finish, dying_store


async def main(dsn: str, data_dir: str, place: str, number: int) -> None:
    settings = Settings(_env_file=None, data_dir=Path(data_dir), allow_private_network="127.0.0.1")
    arm(place, number)
    state = await State.open(settings, dsn)
    async with worker(state):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
