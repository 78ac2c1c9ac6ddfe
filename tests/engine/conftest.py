"""A state on a fresh database, users, and a registry of services that do what a test wants."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
import pytest
import pytest_asyncio
from pydantic import BaseModel, Field, SecretStr

from area import areas, connections
from area.areas import AreaIn, Part
from area.db.models import User
from area.engine import control
from area.engine.intake import Offer, accept
from area.engine.runtime import worker
from area.engine.state import State
from area.registry import Registry
from area.registry import registry as loaded
from area.sdk import Context, Credentials, Event, Service, Timer, param
from area.settings import Settings
from tests.conftest import Copied, name_of, write_catalog


class Nothing(BaseModel):
    """No parameters."""


class Topic(BaseModel):
    topic: str = Field("default", description="What to watch", examples=["default"])


class Item(BaseModel):
    title: str = Field(description="A title", examples=["Hello"])
    number: int = Field(1, description="A number", examples=[1])


class Send(BaseModel):
    text: str = Field(description="What to send", examples=["{{title}}"])
    count: int = Field(1, description="How many", examples=[1])
    extra: dict[str, Any] | None = Field(None, description="More", examples=[{}])


class Sent(BaseModel):
    text: str = Field(description="What was sent", examples=["Hello"])


class Login(BaseModel):
    login: str = Field(description="Login", examples=["ann"])
    password: SecretStr = Field(description="Password")


class World:
    """What the test services show and have been asked to do."""

    def __init__(self):
        self.items = defaultdict(list)  # topic: [(id, title, at)]
        self.polls = defaultdict(int)
        self.sent = []  # (idempotency key, text)
        self.note = ""  # what a look leaves out
        self.behaviour = None  # async (ctx, params, attempt) -> None
        self.attempts = defaultdict(int)
        self.poll_error = None
        self.login_error = None
        self.heard = asyncio.Queue()
        self.resumed = []

    def publish(self, identity, title, topic="default", at=None):
        self.items[topic].append((identity, title, at))


def build(world: World) -> Service:
    async def login_works(ctx: Context, credential: Login) -> None:
        if world.login_error:
            raise world.login_error

    service = Service("probe", "Probe", "A service for tests.", auth=None)
    locked = Service(
        "locked", "Locked", "A service for tests that needs a connection.", auth=Credentials(Login, login_works)
    )

    @service.poll("An item appears", every=timedelta(seconds=1))
    async def item(ctx: Context, params: Topic, since: datetime) -> AsyncIterator[Event[Item]]:
        world.polls[params.topic] += 1
        ctx.note(world.note)
        if world.poll_error:
            raise world.poll_error
        for identity, title, at in list(world.items[params.topic]):
            yield Event(id=identity, at=at, data=Item(title=title))

    @service.timer("Every second")
    def every_second(params: Timer, after: datetime) -> datetime | None:
        return after.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)

    @service.listen("Something is heard")
    async def heard(ctx: Context, params: Topic) -> AsyncIterator[Event[Item]]:
        while True:
            identity = await world.heard.get()
            if isinstance(identity, Exception):
                raise identity
            ctx.state["last"] = identity
            ctx.note(world.note)
            yield Event(id=identity, data=Item(title=identity))
            world.resumed.append(identity)

    async def act(ctx: Context, params: Send) -> Sent:
        world.attempts[ctx.idempotency_key] += 1
        if world.behaviour:
            await world.behaviour(ctx, params, world.attempts[ctx.idempotency_key])
        world.sent.append((ctx.idempotency_key, params.text))
        return Sent(text=params.text)

    @service.reaction("Send")
    async def send(ctx: Context, params: Send) -> Sent:
        return await act(ctx, params)

    @service.reaction("Send once at most", on_crash="fail")
    async def send_once(ctx: Context, params: Send) -> Sent:
        return await act(ctx, params)

    @service.lookup("Find an item")
    async def find(ctx: Context, text: Annotated[str, param("Title", "x")]) -> Sent | None:
        return Sent(text=text) if any(title == text for _, title, _ in world.items["default"]) else None

    @locked.poll("An item appears to a login", every=timedelta(seconds=1))
    async def locked_item(ctx: Context, params: Topic, since: datetime) -> AsyncIterator[Event[Item]]:
        world.polls[params.topic] += 1
        if world.poll_error:
            raise world.poll_error
        for identity, title, at in list(world.items[params.topic]):
            yield Event(id=identity, at=at, data=Item(title=title))

    @locked.reaction("Send with a login")
    async def send_locked(ctx: Context, params: Send) -> Sent:
        assert ctx.credential is not None
        return await act(ctx, params)

    return service, locked


@pytest.fixture
def world():
    return World()


def services(world: World) -> Registry:
    """Those that need no account, as the catalog of all of them is large, and the test's own."""
    some = {slug: service for slug, service in loaded().services.items() if not service.requires_auth}
    registry = Registry(some, {slug: loaded().folders[slug] for slug in some})
    for service in build(world):
        registry.add(service)
    return registry


@pytest_asyncio.fixture(scope="session")
async def _probed(copied: Copied, _template: str) -> AsyncIterator[str]:
    """A database to copy with the catalog of these services."""
    async with copied(_template) as dsn:
        await write_catalog(dsn, services(World()))
        yield name_of(dsn)


@pytest_asyncio.fixture
async def dsn(copied: Copied, _probed: str) -> AsyncIterator[str]:
    async with copied(_probed) as dsn:
        yield dsn


@pytest_asyncio.fixture
async def state(dsn, tmp_path, world, monkeypatch):
    settings = Settings(_env_file=None, data_dir=tmp_path, allow_private_network="127.0.0.1")
    opened = await State.open(settings, dsn)
    opened.registry = services(world)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def user(state):
    return await make_user(state, "ann")


_numbers = itertools.count(1)


async def make_user(state, name):
    async with state.database.transaction() as session:
        account = User(email=f"{name}@example.org", username=f"{name}{next(_numbers)}")
        session.add(account)
        await session.flush()
        return account.id


async def make_area(
    state, user_id, action="probe.item", reaction="probe.send", action_parameters=None, **reaction_parameters
):
    expected = AreaIn(
        name=f"{action} to {reaction}",
        action=Part(component=action, parameters=action_parameters or {}),
        reaction=Part(component=reaction, parameters=reaction_parameters or {"text": "{{title}}"}),
    )
    async with state.database.transaction() as session:
        return await areas.create(session, control.scope(state), user_id, expected)


async def rows(state, query="select * from area_executions order by id", *values):
    pool = await state.database.pool()
    return [dict(row) for row in await pool.fetch(query, *values)]


async def until(check, seconds=60.0):
    """Wait until `check` (sync or async) gives something true, and return it; so long only on a machine full of other
    work.
    """
    end = asyncio.get_running_loop().time() + seconds
    while True:
        result = check()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return result
        assert asyncio.get_running_loop().time() < end, "it did not come true in time"
        await asyncio.sleep(0.02)


async def statuses(state):
    return [row["status"] for row in await rows(state)]


async def settled(state):
    """Whether every execution has ended."""
    return all(status not in ("pending", "running") for status in await statuses(state))


async def offer(state, area, data, **options):
    """Take an event in for an AREA; returns the execution."""
    pool = await state.database.pool()
    async with pool.acquire() as conn, conn.transaction():
        return (await accept(conn, [Offer(area.id, "", orjson.dumps(data), **options)]))[0]


LOGIN = {"login": "ann", "password": "correct horse"}


async def connect(state, user, login=LOGIN, *, slug="locked", name=""):
    async with state.database.transaction() as session:
        return await connections.connect(
            session, state.keyring, state.client, state.guard, state.registry, user, slug, login, name=name
        )


async def waiting(state, reason):
    return await rows(state, "select * from execution_jobs where reason = $1", reason)


async def baselined(state):
    return not await rows(state, "select 1 from triggers where baseline and source_id is not null")


__all__ = [
    "LOGIN",
    "baselined",
    "connect",
    "make_area",
    "make_user",
    "offer",
    "rows",
    "settled",
    "statuses",
    "until",
    "waiting",
    "worker",
]
