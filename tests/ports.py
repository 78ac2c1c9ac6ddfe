"""Ports for servers that tests start as processes, which can't be given a socket."""

import atexit
import fcntl
import os
import random
import socket
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

HOST = "127.0.0.1"
LOWEST, COUNT = 20_000, 10_000  # below what Linux, macOS and Windows give to outgoing connections unless told otherwise

_reserved = ExitStack()  # the files whose locks are held
atexit.register(_reserved.close)


def free_port() -> int:
    """A port on loopback that nobody listens on, and that is this process's own until it ends.

    The kernel's answer to "any port" would be free too, but an outgoing connection or another test may be given the
    same one before the server listens. Other processes are told by the lock of a file.
    """
    folder = Path(tempfile.gettempdir()) / f"area-ports-{os.geteuid()}"
    folder.mkdir(exist_ok=True)
    for port in random.sample(range(LOWEST, LOWEST + COUNT), COUNT):
        with suppress(OSError):
            _reserve(folder / str(port), port)
            return port
    raise RuntimeError(f"No port from {LOWEST} to {LOWEST + COUNT} of {HOST} is free.")


def _reserve(path: Path, port: int) -> None:
    """Lock a port's file; raises OSError where another process did, or listens."""
    file = path.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as sock:
            sock.bind((HOST, port))
    except OSError:
        file.close()
        raise
    _reserved.enter_context(file)
