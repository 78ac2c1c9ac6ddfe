"""A real authorization server, an application that is registered there, and somebody with a browser."""

import json
import os
import subprocess
import traceback
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest
import pytest_asyncio
import structlog
from yarl import URL

from area.api import attach, make_api
from area.engine.cache import Cache
from area.engine.cleanups import Cleanups
from tests.api.conftest import PASSWORD, Answer
from tests.api.conftest import Client as Caller
from tests.conftest import Copied, name_of, write_catalog
from tests.npm import MODULES, ROOT, node
from tests.oauth.vendor import MACHINE, PUBLIC, SECRET, open_state, registry

ACCOUNTS = {
    "ann": {"email": "Ann@example.org", "email_verified": True, "name": "Ann"},
    "bob": {"email": "bob@example.org", "email_verified": False, "name": "Bob"},
    "nomail": {"name": "No Mail"},
    "ann2": {"email": "ann@example.org", "email_verified": True, "name": "Ann"},
}
REDIRECTS = [
    f"{PUBLIC}/api/auth/vendor/callback",
    f"{PUBLIC}/api/auth/oidc/callback",
    "https://app.example.org/back",
]


@dataclass
class Server:
    """The authorization server."""

    issuer: str
    http: aiohttp.ClientSession

    async def set(self, **values: Any) -> dict[str, Any]:
        """`ttl` of access tokens in seconds, `slow` in ms, `down`; returns what it has counted."""
        return await self._test("set", {name: json.dumps(value) for name, value in values.items()})

    async def end(self) -> None:
        """What its administrator does to a user's grants."""
        await self._test("end")

    async def change_secret(self, client: str, secret: str) -> None:
        """What its administrator does to a client."""
        await self._test("secret", {"client": client, "secret": secret})

    async def end_access(self) -> None:
        """Access tokens end, refresh tokens stay."""
        await self._test("end-access")

    async def _test(self, what: str, params: Any = None) -> Any:
        async with self.http.get(f"{self.issuer}/test/{what}", params=params) as answer:
            return await answer.json()

    async def browse(self, url: str, account: str = "ann", *, deny: bool = False) -> dict[str, str]:
        """Log in and agree (or not), in a browser of its own; returns what the server sends back, with its `address`."""
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            for _ in range(12):
                at = URL(url)
                if at.path.startswith("/interaction/"):
                    at = at.with_query({"account": account, **({"deny": "1"} if deny else {})})
                async with browser.get(at, allow_redirects=False) as answer:
                    assert answer.status in (302, 303), f"{answer.status} {await answer.text()}"
                    url = str(at.join(URL(answer.headers["location"], encoded=True)))
                if not url.startswith(self.issuer):
                    parts = urlsplit(url)
                    return {**dict(parse_qsl(parts.query)), "address": f"{parts.scheme}://{parts.netloc}{parts.path}"}
        raise AssertionError(f"it leads nowhere: {url}")


@pytest_asyncio.fixture(scope="session")
async def _provider():
    if not (MODULES / "oidc-provider").is_dir():
        pytest.skip("oidc-provider is not installed: `python -m tests.npm` does it")
    provided = {
        "accounts": ACCOUNTS,
        "clients": [
            {
                "client_id": "area", "client_secret": SECRET, "redirect_uris": REDIRECTS,
                "grant_types": ["authorization_code", "refresh_token", "client_credentials"], "response_types": ["code"],
            },
            {
                "client_id": MACHINE, "client_secret": SECRET, "redirect_uris": [], "response_types": [],
                "grant_types": ["client_credentials"], "token_endpoint_auth_method": "client_secret_post",
            },
        ],
    }  # fmt: skip
    process = subprocess.Popen(
        [*node()[0], str(ROOT / "tests" / "npm" / "provider.mjs"), json.dumps(provided)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "AREA_TEST_NPM": str(MODULES.parent)},
    )  # fmt: skip
    try:
        port = json.loads(process.stdout.readline())["port"]
        async with aiohttp.ClientSession() as http:
            yield Server(f"http://127.0.0.1:{port}", http)
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


@pytest_asyncio.fixture
async def server(_provider):
    await _provider.set(ttl=3600, slow=0, down=False)
    await _provider.change_secret(MACHINE, SECRET)
    return _provider


@pytest.fixture
def clean_up(state):
    """Do what a worker does about deleted connections; returns how many there were to try."""

    async def work() -> int:
        cleanups = Cleanups(state, Cache(state))
        tried = 0
        while count := await cleanups.work():
            tried += count
        return tried

    return work


@dataclass
class Client(Caller):
    """As the API's tests', and remembers all that it was ever told."""

    told: list[bytes] = field(default_factory=list)

    def as_(self, token: str) -> "Client":
        return Client(self.app, token, self.headers, self.address, self.told)

    async def request(self, *args: Any, **more: Any) -> Answer:
        answer = await super().request(*args, **more)
        self.told += [answer.body, *(value.encode() for name, value in answer.headers if name != "location")]
        return answer


@pytest_asyncio.fixture(scope="session")
async def _vendored(copied: Copied, _template: str) -> AsyncIterator[str]:
    """A database to copy with the catalog of these services."""
    async with copied(_template) as dsn:
        await write_catalog(dsn, registry("http://127.0.0.1"))
        yield name_of(dsn)


@pytest_asyncio.fixture
async def dsn(copied: Copied, _vendored: str) -> AsyncIterator[str]:
    async with copied(_vendored) as dsn:
        yield dsn


@pytest_asyncio.fixture
async def state(dsn, server, tmp_path):
    state = await open_state(dsn, server.issuer, tmp_path)
    yield state
    await state.close()


@pytest.fixture(scope="session")
def _app():
    return make_api()


@pytest_asyncio.fixture
async def nobody(_app, state):
    attach(_app, state)
    yield Client(_app)
    await _app.state.hub.close()


@pytest_asyncio.fixture
async def ann(nobody):
    """Somebody with an account and a password."""
    return await register(nobody, "ann@example.org")


async def register(nobody, email):
    answer = await nobody.post(
        "/api/auth/register", {"email": email, "username": email.partition("@")[0], "password": PASSWORD}
    )
    assert answer.status == 201, answer.body
    client = nobody.as_(answer.json()["token"])
    client.id = answer.json()["user"]["id"]
    return client


async def link(client, server, account="ann", **params):
    """The whole way; returns the connection."""
    url = (await client.get("/api/connections/vendor/authorize", params=params)).json()["url"]
    back = await server.browse(url, account)
    answer = await client.get(urlsplit(back.pop("address")).path, params=back)
    assert answer.status == 200, answer.body
    return answer.json()


@pytest.fixture
def logs():
    """Everything that is logged."""
    lines = []

    def keep(_logger, _method, event):
        lines.append(repr(event))
        if error := event.get("exc_info"):
            lines.append(
                "".join(traceback.format_exception(error))
                if isinstance(error, BaseException)
                else traceback.format_exc()
            )
        raise structlog.DropEvent

    before = structlog.get_config()["processors"]
    structlog.configure(processors=[keep])
    yield lines
    structlog.configure(processors=before)


async def nowhere(state, client, logs, *secrets):
    """Nothing secret was told, logged, or kept in clear."""
    assert secrets
    pool = await state.database.pool()
    stored = []
    for table in await pool.fetch("select tablename from pg_tables where schemaname = 'public'"):
        stored += [row[0] for row in await pool.fetch(f'select t::text from "{table[0]}" t')]
    everything = "\n".join([*stored, *logs, *(row.decode("utf-8", "replace") for row in client.told)])
    assert len(everything) > 1000
    for secret in secrets:
        assert secret, "an empty secret would be found everywhere"
        assert secret not in everything
