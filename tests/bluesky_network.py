"""Bluesky's development network on loopback: its own servers, with Debian's PostgreSQL and Redis as their stores.

`make test-slow` installs it into .venv/servers/bluesky (`python -m tests.bluesky_network`); without it, tests are
skipped.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from area.db.embedded.account import account_of
from tests.npm import ROOT, node
from tests.peers import HOST, PASSWORD, TIMEOUT, _end, _folder, _wait
from tests.ports import free_port

MODULES = Path(sys.prefix) / "servers" / "bluesky"
UNPACKED = Path(sys.prefix) / "peers"


def install() -> None:
    """Make .venv/servers/bluesky what the lock file says. Scripts of packages don't run, except that better-sqlite3 is
    compiled, since nothing is downloaded from elsewhere than npm.
    """
    MODULES.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "tests" / "servers" / "bluesky" / name, MODULES)
    program, npm = node()
    options = ["--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run([*npm, "ci", "--ignore-scripts", *options], cwd=MODULES, check=True, stdout=sys.stderr)
    place = subprocess.run([*program, "-p", "process.execPath"], capture_output=True, check=True, text=True).stdout
    prefix = Path(place.strip()).parents[1]
    headers = [f"--nodedir={prefix}"] if (prefix / "include/node/node.h").exists() else []
    command = [*npm, "rebuild", "better-sqlite3", "--build-from-source", *headers, *options]
    subprocess.run(command, cwd=MODULES, check=True, stdout=sys.stderr)


@dataclass
class Network:
    """The personal data server at `url`, whose accounts have the password `PASSWORD`."""

    url: str
    settle_url: str

    def settle(self) -> None:
        """Return once the AppView has seen all that was written so far."""
        urllib.request.urlopen(self.settle_url, timeout=TIMEOUT).close()

    def call(self, name: str, body: Any, token: str = "") -> Any:
        """Call a procedure (https://atproto.com/specs/xrpc), as another client would."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        request = urllib.request.Request(f"{self.url}/xrpc/{name}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            return json.loads(response.read() or b"null")

    def account(self, handle: str) -> str:
        """Make an account; returns an app password of it."""
        given = {"handle": handle, "email": f"{handle}@example.org", "password": PASSWORD}
        session = self.call("com.atproto.server.createAccount", given)
        made = self.call("com.atproto.server.createAppPassword", {"name": "AREA"}, session["accessJwt"])
        return str(made["password"])


@contextlib.contextmanager
def bluesky() -> Iterator[Network]:
    """A directory of identities, a personal data server and an AppView, which know each other."""
    if not MODULES.with_suffix(".stamp").exists():
        pytest.skip("not run: @atproto/dev-env is missing (`make test-slow` installs it)")
    with _folder() as folder, _postgres(folder) as database, _redis(folder) as redis:
        stores = {"DB_POSTGRES_URL": database, "REDIS_HOST": redis, "LOG_ENABLED": "false"}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*node()[0], ROOT / "tests" / "servers" / "bluesky" / "serve.mjs", MODULES],
                env={**os.environ, **stores}, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        assert process.stdout is not None
        try:
            ports = json.loads(process.stdout.readline() or "{}")
            assert ports, (folder / "log").read_text()
            yield Network(f"http://{HOST}:{ports['pds']}", f"http://{HOST}:{ports['settle']}")
        finally:
            process.stdout.close()
            process.kill()
            process.wait()


@contextlib.contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    """Debian's PostgreSQL: AREA's own comes without pg_trgm."""
    extension = next(Path("/usr/share/postgresql").glob("*/extension/pg_trgm.control"), None)
    if extension is None:
        pytest.skip("not run: PostgreSQL with pg_trgm is missing (apt-get install postgresql)")
    programs = Path("/usr/lib/postgresql") / extension.parents[1].name / "bin"
    data = folder / "data"
    account = account_of(data)
    data.mkdir(mode=0o700)
    account.give(data)
    user: dict[str, Any] = {"cwd": "/", "stdout": subprocess.DEVNULL, **account.popen()}
    making = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8"]
    subprocess.run([programs / "initdb", "-D", data, *making], check=True, **user)
    port = free_port()
    with (folder / "postgres.log").open("wb") as log:
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, "-k", data, "-h", HOST, "-p", str(port), "-F"], **user | {"stderr": log}
        )
    try:
        _wait(port, process, folder / "postgres.log")
        yield f"postgresql://postgres@{HOST}:{port}/postgres"
    finally:
        process.terminate()  # it waits for its clients
        process.wait()


@contextlib.contextmanager
def _redis(folder: Path) -> Iterator[str]:
    program = UNPACKED / "usr/bin/redis-server"
    if not program.exists():
        pytest.skip("not run: redis-tools is missing (`make test-slow` unpacks it)")
    libraries = next((UNPACKED / "usr/lib").glob("*/libjemalloc.so.2")).parent
    port = free_port()
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "--bind", HOST, "--port", str(port), "--save", "", "--dir", folder],
            env={**os.environ, "LD_LIBRARY_PATH": str(libraries)}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        _wait(port, process, folder / "redis.log")
        yield f"{HOST}:{port}"
    finally:
        _end(process)


if __name__ == "__main__":
    install()
