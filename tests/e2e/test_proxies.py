"""The samples of docs/howto/deploy.md as they stand, before a running AREA.

Replaced are only what a test can't have: ports, the certificate, and for Caddy the address that it binds and its
endpoint for administration.
"""

import asyncio
import io
import json
import re
import shutil
import ssl
import subprocess
import time
from pathlib import Path

import aiohttp
import pytest
from PIL import Image
from tests.faults.installation import Installation
from tests.peers import certificate
from tests.ports import free_port

from area.accounts import setup
from area.settings import Settings

DEPLOY = (Path(__file__).parents[2] / "docs" / "howto" / "deploy.md").read_text()
NAME = "area.example.org"
PASSWORD = "correct horse battery"
PATIENCE = 60  # seconds


def sample(language, containing=""):
    (result,) = [
        text
        for text in re.findall(rf"^```{language}\n(.*?)^```$", DEPLOY, re.MULTILINE | re.DOTALL)
        if containing in text
    ]
    return result


def replaced(text, *pairs):
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def nginx(folder, area_port, http_port, https_port):
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if not program:
        pytest.skip("not run: nginx is missing (package nginx-light)")
    cert, key = certificate(folder, [NAME])
    site = replaced(
        sample("nginx"),
        ("listen 443 ", f"listen 127.0.0.1:{https_port} "),
        ("listen 80;", f"listen 127.0.0.1:{http_port};"),
        (f"/etc/letsencrypt/live/{NAME}/fullchain.pem", str(cert)),
        (f"/etc/letsencrypt/live/{NAME}/privkey.pem", str(key)),
        ("127.0.0.1:8080", f"127.0.0.1:{area_port}"),
    )
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; user root; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{site}}}\n"
    )
    return [program, "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")], {}


def caddy(folder, area_port, http_port, https_port):
    program = shutil.which("caddy")
    if not program:
        pytest.skip("not run: caddy is missing (package caddy)")
    cert, key = certificate(folder, [NAME])
    ours = f"admin off\n default_bind 127.0.0.1\n http_port {http_port}\n https_port {https_port}\n"
    text = replaced(
        sample("caddyfile"),
        (f"{NAME} {{\n", f"{NAME} {{\n    tls {cert} {key}\n"),
        ("127.0.0.1:8080", f"127.0.0.1:{area_port}"),
    )
    assert text.startswith("{\n")
    (folder / "Caddyfile").write_text("{\n " + ours + text.removeprefix("{\n"))
    environment = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    return [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"], environment


class Door:
    """AREA as clients of different addresses see it through a proxy."""

    def __init__(self, area, https_port, http_port):
        self.area = area
        self.http_port = http_port
        self.url = f"https://127.0.0.1:{https_port}"
        self.token = ""
        self._tls = ssl.create_default_context()
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    def client(self, address="127.0.0.2"):
        connector = aiohttp.TCPConnector(local_addr=(address, 0), ssl=self._tls)
        return aiohttp.ClientSession(
            connector=connector, headers={"Host": NAME}, timeout=aiohttp.ClientTimeout(PATIENCE)
        )

    async def call(self, method, path, body=None, *, address="127.0.0.2", **headers):
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        async with (
            self.client(address) as client,
            client.request(method, self.url + path, json=body, headers=headers, server_hostname=NAME) as answer,
        ):
            return answer.status, await answer.json(content_type=None)


@pytest.fixture(params=[nginx, caddy], ids=["nginx", "caddy"])
async def door(request, memory, tmp_path):
    settings = dict(line.split("=", 1) for line in sample("sh", "AREA_TRUSTED_PROXIES").splitlines())
    assert settings == {"AREA_PUBLIC_URL": f"https://{NAME}", "AREA_TRUSTED_PROXIES": "127.0.0.1"}
    http_port, https_port = free_port(), free_port()
    with Installation(memory, **settings, AREA_LOGIN_ATTEMPTS="2") as area:
        command, environment = request.param(tmp_path, area.port, http_port, https_port)
        with (tmp_path / "output").open("w") as output:
            proxy = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            await area.ready()
            it = Door(area, https_port, http_port)
            end = time.monotonic() + PATIENCE
            while True:
                try:
                    await it.call("GET", "/about.json")
                    break
                except aiohttp.ClientError:
                    assert proxy.poll() is None, (tmp_path / "output").read_text()
                    assert time.monotonic() < end
                    await asyncio.sleep(0.05)
            yield it
        finally:
            proxy.terminate()
            proxy.wait(PATIENCE)


@pytest.mark.slow
async def test_the_sample_as_it_stands(door):
    # the first account needs the code, since others reach this installation
    account = {"email": "ann@example.org", "username": "ann", "password": PASSWORD}
    status, answer = await door.call("POST", "/api/auth/register", account)
    assert status == 422, answer
    settings = Settings(_env_file=None, data_dir=door.area.data, public_url=f"https://{NAME}")
    status, answer = await door.call("POST", "/api/auth/register", {**account, "setup_code": setup.code(settings)})
    assert status == 201, answer
    door.token = answer["token"]

    # the client's own address, whatever it says itself
    status, answer = await door.call("GET", "/api/me/sessions")
    assert [item["address"] for item in answer["items"]] == ["127.0.0.2"]
    await the_limits_of_log_in(door)
    await hooks_and_streams(door)
    await pictures(door)

    # neither name nor metrics are open to whoever comes by the proxy
    async with door.client("127.0.0.5") as client:
        async with client.get(f"{door.url}/metrics", server_hostname=NAME) as answer:
            assert answer.status == 401
        async with client.get(f"http://127.0.0.1:{door.http_port}/runs?x=1", allow_redirects=False) as answer:
            assert answer.status in (301, 308)
            assert re.fullmatch(rf"https://{NAME}(:\d+)?/runs\?x=1", answer.headers["Location"])
    assert "web.proxy_not_trusted" not in door.area.log.read_text()


async def the_limits_of_log_in(door):
    """Ten failures of one address lock this address out, and no other."""
    wrong = {"login": "nobody", "password": "wrong horse battery"}
    door.token, stored = "", door.token
    statuses = []
    for number in range(11):
        spoofed = {
            "X-Forwarded-For": f"198.51.100.{number}",
            "X-Real-IP": "198.51.100.1",
            "Forwarded": "for=198.51.100.1",
        }
        status, _ = await door.call(
            "POST", "/api/auth/login", {**wrong, "login": f"nobody{number}"}, address="127.0.0.3", **spoofed
        )
        statuses.append(status)
    assert statuses == [401] * 10 + [429]
    status, answer = await door.call(
        "POST", "/api/auth/login", {"login": "ann", "password": PASSWORD}, address="127.0.0.4"
    )
    assert status == 200, answer
    door.token = stored


async def hooks_and_streams(door):
    """A large hook passes, and its run shows up in a stream that is still open."""
    body = {
        "name": "hook",
        "action": {"component": "webhook.received", "parameters": {}},
        "reaction": {"component": "inbox.post", "parameters": {"title": "{{body.n}}"}},
    }
    status, created = await door.call("POST", "/api/areas", body)
    assert status == 201, created
    assert created["webhook_url"].startswith(f"https://{NAME}/hooks/")
    path = created["webhook_url"].removeprefix(f"https://{NAME}")
    async with (
        door.client() as client,
        client.get(
            f"{door.url}/api/executions/stream", headers={"Authorization": f"Bearer {door.token}"}, server_hostname=NAME
        ) as stream,
    ):
        assert stream.status == 200
        status, answer = await door.call("POST", path, {"n": 1, "large": "x" * 900_000})
        assert status == 202, answer
        async for line in stream.content:
            if line.startswith(b"data:") and json.loads(line[5:]).get("status") == "success":
                break


async def pictures(door):
    """A picture of some megabytes passes, too."""
    noise = Image.effect_noise((1600, 1600), 100)
    file = io.BytesIO()
    noise.save(file, "PNG")
    assert file.tell() > 2_000_000
    form = aiohttp.FormData()
    file.seek(0)
    form.add_field("picture", file, filename="ann.png", content_type="image/png")
    headers = {"Cookie": f"area_session={door.token}", "Sec-Fetch-Site": "same-origin", "Origin": f"https://{NAME}"}
    async with (
        door.client() as client,
        client.post(
            f"{door.url}/profile/picture", data=form, headers=headers, server_hostname=NAME, allow_redirects=False
        ) as answer,
    ):
        assert answer.status == 303, await answer.text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_unit_is_one_that_systemd_takes(tmp_path):
    program = tmp_path / "area"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "area.service"
    unit.write_text(replaced(sample("ini"), ("/opt/area/.venv/bin/area", str(program)), ("User=area", "User=root")))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    output = [line for line in done.stderr.splitlines() if "area.service" in line]
    assert (done.returncode, output) == (0, []), done.stderr
