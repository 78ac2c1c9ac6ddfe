"""Backup and restore of any PostgreSQL, with the pg_dump and pg_restore that come with AREA."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from area.db.dsn import raw_dsn
from area.db.embedded.processes import VERSION, Command, binaries, hint


class BackupError(RuntimeError):
    """A backup or restore failed and nothing was changed. The message says why."""


def backup(dsn: str, file: Path) -> None:
    """Write the whole database at `dsn` to `file` (pg_dump's custom format, mode 0600), completely or not at all.

    `dsn` may be the embedded server or any PostgreSQL that the newest pg_dump here can read. Raises `BackupError`.
    """
    address, environment = _without_password(dsn)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BackupError(f"Can't write {file}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as output:
            _client([tool("pg_dump"), "--format=custom", f"--dbname={address}"], environment, stdout=output)
            os.fsync(output.fileno())
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def restore(dsn: str, file: Path, *, force: bool = False) -> None:
    """Restore the backup in `file` into the database at `dsn`, in one transaction: completely or not at all.

    The database must be empty, unless `force` is set: then its schema `public` is dropped first. Stop AREA before,
    since its sessions hold locks and cache data. Raises `BackupError`.
    """
    address, environment = _without_password(dsn)
    if not file.is_file():
        raise BackupError(f"There is no file {file}.")
    psql: Command = [tool("psql"), "--no-psqlrc", "--quiet", f"--dbname={address}", "--set=ON_ERROR_STOP=1"]
    count = (
        "select count(*) from pg_class c where relnamespace = 'public'::regnamespace"
        " and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')"  # not an extension's
    )
    held = _client([*psql, "--tuples-only", "--no-align", f"--command={count}"], environment)
    if int(held) and not force:
        raise BackupError("The database is not empty. To replace what it holds, restore with --force.")
    dump: Command = [tool("pg_restore"), "--no-owner", "--no-privileges", "--file=-", file]
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
        assert reader.stdout  # noqa: S101 - stdout is a pipe
        assert writer.stdin  # noqa: S101 - as above
        with suppress(BrokenPipeError):  # psql ended: its error says why
            # notices would hide the sentence that says why it failed
            writer.stdin.write(b"set client_min_messages = warning;\nset lock_timeout = '10s';\n")
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
        output = complaints.read().decode(errors="replace").strip()
    if failed:
        advice = "\nStop AREA first: something still uses the database." if "lock timeout" in output else ""
        raise BackupError(f"The backup was not restored and the database is as it was:\n{output}{advice}")


def _copy_script(source: IO[bytes], target: IO[bytes]) -> None:
    """Copy the SQL, except one setting in its head that PostgreSQL before 17 doesn't know."""
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
        output = done.stderr.decode(errors="replace").strip()
        raise BackupError(f"{Path(command[0]).name} failed:\n{output}{hint(output)}")
    return (done.stdout or b"").decode().strip()


def _without_password(dsn: str) -> tuple[str, dict[str, str]]:
    """The address without its password, and the password as environment: every user can read command lines."""
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
def tool(name: str) -> Path:
    """The path of pg_dump, pg_restore or psql: ours, or a newer one in PATH, which is needed to read a newer server."""
    if installed := shutil.which("pg_dump"):
        version = subprocess.run(  # noqa: S603 - found in PATH
            [installed, "--version"], capture_output=True, text=True, check=False
        ).stdout
        newer = re.search(r"\) (\d+)", version)
        other = shutil.which(name)
        if newer and other and int(newer[1]) > int(VERSION):
            return Path(other)
    return binaries() / name
