"""A database that is away, in each way that it can be: every door says so, and that trying again helps."""

from contextlib import asynccontextmanager

import asyncpg
import pytest
from sqlalchemy import exc, text
from structlog.testing import capture_logs

from area.accounts import sessions
from area.app import Root
from area.cli import anybody, console
from area.db import schema
from area.db.away import DatabaseAwayError, is_away
from area.engine.cache import Cache
from area.hooks import Hooks

from .conftest import PASSWORD


def wrapped(error: BaseException) -> exc.DBAPIError:
    """As SQLAlchemy hands on what asyncpg raises."""
    origin = Exception(str(error))
    origin.__cause__ = error
    return exc.DBAPIError("select 1", {}, origin)


AWAY = {
    "nobody listens": ConnectionRefusedError(111, "Connection refused"),
    "no socket": FileNotFoundError(2, "No such file or directory"),
    "no such host": OSError(-2, "Name or service not known"),
    "no answer": TimeoutError(),
    "the connection breaks": asyncpg.ConnectionDoesNotExistError("connection was closed"),
    "a standby after a failover": asyncpg.ReadOnlySQLTransactionError(
        "cannot execute INSERT in a read-only transaction"
    ),
    "it starts": asyncpg.CannotConnectNowError("the database system is starting up"),
    "it is shut down": asyncpg.AdminShutdownError("terminating connection"),
    "it crashed": asyncpg.CrashShutdownError("terminating connection because of crash of another server process"),
    "it has no memory": asyncpg.OutOfMemoryError("out of memory"),
    "its disk is full": asyncpg.DiskFullError("could not extend file"),
    "too many connections": asyncpg.TooManyConnectionsError("sorry, too many clients already"),
    "a deadlock": asyncpg.DeadlockDetectedError("deadlock detected"),
    "asyncpg's connection is closed": asyncpg.InterfaceError("connection is closed"),
    "asyncpg's protocol broke": asyncpg.InternalClientError("unexpected"),
    "the pool is empty": exc.TimeoutError("QueuePool limit reached"),
    "told by the engine": DatabaseAwayError("the database can't be asked"),
} | {
    f"{kind.__name__} through SQLAlchemy": wrapped(kind("x"))
    for kind in (
        asyncpg.ReadOnlySQLTransactionError,
        asyncpg.CrashShutdownError,
        asyncpg.DiskFullError,
        asyncpg.InterfaceError,
    )
}
HERE = {
    "a wrong statement": asyncpg.UndefinedTableError("no such table"),
    "a wrong value": asyncpg.exceptions._base.DataError("invalid input"),
    "a duplicate through SQLAlchemy": wrapped(asyncpg.UniqueViolationError("duplicate")),
    "a file that is not there": FileNotFoundError(2, "No such file or directory", "/data/avatars/1"),
    "a bug": KeyError("x"),
}


@pytest.fixture(params=AWAY, ids=lambda name: name.replace(" ", "-"))
def away(request):
    return AWAY[request.param]


def raises(error):
    async def fail(*_args, **_more):
        raise error

    return fail


async def ask(app, path, method="GET"):
    """Status, headers and body."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [],
        "client": ("192.0.2.1", 1),
    }
    await app(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


async def test_the_api_says_when_to_come_again(people, monkeypatch, away):
    monkeypatch.setattr(sessions, "access", raises(away))
    answer = await people.user.get("/api/me/tokens")
    assert (answer.status, answer.header("retry-after")) == (503, "5")
    assert answer.json()["retry_after"] == 5
    assert "database" in answer.json()["detail"]


async def test_a_webhook_is_to_be_sent_again(state, monkeypatch, away):
    hooks = Hooks(state, Cache(state), None)
    monkeypatch.setattr(hooks._areas, "answer", raises(away))
    status, headers, _ = await ask(hooks, "/hooks/x", "POST")
    assert (status, headers[b"retry-after"]) == (503, b"5")


async def test_a_server_without_it_is_not_ready(state, monkeypatch, away):
    monkeypatch.setattr(schema, "current", raises(away))
    status, _, body = await ask(Root(state, None, None), "/readyz")
    assert (status, body) == (503, b"the database can't be reached\n")


async def test_a_command_says_so(monkeypatch, away):
    monkeypatch.setattr(asyncpg, "connect", raises(away))
    assert await anybody.anybody("postgresql://x") == anybody.UNKNOWN
    with pytest.raises(console.Failed, match="can't be used"):
        await console.reach("postgresql://x@host/db")
    sentences = console.explain(away)
    assert sentences
    assert all(sentences)


@pytest.mark.parametrize("name", HERE)
async def test_what_is_wrong_with_us_is_not_its_fault(people, state, monkeypatch, name):
    assert not is_away(HERE[name])
    monkeypatch.setattr(sessions, "access", raises(HERE[name]))
    hooks = Hooks(state, Cache(state), None)
    monkeypatch.setattr(hooks._areas, "answer", raises(HERE[name]))
    with capture_logs():
        assert (await people.user.get("/api/me/tokens")).status == 500
        assert (await ask(hooks, "/hooks/x", "POST"))[0] == 500


@asynccontextmanager
async def read_only(state):
    """The server as a standby is after a failover: it can be read, and refuses what writes."""
    async with state.database.statements() as session:
        name = await session.scalar(text("select current_database()"))
        await session.execute(text(f"alter database {name} set default_transaction_read_only = on"))
    await state.database.engine.dispose()
    try:
        yield
    finally:
        async with state.database.statements() as session:
            await session.execute(text("set default_transaction_read_only = off"))
            await session.execute(text(f"alter database {name} reset default_transaction_read_only"))
        await state.database.engine.dispose()


async def test_a_server_that_takes_no_writes(people, state):
    async with read_only(state):
        answer = await people.user.post("/api/me/tokens", {"name": "x", "password": PASSWORD})
        assert (answer.status, answer.header("retry-after")) == (503, "5")
    assert (await people.user.post("/api/me/tokens", {"name": "x", "password": PASSWORD})).status == 201
