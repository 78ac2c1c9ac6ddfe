"""`area up`: every role on this machine, started, watched and stopped together.

It imports once what all of them need and forks them, so that they start at once and share the memory of what none of them changes.
It never works itself: it has no thread, no event loop and no connection that a fork would copy.
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
QUICK_DEATH = 10.0  # seconds; a role that dies sooner is started again after a growing pause
LONGEST_PAUSE = 30.0
PORT_WITHIN = 5.0  # seconds that a start waits for the port, which an `area up` that was just killed may still hold
STARTING = 60.0  # seconds that a start takes at most, on a machine that is very busy
REFUSED = (1, 2)  # exit codes of a role that has told on stderr why it can't start
SIGNALS = (signal.SIGTERM, signal.SIGINT)
# macOS has libraries that do not survive a fork: there each role imports for itself
# https://docs.python.org/3/library/multiprocessing.html#contexts-and-start-methods
PROCESSES = multiprocessing.get_context("fork") if sys.platform == "linux" else multiprocessing.get_context("spawn")
SHARED = ("area.app", "area.api", "area.engine.runtime", "area.hooks", "area.web", "granian.server.embed")
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound

FIRST_STEPS = """
There is no account yet. Open {url} and make the first one: it is the administrator's.
Without a browser, this makes it, and answers with a token:

  curl {url}/api/auth/register -H 'Content-Type: application/json' \\
    -d '{{"email": "you@example.org", "username": "you", "password": "<8 characters or more>"{code}}}'
"""
SETUP_CODE = """
Other machines can reach this one, so the first account needs the set-up code: {code}
"""


@dataclass
class Role:
    """A child process that is to run."""

    name: str
    command: Callable[[], None]
    process: BaseProcess | None = None
    started: float = 0.0
    deaths: int = 0
    again_at: float = 0.0
    code: int = 0
    first: bool = True  # until all has started once
    refused: bool = False  # at its first start


def up(configured: Settings, *, workers: int, say: Callable[[str], None]) -> int:
    """Run the database, a web process and `workers` workers until SIGTERM or SIGINT. Returns the exit code.

    Raises `Failed`, `Malformed` or `EmbeddedError` when it can't start. A role that refuses its first start ends it all with its exit
    code; later it is started again.
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

    gc.disable()  # it would leave holes in the pages that are shared: https://docs.python.org/3/library/gc.html#gc.freeze
    for module in SHARED:
        importlib.import_module(module)
    registry()
    gc.freeze()
    gc.enable()


def _migrate_once(configured: Settings, environment: Mapping[str, str]) -> int:
    """Bring the schema up to date once, rather than have each role do it. Returns the exit code when that is refused."""
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
        if not told and (told := _answers(configured.host, configured.port)):
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
    """Start the database again if it died; who died for want of it starts at once."""
    from area.db.embedded.errors import EmbeddedError

    try:
        if not server.revive():
            return
    except EmbeddedError as error:  # what runs waits for it, and it is tried again
        log.error("supervisor.database_not_revived", error=str(error))  # noqa: TRY400 - the message says it all
        return
    log.error("supervisor.database_revived")
    for role in roles:
        role.deaths, role.again_at = 0, 0.0


def _start(name: str, command: Callable[[], None], environment: Mapping[str, str]) -> BaseProcess:
    """Run a command of ours, in a process of its own."""
    arguments = (os.getpid(), name, command, environment)
    process = PROCESSES.Process(target=_live, name=name, args=arguments, daemon=True)
    # a signal for a process that does not handle it yet must not be taken for one to us
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return process


def _live(parent: int, name: str, command: Callable[[], None], environment: Mapping[str, str]) -> None:
    """A process's life. In its own session: a terminal's Ctrl-C is for the supervisor, and the order of stopping ours."""
    end_with(parent)
    os.setsid()
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    with suppress(OSError):  # what `top` and `ps -e` show; not everywhere is there such a file
        Path("/proc/self/comm").write_text(f"area {name}")
    os.environ.update(environment)
    settings.cache_clear()
    try:
        command()
    except Exception as error:
        if not console.told(error):
            raise
        sys.exit(1)


def first_steps(configured: Settings) -> str:
    """What to do when there is no account."""
    from area.accounts import setup

    code = setup.code(configured)
    if code is None:
        return FIRST_STEPS.format(url=configured.base_url, code="")
    return SETUP_CODE.format(code=code) + FIRST_STEPS.format(url=configured.base_url, code=f', "setup_code": "{code}"')


def _look() -> None:
    """Whether the database has an account, as an exit code."""
    sys.exit(asyncio.run(anybody(settings().database_url or "")))


@contextmanager
def metrics_dir(data_dir: Path) -> Iterator[Path]:
    """A new directory where the processes count together, and what killed ones left behind removed.

    In memory where that can be: the counters are mapped files, and whoever writes to one on a full disk is killed (SIGBUS).
    """
    shutil.rmtree(data_dir / "metrics", ignore_errors=True)  # where it was up to version 0.1
    memory = Path("/dev/shm")  # noqa: S108 - the directory is made 0700, with a name that nobody can guess
    base = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    prefix = f"area-metrics-{os.geteuid()}-"
    for left in base.glob(f"{prefix}*"):
        with suppress(OSError), (left / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
    held = os.open(path / "new", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)  # until the last of us has ended
    (path / "new").rename(path / "lock")
    try:
        yield path
    finally:
        os.close(held)
        shutil.rmtree(path, ignore_errors=True)


def _keep(role: Role, environment: Mapping[str, str]) -> None:
    """Start a role that does not run; one that keeps dying, after a growing pause."""
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
