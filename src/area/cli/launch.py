"""Starts the roles of `area up`: forked from a process that has imported everything, so that they share its memory.

That process, the launcher, ends as soon as it has forked them, and the supervisor becomes their parent. So the
supervisor stays small: it never imports what the roles need.
"""

import ctypes
import gc
import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

from area.kit.lifeline import end_with

SIGNALS = (signal.SIGTERM, signal.SIGINT)
FORKS = sys.platform == "linux"  # some macOS libraries don't survive a fork, so each role imports by itself there
# https://docs.python.org/3/library/multiprocessing.html#contexts-and-start-methods
PROCESSES = multiprocessing.get_context("fork") if FORKS else multiprocessing.get_context("spawn")
SHARED = ("area.cli.roles", "area.api", "area.engine.runtime", "area.hooks", "area.kit.http_server", "area.web")
ADOPTED_EVERY = 0.002
# https://man7.org/linux/man-pages/man2/pr_set_child_subreaper.2const.html
_PR_SET_CHILD_SUBREAPER = 36

Command = Callable[[], None]


class Child(Protocol):
    """A running role, as `multiprocessing` shows one."""

    @property
    def pid(self) -> int | None:
        """Its process id."""

    @property
    def exitcode(self) -> int | None:
        """None while it runs; negative if a signal ended it."""

    def terminate(self) -> None:
        """Ask it to stop."""

    def kill(self) -> None:
        """End it."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""


class Adopted:
    """A child that another process forked: a `Child`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    @property
    def exitcode(self) -> int | None:
        """As of a `Child`."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def terminate(self) -> None:
        """Ask it to stop."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self.exitcode is None:
            os.kill(self.pid, number)

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        end = time.monotonic() + (timeout if timeout is not None else float("inf"))
        while self.exitcode is None and time.monotonic() < end:
            time.sleep(0.02)


class Launch:
    """The start of some roles, given by name. Call `start`, then `children` until it returns them."""

    _under_way = 0

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self._commands = commands
        self._environment: Mapping[str, str] = {}
        self._launcher: BaseProcess | None = None
        if FORKS:
            self._pipe, theirs = PROCESSES.Pipe()
            _adopt_orphans(True)
            Launch._under_way += 1
            self._launcher = start("launcher", _launch, os.getpid(), commands, theirs, self._pipe, forks=True)
            theirs.close()

    def loaded(self) -> int:
        """Wait until everything is imported. Returns the launcher's exit code if that failed, else 0."""
        if self._launcher is None:
            return 0
        try:
            self._pipe.recv()
        except EOFError:
            self._launcher.join()
            return self._launcher.exitcode or 0
        return 0

    def start(self, environment: Mapping[str, str]) -> None:
        """Start the roles with these variables, as soon as everything is imported."""
        self._environment = environment
        if self._launcher is not None:
            with suppress(OSError):  # the launcher has failed, which `children` will tell
                self._pipe.send(environment)

    def children(self) -> dict[str, Child] | int | None:
        """The roles that were started; None while there are none yet; an exit code if the launcher failed."""
        if self._launcher is None:
            return {
                name: start(name, live, os.getpid(), name, command, self._environment)
                for name, command in self._commands.items()
            }
        if self._launcher.exitcode is None:
            return None
        return self._adopted() or self._launcher.exitcode or 1

    def stop(self) -> list[Child]:
        """Give up. Returns the roles that run already."""
        if self._launcher is None:
            return []
        self._launcher.kill()
        self._launcher.join()
        return list(self._adopted().values())

    def _adopted(self) -> dict[str, Child]:
        children: dict[str, Child] = {}
        with suppress(EOFError):
            while self._pipe.poll():
                name, pid = self._pipe.recv()
                if name:
                    children[name] = Adopted(pid)
        self._pipe.close()
        Launch._under_way -= 1
        if not Launch._under_way:
            _adopt_orphans(False)
        return children


def start(name: str, target: Callable[..., None], *arguments: object, forks: bool = False) -> BaseProcess:
    """Run a function in a child process; one that `forks` may start others."""
    process = PROCESSES.Process(target=target, name=name, args=arguments, daemon=not forks)
    # a signal to a child that doesn't handle it yet must not look like one to us
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return process


def _launch(supervisor: int, commands: Mapping[str, Command], pipe: Connection, theirs: Connection) -> None:
    """Main function of the launcher."""
    end_with(supervisor)
    theirs.close()
    _end_on_signals()
    with explaining():
        _load()
    pipe.send(("", 0))
    environment = pipe.recv()
    for name, command in commands.items():
        process = start(name, _live_adopted, supervisor, name, command, environment, pipe)
        pipe.send((name, process.pid))
    os._exit(0)  # without waiting for them


def _load() -> None:
    """Import what the roles need. Raises `Malformed`."""
    from area.catalog.declared import fingerprint
    from area.registry import registry

    gc.disable()  # a collection would leave holes in the shared pages: https://docs.python.org/3/library/gc.html#gc.freeze
    for module in SHARED:
        importlib.import_module(module)
    registry().fingerprint = fingerprint(registry())
    gc.freeze()
    gc.enable()


def _live_adopted(
    supervisor: int, name: str, command: Command, environment: Mapping[str, str], pipe: Connection
) -> None:
    """`live` in a process that the launcher has forked, once the supervisor is its parent."""
    pipe.close()
    launcher = os.getppid()
    while os.getppid() == launcher != supervisor:
        time.sleep(ADOPTED_EVERY)
    live(supervisor, name, command, environment)


def live(parent: int, name: str, command: Command, environment: Mapping[str, str]) -> None:
    """Main function of a child process. It gets its own session, so that a terminal's Ctrl-C only reaches the
    supervisor, which stops the roles in order.
    """
    end_with(parent)
    os.setsid()
    _end_on_signals()
    with suppress(OSError):  # shown by `top` and `ps -e`; Linux only
        Path("/proc/self/comm").write_text(f"area {name}")
    os.environ.update(environment)
    with explaining():
        command()


def run_command(name: str) -> None:
    """Run the role `area NAME` in this process."""
    from area.cli import roles
    from area.settings import settings

    settings.cache_clear()
    getattr(roles, name)()


@contextmanager
def explaining() -> Iterator[None]:
    """Print an error that the user can fix, and exit with 1."""
    try:
        yield
    except Exception as error:
        from area.cli import console

        if not console.report(error):
            raise
        sys.exit(1)


def _end_on_signals() -> None:
    """Undo what the supervisor, from which this process was forked, does with signals."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _adopt_orphans(adopt: bool) -> None:
    """Whether processes whose parent has ended become our children."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)
