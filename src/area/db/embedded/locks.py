"""Locks and files beside the cluster."""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from area.db.embedded.account import Account
from area.db.embedded.errors import EmbeddedError

_BUSY_TIMEOUT = 120.0
TICK = 0.005


def open_lock(path: Path) -> int:
    """Open a lock file. One that root creates gets the owner of the data dir, who may run AREA next."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise EmbeddedError(
            f"{path.parent} belongs to another user. Run AREA as that user or as root, or set AREA_DATA_DIR."
        ) from error
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def try_lock(descriptor: int, kind: int) -> bool:
    """Take the lock if nobody holds it. Returns whether it did."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


@contextmanager
def exclusively(data_dir: Path) -> Iterator[int]:
    """Hold the mutex for starting and stopping the server of `data_dir`."""
    descriptor = open_lock(data_dir / "postgres.lock")
    try:
        if not wait_until(lambda: try_lock(descriptor, fcntl.LOCK_EX), _BUSY_TIMEOUT):
            raise EmbeddedError(
                f"Another AREA process has been starting or stopping the PostgreSQL in {data_dir} for two minutes."
                " See its log; the lock is free again as soon as it ends."
            )
        yield descriptor
    finally:
        os.close(descriptor)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait up to `seconds` until the condition holds. Returns whether it does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(TICK)
    return True


def write_file(path: Path, text: str, account: Account) -> None:
    """Replace a file atomically."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        account.give(descriptor)
        file.write(text)
    temporary.replace(path)
