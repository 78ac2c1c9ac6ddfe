"""`area up`: every role on this machine, started, watched and stopped together. It stays small, for it never works itself."""

import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from area.cli import console

if TYPE_CHECKING:
    from area.db.embedded import Embedded
    from area.settings import Settings

log = structlog.get_logger()

MIGRATIONS = Path(__file__).parents[1] / "db" / "migrations" / "versions"
STOP_WITHIN = 12.0  # seconds
LOOK_EVERY = 0.1
QUICK_DEATH = 10.0  # seconds; a role that dies sooner is started again after a growing pause
LONGEST_PAUSE = 30.0
STARTING = 60.0  # seconds that a start takes at most, on a machine that is very busy
REFUSED = (1, 2)  # exit codes of a role that has told on stderr why it can't start
NOBODY = 10  # what `area.cli.anybody` ends with when there is no account
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound

FIRST_STEPS = """
There is no account yet. Open {url} and make the first one: it is the administrator's.
Without a browser, this makes it, and answers with a token:

  curl {url}/api/auth/register -H 'Content-Type: application/json' \\
    -d '{{"email": "you@example.org", "username": "you", "password": "<8 characters or more>"}}'
"""


@dataclass
class Role:
    """A child process that is to run."""

    name: str
    module: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: int = 0
    again_at: float = 0.0
    code: int = 0
    first: bool = True  # until all has started once
    refused: bool = False  # at its first start


def up(settings: "Settings", *, workers: int, say: Callable[[str], None]) -> int:
    """Run the database, a web process and `workers` workers until SIGTERM or SIGINT. Returns the exit code.

    Raises `Failed` or `EmbeddedError` when it can't start. A role that refuses its first start ends it all with its exit
    code; later it is started again.
    """
    console.check_port(settings.host, settings.port)
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signal_number, _frame: stopping.append(signal_number))
    server = None
    dsn = settings.database_url
    if dsn is None:
        from area.db import embedded

        server = embedded.start(settings.data_dir)
        dsn = server.dsn
    roles = [_role("web", "serve"), *(_role(f"worker-{number}", "worker") for number in range(1, workers + 1))]
    try:
        environment = {**os.environ, "AREA_DATABASE_URL": dsn, "PROMETHEUS_MULTIPROC_DIR": _metrics(settings)}
        if refused := _migrate_once(settings, environment):
            return refused
        return _watch(settings, server, roles, environment, stopping, say)
    finally:
        _stop([role.process for role in roles if role.process is not None])
        if server is not None:
            server.stop()


def _migrate_once(settings: "Settings", environment: dict[str, str]) -> int:
    """Bring the schema up to date once, rather than have each role do it. Returns the exit code when that is refused."""
    marker = settings.data_dir / "schema"
    newest = max(path.stem for path in MIGRATIONS.glob("[0-9]*.py"))
    if marker.is_file() and marker.read_text() == newest:
        return 0
    command = [sys.executable, "-m", "area.cli", "db", "upgrade"]
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)  # noqa: S603 - ourselves
    if done.returncode == 0:
        marker.write_text(newest)
    return done.returncode if done.returncode in REFUSED else 0


def _watch(
    settings: "Settings",
    server: "Embedded | None",
    roles: list[Role],
    environment: dict[str, str],
    stopping: list[int],
    say: Callable[[str], None],
) -> int:
    """Keep what is to run running, until a signal."""
    first_look = None
    told = False
    while not stopping:
        if server is not None:
            _revive(server, roles)
        for role in roles:
            _keep(role, environment)
        if code := next((role.code for role in roles if role.refused), 0):
            return code
        if not told and (told := _answers(settings.host, settings.port)):
            say(f"AREA runs at {settings.base_url}")
            for role in roles:
                role.first = False
            first_look = _popen("area.cli.anybody", environment=environment)
        if first_look is not None and first_look.poll() is not None:
            if first_look.returncode == NOBODY:
                say(FIRST_STEPS.format(url=settings.base_url))
            first_look = None
        time.sleep(LOOK_EVERY)
    return 0


def _revive(server: "Embedded", roles: list[Role]) -> None:
    """Start the database again if it died; who died for want of it starts at once."""
    from area.db.embedded import EmbeddedError

    try:
        if not server.revive():
            return
    except EmbeddedError as error:  # what runs waits for it, and it is tried again
        log.error("supervisor.database_not_revived", error=str(error))  # noqa: TRY400 - the message says it all
        return
    log.error("supervisor.database_revived")
    for role in roles:
        role.deaths, role.again_at = 0, 0.0


def _role(name: str, command: str) -> Role:
    return Role(name, ["area.cli", command])


def _popen(*module: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Run a module of ours. In its own session: a terminal's Ctrl-C is for the supervisor, and the order of stopping ours."""
    return subprocess.Popen([sys.executable, "-m", *module], env=environment, start_new_session=True)  # noqa: S603


def _metrics(settings: "Settings") -> str:
    """An empty directory where the processes count together."""
    path = settings.data_dir.absolute() / "metrics"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return str(path)


def _keep(role: Role, environment: dict[str, str]) -> None:
    """Start a role that does not run; one that keeps dying, after a growing pause."""
    moment = time.monotonic()
    if role.process is not None and role.process.poll() is not None:
        quick = moment - role.started < QUICK_DEATH
        role.code = role.process.returncode
        role.refused = role.first and role.code in REFUSED and moment - role.started < STARTING
        role.first = False
        role.deaths = role.deaths + 1 if quick else 0
        pause = min(LONGEST_PAUSE, 0.5 * 2 ** min(role.deaths, 10)) if quick else 0.0
        if not role.refused:
            log.error("supervisor.role_died", role=role.name, code=role.code, again_in=pause)
        role.process = None
        role.again_at = moment + pause
    elif role.process is None and moment >= role.again_at:
        role.process = _popen(*role.module, environment=environment)
        role.started = moment


def _answers(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(EVERYWHERE.get(host, host), port, timeout=1)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    end = time.monotonic() + STOP_WITHIN
    for process in processes:
        try:
            process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("supervisor.killed", pid=process.pid)
            process.kill()
            process.wait()
