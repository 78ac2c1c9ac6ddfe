"""The front door, by itself and before a real server."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from area.doors.front import Front, is_trusted
from area.engine.exposition import may_read
from area.kit.http_server import Server
from area.settings import Settings
from area.web.parts.errors import misdirected


async def inner(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def front(**settings) -> Front:
    return Front(inner, Settings(_env_file=None, **settings), misdirected)


class Answer:
    def __init__(self, messages):
        self.status = messages[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        self.body = b"".join(message["body"] for message in messages[1:]).decode()


async def ask(door, *headers, peer="192.0.2.7", version="1.1", method="GET"):
    messages = []

    async def send(message):
        messages.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers]
    scope = {
        "type": "http",
        "http_version": version,
        "method": method,
        "path": "/",
        "query_string": b"",
        "headers": raw,
    }
    await door({**scope, "client": (peer, 1)}, None, send)
    return Answer(messages)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8080", "localhost:8080", "area.localhost", "[::1]:8080", "192.168.1.5", "[2001:db8::1]",
        "area.example.org", "AREA.EXAMPLE.ORG.:443", "nas.local:8080", "a.lan.example", "xn--bcher-kva.example",
    ],
)  # fmt: skip
async def test_names_that_are_ours(host):
    door = front(public_url="https://area.example.org", allowed_hosts="nas.local, *.lan.example,bücher.example")
    for _ in range(2):  # the second from memory
        assert (await ask(door, ("host", host))).status == 204


@pytest.mark.parametrize(
    "host", ["evil.example:8080", "example.org", "127.0.0.1.evil.example", "2130706433", "lan.example"]
)
async def test_names_that_are_not(host):
    door = front(public_url="https://area.example.org", allowed_hosts="*.lan.example")
    with capture_logs() as logs:
        for _ in range(2):
            answer = await ask(door, ("host", host))
    assert answer.status == 421
    assert answer.headers["content-type"] == "application/problem+json"
    name = host.partition(":")[0]
    assert f"AREA_ALLOWED_HOSTS={name}" in answer.body
    assert [(log["event"], log["host"]) for log in logs] == [("web.host_refused", name)]


async def test_without_a_public_url_the_host_it_listens_on_is_a_name_of_ours():
    assert (await ask(front(host="nas.local"), ("host", "nas.local:8080"))).status == 204
    assert (await ask(front(host="0.0.0.0"), ("host", "nas.local:8080"))).status == 421


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("host", "")],
        [("host", "localhost"), ("host", "localhost")],
        [("host", "a b")],
        [("host", "localhost, evil")],
    ],
)
async def test_no_host_several_and_what_is_none(headers):
    answer = await ask(front(), *headers)
    assert answer.status == 400
    assert "one Host header" in answer.body


async def test_a_health_check_may_be_older_than_host():
    assert (await ask(front(), version="1.0")).status == 204
    assert (await ask(front(), ("host", "evil.example"), version="1.0")).status == 421


async def test_a_browser_gets_a_page_in_its_language_and_a_name_is_not_markup():
    headers = [("accept", "text/html,*/*"), ("accept-language", "fr")]
    answer = await ask(front(), ("host", "nas.local"), *headers)
    assert answer.status == 421
    assert answer.headers["content-type"].startswith("text/html")
    assert "AREA_ALLOWED_HOSTS=nas.local" in answer.body
    assert "restart" not in answer.body
    assert (await ask(front(), ("host", "<script>"), *headers)).status == 400
    assert (await ask(front(), ("host", "nas.local"), *headers, method="HEAD")).body == ""


async def test_what_is_refused_fills_no_memory():
    door = front()
    with capture_logs() as logs:
        for number in range(3000):
            await ask(door, ("host", f"evil{number}.example"))
            await ask(door, ("host", f"127.0.0.1:{number}"))
    assert len(logs) == 20
    assert len(door._known) == 1000


async def test_a_proxy_that_is_not_trusted_is_named_once():
    door = front(trusted_proxies="10.0.0.0/8")
    with capture_logs() as logs:
        for header in ("x-forwarded-for", "forwarded", "x-real-ip"):
            await ask(door, ("host", "localhost"), (header, "1.2.3.4"), peer="127.0.0.1")
            await ask(door, ("host", "localhost"), (header, "1.2.3.4"), peer="10.1.1.1")
            await ask(door, ("host", "localhost"), (header, "1.2.3.4"), peer="::ffff:10.1.1.1")
    assert [(log["event"], log["peer"], log["header"]) for log in logs] == [
        ("web.proxy_not_trusted", "127.0.0.1", "x-forwarded-for")
    ]
    assert "AREA_TRUSTED_PROXIES=127.0.0.1" in logs[0]["advice"]


def test_trusted():
    assert is_trusted("::1", "::1")
    assert not is_trusted("unknown", "10.0.0.0/8")
    assert not is_trusted("10.0.0.1", "")


@asynccontextmanager
async def served(door):
    server = Server(door)
    await server.start("127.0.0.1", 0)
    yield server.port
    await server.stop(1)


async def test_on_the_wire():
    async with served(front(public_url="https://area.example.org")) as port:

        async def status(text):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(text.replace("\n", "\r\n").encode())
            line = await reader.readline()
            writer.close()
            return int(line.split()[1])

        assert await status("GET / HTTP/1.1\nHost: area.example.org\n\n") == 204
        assert await status("GET / HTTP/1.1\nHost: evil.example\n\n") == 421
        assert await status("GET / HTTP/1.1\nhOsT:\t evil.example \n\n") == 421
        assert await status("GET http://area.example.org/ HTTP/1.1\nHost: evil.example\n\n") == 204, "RFC 9112 §3.2.2"
        assert await status("GET http://evil.example/ HTTP/1.1\nHost: area.example.org\n\n") == 421
        assert await status("GET / HTTP/1.1\n\n") == 400
        assert await status("GET / HTTP/1.0\n\n") == 204
        assert await status("GET / HTTP/1.1\nHost: localhost\nHost: evil.example\n\n") == 400
        assert await status("GET / HTTP/1.1\nHost: evil.example\nX-Forwarded-Host: localhost\n\n") == 421


@pytest.mark.parametrize(
    ("peer", "headers", "allowed"),
    [
        ("127.0.0.1", {"host": "127.0.0.1:8080"}, True),
        ("::1", {"host": "[::1]:8080"}, True),
        ("::ffff:127.0.0.1", {"host": "localhost"}, True),
        ("10.0.0.1", {"host": "localhost"}, False),
        ("unix:", {"host": "localhost"}, False),
        ("127.0.0.1", {"host": "area.example.org"}, False),
        ("127.0.0.1", {"host": "10.0.0.1"}, False),
        ("127.0.0.1", {"host": ""}, False),
        ("127.0.0.1", {}, False),
        *(
            ("127.0.0.1", {"host": "localhost", name: "1.2.3.4"}, False)
            for name in ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "forwarded", "x-real-ip", "via")
        ),
    ],
)
def test_metrics_are_for_this_machine(peer, headers, allowed):
    scope = {"client": (peer, 1), "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    assert may_read(Settings(_env_file=None), scope) is allowed
    assert not may_read(Settings(_env_file=None, metrics_token="m" * 40), scope)
    scope["headers"].append((b"authorization", b"Bearer " + b"m" * 40))
    assert may_read(Settings(_env_file=None, metrics_token="m" * 40), scope)
