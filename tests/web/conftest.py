"""Pages in a real Chromium, served by a real `area up`: one for the tests of a worker.

Its database is one more of the server that all tests share, which is made in a fraction of the time; the whole of it,
with the embedded database of its own, is what test_journey.py and tests/cli/test_up.py start.
"""

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, CDPSession, Page, async_playwright, expect

from tests.passwords import PROGRAM
from tests.ports import free_port

PASSWORD = "correct horse battery"
SHELL, WHOLE = "/usr/bin/chromium-headless-shell", "/usr/bin/chromium"  # Debian's; the first takes half the time
CHROMIUM = os.environ.get("AREA_TEST_CHROMIUM") or (SHELL if Path(SHELL).exists() else WHOLE)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
expect.set_options(timeout=30_000)  # ms; a machine full of other work is no failure
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


@dataclass
class Server:
    """A running installation."""

    url: str
    folder: Path

    def log(self) -> str:
        return (self.folder / "log").read_text()


@contextmanager
def installation(folder: Path, **environment: str) -> Iterator[Server]:
    """`area up` in a folder of its own, until the end of the block."""
    port = int(environment.get("AREA_PORT") or free_port())
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "AREA_DATA_DIR": str(folder / "data"),
        "AREA_PORT": str(port),
        "AREA_HOST": "127.0.0.1",
        "AREA_ALLOW_PRIVATE_NETWORK": "127.0.0.1",
        "AREA_REGISTRATION": "open",
        "AREA_LOGIN_ATTEMPTS": "1000",
    }
    own = {name: value for name, value in os.environ.items() if not name.startswith("AREA_")}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "up"],
            env={**own, **settings, **environment},
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    server = Server(f"http://127.0.0.1:{port}", folder)
    try:
        end = time.monotonic() + 150
        while True:
            with suppress(OSError), urllib.request.urlopen(f"{server.url}/readyz", timeout=2) as answer:
                if answer.status == 200:
                    break
            assert process.poll() is None, server.log()
            assert time.monotonic() < end, server.log()
            time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def at_localhost(memory: Path, dsn: str, **environment: str) -> Iterator[Server]:
    """An installation at localhost, where browsers allow passkeys without https, until the end of the block."""
    port = free_port()
    url = f"http://localhost:{port}"
    settings = {"AREA_PORT": str(port), "AREA_PUBLIC_URL": url, "AREA_DATABASE_URL": dsn, **environment}
    with room(memory) as folder, installation(folder, **settings) as server:
        server.url = url
        yield server


@contextmanager
def room(memory: Path) -> Iterator[Path]:
    """A folder of one's own, until the end of the block."""
    folder = memory / f"area-web-{os.getpid()}-{uuid4().hex[:8]}"
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def dsn(catalog_dsn: str) -> str:
    """A fresh database with the catalog in it."""
    return catalog_dsn


@pytest.fixture(scope="session")
def server(memory: Path, session_dsn: str) -> Iterator[Server]:
    """One installation for all tests of this worker; its administrator is called `root`."""
    with room(memory) as folder, installation(folder, AREA_DATABASE_URL=session_dsn) as running:
        yield running


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The browser, until the end of the block."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"not run: there is no Chromium at {CHROMIUM}; Debian's package is chromium-headless-shell")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        await launched.close()


@pytest_asyncio.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as launched:
        yield launched


async def authenticator(page: Page) -> tuple[CDPSession, str]:
    """A fingerprint reader that is always content (https://chromedevtools.github.io/devtools-protocol/tot/WebAuthn/)."""
    session = await page.context.new_cdp_session(page)
    await session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    added = await session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return session, added["authenticatorId"]


@dataclass
class Person:
    """Somebody with a browser. Whatever their pages complain of is in `complaints`, and must stay empty."""

    server: Server
    context: BrowserContext
    page: Page
    name: str
    complaints: list[str] = field(default_factory=list)

    async def go(self, path: str) -> None:
        """Open a page of ours and wait until its scripts ran."""
        await self.page.goto(self.server.url + path)
        await self.page.wait_for_load_state("load")

    async def api(self, method: str, path: str, body: Any = None, *, status: int | None = None) -> Any:
        """Ask the REST API as this person."""
        answer = await self.context.request.fetch(
            self.server.url + path, method=method, data=body, headers={"Origin": self.server.url}
        )
        assert answer.ok if status is None else answer.status == status, (answer.status, await answer.text())
        return await answer.json() if await answer.body() else None

    async def make(self, action: str, reaction: str, name: str = "", **parts: Any) -> dict[str, Any]:
        """Make an AREA; `parts` may hold `action_parameters`, `reaction_parameters` and `is_active`."""
        expected = {
            "name": name or f"{action} to {reaction}",
            "is_active": parts.get("is_active", True),
            "action": {"component": action, "parameters": parts.get("action_parameters", {})},
            "reaction": {"component": reaction, "parameters": parts.get("reaction_parameters", {})},
        }
        return await self.api("POST", "/api/areas", expected)


def listen(person: Person, page: Page, *, answers: tuple[int, ...] = ()) -> None:
    """Note what the page complains of: errors in the console, broken promises of its policy, requests to anybody else.
    `answers` are statuses that the test itself provokes: the console tells of them, too.
    """

    def said(message: Any) -> None:
        if message.type in ("error", "warning") and not any(
            f"status of {status}" in message.text for status in answers
        ):
            person.complaints.append(f"console: {message.text}")

    def asked(request: Any) -> None:
        if not request.url.startswith((person.server.url, "data:", "blob:")):
            person.complaints.append(f"a request to {request.url}")

    page.on("console", said)

    def broke(error: Any) -> None:
        if "Transition was" not in str(error):  # a busy machine leaves out a view transition between pages, and says so
            person.complaints.append(f"error: {error}")

    page.on("pageerror", broke)
    page.on("request", asked)


async def arrive(server: Server, browser: Browser, name: str = "", **options: Any) -> Person:
    """A new person with an account, signed in, at the home page. The caller closes `person.context`."""
    name = name or f"u{uuid4().hex[:10]}"
    # without motion: what fades in is measured while it does
    context = await browser.new_context(**{"viewport": WIDE, "locale": "en-GB", "reduced_motion": "reduce", **options})
    context.set_default_timeout(30_000)
    person = Person(server, context, await context.new_page(), name)
    listen(person, person.page)
    form = {"email": f"{name}@example.org", "username": name, "password": PASSWORD}
    answer = await context.request.post(f"{server.url}/api/auth/register", data=form, headers={"Origin": server.url})
    if answer.status == 409:
        form = {"login": name, "password": PASSWORD}
        answer = await context.request.post(f"{server.url}/api/auth/login", data=form, headers={"Origin": server.url})
    assert answer.ok, await answer.text()
    return person


@asynccontextmanager
async def visitor(server: Server, browser: Browser, *, answers: tuple[int, ...] = ()) -> AsyncIterator[Person]:
    """Somebody who is not signed in, until the end of the block; `answers` as of `listen`."""
    context = await browser.new_context(locale="en-GB", viewport=WIDE, reduced_motion="reduce")
    nobody = Person(server, context, await context.new_page(), "nobody")
    listen(nobody, nobody.page, answers=answers)
    yield nobody
    await context.close()
    assert not nobody.complaints


@pytest_asyncio.fixture
async def person(server: Server, browser: Browser) -> AsyncIterator[Person]:
    """Somebody who is no administrator, signed in."""
    await make_root(server, browser)
    visitor = await arrive(server, browser)
    yield visitor
    await visitor.context.close()
    assert not visitor.complaints


@pytest_asyncio.fixture
async def root(server: Server, browser: Browser) -> AsyncIterator[Person]:
    """The administrator."""
    admin = await arrive(server, browser, "root")
    _made.add(server.url)
    yield admin
    await admin.context.close()
    assert not admin.complaints


_made: set[str] = set()


async def make_root(server: Server, browser: Browser) -> None:
    """Have the first account made, unless it is: it is the administrator's."""
    if server.url not in _made:
        await (await arrive(server, browser, "root")).context.close()
        _made.add(server.url)
