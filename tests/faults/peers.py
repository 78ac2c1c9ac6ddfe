"""The world around AREA: feeds to poll, a target to call that misbehaves on request, and a client that sends webhooks."""

import asyncio
import contextlib
import json
import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Self

import aiohttp
from aiohttp import web

SHOWN = 60  # items that a feed shows
PATIENCE = 120  # seconds after the load that what names itself is still sent again


@dataclass
class Target:
    """Records each arrival; answers 500, hangs or closes early for some share of the requests, while it is told to."""

    random: random.Random
    share: float = 0.0
    hang: float = 6.0
    arrivals: dict[str, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))  # key: (when, id)
    fulfilled: dict[str, float] = field(default_factory=dict)  # id: when it was first answered with 200
    answers: Counter = field(default_factory=Counter)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        identity = json.loads(await request.read())["id"]
        self.arrivals[request.headers.get("Idempotency-Key", "")].append((time.monotonic(), identity))
        mood = self.random.choice(("500", "hang", "early", "half")) if self.random.random() < self.share else "200"
        self.answers[mood] += 1
        match mood:
            case "500":
                return web.Response(status=500, text="broken on purpose")
            case "hang":
                await asyncio.sleep(self.hang)
                return _abort(request)
            case "early":
                return _abort(request)
            case "half":
                with contextlib.suppress(ConnectionError):  # killed meanwhile
                    response = web.StreamResponse(headers={"Content-Length": "100"})
                    await response.prepare(request)
                    await response.write(b"half")
                return _abort(request)
        self.fulfilled.setdefault(identity, time.monotonic())
        return web.Response(text="ok")


def _abort(request: web.BaseRequest) -> web.Response:
    """Close the connection; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


@dataclass
class Feeds:
    """Feeds that get new items, and fail now and then."""

    random: random.Random
    count: int
    share: float = 0.0
    items: dict[int, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))  # (id, date)
    published: dict[str, float] = field(default_factory=dict)
    polls: Counter = field(default_factory=Counter)

    def publish(self, number: int | None = None) -> None:
        """One more item in one of the feeds."""
        number = self.random.randrange(self.count) if number is None else number
        identity = f"feed-{number}-{len(self.items[number])}"
        self.items[number].append((identity, format_datetime(datetime.now(UTC))))
        self.published[identity] = time.monotonic()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one poll."""
        number = int(request.path.rpartition("/")[2])
        if self.random.random() < self.share:
            self.polls["failed"] += 1
            return web.Response(status=503) if self.random.random() < 0.5 else _abort(request)
        items = self.items[number]
        tag = f'"{len(items)}"'
        if request.headers.get("If-None-Match") == tag:
            self.polls["304"] += 1
            return web.Response(status=304, headers={"ETag": tag})
        self.polls["200"] += 1
        shown = "".join(
            f"<item><guid>{identity}</guid><title>{identity}</title><pubDate>{date}</pubDate></item>"
            for identity, date in reversed(items[-SHOWN:])
        )
        text = f'<?xml version="1.0"?><rss version="2.0"><channel><title>{number}</title>{shown}</channel></rss>'
        return web.Response(text=text, content_type="application/rss+xml", headers={"ETag": tag})


@dataclass
class Sent:
    """One webhook: whether it names itself (and is then sent until acknowledged), when, and what came of it."""

    identity: str
    named: bool
    begun: float
    acknowledged: float | None = None
    took: float | None = None
    tries: int = 0


class Load:
    """An open loop: so many webhooks a second, whatever becomes of the earlier ones."""

    def __init__(self, seed: random.Random, addresses: list[str], rate: float, *, named: float = 0.25):
        self._random = seed
        self._addresses = addresses
        self._rate = rate
        self._named = named
        self.sent: list[Sent] = []
        self.outcomes: Counter = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._ended = 0.0
        self._again = asyncio.Semaphore(20)  # a sender that repeats what was not taken does not make it worse
        self._session: aiohttp.ClientSession | None = None

    async def run(self) -> None:
        """Send until `stop`; then until what names itself is acknowledged."""
        timeout = aiohttp.ClientTimeout(total=15, sock_connect=5)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
            self._session = session
            begun = time.monotonic()
            number = 0
            while not self._stop.is_set():
                due = begun + number / self._rate
                if (wait := due - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                task = asyncio.create_task(self._send(number))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                number += 1
            while self._tasks:
                await asyncio.wait(self._tasks)

    def stop(self) -> None:
        """No new ones."""
        self._ended = time.monotonic()
        self._stop.set()

    async def _send(self, number: int) -> None:
        sent = Sent(f"hook-{number}", self._random.random() < self._named, time.monotonic())
        self.sent.append(sent)
        address = self._random.choice(self._addresses)
        headers = {"Idempotency-Key": sent.identity} if sent.named else {}
        while True:
            sent.tries += 1
            sent.begun = time.monotonic()
            async with self._again if sent.tries > 1 else contextlib.nullcontext():
                outcome = await self._post(address, {"id": sent.identity}, headers)
            self.outcomes[outcome] += 1
            if outcome in ("200", "202"):
                sent.acknowledged = time.monotonic()
                sent.took = sent.acknowledged - sent.begun
                return
            if not sent.named or (self._ended and time.monotonic() > self._ended + PATIENCE):
                return
            await asyncio.sleep(min(10.0, 0.5 * 2**sent.tries) * self._random.uniform(0.5, 1.0))

    async def _post(self, address: str, body: dict[str, str], headers: dict[str, str]) -> str:
        assert self._session is not None
        try:
            async with self._session.post(address, json=body, headers=headers) as answer:
                await answer.read()
                return str(answer.status)
        except aiohttp.ClientConnectorError:
            return "refused"
        except TimeoutError:
            return "timeout"
        except aiohttp.ClientError:
            return "closed"


class Peers:
    """Target and feeds on one local port."""

    def __init__(self, target: Target, feeds: Feeds):
        self._target = target
        self._feeds = feeds
        self.url = ""

    async def __aenter__(self) -> Self:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            part = self._target if request.path == "/target" else self._feeds
            return await part.handle(request)

        self._runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
