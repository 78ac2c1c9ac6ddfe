"""The victim: a process of its own that uses an installation as people do and measures how long everything takes.

Reads a `Job` as one JSON line, prints "ready", then reads a number of seconds a line and answers each with its
`Samples`. Probes start by the clock, whether or not the earlier ones have been answered: a frozen server can't hide
behind a patient client.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

import aiohttp
from aiohttp import web

PATIENCE = 60.0  # seconds after which a probe counts as never answered; what is refused counts as much
SLACK = 5.0  # seconds after a watch in which a timer of its last moment may still arrive
TIMER = 10.0  # seconds between two firings of the victim's timer

EVERY = {"healthz": 0.1, "hook": 0.5, "look-up": 1.0, "page": 1.0, "log-in": 4.0}  # seconds from one probe to the next


@dataclass
class Job:
    """Where the victim's things are."""

    url: str
    port: int  # that its own server listens on, where its reactions go
    login: str
    password: str
    cookie: str
    hook: str
    named_hook: str  # its reaction goes to a host by name

    def line(self) -> str:
        """For the process's standard input."""
        return json.dumps(self.__dict__) + "\n"


@dataclass
class Samples:
    """Seconds that each probe took; seconds that each firing of the timer was late; when the polled address was asked."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    polled: list[float] = field(default_factory=list)
    refused: dict[str, list[str]] = field(default_factory=dict)


class Victim:
    """One user of AREA, with a server of their own."""

    def __init__(self, job: Job, session: aiohttp.ClientSession):
        self.job = job
        self.session = session
        self.waiting: dict[str, asyncio.Future[None]] = {}
        self.lateness: list[float] = []
        self.polled: list[float] = []
        self.number = 0

    async def serve(self, request: web.BaseRequest) -> web.Response:
        """Take what the victim's own AREAs send, and answer their poll."""
        if request.path == "/value":
            self.polled.append(time.time())
            return web.json_response({"value": 1})
        sent = json.loads(await request.read())
        if request.path == "/timer":
            self.lateness.append(time.time() - datetime.fromisoformat(sent["planned"]).timestamp())
        elif waiting := self.waiting.pop(sent["id"], None):
            waiting.set_result(None)
        answer = web.Response(text="ok")
        if request.path == "/named":
            answer.force_close()  # so that the name is looked up each time
        return answer

    async def healthz(self) -> None:
        """The process answers at all."""
        async with self.session.get(f"{self.job.url}/healthz") as answer:
            answer.raise_for_status()

    async def page(self) -> None:
        """The list of AREAs, in a browser."""
        async with self.session.get(f"{self.job.url}/", headers={"Cookie": self.job.cookie}) as answer:
            answer.raise_for_status()
            await answer.read()

    async def log_in(self) -> None:
        """By password."""
        body = {"login": self.job.login, "password": self.job.password}
        async with self.session.post(f"{self.job.url}/api/auth/login", json=body) as answer:
            answer.raise_for_status()

    async def hook(self) -> None:
        """From the request to the end of the reaction."""
        await self._through(self.job.hook)

    async def look_up(self) -> None:
        """The same, to a host that has to be looked up by name."""
        await self._through(self.job.named_hook)

    async def _through(self, hook: str) -> None:
        self.number += 1
        identity = str(self.number)
        waiting = self.waiting[identity] = asyncio.get_running_loop().create_future()
        try:
            async with self.session.post(hook, json={"id": identity}) as answer:
                answer.raise_for_status()
            await waiting
        finally:
            self.waiting.pop(identity, None)

    async def watch(self, seconds: float) -> Samples:
        """Probe for so long."""
        samples = Samples()
        self.lateness.clear()
        self.polled.clear()
        probes: dict[str, Callable[[], Awaitable[None]]] = {
            "healthz": self.healthz,
            "hook": self.hook,
            "look-up": self.look_up,
            "page": self.page,
            "log-in": self.log_in,
        }
        begun = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for name, probe in probes.items():
                tasks.create_task(self._repeat(name, probe, begun + seconds, samples))
        await asyncio.sleep(max(0.0, begun + seconds + SLACK - time.monotonic()))
        missing = int(seconds / TIMER) - 1 - len(self.lateness)
        samples.seconds["timer"] = self.lateness[:] + [PATIENCE] * max(0, missing)
        samples.polled = self.polled[:]
        return samples

    async def _repeat(self, name: str, probe: Callable[[], Awaitable[None]], end: float, samples: Samples) -> None:
        took = samples.seconds[name] = []

        async def once() -> None:
            begun = time.monotonic()
            try:
                async with asyncio.timeout(PATIENCE):
                    await probe()
                took.append(time.monotonic() - begun)
            except (aiohttp.ClientError, TimeoutError) as error:
                took.append(PATIENCE)
                samples.refused.setdefault(name, []).append(repr(error)[:200])

        due = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            while due < end:
                tasks.create_task(once())
                due += EVERY[name]
                await asyncio.sleep(max(0.0, due - time.monotonic()))


async def main() -> None:
    """Serve the lines of standard input."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    job = Job(**json.loads(await lines.readline()))
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        victim = Victim(job, session)
        runner = web.ServerRunner(web.Server(victim.serve, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", job.port, backlog=1024).start()
        print("ready", flush=True)
        with contextlib.suppress(asyncio.IncompleteReadError):
            while line := await lines.readline():
                print(json.dumps((await victim.watch(float(line))).__dict__), flush=True)
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
