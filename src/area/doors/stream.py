"""Live updates: one LISTEN connection per process, and a server-sent event stream per browser."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import orjson
import structlog
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from area import notices, runs
from area.accounts import sessions
from area.db.notify import Channel, listen
from area.db.session import Database
from area.engine.state import State
from area.kit.problems import TooMany

HEARTBEAT = 15.0  # seconds
MOST_STREAMS = 10  # per user and process
MOST_WAITING = 500  # maximum changed executions a slow reader can lag behind
OVERLAP = timedelta(seconds=5)  # changes carry the transaction's start time, but become visible at its end
AWAY = timedelta(seconds=60)  # how far back to look after losing the LISTEN connection

CHANNELS = (Channel.EXECUTIONS_CHANGED, Channel.NOTICES_CHANGED, Channel.ACCESS_CHANGED)

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Watcher:
    """One stream, and its pending updates."""

    user_id: int
    ids: set[int] = field(default_factory=set)
    notices: bool = False
    who: bool = False  # check whether the session is still valid
    since: datetime | None = None  # query for changes, since notifications may have been missed
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """Listens for the engine's and accounts' notifications, and wakes the affected streams."""

    def __init__(self, database: Database) -> None:
        self.closed = False
        self._database = database
        self._watchers: dict[int, set[Watcher]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._lost = False

    def watch(self, user_id: int) -> Watcher:
        """Start a stream. Raises `TooMany` if the user has ten."""
        if len(self._watchers.get(user_id, ())) >= MOST_STREAMS:
            raise TooMany(
                "This account already has %(number)s live views. Close one.",
                number=MOST_STREAMS,
                retry_after=HEARTBEAT,
            )
        watcher = Watcher(user_id)
        self._watchers[user_id].add(watcher)
        if self._task is None:
            hearing = listen(self._database.dsn, CHANNELS, self._heard, listening=self._listening, lost=self._deaf)
            self._task = asyncio.create_task(hearing, name="live views")
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """End a stream. Idempotent."""
        mine = self._watchers.get(watcher.user_id, set())
        mine.discard(watcher)
        if not mine:
            self._watchers.pop(watcher.user_id, None)

    async def ready(self) -> None:
        """Wait until it is listening."""
        await self._ready.wait()

    async def close(self) -> None:
        """End all streams, because the server is stopping."""
        self.closed = True
        for watcher in self._all():
            watcher.wake.set()
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _all(self) -> list[Watcher]:
        return [watcher for mine in self._watchers.values() for watcher in mine]

    def _listening(self) -> None:
        """Called when listening (again): streams check for missed changes."""
        if self._lost:
            for watcher in self._all():
                watcher.since = datetime.now(UTC) - AWAY
                watcher.who = watcher.notices = True
                watcher.wake.set()
        self._lost = False
        self._ready.set()

    def _deaf(self) -> None:
        self._lost = True
        self._ready.clear()

    def _heard(self, channel: str, payload: str) -> None:
        try:
            if channel == Channel.EXECUTIONS_CHANGED:
                for user_id, ids in orjson.loads(payload)["users"].items():
                    self._changed(int(user_id), ids)
                return
            for watcher in self._watchers.get(int(payload), ()):
                watcher.notices = watcher.notices or channel == Channel.NOTICES_CHANGED
                watcher.who = watcher.who or channel != Channel.NOTICES_CHANGED
                watcher.wake.set()
        except (ValueError, KeyError, TypeError, AttributeError):
            log.exception("stream.strange_payload", channel=channel)

    def _changed(self, user_id: int, ids: list[int]) -> None:
        for watcher in self._watchers.get(user_id, ()):
            watcher.ids.update(ids)
            if len(watcher.ids) > MOST_WAITING:  # a reader this far behind wants the newest
                watcher.ids = set(sorted(watcher.ids)[-MOST_WAITING:])
            watcher.wake.set()


class Stream(StreamingResponse):
    """A stream that always leaves the hub at its end."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, watcher: Watcher, content: AsyncIterator[bytes], headers: dict[str, str]) -> None:
        super().__init__(content, headers=headers)
        self._hub = hub
        self._watcher = watcher

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._hub.leave(self._watcher)


async def events(
    state: State, hub: Hub, watcher: Watcher, token: str, last_event_id: str | None
) -> AsyncIterator[bytes]:
    """The stream's body, until the session ends, the account is disabled or the server stops."""
    await hub.ready()
    watcher.since = _moment(last_event_id)
    watcher.notices = True
    yield b": here\n\n"
    while not hub.closed:
        watcher.wake.clear()
        for event in await _news(state, watcher):
            yield event
        try:
            async with asyncio.timeout(HEARTBEAT):
                await watcher.wake.wait()
        except TimeoutError:
            watcher.who = True
            yield b": alive\n\n"
        if watcher.who:
            watcher.who = False
            async with state.database.transaction() as session:
                identity = await sessions.authenticate(session, state.settings, token)
            if identity is None:
                return


async def _news(state: State, watcher: Watcher) -> list[bytes]:
    ids, since, counted = watcher.ids, watcher.since, watcher.notices
    watcher.ids, watcher.since, watcher.notices = set(), None, False
    if not ids and since is None and not counted:
        return []
    user_id = watcher.user_id
    async with state.database.sessions() as session:
        lines = await runs.changed_since(session, user_id, since) if since else []
        known = {line.id for line in lines}
        if ids - known:
            lines += reversed(await runs.lines(session, user_id, sorted(ids - known)))
        news = [_event("execution", line.model_dump_json(), _name(line)) for line in lines]
        if counted:
            unread = await notices.unread(session, user_id)
            news.append(_event("notices", orjson.dumps({"unread": unread}).decode()))
    return news


def _event(kind: str, data: str, name: str = "") -> bytes:
    named = f"id: {name}\n" if name else ""
    return f"{named}event: {kind}\ndata: {data}\n\n".encode()


def _name(line: runs.ExecutionLine) -> str:
    """The time and id of a change, which `Last-Event-ID` returns."""
    return f"{int(line.updated_at.timestamp() * 1_000_000)}-{line.id}"


def _moment(last_event_id: str | None) -> datetime | None:
    stamp = (last_event_id or "").partition("-")[0]
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 17):
        return None
    return datetime.fromtimestamp(int(stamp) / 1_000_000, UTC) - OVERLAP
