"""Signing in with another OpenID server than npm's: Canaille, which insists on a nonce."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from tests.engine.conftest import rows
from tests.oauth.test_log_in import arrive, away
from tests.oauth.vendor import PUBLIC, open_state

HERE = Path(__file__).parents[1] / "servers"
PYTHON = Path(sys.prefix) / "servers" / "canaille" / "bin" / "python"
PASSWORD = "correct horse battery staple"
SECRET = (
    "its-secret"  # it does not decode others as https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1 has them encoded
)


@dataclass
class Canaille:
    """The server. Its users sign in and agree in forms."""

    issuer: str

    async def browse(self, url: str, account: str = "ann", *, deny: bool = False) -> dict[str, str]:
        """Sign in and agree (or not), in a browser of its own; returns what the server sends back, with its `address`."""
        fields = {"login": account, "password": PASSWORD, "answer": "deny" if deny else "accept"}
        data: dict[str, str] | None = None
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            while url.startswith(self.issuer):
                method = "POST" if data else "GET"
                async with browser.request(method, url, data=data, allow_redirects=False) as answer:
                    page = await answer.text()
                    data = None
                    if answer.status in (302, 303):
                        url = str(URL(url).join(URL(answer.headers["location"], encoded=True)))
                        continue
                form = re.search(r'<form method="POST"(.*?)</form>', page, re.DOTALL)
                token = form and re.search(r'name="csrf_token" value="([^"]+)"', form[1])
                assert form, page
                assert token, page
                data = {"csrf_token": token[1]} | {name: fields[name] for name in fields if f'name="{name}"' in form[1]}
        parts = urlsplit(url)
        return {**dict(parse_qsl(parts.query)), "address": f"{parts.scheme}://{parts.netloc}{parts.path}"}


@pytest.fixture(scope="module")
def canaille() -> Iterator[Canaille]:
    if not PYTHON.exists():
        pytest.skip("not run: canaille is missing; uv could not install it")
    settings = {
        "accounts": {"ann": "ann@example.org", "bob": "bob@example.org", "eve": "eve@example.org"},
        "password": PASSWORD,
        "client_id": "area",
        "client_secret": SECRET,
        "redirect_uris": [f"{PUBLIC}/api/auth/oidc/callback"],
    }
    process = subprocess.Popen(
        [PYTHON, HERE / "serve_canaille.py", json.dumps(settings)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        yield Canaille(f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}")
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


@pytest.fixture
def server(canaille):
    return canaille


@pytest_asyncio.fixture
async def state(dsn, server, tmp_path):
    state = await open_state(dsn, server.issuer, tmp_path, oidc_client_secret=SECRET)
    yield state
    await state.close()


async def test_decline_sign_up_and_sign_in(nobody, server, state):
    declined = await arrive(nobody, server, "eve", provider="oidc", deny=True)
    assert declined.status == 403
    assert declined.json()["detail"] == "You didn't give AREA access to Single sign-on. Nothing has changed."
    first = await arrive(nobody, server, provider="oidc")
    assert first.status == 200, first.body
    user = first.json()["user"]
    assert (user["email"], user["username"]) == ("ann@example.org", "Ann")
    assert (await arrive(nobody, server, provider="oidc")).json()["user"]["id"] == user["id"]
    other = await arrive(nobody, server, "bob", provider="oidc")
    assert other.json()["user"]["id"] != user["id"]
    linked = await rows(state, "select service_account_id from user_oauth2_accounts order by 1")
    assert [row["service_account_id"] for row in linked] == [f"{server.issuer} ann", f"{server.issuer} bob"]


async def test_what_it_refuses_is_readable(nobody, server, logs):
    url, cookie = await away(nobody, "oidc")
    params = {name: value for name, value in parse_qsl(urlsplit(url).query) if name != "nonce"}
    back = await server.browse(urlsplit(url)._replace(query=urlencode(params)).geturl())
    answer = await nobody.get(urlsplit(back.pop("address")).path, params=back, headers={"cookie": cookie})
    assert answer.status == 422
    assert "invalid_request: Missing 'nonce' in request." in answer.json()["detail"]
    assert any("consent.refused" in line and "Missing 'nonce'" in line for line in logs)
