"""A real authorization server (npm's oidc-provider) for the pages' tests, and the settings that make AREA known there."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.npm import MODULES, ROOT, node

SECRET = "a-secret-of-more-than-thirty-two-characters"
ACCOUNTS = {
    name: {"email": f"{name}@example.org", "email_verified": True, "name": name.title(), "preferred_username": name}
    for name in ("eve", "ann")
}


@dataclass
class Provider:
    """A running one."""

    issuer: str

    async def set(self, **values: object) -> None:
        """Who is there (`account`), whether they agree (`deny`), how long access tokens last (`ttl`, seconds)."""
        await self._test("set", {name: json.dumps(value) for name, value in values.items()})

    async def end(self) -> None:
        """Take back all that was granted."""
        await self._test("end", {})

    async def _test(self, what: str, params: dict[str, str]) -> None:
        async with aiohttp.ClientSession() as http, http.get(f"{self.issuer}/test/{what}", params=params) as answer:
            assert answer.status == 200, await answer.text()


@contextmanager
def authorization_server(port: int, callbacks: Sequence[str]) -> Iterator[Provider]:
    """One at which the AREA of this port is registered, until the end of the block."""
    if not (MODULES / "oidc-provider").is_dir():
        pytest.skip("not run: oidc-provider is not there; npm could not fetch it")
    client = {
        "client_id": "area",
        "client_secret": SECRET,
        "redirect_uris": [f"http://127.0.0.1:{port}{callback}" for callback in callbacks],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
    }
    config = json.dumps({"accounts": ACCOUNTS, "clients": [client]})
    process = subprocess.Popen(
        [*node()[0], str(ROOT / "tests" / "npm" / "provider.mjs"), config],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "AREA_TEST_NPM": str(MODULES.parent)},
    )
    assert process.stdout is not None
    try:
        yield Provider(f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}")
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def issuer(provider: Provider, port: int) -> dict[str, str]:
    """Settings of an installation that people log in to with it."""
    return {
        "AREA_PORT": str(port),
        "AREA_OIDC_ISSUER": provider.issuer,
        "AREA_OIDC_CLIENT_ID": "area",
        "AREA_OIDC_CLIENT_SECRET": SECRET,
        "AREA_OIDC_NAME": "Example Login",
    }


def connector(issuer: str, folder: Path) -> dict[str, str]:
    """Settings of an installation that has two more services, of tests/web/vendor, as an installed package would bring
    them.
    """
    package = folder / "vendor-1.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: vendor\nVersion: 1\n")
    (package / "entry_points.txt").write_text(
        "[area.connectors]\nvendor = tests.web.vendor\nstranger = tests.web.vendor.stranger\n"
    )
    paths = [str(folder), str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {"PYTHONPATH": os.pathsep.join(str(Path(path).resolve()) for path in paths if path), "VENDOR_ISSUER": issuer}


def registered() -> dict[str, str]:
    """Settings that make AREA known to the vendor."""
    return {"AREA_VENDOR_CLIENT_ID": "area", "AREA_VENDOR_CLIENT_SECRET": SECRET}
