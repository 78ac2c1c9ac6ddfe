"""A cluster on disk: created, configured, and the place of its socket."""

import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from area.db.embedded.account import Account, let_read, let_through
from area.db.embedded.errors import EmbeddedError
from area.db.embedded.locks import write_file
from area.db.embedded.processes import (
    DATABASE,
    PORT,
    SUPERUSER,
    VERSION,
    Command,
    binaries,
    hint,
    log,
    server_environment,
    title_of,
)

_SOCKET_LIMIT = 103  # of macOS; Linux has four more
CONFIGURATION = """\
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


def prepare_cluster(directory: Path, account: Account, mutex: int) -> None:
    """Ensure that there is a cluster this server can use."""
    for leftover in directory.parent.glob(".postgres-*"):
        shutil.rmtree(leftover)  # of a killed initdb; none is running, since it would hold the mutex
    if os.geteuid() == 0:
        let_through(directory, account)
        let_read(account)
    version = directory / "PG_VERSION"
    try:
        major = version.read_text().strip()
    except FileNotFoundError:
        if directory.exists() and any(directory.iterdir()):
            raise EmbeddedError(
                f"{directory} is not empty but holds no PostgreSQL cluster. Move it away and start again."
            ) from None
        make_cluster(directory, account, mutex)
        return
    except PermissionError:
        raise EmbeddedError(
            f"{directory} belongs to another user. Run AREA as that user or as root, or set AREA_DATA_DIR."
        ) from None
    if major != VERSION:
        raise EmbeddedError(
            f"{directory} was made by PostgreSQL {major}, and this AREA brings {VERSION}. Go back to the AREA that"
            f" made it, run `area db backup FILE`, move {directory} away,"
            " and with this AREA run `area db restore FILE`."
        )
    _refuse_hosts(directory, account)
    status = directory.stat()
    if os.geteuid() == 0 and status.st_uid != account.uid:
        log.warning("giving the database's files to the user it runs as", directory=str(directory), uid=account.uid)
        for path in (directory, *directory.rglob("*")):
            account.give(path)
    if stat.S_IMODE(status.st_mode) != 0o700:
        directory.chmod(0o700)  # PostgreSQL requires it


def _refuse_hosts(directory: Path, account: Account) -> None:
    """Reject TCP connections without a password, which clusters from AREA 0.1 would accept if a local.conf listened."""
    file = directory / "pg_hba.conf"
    with suppress(FileNotFoundError):
        text = file.read_text("utf-8", "replace")
        mended = re.sub(r"^([ \t]*host\w*[ \t].*[ \t])trust([ \t]*)$", r"\1reject\2", text, flags=re.MULTILINE)
        if mended != text:
            log.info("refusing connections by TCP without a password", file=str(file))
            write_file(file, mended, account)


def make_cluster(directory: Path, account: Account, mutex: int) -> None:
    """Create a cluster beside its place, and move it there once it is complete."""
    log.info("making the embedded PostgreSQL", directory=str(directory))
    temporary = Path(tempfile.mkdtemp(prefix=".postgres-", dir=directory.parent))
    account.give(temporary)
    try:
        run_tool(
            [
                binaries() / "initdb",
                f"--pgdata={temporary}",
                f"--username={SUPERUSER}",
                "--auth-local=trust",  # only the owner and root may enter the socket's directory
                "--auth-host=reject",  # whatever a local.conf listens on
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-locale",
                "--data-checksums",
                "--no-instructions",
            ],
            account,
            # if we are killed, the next process waits for the initdb that goes on
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
        output = run_tool(single, account, input=f"create database {DATABASE}\n".encode(), pass_fds=[mutex])
        if re.search(r"\b(ERROR|FATAL|PANIC):", output):
            raise EmbeddedError(f"The embedded PostgreSQL can't be made in {directory}:\n{output}{hint(output)}")
        temporary.rename(directory)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    descriptor = os.open(directory.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def run_tool(command: Command, account: Account, **options: Any) -> str:
    """Run one of PostgreSQL's programs as `account`. Returns its output."""
    options = {"input": b"", **options, **account.popen()}
    done: subprocess.CompletedProcess[bytes] = subprocess.run(  # noqa: S603 - our own programs
        command,
        cwd="/",
        env=server_environment(),
        umask=0o077,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        **options,
    )
    output = done.stdout.decode(errors="replace").strip()
    if done.returncode:
        name = Path(command[0]).name
        raise EmbeddedError(f"{name} of the embedded PostgreSQL failed ({done.returncode}):\n{output}{hint(output)}")
    return output


def make_socket_dir(directory: Path, account: Account) -> Path:
    """The directory for the socket: in the cluster, which only its owner may enter, or a short one if that isn't
    possible.
    """
    socket_name = f".s.PGSQL.{PORT}"
    if len(os.fsencode(directory / socket_name)) <= _SOCKET_LIMIT and re.fullmatch(
        r"[\w./+-]+", str(directory), re.ASCII
    ):
        probe = directory / f".s.{os.getpid()}"  # some shared folders and network file systems don't support sockets
        with suppress(OSError), socket.socket(socket.AF_UNIX) as attempt:
            try:
                attempt.bind(str(probe))
                return directory
            finally:
                probe.unlink(missing_ok=True)
    bases = ["/tmp"]  # noqa: S108 - the directory is made 0700 and its owner checked
    if os.geteuid() != 0:  # as root it must be one that the server's user can reach
        bases = [os.environ.get("XDG_RUNTIME_DIR") or bases[0], tempfile.gettempdir(), *bases]
    for base in bases:
        for suffix in ("", "-1", "-2", "-3"):
            path = Path(base) / f"{title_of(directory)}-{account.uid}{suffix}"
            if len(os.fsencode(path / socket_name)) > _SOCKET_LIMIT:
                continue
            with suppress(OSError):
                try:
                    path.mkdir(mode=0o700)
                    account.give(path)
                except FileExistsError:
                    pass
                status = path.lstat()
                # somebody else may have created it to intercept connections
                if stat.S_ISDIR(status.st_mode) and status.st_uid == account.uid:
                    path.chmod(0o700)
                    return path
    raise EmbeddedError(f"No directory for the socket of the embedded PostgreSQL could be made in {', '.join(bases)}.")
