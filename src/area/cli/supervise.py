"""`area up`: start, watch and stop all roles on this machine.

The supervisor imports shared modules once and forks the roles, so that they start fast and share memory. It does no
work itself: it has no threads, event loop or connections that a fork would copy.
"""

import asyncio
import fcntl
import gc
import http.client
import importlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from area import cli
from area.cli import console
from area.cli.anybody import NOBODY, anybody
from area.kit.lifeline import end_with
from area.settings import Settings, settings

if TYPE_CHECKING:
    from area.db.embedded import Embedded

log = structlog.get_logger()

MIGRATIONS = Path(__file__).parents[1] / "db" / "migrations" / "versions"
STOP_WITHIN = 12.0  # seconds
LOOK_EVERY = 0.1
QUICK_DEATH = 10.0  # seconds; a role that dies sooner is restarted after increasing pauses
LONGEST_PAUSE = 30.0
PORT_WITHIN = 5.0  # seconds to wait for the port, which a killed `area up` may still hold
STARTING = 60.0  # seconds that a start can take on a very busy machine
REFUSED = (1, 2)  # exit codes of a role that has explained on stderr why it can't start
SIGNALS = (signal.SIGTERM, signal.SIGINT)
# some macOS libraries don't survive a fork, so each role imports by itself there
# https://docs.python.org/3/library/multiprocessing.html#contexts-and-start-methods
PROCESSES = multiprocessing.get_context("fork") if sys.platform == "linux" else multiprocessing.get_context("spawn")
SHARED = ("area.app", "area.api", "area.engine.runtime", "area.hooks", "area.web", "granian.server.embed")
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
    command: Callable[[], None]
    process: BaseProcess | None = None
    started: float = 0.0
    deaths: int = 0
    again_at: float = 0.0
    code: int = 0
    first: bool = True  # until everything has started once
    refused: bool = False  # on its first start


def up(configured: Settings, *, workers: int, say: Callable[[str], None]) -> int:
    """Run the database, a web process and `workers` workers until SIGTERM or SIGINT. Returns the exit code.

    Raises `Failed`, `Malformed` or `EmbeddedError` if it can't start. If a role refuses to start the first time,
    everything stops with its exit code; later, it is restarted.
    """
    console.check_port(configured.host, configured.port, patience=PORT_WITHIN)
    stopping: list[int] = []
    for number in SIGNALS:
        signal.signal(number, lambda signal_number, _frame: stopping.append(signal_number))
    with metrics_dir(configured.data_dir) as metrics:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
        return _run(configured, workers, stopping, say)


def _run(configured: Settings, workers: int, stopping: list[int], say: Callable[[str], None]) -> int:
    if PROCESSES.get_start_method() == "fork":
        _load()
    server = None
    dsn = configured.database_url
    if dsn is None:
        from area.db import embedded

        server = embedded.start(configured.data_dir)
        dsn = server.dsn
    roles = [Role("web", cli.serve), *(Role(f"worker-{number}", cli.worker) for number in range(1, workers + 1))]
    try:
        environment = {"AREA_DATABASE_URL": dsn}
        if refused := _migrate_once(configured, environment):
            return refused
        return _watch(configured, server, roles, environment, stopping, say)
    finally:
        _stop([role.process for role in roles if role.process is not None])
        if server is not None:
            server.stop()


def _load() -> None:
    """Import what the roles need. Raises `Malformed`."""
    from area.registry import registry

    gc.disable()  # a collection would leave holes in the shared pages: https://docs.python.org/3/library/gc.html#gc.freeze
    for module in SHARED:
        importlib.import_module(module)
    registry()
    gc.freeze()
    gc.enable()


def _migrate_once(configured: Settings, environment: Mapping[str, str]) -> int:
    """Upgrade the schema once, instead of in each role. Returns the exit code if the upgrade is refused."""
    configured.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    marker = configured.data_dir / "schema"
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
    configured: Settings,
    server: "Embedded | None",
    roles: list[Role],
    environment: Mapping[str, str],
    stopping: list[int],
    say: Callable[[str], None],
) -> int:
    """Keep everything running until a signal arrives."""
    first_look = None
    announced = False
    while not stopping:
        if server is not None:
            _revive(server, roles)
        for role in roles:
            _keep(role, environment)
        if code := next((role.code for role in roles if role.refused), 0):
            return code
        if not announced and (announced := _answers(configured.host, configured.port)):
            say(f"AREA runs at {configured.base_url}")
            for role in roles:
                role.first = False
            first_look = _start("first-look", _look, environment)
        if first_look is not None and first_look.exitcode is not None:
            if first_look.exitcode == NOBODY:
                say(first_steps(configured))
            first_look = None
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


def _start(name: str, command: Callable[[], None], environment: Mapping[str, str]) -> BaseProcess:
    """Run one of our commands in a child process."""
    arguments = (os.getpid(), name, command, environment)
    process = PROCESSES.Process(target=_live, name=name, args=arguments, daemon=True)
    # a signal to a child that doesn't handle it yet must not look like one to us
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return process


def _live(parent: int, name: str, command: Callable[[], None], environment: Mapping[str, str]) -> None:
    """Main function of a child process. It gets its own session, so that a terminal's Ctrl-C only reaches the
    supervisor, which stops the roles in order.
    """
    end_with(parent)
    os.setsid()
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    with suppress(OSError):  # shown by `top` and `ps -e`; Linux only
        Path("/proc/self/comm").write_text(f"area {name}")
    os.environ.update(environment)
    settings.cache_clear()
    try:
        command()
    except Exception as error:
        if not console.report(error):
            raise
        sys.exit(1)


def first_steps(configured: Settings) -> str:
    """Instructions for when there is no account yet."""
    from area.accounts import setup

    code = setup.code(configured)
    if code is None:
        return FIRST_STEPS.format(url=configured.base_url, code="")
    return SETUP_CODE.format(code=code) + FIRST_STEPS.format(url=configured.base_url, code=f', "setup_code": "{code}"')


def _look() -> None:
    """Exit code for whether the database has an account."""
    sys.exit(asyncio.run(anybody(settings().database_url or "")))


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


def _keep(role: Role, environment: Mapping[str, str]) -> None:
    """Start a role that isn't running; if it keeps dying, after increasing pauses."""
    moment = time.monotonic()
    if role.process is not None and role.process.exitcode is not None:
        quick = moment - role.started < QUICK_DEATH
        role.code = role.process.exitcode
        role.refused = role.first and role.code in REFUSED and moment - role.started < STARTING
        role.first = False
        role.deaths = role.deaths + 1 if quick else 0
        pause = min(LONGEST_PAUSE, 0.5 * 2 ** min(role.deaths, 10)) if quick else 0.0
        if not role.refused:
            log.error("supervisor.role_died", role=role.name, code=role.code, again_in=pause)
        role.process = None
        role.again_at = moment + pause
    elif role.process is None and moment >= role.again_at:
        role.process = _start(role.name, role.command, environment)
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


def _stop(processes: list[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    end = time.monotonic() + STOP_WITHIN
    for process in processes:
        process.join(max(0.1, end - time.monotonic()))
        if process.exitcode is None:
            log.warning("supervisor.killed", pid=process.pid)
            process.kill()
            process.join()
