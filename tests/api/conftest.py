"""An application in this process, with two small services of its own, and a client that talks to it without a socket."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import pytest
import pytest_asyncio
import structlog
from fastapi import FastAPI
from pydantic import BaseModel, Field, SecretStr
from tests.conftest import Copied, name_of, write_catalog
from tests.peers import smtp_server

from area.api import attach, make_api
from area.db.session import Database
from area.engine.state import State
from area.kit.crypto import Keyring
from area.kit.http import Client as HttpClient
from area.registry import Registry
from area.sdk import AuthExpired, Context, Credentials, Event, Nothing, Permanent, Request, Retry, Service, unsigned
from area.settings import Settings
from area.web import make_web

from .mailing import Mailing

KEY = "a-test-key-of-more-than-32-characters"
PASSWORD = "correct horse battery"


@dataclass
class Answer:
    """A response."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body) if self.body else None

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name.lower()), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name.lower()]

    def cookie(self) -> str:
        """The session's cookie, as it is sent back."""
        row = next(value for value in self.all("set-cookie") if value.startswith("area_session="))
        return row.partition(";")[0]


@dataclass
class Client:
    """Calls the application as a server would."""

    app: Any
    token: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    address: str = "192.0.2.1"

    def as_(self, token: str) -> "Client":
        return Client(self.app, token, self.headers, self.address)

    def scope(self, method: str, path: str, headers: dict[str, str], params: Any) -> dict[str, Any]:
        sent = {"host": "testserver.localhost", **self.headers, **headers}
        if self.token:
            sent.setdefault("authorization", f"Bearer {self.token}")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": urlencode(params or {}, doseq=True).encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in sent.items()],
            "client": (self.address, 1234),
            "server": ("testserver.localhost", 80),
            "state": {},
        }

    async def request(
        self, method: str, path: str, *, json: Any = None, body: bytes = b"", headers: Any = None, params: Any = None
    ) -> Answer:
        headers = dict(headers or {})
        if json is not None:
            body = orjson.dumps(json)
            headers.setdefault("content-type", "application/json")
        messages: list[dict[str, Any]] = []
        provided = [{"type": "http.request", "body": body, "more_body": False}]
        forever = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if provided:
                return provided.pop()
            await forever.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            messages.append(message)

        await self.app(self.scope(method, path, headers, params), receive, send)
        start = next(message for message in messages if message["type"] == "http.response.start")
        return Answer(
            start["status"],
            [(name.decode().lower(), value.decode("latin-1")) for name, value in start["headers"]],
            b"".join(message.get("body", b"") for message in messages if message["type"] == "http.response.body"),
        )

    async def get(self, path: str, **more: Any) -> Answer:
        return await self.request("GET", path, **more)

    async def post(self, path: str, json: Any = None, **more: Any) -> Answer:
        return await self.request("POST", path, json=json, **more)

    async def patch(self, path: str, json: Any = None, **more: Any) -> Answer:
        return await self.request("PATCH", path, json=json, **more)

    async def delete(self, path: str, json: Any = None, **more: Any) -> Answer:
        return await self.request("DELETE", path, json=json, **more)

    @asynccontextmanager
    async def stream(self, path: str, headers: dict[str, str] | None = None) -> AsyncIterator["Live"]:
        """A response that is read while it is being sent."""
        live = Live()
        task = asyncio.create_task(self.app(self.scope("GET", path, headers or {}, None), live.receive, live.send))
        live.task = task
        try:
            yield live
        finally:
            live.gone.set()
            await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 60)


@dataclass
class Live:
    """A server-sent stream, event by event."""

    status: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    parts: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    text: str = ""
    task: Any = None

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            await self.parts.put(message.get("body", b""))
            if not message.get("more_body"):
                await self.parts.put(None)

    async def next(self, kind: str = "execution", seconds: float = 60) -> dict[str, Any]:
        """The next event of this kind, with its id."""
        async with asyncio.timeout(seconds):
            while True:
                while "\n\n" not in self.text:
                    part = await self.parts.get()
                    if part is None:
                        raise EOFError
                    self.text += part.decode()
                block, _, self.text = self.text.partition("\n\n")
                fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
                if fields.get("event") == kind:
                    return {"id": fields.get("id"), **orjson.loads(fields["data"])}
                if kind == "comment" and block.startswith(":"):
                    return {"comment": block}

    async def ended(self, seconds: float = 60) -> bool:
        """Whether the server ends the stream."""
        try:
            async with asyncio.timeout(seconds):
                while await self.parts.get() is not None:
                    pass
        except TimeoutError:
            return False
        return True


# Two services: one that needs a connection, one that doesn't


class Door(BaseModel):
    """What the locker's connection is made of."""

    host: str = Field(description="Server", examples=["locker.example.org"], max_length=200)
    port: int = Field(4000, description="Port", ge=1, le=65535)
    login: str = Field(description="Login", examples=["ann"])
    password: SecretStr = Field(description="Password")
    mode: str = Field("works", description="How the pretended server fares")


class Item(BaseModel):
    item: str = Field(description="What to put in", examples=["{{title}}"])


class Where(BaseModel):
    place: str = Field("hall", description="Where to look", examples=["hall"])


class Bell(Where):
    code: SecretStr | None = Field(None, description="Code of the door")


class Found(BaseModel):
    title: str = Field(description="Its name", examples=["umbrella"])
    size: int = Field(description="How large it is", examples=[3])


async def try_door(ctx: Context, door: Door) -> None:
    password = door.password.get_secret_value()
    match door.mode:
        case "refused":
            raise Permanent(f"{door.host} refused the login {door.login} with {password}.")
        case "expired":
            raise AuthExpired("The login is no longer good.")
        case "certificate":
            raise Permanent(f"The certificate of {door.host} is not for it.")
        case "away":
            raise Retry(f"{door.host} can't be reached.")
        case "slow":
            await asyncio.sleep(60)
        case "broken":
            raise RuntimeError(f"boom {password}")
        case "platform":
            await ctx.platform.post_notice("a", "b", "info")


def services() -> Registry:
    registry = Registry()
    locker = Service("locker", "Locker Room", "Lockers", auth=Credentials(Door, try_door))

    @locker.poll("Something is put in", every=timedelta(minutes=1))
    async def put_in(ctx: Context, params: Where, since: datetime) -> AsyncIterator[Event[Found]]:
        yield Event(id="1", data=Found(title="umbrella", size=3))

    @locker.reaction("Put something in")
    async def put(ctx: Context, params: Item) -> Nothing:
        return Nothing()

    hall = Service("hall", "Hall", "The hall")

    @hall.poll("Something is found", every=timedelta(minutes=1))
    async def found(ctx: Context, params: Where, since: datetime) -> AsyncIterator[Event[Found]]:
        yield Event(id="1", data=Found(title="umbrella", size=3))

    @hall.webhook("Somebody rings", verify=unsigned("the bell has no key"))
    async def rung(ctx: Context, params: Bell, request: Request) -> AsyncIterator[Event[Found]]:
        yield Event(id="1", data=Found(title="bell", size=1))

    @hall.reaction("Say something")
    async def say(ctx: Context, params: Item) -> Nothing:
        return Nothing()

    registry.add(locker)
    registry.add(hall)
    return registry


# To make a database for each test, and what it wants in it, would take most of the time of some hundreds: it is copied


@pytest_asyncio.fixture(scope="session")
async def _empty(copied: Copied, _template: str) -> AsyncIterator[str]:
    """A database to copy with the catalog of these services, and nobody."""
    async with copied(_template) as dsn:
        await write_catalog(dsn, services())
        yield name_of(dsn)


@pytest_asyncio.fixture(scope="session")
async def _peopled(copied: Copied, _empty: str, _app: FastAPI) -> AsyncIterator["Furnished"]:
    """`_empty` with an administrator and two users."""
    async with copied(_empty) as dsn:
        clients, ids = {}, {}
        async with served(_app, dsn) as (nobody, _):
            for name in ("admin", "user", "other"):
                clients[name], ids[name] = await register(nobody, name)
        yield Furnished(name_of(dsn), {name: client.token for name, client in clients.items()}, ids)


@pytest.fixture
def furnished(request: pytest.FixtureRequest) -> "Furnished":
    """The database that is copied for this test."""
    if "people" in request.fixturenames:
        return request.getfixturevalue("_peopled")
    return Furnished(request.getfixturevalue("_empty"))


@pytest_asyncio.fixture
async def dsn(copied: Copied, furnished: "Furnished") -> AsyncIterator[str]:
    async with copied(furnished.database) as dsn:
        yield dsn


@pytest.fixture(scope="session", autouse=True)
def plain_traces() -> Iterator[None]:
    """structlog's own traces show every local variable, which takes a minute for an exception in a route."""
    before = structlog.get_config()["processors"]
    structlog.configure(
        processors=[*before[:-1], structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    )
    yield
    structlog.configure(processors=before)


def settings(**more: Any) -> Settings:
    return Settings(_env_file=None, **{"secret_key": KEY, "public_url": "http://testserver.localhost", **more})


def new_state(database: Database, **more: Any) -> State:
    chosen = settings(**more)
    guard = chosen.guard()
    return State(
        settings=chosen,
        database=database,
        keyring=Keyring(chosen.secret_keys()),
        guard=guard,
        client=HttpClient(guard),
        registry=services(),
        instance="test",
    )


@pytest.fixture(scope="session")
def make_state() -> Callable[..., State]:
    return new_state


@pytest_asyncio.fixture
async def state(database: Database) -> AsyncIterator[State]:
    state = new_state(database)
    yield state
    await state.client.close()


@pytest.fixture(scope="session")
def _app() -> FastAPI:
    return make_api()


@pytest_asyncio.fixture
async def app(_app: FastAPI, state: State) -> AsyncIterator[FastAPI]:
    attach(_app, state)
    yield _app
    await _app.state.hub.close()


@pytest.fixture
def nobody(app: FastAPI) -> Client:
    return Client(app)


@dataclass
class People:
    """Accounts, by role, each with a client that is logged in."""

    admin: Client
    user: Client
    other: Client
    ids: dict[str, int]


@dataclass(frozen=True)
class Furnished:
    """A database to copy, and who has an account there: by name their sessions' tokens and their ids."""

    database: str
    tokens: dict[str, str] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)


@asynccontextmanager
async def served(app: FastAPI, dsn: str) -> AsyncIterator[tuple[Client, State]]:
    """The application on a database, until the end of the block."""
    database = Database(dsn)
    state = new_state(database)
    attach(app, state)
    yield Client(app), state
    await app.state.hub.close()
    await state.client.close()
    await database.close()


async def register(client: Client, name: str) -> tuple[Client, int]:
    answer = await client.post(
        "/api/auth/register", {"email": f"{name}@example.org", "username": name, "password": PASSWORD}
    )
    assert answer.status == 201, answer.body
    return client.as_(answer.json()["token"]), answer.json()["user"]["id"]


@pytest_asyncio.fixture
async def people(nobody: Client, furnished: Furnished, state: State) -> People:
    pool = await state.database.pool()
    await pool.execute("update access_tokens set created_at = now(), last_used_at = now()")  # as if they just came in
    clients = {name: nobody.as_(token) for name, token in furnished.tokens.items()}
    return People(clients["admin"], clients["user"], clients["other"], dict(furnished.ids))


@pytest.fixture(scope="module")
def post() -> Iterator[Any]:
    """A mail server that keeps what it gets."""
    with smtp_server(auth=False) as peer:
        yield peer


@pytest_asyncio.fixture
async def mailing(state: State, nobody: Client, post: Any) -> Mailing:
    """The application, with that mail server."""
    url = SecretStr(f"smtp://127.0.0.1:{post.port}?from=area@x.org&tls=none")
    state.settings = state.settings.model_copy(update={"smtp_url": url})
    post.mails.clear()
    return Mailing(state, nobody, Client(make_web(state, nobody.app.state.cache), address=nobody.address), post)


def is_problem(answer, status: int) -> dict:
    assert answer.status == status, answer.body
    assert answer.header("content-type") == "application/problem+json"
    result = answer.json()
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(result)
    assert result["status"] == status
    assert result["request_id"] == answer.header("x-request-id")
    return result
