"""A live installation with an administrator, an attacker and a victim, and what is measured while it is attacked."""

import asyncio
import contextlib
import json
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from tests.faults.installation import Installation, Patient
from tests.ports import free_port

from .peers import MailSink, Nameserver, mail_server, nameserver, website
from .table import Table
from .victim import TIMER, Job, Samples

PASSWORD = "a long sentence nobody guesses"
MEMORY = 300.0  # MB of resident memory that a web or worker process may reach


@dataclass
class Answer:
    """A response: its status, headers, and JSON or text."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class Person:
    """An account, logged in."""

    stage: "Stage"
    name: str
    email: str
    token: str = ""
    address: str = "127.0.0.1"  # that their requests come from

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Call the API as this account."""
        provided = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return await self.stage.request(method, path, json_body=body, headers=provided | headers, source=self.address)

    async def area(
        self, action: str, expected: dict[str, Any], reaction: str, name: str = "fair", **parameters: Any
    ) -> dict:
        """A new AREA, switched on."""
        answer = await self.try_area(action, expected, reaction, name, **parameters)
        assert answer.status == 201, answer
        return answer.body

    async def try_area(
        self,
        action: str,
        expected: dict[str, Any],
        reaction: str,
        name: str = "fair",
        connection: str | None = None,
        **parameters: Any,
    ) -> Answer:
        """The same, where it may be refused."""
        part = {"component": reaction, "parameters": parameters, "connection": connection}
        body = {"name": name, "action": {"component": action, "parameters": expected}, "reaction": part}
        return await self.ask("POST", "/api/areas", body)

    async def hook(
        self, reaction: str = "http.request", action: dict[str, Any] | None = None, **parameters: Any
    ) -> str:
        """The address of a new AREA that a webhook starts."""
        if reaction == "http.request" and not parameters:
            parameters = {"url": f"{self.stage.website}/sink"}
        return str((await self.area("webhook.received", action or {}, reaction, **parameters))["webhook_url"])

    @property
    def cookie(self) -> dict[str, str]:
        """What a browser of theirs sends with a form."""
        return {"Cookie": f"area_session={self.token}", "Origin": self.stage.area.url}


@dataclass
class Watch:
    """The victim's samples, undisturbed and during the attack, and the most memory that each process held, in MB."""

    before: Samples = field(default_factory=Samples)
    during: Samples = field(default_factory=Samples)
    memory: dict[str, float] = field(default_factory=dict)


@dataclass
class Stage:
    """One installation and who uses it."""

    area: Installation
    http: aiohttp.ClientSession
    website: str
    mail: MailSink
    names: Nameserver | None
    database: Patient
    table: Table
    attack: str = ""
    people: dict[str, Person] = field(default_factory=dict)
    setup_code: str = ""  # that the first account needed
    _victim: asyncio.subprocess.Process | None = None

    @property
    def attacker(self) -> Person:
        """Who attacks."""
        return self.people["mallory"]

    @property
    def victim(self) -> Person:
        """Who must not notice."""
        return self.people["victor"]

    async def request(
        self,
        method: str,
        path: str,
        *,
        json_body: Any = None,
        data: Any = None,
        headers: dict[str, str] | None = None,
        source: str = "127.0.0.1",
    ) -> Answer:
        """One request, from an address of loopback; `path` may be a whole address."""
        address = path if path.startswith("http") else self.area.url + path
        connector = None if source == "127.0.0.1" else aiohttp.TCPConnector(local_addr=(source, 0))
        async with contextlib.AsyncExitStack() as stack:
            http = self.http
            if connector is not None:
                http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, timeout=http.timeout))
            options: dict[str, Any] = {"headers": headers or {}, "allow_redirects": False}
            options |= {"json": json_body} if json_body is not None else {"data": data} if data is not None else {}
            async with http.request(method, address, **options) as answer:
                raw = await answer.read()
                body: Any = raw.decode(errors="replace")
                if raw and "json" in answer.headers.get("content-type", ""):
                    body = json.loads(raw)
                return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, body)

    async def register(self, name: str, email: str = "", **more: str) -> Person:
        """A new account."""
        person = Person(self, name, email or f"{name}@example.org")
        body = {"email": person.email, "username": name, "password": PASSWORD} | more
        answer = await self.request("POST", "/api/auth/register", json_body=body)
        if answer.status == 202:
            body = {"token": await self.link(person.email), "password": PASSWORD}
            answer = await self.request("POST", "/api/auth/register/confirm", json_body=body)
        assert answer.status == 201, answer
        person.token = answer.body["token"]
        self.people[name] = person
        return person

    async def log_in(self, login: str, password: str = PASSWORD, **options: Any) -> Answer:
        """By password."""
        return await self.request(
            "POST", "/api/auth/login", json_body={"login": login, "password": password}, **options
        )

    async def link(self, address: str) -> str:
        """The token of the link in the newest mail to an address."""
        for _ in range(300):
            for mail in reversed(self.mail.to(address)):
                body = message_from_bytes(mail, policy=policy.default).get_body(("plain",))
                if body is not None and (match := re.search(r"token=([\w.~-]+)", body.get_content())):
                    return match[1]
            await asyncio.sleep(0.1)
        raise AssertionError(f"No mail with a link came to {address}.")

    # The victim

    async def settle(self) -> None:
        """Give the victim what they are watched with, and let it run in."""
        port, victim = free_port(), self.victim
        own = f"http://127.0.0.1:{port}"
        sent = {"id": "{{body.id}}"}
        named = "victor.test" if self.names else "localhost"
        job = Job(
            url=self.area.url,
            port=port,
            login=victim.name,
            password=PASSWORD,
            cookie=victim.cookie["Cookie"],
            hook=await victim.hook(url=f"{own}/hook", body=sent),
            named_hook=await victim.hook(url=f"http://{named}:{port}/named", body=sent),
        )
        self._victim = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.fair.victim", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._victim.stdin is not None
        assert self._victim.stdout is not None
        self._victim.stdin.write(job.line().encode())
        assert await self._victim.stdout.readline() == b"ready\n", "The victim did not start."
        timer = {"interval": f"{TIMER:g}s", "missed": "skip"}
        await victim.area(
            "timer.interval_timer", timer, "http.request", url=f"{own}/timer", body={"planned": "{{time}}"}
        )
        await victim.area("http.value_changed", {"url": f"{own}/value", "path": "value"}, "inbox.post", title="changed")
        await self.watch(3)

    async def watch(self, seconds: float) -> Samples:
        """Let the victim measure for so long."""
        assert self._victim is not None
        assert self._victim.stdin is not None
        assert self._victim.stdout is not None
        self._victim.stdin.write(f"{seconds}\n".encode())
        return Samples(**json.loads(await self._victim.stdout.readline()))

    @contextlib.asynccontextmanager
    async def watched(self, seconds: float, *probes: str) -> AsyncIterator[Watch]:
        """Measure the victim undisturbed for so long, then as long again while the body attacks. Fills the table."""
        if self._victim is None:
            await self.settle()
        watch = Watch(before=await self.watch(seconds))
        measuring = asyncio.create_task(self.watch(seconds))
        sampling = asyncio.create_task(self._memory(watch))
        await asyncio.sleep(1)
        try:
            yield watch
            watch.during = await measuring
        finally:
            sampling.cancel()
            measuring.cancel()
        self.table.watched(self.attack, watch.before, watch.during, probes)
        for role, most in watch.memory.items():
            self.table.at_most(self.attack, f"memory of {role}, MB", round(most), MEMORY)

    async def _memory(self, watch: Watch) -> None:
        while True:
            for role in ("web", "worker-1"):
                with contextlib.suppress(psutil.Error, LookupError):
                    held = self.area.role(role).memory_info().rss / 1e6
                    watch.memory[role] = max(held, watch.memory.get(role, 0.0))
            await asyncio.sleep(0.2)

    async def until(self, query: str, *values: object, seconds: float) -> float:
        """Ask the database until the first column is true; returns how long that took, `seconds` at most."""
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            if await self.database.value(query, *values):
                return time.monotonic() - begun
            await asyncio.sleep(0.2)
        return seconds

    async def close(self) -> None:
        """End the victim's process."""
        if self._victim is not None and self._victim.returncode is None:
            self._victim.terminate()
            await self._victim.wait()
        self.database.close()


@contextlib.asynccontextmanager
async def stage(
    table: Table, *, own_names: bool = False, log: Path | None = None, **settings: str
) -> AsyncIterator[Stage]:
    """An installation with three accounts.

    With `own_names` the attacker's name server is the one that AREA asks (needs root). `AREA_SMTP_URL` is made of the
    login that is given for it, such as `area:secret@`, and the address of a mail server that takes everything.
    """
    async with contextlib.AsyncExitStack() as stack:
        mail = stack.enter_context(mail_server())
        names = stack.enter_context(nameserver()) if own_names else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        allowed = "127.0.0.1,localhost,victor.test"
        environment = {"AREA_ALLOW_PRIVATE_NETWORK": allowed, "AREA_WEBHOOK_RATE": "100000"} | settings
        if "AREA_SMTP_URL" in settings:
            login = settings["AREA_SMTP_URL"]
            environment["AREA_SMTP_URL"] = f"smtp://{login}127.0.0.1:{mail.port}?from=area@example.org&tls=none"
        area = Installation(through=_resolving(names, folder) if names else (), **environment)
        stack.callback(area.remove)
        if log:
            stack.callback(lambda: log.write_bytes(area.log.read_bytes()))
        area.start()
        website_url = stack.enter_context(website())
        await area.ready()
        timeout = aiohttp.ClientTimeout(total=120)
        http = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
        await stack.enter_async_context(http)
        opened = Stage(area, http, website_url, mail, names, Patient(area), table)
        stack.push_async_callback(opened.close)
        # printed where a proxy leads in from outside
        if code := re.search(rb'"setup_code": ?"([^"]+)"', area.log.read_bytes()):
            opened.setup_code = code[1].decode()
        await opened.register("admin", **({"setup_code": opened.setup_code} if opened.setup_code else {}))
        for name in ("mallory", "victor"):
            await opened.register(name)
        yield opened


def _resolving(names: Nameserver, folder: Path) -> list[str]:
    """What starts a command that asks `names`, in a mount namespace of its own: the machine's own resolv.conf stays."""
    file = folder / "resolv.conf"
    file.write_text(f"nameserver {names.address}\noptions timeout:30 attempts:1\n")
    script = f'mount --bind {shlex.quote(str(file))} /etc/resolv.conf && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh"]
