"""The embedded PostgreSQL. The binaries come in a wheel; AREA creates, starts, shares and stops the server.

Several AREA processes may want the server of one data dir at once. Four files beside the cluster coordinate them by
`flock`, which the kernel releases for killed processes:

- `postgres.lock` is held while starting or stopping the server, by one process at a time; - `postgres.users` is held,
shared, by every process that uses the server: whoever can hold it alone was the last, and stops it; - `postgres.alive`
is inherited by the server's processes. While it is held there is a server, or what a killed one left behind. A pid
can't show that: it may belong to another process by now, or to another container; - `postgres.keeper` is held by the
process that stops the server if all its users were killed (`area.db.keeper`).
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlencode

from area.db import keeper
from area.db.embedded.account import account_of
from area.db.embedded.cluster import prepare_cluster
from area.db.embedded.errors import EmbeddedError
from area.db.embedded.locks import exclusively, open_lock, try_lock
from area.db.embedded.processes import DATABASE, PORT, SUPERUSER, answers, hint, running_server
from area.db.embedded.processes import binaries as binaries
from area.db.embedded.server import ensure_running, stop_server


@dataclass
class Embedded:
    """A running server that this process uses until `stop`. Use it as a context manager, or call `stop` at the end."""

    dsn: str
    directory: Path
    _socket_dir: Path
    _users: int
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    _keeper: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def adopted(self) -> bool:
        """Whether the server was already running."""
        return self._process is None

    def stop(self) -> bool:
        """Release the server, and stop it if nobody else uses it. Returns whether it was stopped.

        Blocks until it is down: a fast shutdown, after 10 seconds an immediate one. May be called twice.
        """
        if self._users < 0:
            return False
        users, self._users = self._users, -1
        last = False
        try:
            with exclusively(self.directory.parent):
                last = try_lock(users, fcntl.LOCK_EX)
                if last:
                    if self._keeper is not None:
                        self._keeper.kill()
                        self._keeper.wait()
                    stop_server(self.directory, self._process)
                    if self._socket_dir != self.directory:
                        with suppress(OSError):
                            self._socket_dir.rmdir()
        finally:
            os.close(users)
            if self._keeper is not None:
                self._keeper.returncode = 0  # unless we were the last, it goes on for others
            if self._process is not None:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(1 if last else 0)
                self._process.returncode = 0  # it may keep running for others: suppress the warning about that
        return last

    def revive(self) -> bool:
        """Start the server again if it was killed (by the OOM killer, say). Returns whether it was.

        Returns quickly when it runs, else blocks. Raises `EmbeddedError`.
        """
        running = running_server(self.directory)
        if self._users < 0 or (running and answers(running)):
            return False
        with exclusively(self.directory.parent):
            _, process = ensure_running(self.directory, account_of(self.directory), {})
        if process is None:
            return False
        if self._process is not None:
            self._process.wait()
        self._process = process
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(data_dir: Path, *, options: Mapping[str, str] | None = None) -> Embedded:
    """Use the embedded server of `data_dir`: created if there is none, started if it doesn't run, else shared.

    Blocks until it accepts connections, which only takes long while it recovers from a crash. `options` are PostgreSQL
    settings for this run, for tests. Raises `EmbeddedError`.
    """
    try:
        data_dir = data_dir.absolute()
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        data_dir = data_dir.resolve()
        with exclusively(data_dir) as mutex:
            users = open_lock(data_dir / "postgres.users")
            try:
                fcntl.flock(users, fcntl.LOCK_SH)  # never blocks: it is only held exclusively under the mutex
                keeper = _keep(data_dir)
                try:
                    directory = data_dir / "postgres"
                    account = account_of(directory)
                    prepare_cluster(directory, account, mutex)
                    server, process = ensure_running(directory, account, options or {})
                except BaseException:
                    if keeper is not None:
                        keeper.kill()
                        keeper.wait()
                    raise
            except BaseException:
                os.close(users)
                raise
    except OSError as error:
        raise EmbeddedError(f"The embedded PostgreSQL in {data_dir} didn't start: {error}{hint(str(error))}") from error
    query = urlencode({"host": server.socket_dir, "port": PORT, "sslmode": "disable"}, safe="/", quote_via=quote)
    dsn = f"postgresql://{SUPERUSER}@/{DATABASE}?{query}"
    return Embedded(dsn, directory, Path(server.socket_dir), users, process, keeper)


def stop_unused(data_dir: Path, keeper: int) -> None:
    """Stop the server of `data_dir` if nobody uses it, since all users were killed. `keeper` is its keeper's lock; the
    keeper calls this.
    """
    with exclusively(data_dir):
        users = open_lock(data_dir / "postgres.users")
        try:
            if try_lock(users, fcntl.LOCK_EX):
                running = running_server(data_dir / "postgres")
                stop_server(data_dir / "postgres", None)
                if running and Path(running.socket_dir) != data_dir / "postgres":
                    with suppress(OSError):
                        Path(running.socket_dir).rmdir()
                os.close(keeper)
                return
        finally:
            os.close(users)
    # somebody started using it: keep waiting
    os.execv(sys.executable, _keeper_command(data_dir, keeper))  # noqa: S606 - ourselves


def _keep(data_dir: Path) -> "subprocess.Popen[bytes] | None":
    """Start the server's keeper, unless there is one. Under the mutex."""
    os.close(open_lock(data_dir / "postgres.alive"))  # create it for the keeper
    lock = open_lock(data_dir / "postgres.keeper")
    try:
        if not try_lock(lock, fcntl.LOCK_EX):
            return None
        return subprocess.Popen(  # noqa: S603 - ourselves
            _keeper_command(data_dir, lock),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[lock],  # it holds the lock while it lives
            start_new_session=True,
        )
    finally:
        os.close(lock)


def _keeper_command(data_dir: Path, lock: int) -> list[str]:
    return [sys.executable, "-I", "-S", keeper.__file__, str(data_dir), str(lock)]
