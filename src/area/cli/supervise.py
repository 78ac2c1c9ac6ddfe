"""`area up`: start, watch and stop all roles on this machine.

The supervisor does no work itself: it has no threads, event loop or connections that a fork would copy. It lives as
long as the roles, so it is a process that has loaded little more than Python's own modules: `area up`, which had to
load the settings, becomes it. `area.cli.launch` starts the roles.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, NoReturn

from area.cli.launch import PROCESSES, SIGNALS, Child, Launch, explaining, live, run_command, start
from area.kit import late_logs
from area.kit.lifeline import end_with

if TYPE_CHECKING:
    from area.db.embedded import Embedded
    from area.settings import Settings

log = late_logs.get_logger()

MIGRATIONS = Path(__file__).parents[1] / "db" / "migrations" / "versions"
STOP_WITHIN = 12.0  # seconds
LOOK_EVERY = 0.1
QUICK_DEATH = 10.0  # seconds; a role that dies sooner is restarted after increasing pauses
LONGEST_PAUSE = 30.0
PORT_WITHIN = 5.0  # seconds to wait for the port, which a killed `area up` may still hold
STARTING = 60.0  # seconds that a start can take on a very busy machine
REFUSED = (1, 2)  # exit codes of a role that has explained on stderr why it can't start
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound

FIRST_STEPS = """
There is no account yet. Open {url} to create the first one, the administrator's.
Without a browser, create it with this request, which returns a token:

  curl {url}/api/auth/register -H 'Content-Type: application/json' \\
    -d '{{"email": "you@example.org", "username": "you", "password": "<8 characters or more>"{code}}}'
"""
SETUP_CODE = """
Other machines can reach AREA, so the first account needs this set-up code: {code}
"""


@dataclass
class Role:
    """A child process to keep running."""

    name: str
    command: Literal["serve", "worker"]
    process: Child | None = None
    launch: Launch | None = None  # while it starts
    started: float = 0.0
    deaths: int = 0
    again_at: float = 0.0
    code: int = 0
    first: bool = True  # until everything has started once
    refused: bool = False  # on its first start


class Site(NamedTuple):
    """The settings that a supervisor needs."""

    host: str
    port: int
    url: str
    data_dir: str
    log_format: Literal["auto", "json", "console"]
    log_level: str
    workers: int


def become_supervisor(configured: "Settings", workers: int) -> NoReturn:
    """Replace this process by one that runs the database, a web process and `workers` workers."""
    site = Site(
        configured.host,
        configured.port,
        configured.base_url,
        str(configured.data_dir),
        configured.log_format,
        configured.log_level,
        workers,
    )
    if configured.database_url is not None:  # which may come from a file
        os.environ["AREA_DATABASE_URL"] = configured.database_url
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "area.cli.supervise", json.dumps(site)])  # noqa: S606 - ourselves


def supervise(site: Site) -> int:
    """Run everything until SIGTERM or SIGINT. Returns the exit code.

    Raises `EmbeddedError` if the database can't start. If a role refuses to start the first time, everything stops
    with its exit code; later, it is restarted.
    """
    late_logs.configure(site.log_format, site.log_level)
    stopping: list[int] = []
    for number in SIGNALS:
        signal.signal(number, lambda signal_number, _frame: stopping.append(signal_number))
    data_dir = Path(site.data_dir)
    with metrics_dir(data_dir) as metrics:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
        return _run(site, data_dir, stopping)


def _run(site: Site, data_dir: Path, stopping: list[int]) -> int:
    roles = [Role("web", "serve"), *(Role(f"worker-{number}", "worker") for number in range(1, site.workers + 1))]
    server = None
    dsn = os.environ.get("AREA_DATABASE_URL")
    try:
        launch = _launch(roles)
        if refused := launch.loaded():
            return refused
        if dsn is None:
            from area.db import embedded

            server = embedded.start(data_dir)
            dsn = server.dsn
        environment = {"AREA_DATABASE_URL": dsn}
        if refused := _migrate_once(data_dir, environment):
            return refused
        launch.start(environment)
        return _watch(site, server, roles, environment, stopping)
    finally:
        _stop(roles)
        if server is not None:
            server.stop()


def _migrate_once(data_dir: Path, environment: Mapping[str, str]) -> int:
    """Upgrade the schema once, instead of in each role. Returns the exit code if the upgrade is refused."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    marker = data_dir / "schema"
    newest = max(path.stem for path in MIGRATIONS.glob("[0-9]*.py"))
    if marker.is_file() and marker.read_text() == newest:
        return 0
    command = [sys.executable, "-m", "area.cli", "db", "upgrade"]
    done = subprocess.run(  # noqa: S603 - ourselves; in a process of its own, whose memory is given back
        command,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        check=False,
        preexec_fn=partial(end_with, os.getpid()) if sys.platform == "linux" else None,
    )
    if done.returncode == 0:
        marker.write_text(newest)
    return done.returncode if done.returncode in REFUSED else 0


def _watch(
    site: Site, server: "Embedded | None", roles: list[Role], environment: Mapping[str, str], stopping: list[int]
) -> int:
    """Keep everything running until a signal arrives."""
    announced = False
    while not stopping:
        if server is not None:
            _revive(server, roles)
        _arrive(roles)
        for role in roles:
            _keep(role, environment)
        if code := next((role.code for role in roles if role.refused), 0):
            return code
        if not announced and (announced := _answers(site.host, site.port)):
            print(f"AREA runs at {site.url}", flush=True)
            for role in roles:
                role.first = False
            start("first-look", live, os.getpid(), "first-look", _look, environment)
        PROCESSES.active_children()  # which waits for those that have ended
        time.sleep(LOOK_EVERY)
    return 0


def _revive(server: "Embedded", roles: list[Role]) -> None:
    """Restart the database if it died. Roles that died without it restart immediately."""
    from area.db.embedded.errors import EmbeddedError

    try:
        if not server.revive():
            return
    except EmbeddedError as error:  # the roles wait for it, and we retry
        log.error("supervisor.database_not_revived", error=str(error))  # noqa: TRY400 - the message says it all
        return
    log.error("supervisor.database_revived")
    for role in roles:
        role.deaths, role.again_at = 0, 0.0


def first_steps(configured: "Settings") -> str:
    """Instructions for when there is no account yet."""
    from area.accounts import setup

    code = setup.code(configured)
    if code is None:
        return FIRST_STEPS.format(url=configured.base_url, code="")
    return SETUP_CODE.format(code=code) + FIRST_STEPS.format(url=configured.base_url, code=f', "setup_code": "{code}"')


def _look() -> None:
    """Print how to begin if there is no account. In a separate process, because it imports a lot."""
    import asyncio

    from area.cli.anybody import NOBODY, anybody
    from area.settings import settings

    configured = settings()
    if asyncio.run(anybody(configured.database_url or "")) == NOBODY:
        print(first_steps(configured), flush=True)


@contextmanager
def metrics_dir(data_dir: Path) -> Iterator[Path]:
    """A new directory for the processes' shared metrics. Removes those left behind by killed processes.

    In memory where possible: the counters are mapped files, and writing to one on a full disk kills the process
    (SIGBUS).
    """
    shutil.rmtree(data_dir / "metrics", ignore_errors=True)  # its location up to version 0.1
    memory = Path("/dev/shm")  # noqa: S108 - the directory is made 0700, with a name that nobody can guess
    base = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    prefix = f"area-metrics-{os.geteuid()}-"
    for left in base.glob(f"{prefix}*"):
        with suppress(OSError), (left / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
    held = os.open(path / "new", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)  # held until the last process has ended
    (path / "new").rename(path / "lock")
    try:
        yield path
    finally:
        os.close(held)
        shutil.rmtree(path, ignore_errors=True)


def _launch(roles: Sequence[Role]) -> Launch:
    launch = Launch({role.name: partial(run_command, role.command) for role in roles})
    for role in roles:
        role.launch, role.started = launch, time.monotonic()
    return launch


def _arrive(roles: Sequence[Role]) -> None:
    """Take over the roles whose launch is complete."""
    for launch in {role.launch for role in roles if role.launch is not None}:
        if (children := launch.children()) is None:
            continue
        for role in roles:
            if role.launch is not launch:
                continue
            role.launch = None
            if isinstance(children, int):
                _died(role, children)
            else:
                role.process, role.started = children[role.name], time.monotonic()


def _keep(role: Role, environment: Mapping[str, str]) -> None:
    """Start a role that isn't running; if it keeps dying, after increasing pauses."""
    if role.process is not None and role.process.exitcode is not None:
        code, role.process = role.process.exitcode, None
        _died(role, code)
    elif role.process is None and role.launch is None and time.monotonic() >= role.again_at:
        _launch([role]).start(environment)


def _died(role: Role, code: int) -> None:
    moment = time.monotonic()
    quick = moment - role.started < QUICK_DEATH
    role.code = code
    role.refused = role.first and code in REFUSED and moment - role.started < STARTING
    role.first = False
    role.deaths = role.deaths + 1 if quick else 0
    pause = min(LONGEST_PAUSE, 0.5 * 2 ** min(role.deaths, 10)) if quick else 0.0
    if not role.refused:
        log.error("supervisor.role_died", role=role.name, code=code, again_in=pause)
    role.again_at = moment + pause


def _answers(host: str, port: int) -> bool:
    """Whether /healthz says 200. Without `http.client`, whose TLS is the largest part of what it loads."""
    try:
        with socket.create_connection((EVERYWHERE.get(host, host), port), timeout=1) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(16).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def _stop(roles: Sequence[Role]) -> None:
    running = [role.process for role in roles if role.process is not None]
    for launch in {role.launch for role in roles if role.launch is not None}:
        running += launch.stop()
    for process in running:
        process.terminate()
    end = time.monotonic() + STOP_WITHIN
    for process in running:
        process.join(max(0.1, end - time.monotonic()))
        if process.exitcode is None:
            log.warning("supervisor.killed", pid=process.pid)
            process.kill()
            process.join()


def main() -> None:
    """Entry point of `python -m area.cli.supervise SITE`."""
    with explaining():
        sys.exit(supervise(Site(*json.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
