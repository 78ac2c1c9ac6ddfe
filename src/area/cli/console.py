"""What the commands share: settings and the database opened, users found, tables printed, errors told as sentences."""

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
    from area.engine.state import State
    from area.settings import Settings
else:

    def override(method: Any) -> Any:
        """Stand for the true one, which takes a tenth of the time that `area --help` has."""
        return method


Result = TypeVar("Result")

REACH_TIMEOUT = 10  # seconds
OTHERS = (
    "select count(*) from pg_stat_activity where datname = current_database() and backend_type = 'client backend'"
    " and pid <> pg_backend_pid()"
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
User = Annotated[
    str | None, typer.Option("--user", help="Whose: e-mail address, username or id. Left out: the only account's.")
]

# What a user or operator can set right: told as a sentence. Named, not imported: what was raised is loaded already.
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
    """A command that can't do what was asked; the message is a sentence for the user."""


class Commands(TyperGroup):
    """The commands, with errors that users can set right as sentences on stderr and exit code 1."""

    @override
    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if not told(error):
                raise
            raise typer.Exit(1) from error


def told(error: BaseException) -> bool:
    """Tell the user, on stderr, what can be set right. Returns False when it is a bug of ours, which keeps its traceback."""
    sentences = explain(error)
    for sentence in sentences:
        echo(sentence, err=True)
    return bool(sentences)


def explain(error: BaseException) -> list[str]:
    """What to tell the user; nothing when it is a bug of ours."""
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    if fields := getattr(error, "errors", None) if "area.kit.problems.Invalid" in names else None:
        return [f"{one['field']}: {one['message']}" for one in fields]
    if names & EXPLAINED:
        return [str(error)]
    if names & DATABASE:
        return [f"The database refused: {getattr(error, 'orig', None) or error}"]
    if isinstance(error, OSError) and error.errno != errno.EPIPE:
        reason = error.strerror or str(error) or "There was no answer in time."
        return [f"{error.filename}: {reason}" if error.filename else reason]
    return []


# Settings and the database


def configured(*, quiet: bool = False) -> "Settings":
    """The settings, with logs set up (`quiet`: warnings only); a wrong one ends the command with exit code 2."""
    from pydantic import ValidationError

    from area.kit import logs
    from area.settings import settings

    try:
        found = settings()
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False, include_input=False):
            name = "AREA_" + "_".join(str(part) for part in one["loc"]).upper() + ": " if one["loc"] else ""
            typer.echo(name + one["msg"].removeprefix("Value error, "), err=True)
        raise typer.Exit(2) from error
    logs.configure(found.log_format, "warning" if quiet and found.log_level in ("debug", "info") else found.log_level)
    return found


@contextmanager
def database(settings: "Settings") -> Iterator[str]:
    """The address of a database that answers. Raises `Failed` when it doesn't."""
    import asyncio

    from area import app as root

    with root.database(settings) as dsn:
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
        reason = getattr(error, "strerror", None) or str(error).strip() or f"no answer within {REACH_TIMEOUT} seconds"
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
    """Raises `Failed` while others are connected to the database; `why` ends its sentence."""
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
        raise Failed(f"The database has {count} other connection{'' if count == 1 else 's'}: stop AREA first, {why}.")


def with_state(work: "Callable[[State], Awaitable[Result]]") -> Result:
    """Do `work` with everything open that a process needs. A new database is made ready; an older one must be upgraded."""
    import asyncio

    settings = configured(quiet=True)
    with database(settings) as dsn:
        return asyncio.run(_with_state(settings, dsn, work))


async def _with_state(settings: "Settings", dsn: str, work: "Callable[[State], Awaitable[Result]]") -> Result:
    from area import app as root
    from area.db import schema
    from area.engine.state import State

    current = await schema.current(dsn)
    if current is not None and current != schema.head():
        raise Failed(
            f"The database is at revision {current}, and this AREA works with {schema.head()}: run `area db upgrade`."
        )
    state = await State.open(settings, dsn) if current else await root.prepare(settings, dsn)
    try:
        return await work(state)
    finally:
        await state.close()


async def find_user(session: "AsyncSession", login: str | None) -> "UserView":
    """The account of an e-mail address, a username or an id; without one, the only account there is."""
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
    """See that the port can be listened on, within `patience` seconds. Raises `Failed`."""
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
                reason = "another program uses it. Stop that one, or choose another port with AREA_PORT"
            case errno.EACCES:
                reason = (
                    "only root may use ports below 1024. Choose another one with AREA_PORT, and put a proxy in front"
                )
            case _:
                reason = f"{error.strerror or error}. Check AREA_HOST"
        raise Failed(f"AREA can't listen on {host}, port {port}: {reason}.") from error


# Output


def echo(text: object = "", *, err: bool = False) -> None:
    """Print, with what would steer the terminal made visible: names and answers are other people's."""
    typer.echo("\n".join("\t".join(map(visible, line.split("\t"))) for line in str(text).split("\n")), err=err)


def visible(text: str) -> str:
    r"""One line, whose control characters, direction overrides and line breaks are shown as `\\x1b`."""
    from area.kit.text import escaped

    return escaped(text)


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a value, models and times included, as JSON for people and programs."""
    echo(json.dumps(plain(value), indent=indent, ensure_ascii=False))


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value)


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], nothing: str) -> None:
    """Print rows under headings, or the sentence `nothing`, which goes to stderr."""
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
    """The text of a file, or of standard input for `-`. Raises `Failed`."""
    from pathlib import Path

    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise Failed(f"{path} is no text in UTF-8.") from error


def read_object(text: str, what: str) -> dict[str, Any]:
    """The JSON object that `text` is. Raises `Failed`."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Failed(f"{what} is no JSON: {error}.") from error
    if not isinstance(value, dict):
        raise Failed(f'{what} must be a JSON object, such as {{"title": "Hello"}}.')
    return value
