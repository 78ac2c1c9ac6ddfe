"""Composition root: the parts of a web process and a worker process, and how they start and stop."""

import asyncio
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson
import structlog
import uvloop

from area import accounts, catalog, sealing
from area.accounts import pictures, setup
from area.db import schema
from area.db.away import is_away
from area.doors.body import in_time
from area.doors.front import Front
from area.engine.cache import Cache
from area.engine.state import State
from area.kit import memory
from area.kit.fair import working_for
from area.settings import Settings
from area.web.parts.assets import serve as serve_asset
from area.web.parts.errors import misdirected
from area.web.parts.logos import icon

log = structlog.get_logger()

DRAIN = 8.0  # seconds for requests to finish
PATIENCE = 30.0  # seconds to wait for an unreachable database at the start
SYNC_AGAIN = 5.0  # seconds between attempts to sync the catalog of a read-only database

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


async def prepare(settings: Settings, dsn: str) -> State:
    """Upgrade schema and catalog, and open the process's resources. Waits a while for the database.

    If the database is read-only, as on a full disk, the catalog is updated later; reads keep working.
    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            state = await _opened(settings, dsn)
            await _sync_now_or_later(state)
        except Exception as error:
            if not is_away(error) or isinstance(error, PermissionError) or time.monotonic() > end:
                raise
            log.warning("start.waiting", error=str(error), kind=type(error).__name__)
        else:
            memory.settle()
            return state
        await asyncio.sleep(0.5)


async def _opened(settings: Settings, dsn: str) -> State:
    if await schema.current(dsn) != schema.head():
        # in a child process, to free its memory afterwards
        environment = {**os.environ, "AREA_DATABASE_URL": dsn}
        command = [sys.executable, "-m", "area.cli", "db", "upgrade"]
        migration = await asyncio.create_subprocess_exec(*command, env=environment, stdout=subprocess.DEVNULL)
        if await migration.wait() != 0:
            raise schema.SchemaError("The database could not be brought up to date; the lines above say why.")
    return await State.open(settings, dsn)


async def _sync_now_or_later(state: State) -> None:
    """Update the catalog; later, if it can wait."""
    try:
        await _sync(state)
    except BaseException as error:
        if not is_away(error) or not await _is_sealed(state):
            await state.close()
            raise
        log.warning("catalog.waiting", error=str(error), kind=type(error).__name__)
        state.syncing = asyncio.create_task(_sync_later(state), name="catalog")


async def _sync(state: State) -> None:
    async with state.database.transaction() as session:
        synced = await catalog.sync(session, state.registry)
        await sealing.seal(session, state.keyring, state.registry)
        adopted = await pictures.adopt(session, state.settings.data_dir / "avatars")
    await pictures.clear(adopted)
    log.info("catalog.synced", **synced)


async def _sync_later(state: State) -> None:
    while True:
        await asyncio.sleep(SYNC_AGAIN)
        try:
            await _sync(state)
        except Exception as error:
            if not is_away(error):
                log.exception("catalog.not_synced")
                return
        else:
            state.syncing = None
            return


async def _is_sealed(state: State) -> bool:
    """Whether everything that an older version left in clear is encrypted."""
    try:
        async with state.database.statements() as session:
            return await sealing.is_done(session)
    except Exception as error:
        if not is_away(error):
            raise
        return False


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run `main` on uvloop until it returns. SIGTERM and SIGINT set its stop event."""

    async def with_signals() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await main(stop)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(with_signals())


async def work(settings: Settings, dsn: str, stop: asyncio.Event) -> None:
    """A worker process."""
    from area.engine.runtime import Worker

    state = await prepare(settings, dsn)
    try:
        await Worker(state).run(stop)
    finally:
        await state.close()


async def serve(settings: Settings, dsn: str, stop: asyncio.Event) -> None:
    """A web process: the API, the pages and the webhooks."""
    from area.db.notify import Channel, listen
    from area.engine.lanes import Intake
    from area.engine.runtime import CHANNELS
    from area.hooks import Hooks
    from area.kit.http_server import Server

    state = await prepare(settings, dsn)
    cache, intake = Cache(state), Intake(dsn, state.load)
    intake.start()

    def heard(channel: str, payload: str) -> None:
        if channel == Channel.LOAD:
            state.load.heard(payload)
        else:
            cache.forget(channel, payload)

    def lost() -> None:
        cache.forget_all()
        state.load.lost()

    hearing = asyncio.create_task(listen(state.database.dsn, CHANNELS, heard, listening=lost, lost=lost), name="listen")
    telling = asyncio.create_task(state.load.share(await state.database.pool(), worker=False), name="load")
    api, close_api = make_site(state, cache)
    hooks = Hooks(state, cache, intake)
    server = Server(Front(Root(state, hooks, api), settings, misdirected))
    await server.start(settings.host, settings.port)
    stopped = asyncio.create_task(stop.wait())
    log.info("web.started", address=settings.base_url)
    await tell_setup_code(state)
    recommend(settings)
    await asyncio.wait([stopped, hearing], return_when=asyncio.FIRST_COMPLETED)
    log.info("web.stopping")
    await close_api()
    await hooks.close()
    await server.stop(DRAIN)
    await intake.stop()
    for task in (hearing, telling, stopped):
        task.cancel()
    await asyncio.gather(hearing, telling, stopped, return_exceptions=True)
    await cache.tokens.finish(1)
    await state.close()
    log.info("web.stopped")


async def tell_setup_code(state: State) -> None:
    """Log the set-up code if the first account needs it."""
    code = setup.code(state.settings)
    if code is None:
        return
    async with state.database.sessions() as session:
        if not await accounts.anybody(session):
            log.warning("web.setup_code", setup_code=code, advice="The first account needs it.")


def recommend(settings: Settings) -> None:
    """Log recommended settings."""
    if settings.could_confirm:
        advice = "Set AREA_REGISTRATION=confirm: registering then doesn't tell which addresses have an account."
        log.info("web.registration_open", advice=advice)


def make_site(state: State, cache: Cache) -> tuple[App, Callable[[], Awaitable[None]]]:
    """The API and the pages, and a function that ends the API's streams."""
    from starlette.requests import HTTPConnection

    from area.accounts.places import network
    from area.api import make_api
    from area.doors.deps import client_address
    from area.web import make_web

    api, web = make_api(state, cache), make_web(state, cache)

    async def site(scope: Scope, receive: Receive, send: Send) -> None:
        visitor = network(client_address(HTTPConnection(scope), state))
        with working_for(f"address {visitor}"):  # until the user is known
            await (api if scope["path"].startswith("/api/") else web)(scope, receive, send)

    return site, api.state.hub.close


class Root:
    """The ASGI application: webhooks go straight to their handler, machine endpoints are served here, and the rest goes
    to the API.
    """

    def __init__(self, state: State, hooks: App, site: App) -> None:
        self._state = state
        self._hooks = hooks
        self._site = site
        self._small: dict[str, Callable[[Scope], Awaitable[tuple[int, bytes, bytes]]]] = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/about.json": self._about,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope["path"]
        if path.startswith(("/hooks/", "/hints/", "/webhooks/")):
            await self._hooks(scope, receive, send)
            return
        if path.startswith("/static/"):
            await serve_asset(scope, send)
            return
        answer = self._small.get(path)
        if answer is None and path.startswith("/icons/"):
            answer = functools.partial(self._icon, path[7:])
        if answer is None or scope["method"] not in ("GET", "HEAD"):
            await self._site(scope, in_time(receive), send)
            return
        status, content_type, body = await answer(scope)
        headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
        headers.append((b"x-content-type-options", b"nosniff"))
        if path.startswith("/icons/"):
            headers.append((b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"))
            headers.append((b"cache-control", b"public, max-age=86400"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _healthz(self, _scope: Scope) -> tuple[int, bytes, bytes]:
        """The process is alive; also reports what it waits for."""
        if self._state.syncing is not None:
            return 200, b"text/plain", b"ok, but the database can't be written; the log says why at catalog.waiting\n"
        return 200, b"text/plain", b"ok\n"

    async def _readyz(self, _scope: Scope) -> tuple[int, bytes, bytes]:
        """Ready for work: the database responds and its schema is current."""
        try:
            async with asyncio.timeout(3):
                current = await schema.current(self._state.database.dsn)
        except Exception as error:
            if not is_away(error):
                log.exception("web.not_ready")
                return 503, b"text/plain", b"the database can't be used; the log says why\n"
            return 503, b"text/plain", b"the database can't be reached\n"
        if current != schema.head():
            return 503, b"text/plain", b"the database is of another version\n"
        return 200, b"text/plain", b"ready\n"

    async def _metrics(self, scope: Scope) -> tuple[int, bytes, bytes]:
        from area.engine.exposition import exposition, may_read

        if not may_read(self._state.settings, scope):
            return 401, b"text/plain", b"/metrics asks for AREA_METRICS_TOKEN as a bearer token\n"
        content_type, body = await exposition(self._state)
        return 200, content_type.encode(), body

    async def _about(self, scope: Scope) -> tuple[int, bytes, bytes]:
        client = scope.get("client")
        async with self._state.database.sessions() as session:
            services = await catalog.about(session, self._state.registry)
        from area.kit.clock import now

        about = {
            "client": {"host": client[0] if client else ""},
            "server": {"current_time": int(now().timestamp()), "services": services},
        }
        return 200, b"application/json", orjson.dumps(about)

    async def _icon(self, name: str, _scope: Scope) -> tuple[int, bytes, bytes]:
        drawn = icon(self._state.registry, name.removesuffix(".svg")) if name.endswith(".svg") else None
        if drawn is None:
            return 404, b"text/plain", b"no such icon\n"
        return 200, b"image/svg+xml", drawn
