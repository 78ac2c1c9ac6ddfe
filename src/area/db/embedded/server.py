"""The server's process: starting, waiting, stopping, and cleaning up after a killed one."""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from area.db.embedded.account import Account
from area.db.embedded.cluster import CONFIGURATION, make_socket_dir
from area.db.embedded.errors import EmbeddedError
from area.db.embedded.locks import TICK, open_lock, try_lock, wait_until, write_file
from area.db.embedded.processes import (
    PORT,
    Postmaster,
    all_processes,
    answers,
    binaries,
    failure_of,
    forget_stale_pids,
    is_postmaster,
    log,
    pid_in,
    running_server,
    server_environment,
    title_of,
)

_RECOVERY_TIMEOUT = 600.0
_LEFTOVERS_TIMEOUT = 5.0
_FAST_TIMEOUT = 10.0
_IMMEDIATE_TIMEOUT = 8.0  # the postmaster itself kills what is left after 5


def ensure_running(
    directory: Path, account: Account, options: Mapping[str, str]
) -> "tuple[Postmaster, subprocess.Popen[bytes] | None]":
    """Find the running server, or start one. Under the mutex."""
    alive = open_lock(directory.parent / "postgres.alive")
    try:
        since = since_silent = logged = time.monotonic()
        while True:
            free = try_lock(alive, fcntl.LOCK_EX)
            running = running_server(directory)
            now = time.monotonic()
            if running and running.ready:
                if answers(running):
                    return running, None
            elif running:
                logged = _tell_recovery(directory, since, logged)
                since_silent = now
            elif free:
                break
            # There are processes but none listens: it was just killed, or is about to start or to stop.
            elif now - since_silent > 4 * _LEFTOVERS_TIMEOUT:
                raise EmbeddedError(
                    f"Processes of an earlier PostgreSQL still use {directory} but don't answer. They may be in another"
                    " container that shares this directory: stop that one first."
                )
            elif now - since_silent > _LEFTOVERS_TIMEOUT:
                _end_leftovers(directory, kill=now - since_silent > 2 * _LEFTOVERS_TIMEOUT)
            time.sleep(0.02)
        socket_dir = make_socket_dir(directory, account)
        forget_stale_pids(directory, socket_dir)
        process = _spawn(directory, socket_dir, account, alive, options)
        try:
            running = _until_ready(directory, process)
        except BaseException:
            end_process(process)
            raise
        log.debug("embedded PostgreSQL started", directory=str(directory), pid=running.pid)
        return running, process
    finally:
        os.close(alive)  # the server has inherited it


def _spawn(
    directory: Path, socket_dir: Path, account: Account, alive: int, options: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    write_file(directory / "area.conf", CONFIGURATION.format(port=PORT, name=title_of(directory)), account)
    logs = directory / "log"
    logs.mkdir(mode=0o700, exist_ok=True)
    account.give(logs)
    early = logs / "start.log"  # output before the log collector runs
    write_file(early, "", account)
    arguments = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
    with early.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own program
            [binaries() / "postgres", "-D", directory, "-k", socket_dir, *arguments],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=server_environment(),
            umask=0o077,
            pass_fds=[alive],
            start_new_session=True,  # Ctrl-C is for us: a graceful stop still needs the database
            **account.popen(),
        )


def _until_ready(directory: Path, process: "subprocess.Popen[bytes]") -> Postmaster:
    """Wait until the server that was just started accepts connections."""
    since = logged = time.monotonic()
    while True:
        running = running_server(directory)
        if running and running.ready and running.pid == process.pid:
            return running
        if process.poll() is not None:
            raise EmbeddedError(failure_of(directory, process.returncode))
        logged = _tell_recovery(directory, since, logged)
        time.sleep(TICK)


def _tell_recovery(directory: Path, since: float, logged: float) -> float:
    """Log now and then that starting takes long, and give up in the end. Returns when it was last logged."""
    now = time.monotonic()
    if now - since > _RECOVERY_TIMEOUT:
        raise EmbeddedError(failure_of(directory, None))
    if now - logged < 10:
        return logged
    log.warning("embedded PostgreSQL is not ready yet: it recovers after a crash", directory=str(directory))
    return now


def stop_server(directory: Path, process: "subprocess.Popen[bytes] | None") -> None:
    """Stop the server, whoever started it. Under the mutex, when nobody else uses it."""
    alive = open_lock(directory.parent / "postgres.alive")
    pid = pid_in(directory / "postmaster.pid") or (process.pid if process else None)

    def gone() -> bool:
        return try_lock(alive, fcntl.LOCK_EX) and not (pid and is_postmaster(pid, directory))

    try:
        if gone():
            return
        if pid is None or not is_postmaster(pid, directory):
            log.warning("can't stop the embedded PostgreSQL: it isn't this machine's", directory=str(directory))
            return
        for number, patience in ((signal.SIGINT, _FAST_TIMEOUT), (signal.SIGQUIT, _IMMEDIATE_TIMEOUT)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            if wait_until(gone, patience):
                return
            log.warning("embedded PostgreSQL takes long to stop", directory=str(directory), signal=number.name)
        _end_leftovers(directory, kill=True)
        wait_until(gone, 1)
    finally:
        os.close(alive)


def end_process(process: "subprocess.Popen[bytes]") -> None:
    """End a server of ours that didn't become ready."""
    if process.poll() is None:
        process.send_signal(signal.SIGQUIT)
        try:
            process.wait(_IMMEDIATE_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_leftovers(directory: Path, *, kill: bool) -> None:
    """End the processes of a server that can't be reached."""
    name = f"postgres: {title_of(directory)}: "
    for pid, command in all_processes():
        if command.startswith(name) or (not kill and is_postmaster(pid, directory)):
            log.warning("ending what an earlier PostgreSQL left behind", pid=pid, command=command)
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL if kill else signal.SIGQUIT)
