"""Stops the embedded PostgreSQL when all processes that used it were killed: a small process that runs beside the
server.

A process that exits normally stops the server itself (`embedded.Embedded.stop`). A killed one can't, and neither can
the kernel: others may use the server, and it must be stopped rather than killed. This runs as a script that imports
nothing from AREA, so that waiting costs 8 MB and almost no CPU.
"""

import fcntl
import os
import sys
import time

LOOK_EVERY = 0.3  # seconds
STOP = (
    "import sys; from pathlib import Path; from area.db import embedded;"
    " embedded.stop_unused(Path(sys.argv[1]), int(sys.argv[2]))"
)


def main(data_dir: str, lock: int) -> None:
    """Wait until nobody uses the directory's server, and stop it. `lock` is the descriptor of `postgres.keeper`."""
    while True:
        time.sleep(LOOK_EVERY)
        try:
            unused = is_unused(data_dir, lock)
        except FileNotFoundError:
            return  # the directory is gone
        if unused:
            os.execv(sys.executable, [sys.executable, "-c", STOP, data_dir, str(lock)])  # noqa: S606 - ourselves


def is_unused(data_dir: str, lock: int) -> bool:
    """Whether the server runs and nobody uses it. Exits the process when it doesn't run and nobody wants it to."""
    with open(f"{data_dir}/postgres.lock", "rb") as mutex:  # noqa: PTH123 - pathlib takes 2 MB
        if not free(mutex.fileno()):
            return False  # somebody is starting or stopping it
        with open(f"{data_dir}/postgres.users", "rb") as users, open(f"{data_dir}/postgres.alive", "rb") as alive:  # noqa: PTH123
            if not free(users.fileno()):
                return False
            if not free(alive.fileno()):
                return True
            os.close(lock)  # under the mutex: the next to start the server sees that it needs a new keeper
            os._exit(0)


def free(descriptor: int) -> bool:
    """Lock the file, if nobody else holds it. Returns whether it did."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
