"""`area up`: every role on this machine, started, watched and stopped together. It stays small, for it never works itself."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from area.settings import Settings

log = structlog.get_logger()

STOP_WITHIN = 12.0  # seconds
LOOK_EVERY = 0.2
QUICK_DEATH = 10.0  # seconds; a role that dies sooner is started again after a growing pause
LONGEST_PAUSE = 30.0


@dataclass
class Role:
    """A child process that is to run."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: int = 0
    again_at: float = 0.0


def up(settings: Settings, *, workers: int, say: Callable[[str], None]) -> int:
    """Run the database, a web process and `workers` workers until SIGTERM or SIGINT. Returns the exit code."""
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signal_number, _frame: stopping.append(signal_number))
    server = None
    dsn = settings.database_url
    if dsn is None:
        from area.db import embedded

        server = embedded.start(settings.data_dir)
        dsn = server.dsn
    environment = {**os.environ, "AREA_DATABASE_URL": dsn}
    metrics = settings.data_dir / "metrics"
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir(parents=True)
    environment["PROMETHEUS_MULTIPROC_DIR"] = str(metrics.absolute())
    roles = [Role("web", [sys.executable, "-m", "area.cli", "serve"])]
    roles += [Role(f"worker-{number}", [sys.executable, "-m", "area.cli", "worker"]) for number in range(1, workers + 1)]
    told = False
    try:
        while not stopping:
            if server is not None and server.revive():
                log.error("supervisor.database_revived")
            for role in roles:
                _keep(role, environment)
            if not told and _answers(settings.base_url, settings.port):
                told = True
                say(settings.base_url)
            time.sleep(LOOK_EVERY)
    finally:
        _stop(roles)
        if server is not None:
            server.stop()
    return 0


def _keep(role: Role, environment: dict[str, str]) -> None:
    """Start a role that does not run; one that keeps dying, after a growing pause."""
    moment = time.monotonic()
    if role.process is not None and role.process.poll() is not None:
        quick = moment - role.started < QUICK_DEATH
        role.deaths = role.deaths + 1 if quick else 0
        pause = min(LONGEST_PAUSE, 0.5 * 2**role.deaths) if quick else 0.0
        log.error("supervisor.role_died", role=role.name, code=role.process.returncode, again_in=pause)
        role.process = None
        role.again_at = moment + pause
    if role.process is None and moment >= role.again_at:
        # its own session, so that a terminal's Ctrl-C reaches the supervisor alone, and the order of stopping is ours
        role.process = subprocess.Popen(role.command, env=environment, start_new_session=True)  # noqa: S603 - ourselves
        role.started = moment


def _answers(base_url: str, port: int) -> bool:
    del base_url
    with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(  # noqa: S310 - our own address
        f"http://127.0.0.1:{port}/healthz", timeout=1
    ) as answer:
        return bool(answer.status == 200)
    return False


def _stop(roles: list[Role]) -> None:
    running = [role for role in roles if role.process is not None and role.process.poll() is None]
    for role in running:
        assert role.process is not None  # noqa: S101 - just seen
        role.process.terminate()
    end = time.monotonic() + STOP_WITHIN
    for role in running:
        assert role.process is not None  # noqa: S101 - as above
        try:
            role.process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.error("supervisor.killed", role=role.name)
            role.process.kill()
            role.process.wait()
