"""The engine's fixtures, and a whole AREA that hostile things are sent to."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from http.client import HTTPResponse
from pathlib import Path

import aiohttp
import psutil
import pytest_asyncio
from aiohttp import web

from tests.engine.conftest import _probed, dsn, state, user, world  # noqa: F401 - fixtures
from tests.faults.installation import Installation, Patient


class Site:
    """An installation, a user of it, a place that its reactions send to, and a canary AREA that must go on running."""

    def __init__(self, area: Installation, session: aiohttp.ClientSession, here: str):
        self.area = area
        self.session = session
        self.here = here
        self.database = Patient(area)
        self.arrived: dict[str, list[bytes]] = {}
        self.canary = ""
        self.token = ""

    async def api(self, method: str, path: str, **options) -> tuple[int, dict]:
        """An answer of the API."""
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        async with self.session.request(method, path, headers=headers, **options) as answer:
            return answer.status, await answer.json(content_type=None)

    async def make(self, action: str, action_parameters: dict, reaction: str, **parameters) -> dict:
        """A new AREA."""
        body = {
            "name": "hostile",
            "action": {"component": action, "parameters": action_parameters},
            "reaction": {"component": reaction, "parameters": parameters},
        }
        status, area = await self.api("POST", "/api/areas", json=body)
        assert status == 201, area
        return area

    async def lives(self, seconds: float = 30) -> float:
        """Fire the canary; returns how long it took to arrive."""
        begun = time.monotonic()
        before = len(self.arrived.get("/canary", []))
        async with self.session.post(self.canary, json={"id": "x"}) as answer:
            assert answer.status == 202, await answer.text()
        while len(self.arrived.get("/canary", [])) == before:
            assert time.monotonic() - begun < seconds, f"the worker is stuck:\n{self.area.tail()}"
            await asyncio.sleep(0.02)
        return time.monotonic() - begun

    async def ended(self, execution: int, seconds: float = 60) -> dict:
        """An execution once it is over, or waits for a retry, which it says."""
        end = time.monotonic() + seconds
        while True:
            rows = await self.database.fetch(
                "select e.status, e.error_message, j.reason from area_executions e"
                " left join execution_jobs j on j.execution_id = e.id where e.id = $1",
                execution,
            )
            if rows and (rows[0]["status"] not in ("pending", "running") or rows[0]["reason"] == "retry"):
                return dict(rows[0])
            assert time.monotonic() < end, f"stuck: {rows}\n{self.area.tail()}"
            await asyncio.sleep(0.02)

    def memory(self) -> tuple[int, int]:
        """MB that the worker holds, and the programs that it started."""
        worker = self.area.worker
        children = 0
        for child in worker.children(recursive=True):
            try:
                children += child.memory_info().rss
            except psutil.Error:
                continue
        return worker.memory_info().rss >> 20, children >> 20


@pytest_asyncio.fixture(scope="session")
async def site(memory: Path) -> AsyncIterator[Site]:
    """One for all tests here: what one of them does must not hurt the others."""
    arrived: dict[str, list[bytes]] = {}

    async def handle(request: web.BaseRequest) -> web.Response:
        arrived.setdefault(request.path, []).append(await request.read())
        return web.Response(text="ok")

    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    here = f"http://127.0.0.1:{runner.addresses[0][1]}"
    with Installation(memory, AREA_WEBHOOK_RATE="100000") as area:
        await area.ready()
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(area.url, timeout=timeout) as session:
            built = Site(area, session, here)
            built.arrived = arrived
            account = {"email": "eve@example.org", "username": "eve", "password": "correct horse battery"}
            status, answer = await built.api("POST", "/api/auth/register", json=account)
            assert status == 201, answer
            built.token = answer["token"]
            created = await built.make("webhook.received", {}, "http.request", url=f"{here}/canary", body="{{body.id}}")
            built.canary = created["webhook_url"]
            yield built
            built.database.close()
    await runner.cleanup()


def sentence(text):
    return bool(text) and len(text) < 2000 and text.rstrip()[-1:] in ".!?" and "internal error" not in text


def exchange(port: int, request: bytes) -> tuple[int, bytes]:
    """Send it, and return the status and the body; ends when the server has closed the connection, having done all that
    it took for requests.
    """
    with socket.create_connection(("127.0.0.1", port), 60) as conn:
        with suppress(ConnectionError):  # it may have been refused already
            conn.sendall(request)
        with closing(HTTPResponse(conn)) as response:
            response.begin()
            result = response.status, response.read()
        with suppress(OSError):  # closed already
            conn.shutdown(socket.SHUT_WR)
            while conn.recv(65536):
                pass
    return result


def begin_exchange(port: int, request: bytes, *, cut_off: bool) -> bytes:
    """Send what may be no whole request, close our side if it is to be `cut_off`, and return the beginning of what comes
    back: nothing if the server waits for more.
    """
    with socket.create_connection(("127.0.0.1", port), 60 if cut_off else 3) as conn:
        with suppress(ConnectionError, TimeoutError):
            conn.sendall(request)
            if cut_off:
                conn.shutdown(socket.SHUT_WR)
            return conn.recv(65536)
        return b""
