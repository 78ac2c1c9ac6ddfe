"""Shared by the commands: opening settings and database, finding users, printing tables, reporting errors."""

import errno
import json
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession
    from typing_extensions import override

    from area.accounts import UserView
    from area.db.session import Database
    from area.engine.state import State
    from area.settings import Settings
else:

    def override(method: Any) -> Any:
        """Stands in for typing_extensions' decorator, whose import would take a tenth of the time of `area --help`."""
        return method


Result = TypeVar("Result")

REACH_TIMEOUT = 10  # seconds
OTHERS = (
    "select count(*) from pg_stat_activity where datname = current_database() and backend_type = 'client backend'"
    " and pid <> pg_backend_pid()"
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
User = Annotated[
    str | None, typer.Option("--user", help="The account: e-mail address, username or id. Default: the only account.")
]

# Errors that a user or operator can fix, printed as a sentence. By name, to avoid importing their modules.
EXPLAINED = {
    "area.cli.console.Failed",
    "area.db.away.DatabaseAwayError",
    "area.db.backup.BackupError",
    "area.db.embedded.errors.EmbeddedError",
    "area.db.schema.SchemaError",
    "area.kit.crypto.Undecryptable",
    "area.kit.net.Blocked",
    "area.kit.problems.Problem",
    "area.registry.Malformed",
    "area.sdk.errors.ConnectorError",
    "area.sdk.verify.Refused",
}
DATABASE = {
    "asyncpg.exceptions._base.PostgresError",
    "asyncpg.exceptions._base.InterfaceError",
    "asyncpg.exceptions._base.InternalClientError",
    "sqlalchemy.exc.DBAPIError",
    "sqlalchemy.exc.TimeoutError",
}


class Failed(Exception):
    """A command can't do its job; the message is a sentence for the user."""


class Commands(TyperGroup):
    """Command group that prints errors which users can fix as sentences on stderr, with exit code 1."""

    @override
    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if not report(error):
                raise
            raise typer.Exit(1) from error


def report(error: BaseException) -> bool:
    """Print an error that the user can fix to stderr. Returns False for a bug of ours, which keeps its traceback."""
    sentences = explain(error)
    for sentence in sentences:
        echo(sentence, err=True)
    return bool(sentences)


def explain(error: BaseException) -> list[str]:
    """Sentences that explain an error to the user. Empty for a bug of ours."""
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    if fields := getattr(error, "errors", None) if "area.kit.problems.Invalid" in names else None:
        return [f"{field['field']}: {field['message']}" for field in fields]
    if names & EXPLAINED:
        return [str(error)]
    if names & DATABASE:
        return [f"Database error: {getattr(error, 'orig', None) or error}"]
    if isinstance(error, OSError) and error.errno != errno.EPIPE:
        reason = error.strerror or str(error) or "No response in time."
        return [f"{error.filename}: {reason}" if error.filename else reason]
    return []


# Settings and the database


def configured(*, quiet: bool = False) -> "Settings":
    """The settings, with logging set up. Exits with code 2 if one is invalid.

    `quiet`, for commands that people run: warnings only, and as JSON only if AREA_LOG_FORMAT says so.
    """
    from pydantic import ValidationError

    from area.kit import logs
    from area.kit.refusals import refused
    from area.settings import settings

    try:
        loaded = settings()
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False, include_input=False):
            name = "AREA_" + "_".join(map(str, detail["loc"])).upper() + ": " if detail["loc"] else ""
            typer.echo(name + refused(detail), err=True)
        raise typer.Exit(2) from error
    if quiet:
        level = "warning" if loaded.log_level in ("debug", "info") else loaded.log_level
        logs.configure("console" if loaded.log_format == "auto" else loaded.log_format, level)
    else:
        logs.configure(loaded.log_format, loaded.log_level)
    return loaded


@contextmanager
def database(settings: "Settings") -> Iterator[str]:
    """The URL of a reachable database. Raises `Failed` if it can't be reached."""
    import asyncio

    from area.db import address

    with address.database(settings) as dsn:
        asyncio.run(reach(dsn))
        yield dsn


async def reach(dsn: str) -> None:
    """Connect to the database once. Raises `Failed`."""
    import asyncpg

    from area.db.away import is_away
    from area.db.dsn import raw_dsn

    try:
        connection = await asyncpg.connect(raw_dsn(dsn), timeout=REACH_TIMEOUT)
    except Exception as error:
        if not is_away(error) and not isinstance(error, (ValueError, OSError, asyncpg.PostgresError)):
            raise
        reason = getattr(error, "strerror", None) or str(error).strip() or f"no response within {REACH_TIMEOUT} seconds"
        raise Failed(f"The database{_place(dsn)} can't be used: {reason}. Check AREA_DATABASE_URL.") from error
    await connection.close()


def _place(dsn: str) -> str:
    from urllib.parse import urlsplit

    try:
        host = urlsplit(dsn).hostname
    except ValueError:
        host = None
    return f" at {host}" if host else ""


def refuse_while_running(dsn: str, why: str) -> None:
    """Raise `Failed` while other clients are connected to the database; `why` completes the message."""
    import asyncio

    import asyncpg

    from area.db.dsn import raw_dsn

    async def others() -> int:
        connection = await asyncpg.connect(raw_dsn(dsn))
        try:
            return int(await connection.fetchval(OTHERS))
        finally:
            await connection.close()

    if count := asyncio.run(others()):
        raise Failed(f"The database has {count} other connection{'' if count == 1 else 's'}. Stop AREA first, {why}.")


def with_state(work: "Callable[[State], Awaitable[Result]]") -> Result:
    """Run `work` with a process's full state. A new database is initialised; an older one must be upgraded first."""
    import asyncio

    settings = configured(quiet=True)
    with database(settings) as dsn:
        return asyncio.run(_with_state(settings, dsn, work))


def with_database(work: "Callable[[Database, Settings], Awaitable[Result]]") -> Result:
    """Like `with_state`, for commands that need the database alone: it starts several times as fast."""
    import asyncio

    settings = configured(quiet=True)
    with database(settings) as dsn:
        return asyncio.run(_with_database(settings, dsn, work))


async def _with_database(
    settings: "Settings", dsn: str, work: "Callable[[Database, Settings], Awaitable[Result]]"
) -> Result:
    from area.db.session import Database

    if await _current(dsn) is None:
        from area import app as root

        await (await root.prepare(settings, dsn)).close()
    opened = Database(dsn)
    try:
        return await work(opened, settings)
    finally:
        await opened.close()


async def _current(dsn: str) -> str | None:
    """The revision of the database; None if it is empty. Raises `Failed` if it is another one than this version's."""
    from area.db import schema

    current = await schema.current(dsn)
    if current is not None and current != schema.head():
        raise Failed(
            f"The database is at revision {current}, but this version of AREA needs {schema.head()}."
            " Run `area db upgrade`."
        )
    return current


async def _with_state(settings: "Settings", dsn: str, work: "Callable[[State], Awaitable[Result]]") -> Result:
    from area import app as root
    from area.engine.state import State

    state = await State.open(settings, dsn) if await _current(dsn) else await root.prepare(settings, dsn)
    try:
        return await work(state)
    finally:
        await state.close()


async def find_user(session: "AsyncSession", login: str | None) -> "UserView":
    """The account with this e-mail address, username or id; by default, the only account there is."""
    from area import accounts
    from area.kit.problems import NotFound

    if login is None:
        several = await accounts.users(session, limit=2)
        if not several:
            raise Failed("No accounts yet. Create one with `area user create`.")
        if len(several) > 1:
            raise Failed("There are several accounts. Choose one with --user.")
        return several[0]
    try:
        return await accounts.find(session, login)
    except NotFound:
        if not (login.isascii() and login.isdigit() and len(login) < 10):
            raise
        return await accounts.user(session, int(login))


def check_port(host: str, port: int, *, patience: float = 0.0) -> None:
    """Check that the port is free, waiting up to `patience` seconds. Raises `Failed`."""
    end = time.monotonic() + patience
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        while True:
            with socket.socket(family, kind, protocol) as attempt:
                attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    attempt.bind(address)
                except OSError as error:
                    if error.errno != errno.EADDRINUSE or time.monotonic() > end:
                        raise
                else:
                    return
            time.sleep(0.05)
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                reason = "another program is using it. Stop that program, or choose another port with AREA_PORT"
            case errno.EACCES:
                reason = (
                    "only root can use ports below 1024. Choose another port with AREA_PORT, and put a proxy in front"
                )
            case _:
                reason = f"{error.strerror or error}. Check AREA_HOST"
        raise Failed(f"AREA can't listen on {host}, port {port}: {reason}.") from error


# Output


def echo(text: object = "", *, err: bool = False) -> None:
    """Print, escaping terminal control characters: names and responses come from other people."""
    typer.echo("\n".join("\t".join(map(visible, line.split("\t"))) for line in str(text).split("\n")), err=err)


def visible(text: str) -> str:
    r"""One line, with control characters, direction overrides and line breaks escaped, such as `\\x1b`."""
    from area.kit.text import escaped

    return escaped(text)


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a value as JSON, including models and times."""
    echo(json.dumps(plain(value), indent=indent, ensure_ascii=False))


def plain(value: Any) -> Any:
    """A value in JSON types."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value)


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], nothing: str) -> None:
    """Print rows under headings; if there are none, print `nothing` to stderr."""
    if not rows:
        typer.echo(nothing, err=True)
        return
    lines = [list(columns.values()), *([_cell(row[name]) for name in columns] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    from datetime import datetime

    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case _:
            return visible(str(value))


def read_text(path: str) -> str:
    """The content of a file, or of standard input for `-`. Raises `Failed`."""
    from pathlib import Path

    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise Failed(f"{path} isn't UTF-8 text.") from error


def read_object(text: str, what: str) -> dict[str, Any]:
    """Parse a JSON object. Raises `Failed`."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Failed(f"{what} isn't valid JSON: {error}.") from error
    if not isinstance(value, dict):
        raise Failed(f'{what} must be a JSON object, such as {{"title": "Hello"}}.')
    return value
