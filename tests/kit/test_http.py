"""The client against real servers: what it refuses, what it bounds, what it tells, and where redirects may lead."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import time
import tracemalloc
import zlib
from email.utils import format_datetime
from encodings.aliases import aliases
from types import SimpleNamespace

import pytest
import uvloop
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings, strategies
from multidict import CIMultiDict

from area import __version__
from area.kit import net
from area.kit.http import MAX_URL, Client, RequestFailed, Response, _parse, _redirected, origin
from area.kit.net import Blocked, Guard


async def echo(request):
    """Tell what arrived, and the client's port, by which two requests over one connection are known."""
    return web.json_response(
        {
            "method": request.method,
            "path": request.raw_path,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "repeated": [name.lower() for name in request.headers],
            "body": (await request.read()).decode(errors="replace"),
            "peer": request.transport.get_extra_info("peername")[1],
        }
    )


async def redirect(request):
    query = request.query
    return web.Response(status=int(query.get("status", 302)), headers={"Location": query["to"]}, text="moved")


async def endless(request):
    raise web.HTTPFound(f"/endless?n={int(request.query.get('n', 0)) + 1}")


async def steps(request):
    left = int(request.match_info["left"])
    raise web.HTTPFound(f"/steps/{left - 1}" if left > 1 else "/echo")


async def drip(request):
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        for _ in range(100):
            await response.write(b".")
            await asyncio.sleep(0.05)
    return response


async def some_lines(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for part in (b"one\n\ntwo ", b"halves\r\nla", b"st"):
        await response.write(part)
        await asyncio.sleep(0.01)
    return response


async def endless_lines(request):
    response = web.StreamResponse()
    await response.prepare(request)
    line = f"{request.query_string} {request.headers.get('X-One')} {request.headers['Accept-Encoding']}\n"
    with contextlib.suppress(ConnectionError):
        for _ in range(1000):
            await response.write(line.encode())
            await asyncio.sleep(0.01)
    return response


async def silent(_request):
    await asyncio.sleep(2)


async def compressed(request):
    encoding = request.query.get("encoding", "gzip")
    size = int(request.query["size"])
    packer = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    body = b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()
    return web.Response(body=body, headers={"Content-Encoding": encoding})


async def long_body(request):
    response = web.StreamResponse()
    if "told" in request.query:
        response.content_length = 200_000
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        for _ in range(200):
            await response.write(bytes(1000))
            await asyncio.sleep(0)
    return response


async def fixed(request):
    """Answer with the status, body and headers asked for."""
    query = request.query
    headers = {name[2:]: value for name, value in query.items() if name.startswith("h-")}
    return web.Response(status=int(query.get("status", 200)), body=query.get("body", "").encode(), headers=headers)


async def closing(_request):
    return web.Response(text="bye", headers={"Connection": "close"})


async def cookie(request):
    return web.Response(text=request.headers.get("Cookie", "none"), headers={"Set-Cookie": "session=secret; Path=/"})


def application():
    app = web.Application(client_max_size=50_000_000)
    for path, handler in {
        "/redirect": redirect,
        "/endless": endless,
        "/steps/{left}": steps,
        "/drip": drip,
        "/silent": silent,
        "/lines": some_lines,
        "/endless-lines": endless_lines,
        "/compressed": compressed,
        "/long": long_body,
        "/fixed": fixed,
        "/closing": closing,
        "/cookie": cookie,
        "/{any:.*}": echo,
    }.items():
        app.router.add_route("*", path, handler)
    return app


async def started(host="127.0.0.1", **options):
    app = application()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, host, 0, **options).start()
    port = runner.addresses[0][1]
    scheme = "https" if "ssl_context" in options else "http"
    return SimpleNamespace(app=app, port=port, url=f"{scheme}://{host}:{port}", close=runner.cleanup)


@pytest.fixture(scope="module")
async def server():
    running = await started()
    yield running
    await running.close()


@pytest.fixture(scope="module")
async def other():
    """Another origin, by its port."""
    running = await started()
    yield running
    await running.close()


@pytest.fixture
async def client():
    opened = Client(Guard(["127.0.0.1"]))
    yield opened
    await opened.close()


@pytest.fixture
async def raw():
    """Start a server that answers every connection with the bytes given, and then closes it (or waits)."""
    running = []

    async def start(answer: bytes, *, then_wait: float = 0, read: bool = True):
        async def handle(reader, writer):
            if read:
                await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await asyncio.sleep(then_wait)
            writer.close()

        listener = await asyncio.start_server(handle, "127.0.0.1", 0)
        running.append(listener)
        return f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"

    yield start
    for task in running:
        task.close()


@pytest.fixture
def names(monkeypatch):
    """Names and the answers of each lookup in turn (the last one repeats). Numbers resolve as ever, nothing else does."""
    real = socket.getaddrinfo
    table: dict[str, list[list[str]]] = {}
    looked_up: list[str] = []

    def fake(host, port, family=0, type=0, proto=0, flags=0):  # noqa: A002
        if host not in table:
            return real(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
        looked_up.append(host)
        answer = table[host].pop(0) if len(table[host]) > 1 else table[host][0]
        return [resolved for address in answer for resolved in real(address, port, family, type, proto, flags)]

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    return SimpleNamespace(table=table, asked=looked_up)


def answer(body=b"", content_type="text/plain", **headers):
    pairs = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(200, CIMultiDict({"Content-Type": content_type, **pairs}), body, "http://example.com:8080/a")


# Requests


async def test_a_request_and_its_answer(client, server):
    response = await client.request(
        "post", f"{server.url}/echo/a", params={"q": "a b&c"}, headers={"X-Token": "t"}, body=b'{"a": 1}'
    )
    got = response.json()
    assert response.status == 200
    assert response.url == f"{server.url}/echo/a?q=a+b%26c"
    assert response.host == f"127.0.0.1:{server.port}"
    assert response.headers.get("content-type") == response.headers["CONTENT-TYPE"]
    assert got["method"] == "POST"
    assert got["path"] == "/echo/a?q=a+b%26c"
    assert got["body"] == '{"a": 1}'
    assert got["headers"]["x-token"] == "t"
    assert got["headers"]["user-agent"] == f"AREA/{__version__}"
    assert "cookie" not in got["headers"]


async def test_a_form_is_encoded(client, server):
    got = (await client.request("POST", f"{server.url}/", data={"a": "1 & 2", "é": "ü"})).json()
    assert got["body"] == "a=1+%26+2&%C3%A9=%C3%BC"
    assert got["headers"]["content-type"] == "application/x-www-form-urlencoded"
    with pytest.raises(ValueError):
        await client.request("POST", f"{server.url}/", data={}, body=b"")


async def test_the_callers_headers_win_over_ours(client, server):
    sent = {"user-agent": "mine", "accept": "text/html"}
    got = (await client.request("GET", f"{server.url}/", headers=sent)).json()
    assert (got["headers"]["user-agent"], got["headers"]["accept"]) == ("mine", "text/html")
    assert len(got["repeated"]) == len(set(got["repeated"]))


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
async def test_methods(client, server, method):
    response = await client.request(method, f"{server.url}/")
    assert response.status == 200
    assert response.body == b"" if method == "HEAD" else response.json()["method"] == method


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("/a%2Fb/%7Ec/%21", "/a%2Fb/%7Ec/%21"),
        ("/a?sig=%2b%2F%3d&x=a+b", "/a?sig=%2b%2F%3d&x=a+b"),
        ("/a/../b", "/a/../b"),
        ("/é ü?q=ä b", "/%C3%A9%20%C3%BC?q=%C3%A4%20b"),
        ("/100%", "/100%25"),
        ("?q=1", "/?q=1"),
        ("", "/"),
        ("/a#secret", "/a"),
    ],
)
async def test_what_is_encoded_is_sent_as_it_is_and_the_rest_is_encoded(client, server, written, sent):
    response = await client.request("GET", server.url + written)
    assert response.json()["path"] == sent
    assert "#" not in response.url


async def test_credentials_in_the_address_become_basic_authentication(client, server):
    response = await client.request("GET", f"http://us%40er:p%C3%A9ss@127.0.0.1:{server.port}/")
    assert response.json()["headers"]["authorization"] == "Basic dXNAZXI6cMOpc3M="
    assert "us" not in response.url
    with pytest.raises(RequestFailed, match="not both") as caught:
        await client.request("GET", f"http://a:b@127.0.0.1:{server.port}/", headers={"authorization": "x"})
    assert caught.value.permanent


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "/relative",
        "//example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_x",
        "ws://example.com/",
        "unix:///run/docker.sock",
        "javascript:alert(1)",
        "http:",
        "http://",
        "http:///path",
        "http:example.com",
        "http:\\\\example.com",
        "http://a\\@example.com/",
        "http://[::1/",
        "http://[1.2.3.4]/",
        "http://[::ffff:127.1]:80/",
        "http://[:::]/",
        "http://user:secret@exa\u2100mple.com/",
        "http://user:secret@example.com:http/",
        "http://example.com:99999/",
        "http://example.com/a\r\nX: y",
        "http://example.com/\x00",
        "http://exa\nmple.com/",
        " http://example.com/\n",
        "http://example.com/\x7f",
        "http://example.com/\ud800",
        "http://example.com/" + "a" * MAX_URL,
    ],
)
async def test_malformed_addresses_fail_for_good(client, url):
    with pytest.raises(RequestFailed, match=r"^The address .*\.$") as caught:
        await client.request("GET", url)
    assert caught.value.permanent
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"X-A": "b\r\nX-C: d"}, "The X-A header contains a line break"),
        ({"X-A": "secret\n"}, "The X-A header contains a line break"),
        ({"X-A": "b\x00"}, "The X-A header contains a line break"),
        ({"X-A\r\nX-B": "c"}, "is not a valid header name"),
        ({"X A": "c"}, "is not a valid header name"),
        ({"X-A:": "c"}, "is not a valid header name"),
        ({"": "c"}, "is not a valid header name"),
        ({"é": "c"}, "is not a valid header name"),
        ({"Content-Length": "0"}, "AREA sets the"),
        ({"transfer-encoding": "chunked"}, "AREA sets the"),
        ({"HOST": "metadata.internal"}, "AREA sets the"),
        ({"Connection": "close"}, "AREA sets the"),
        ({"Expect": "100-continue"}, "AREA sets the"),
        ({"Upgrade": "h2c"}, "AREA sets the"),
        ({"Proxy-Authorization": "x"}, "AREA sets the"),
    ],
)
async def test_headers_that_would_break_the_message_fail_for_good(client, server, headers, message):
    with pytest.raises(RequestFailed, match=message) as caught:
        await client.request("POST", f"{server.url}/", headers=headers, body=b"x")
    assert caught.value.permanent
    assert "secret" not in str(caught.value)


async def test_a_header_may_hold_tabs_and_letters_of_any_script(client, server):
    got = (await client.request("GET", f"{server.url}/", headers={"X-A": "a\tb é"})).json()
    assert got["headers"]["x-a"] == "a\tb é"


@pytest.mark.parametrize("method", ["", "GE T", "GET\r\nX: y", "CONNECT", "connect", "TRACE", "GÉT"])
async def test_methods_that_cannot_be_sent(client, server, method):
    with pytest.raises(RequestFailed, match="not a valid method") as caught:
        await client.request(method, f"{server.url}/")
    assert caught.value.permanent


async def test_connections_are_shared_and_cookies_are_not(client, server):
    peers = {(await client.request("GET", f"{server.url}/")).json()["peer"] for _ in range(5)}
    assert len(peers) == 1
    await client.request("GET", f"{server.url}/cookie")
    assert (await client.request("GET", f"{server.url}/cookie")).text == "none"


async def test_proxies_and_netrc_of_the_environment_are_not_used(client, server, monkeypatch, tmp_path):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert "authorization" not in (await client.request("GET", f"{server.url}/")).json()["headers"]


async def test_a_large_body_is_sent_whole(client, server):
    body = bytes(range(32, 127)) * 30_000
    got = (await client.request("PUT", f"{server.url}/", body=body)).json()
    assert got["body"] == body.decode()
    assert got["headers"]["content-length"] == str(len(body))


async def test_many_requests_at_once_keep_their_answers_apart(server):
    client = Client(Guard(["127.0.0.1"]), limit=8)
    got = await asyncio.gather(*(client.request("POST", f"{server.url}/", body=str(n).encode()) for n in range(100)))
    assert [response.json()["body"] for response in got] == [str(n) for n in range(100)]
    assert len({response.json()["peer"] for response in got}) <= 4, "half of the limit is for one host"
    await client.close()


async def test_a_closed_client_says_so(server):
    client = Client(Guard(["127.0.0.1"]))
    await client.request("GET", f"{server.url}/")
    await client.close()
    await client.close()
    with pytest.raises(RuntimeError, match="closed"):
        await client.request("GET", f"{server.url}/")


def test_under_uvloop(names):
    async def story():
        server = await started()
        names.table["api.example"] = [["127.0.0.1"]]
        names.table["evil.example"] = [["127.0.0.2"]]
        client = Client(Guard(["127.0.0.1"]))
        try:
            got = await client.request("GET", f"http://api.example:{server.port}/")
            assert got.json()["headers"]["host"] == f"api.example:{server.port}"
            for host in ("127.0.0.2", "evil.example", "0x7f.1", "[::1]"):
                with pytest.raises(Blocked):
                    await client.request("GET", f"http://{host}:{server.port}/")
            with pytest.raises(RequestFailed, match="did not respond"):
                await client.request("GET", f"{server.url}/silent", timeout=0.1)
        finally:
            await client.close()
            await server.close()

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(story())
    finally:
        loop.close()


# The guard


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "0",
        "0.0.0.0",
        "①②⑦.⓪.⓪.①",
        "127\u30020\u30020\u30021",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "localhost..",
        "local%68ost",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1%25lo]",
        "[fe80::1%lo]",
        "169.254.169.254",
        "192.168.0.1",
        "100.64.0.1",
        "user:pw@127.0.0.1",
        "example.com@127.0.0.1",
        "private.example",
        "mixed.example",
        "mapped.example",
        ".",
        "a..b",
        "exa mple.com",
    ],
)
async def test_the_guard_refuses(server, names, host):
    names.table.update({
        "localhost": [["127.0.0.1", "::1"]],
        "private.example": [["10.0.0.1"]],
        "mixed.example": [["93.184.216.34", "127.0.0.1"]],
        "mapped.example": [["::ffff:127.0.0.1"]],
    })  # fmt: skip
    client = Client(Guard())
    with pytest.raises(Blocked, match="is refused"):
        await client.request("GET", f"http://{host}:{server.port}/")
    await client.close()


@pytest.mark.parametrize("port", [0, 1])
async def test_the_exception_of_one_port_is_for_no_other(server, port):
    client = Client(Guard([f"127.0.0.1:{server.port}"]))
    assert (await client.request("GET", f"{server.url}/")).status == 200
    with pytest.raises(Blocked):
        await client.request("GET", f"http://127.0.0.1:{port}/")
    await client.close()


@pytest.mark.parametrize(
    "entry", ["intra.example", "intra.example:{port}", "127.0.0.0/8", "127.0.0.1", "127.0.0.1:{port}"]
)
async def test_exceptions_let_through(server, names, entry):
    names.table["intra.example"] = [["127.0.0.1"]]
    client = Client(Guard([entry.format(port=server.port)]))
    for host in ("intra.example", "INTRA.example.", "intra\u3002example"):
        got = await client.request("GET", f"http://{host}:{server.port}/")
        assert got.json()["headers"]["host"] == f"intra.example:{server.port}"
    await client.close()


async def test_every_new_connection_is_checked_again(server, names):
    """The allowed address stands for a public one; the name then turns to a private one."""
    names.table["rebind.example"] = [["127.0.0.1"], ["127.0.0.1"], ["127.0.0.2"]]
    client = Client(Guard([f"127.0.0.1:{server.port}"]))
    url = f"http://rebind.example:{server.port}"
    assert (await client.request("GET", f"{url}/closing")).text == "bye"
    assert (await client.request("GET", f"{url}/closing")).text == "bye"
    with pytest.raises(Blocked, match=r"127\.0\.0\.2"):
        await client.request("GET", f"{url}/closing")
    assert names.asked == ["rebind.example"] * 3
    await client.close()


async def test_one_lookup_decides_and_connects(server, names):
    """A second lookup between the check and the connection would lead elsewhere; a kept connection needs none at all."""
    names.table["rebind.example"] = [["127.0.0.1"], ["127.0.0.2"]]
    client = Client(Guard([f"127.0.0.1:{server.port}"]))
    for _ in range(3):
        got = await client.request("GET", f"http://rebind.example:{server.port}/")
        assert got.json()["headers"]["host"] == f"rebind.example:{server.port}"
    assert names.asked == ["rebind.example"]
    await client.close()


async def test_the_next_address_is_tried(server, names):
    names.table["two.example"] = [["127.0.0.9", "127.0.0.1"]]
    client = Client(Guard(["two.example"]))
    assert (await client.request("GET", f"http://two.example:{server.port}/")).status == 200
    await client.close()


# Redirects


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.2:{port}/",
        "http://localhost:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f.1:{port}/",
        "http://[::1]:{port}/",
        "http://[::ffff:127.0.0.1]:1/",
        "//127.0.0.2:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "http://private.example/",
        "http://127.0.0.1:1/",
    ],
)
@pytest.mark.parametrize("status", [301, 307])
async def test_a_redirect_to_the_inside_is_refused(server, names, target, status):
    names.table["localhost"] = names.table["private.example"] = [["127.0.0.3"]]
    client = Client(Guard([f"127.0.0.1:{server.port}"]))
    with pytest.raises(Blocked):
        await client.request(
            "GET", f"{server.url}/redirect", params={"to": target.format(port=server.port), "status": str(status)}
        )
    await client.close()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("ftp://example.com/", "must begin with http"),
        ("file:///etc/passwd", "must begin with http"),
        ("javascript:alert(1)", "must begin with http"),
        ("http://example.com:99999/", "malformed"),
        ("http://[::1/", "Invalid IPv6"),
        ("http://a\\@b/", "malformed"),
        ("/" + "a" * 17_000, "longer"),
    ],
)
async def test_a_redirect_to_nowhere_fails_for_good(client, raw, target, message):
    url = await raw(f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())
    with pytest.raises(
        RequestFailed, match=rf"^127\.0\.0\.1:\d+ redirected to an address that can't be requested\. .*{message}"
    ) as caught:
        await client.request("GET", url)
    assert caught.value.permanent


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "GET", "GET"),
        (301, "POST", "GET"),
        (301, "PUT", "PUT"),
        (302, "POST", "GET"),
        (302, "DELETE", "DELETE"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "GET", "GET"),
        (307, "POST", "POST"),
        (307, "PATCH", "PATCH"),
        (308, "POST", "POST"),
        (308, "GET", "GET"),
    ],
)
async def test_what_a_redirect_makes_of_method_and_body(client, server, status, method, then):
    body = None if method in {"GET", "DELETE"} else b"payload"
    headers = {"Content-Type": "text/plain", "Content-Language": "en", "X-Token": "t"} if body else {"X-Token": "t"}
    url = f"{server.url}/redirect"
    query = {"to": "/landed?x=%2F", "status": str(status)}
    response = await client.request(method, url, params=query, headers=headers, body=body)
    got = response.json()
    assert response.url == f"{server.url}/landed?x=%2F"
    assert got["path"] == "/landed?x=%2F"
    assert got["method"] == then
    assert got["body"] == ("payload" if body and then == method else "")
    assert got["headers"]["x-token"] == "t", "the origin is the same"
    if body and then != method:
        assert "content-type" not in got["headers"]
        assert "content-language" not in got["headers"]


async def test_a_large_body_is_repeated_whole(client, server):
    body = b"x" * 3_000_000
    query = {"to": "/landed", "status": "308"}
    response = await client.request("POST", f"{server.url}/redirect", params=query, body=body)
    assert response.json()["body"] == body.decode()


async def test_head_stays_head(client, server):
    response = await client.request("HEAD", f"{server.url}/redirect", params={"to": "/landed", "status": "303"})
    assert (response.status, response.body, response.url) == (200, b"", f"{server.url}/landed")


async def test_only_harmless_headers_go_to_another_origin(client, server, other):
    sent = {
        "Authorization": "Bearer secret",
        "Cookie": "a=secret",
        "X-Api-Key": "secret",
        "PRIVATE-TOKEN": "secret",
        "Accept": "text/html",
        "Content-Type": "text/plain",
        "User-Agent": "mine",
    }
    query = {"to": f"{other.url}/landed", "status": "307"}
    response = await client.request("POST", f"{server.url}/redirect", params=query, headers=sent, body=b"x")
    got = response.json()
    assert response.url == f"{other.url}/landed"
    assert got["body"] == "x"
    assert "secret" not in str(got)
    assert [got["headers"][name] for name in ("accept", "content-type", "user-agent")] == [
        "text/html",
        "text/plain",
        "mine",
    ]


async def test_headers_once_dropped_do_not_come_back(client, server, other):
    back = f"{other.url}/redirect?to={server.url}/landed"
    response = await client.request(
        "GET", f"{server.url}/redirect", params={"to": back}, headers={"Authorization": "secret"}
    )
    assert response.url == f"{server.url}/landed"
    assert "authorization" not in response.json()["headers"]


async def test_credentials_of_the_address_stay_with_its_origin(client, server, other):
    url = f"http://user:secret@127.0.0.1:{server.port}/redirect"
    same = await client.request("GET", url, params={"to": "/landed"})
    assert same.json()["headers"]["authorization"].startswith("Basic ")
    elsewhere = await client.request("GET", url, params={"to": f"{other.url}/landed"})
    assert "authorization" not in elsewhere.json()["headers"]


async def test_credentials_in_a_redirect_are_left_out(client, server):
    target = f"http://evil:pw@127.0.0.1:{server.port}/landed"
    response = await client.request(
        "GET", f"{server.url}/redirect", params={"to": target}, headers={"Authorization": "mine"}
    )
    assert response.url == f"{server.url}/landed"
    assert response.json()["headers"]["authorization"] == "mine"


async def test_five_redirects_are_followed_and_no_more(client, server):
    assert (await client.request("GET", f"{server.url}/steps/5")).url == f"{server.url}/echo"
    for path in ("/steps/6", "/endless"):
        with pytest.raises(RequestFailed, match=r"redirected more than 5 times\.") as caught:
            await client.request("GET", server.url + path)
        assert caught.value.permanent


async def test_a_redirect_that_is_not_to_be_followed_is_the_answer(client, server):
    response = await client.request(
        "GET", f"{server.url}/redirect", params={"to": "http://10.0.0.1/", "status": "302"}, follow=False
    )
    assert (response.status, response.headers["location"], response.body) == (302, "http://10.0.0.1/", b"moved")


@pytest.mark.parametrize("status", [300, 302, 304])
async def test_what_is_no_redirect_is_the_answer(client, server, status):
    query = {"status": str(status)} | ({"h-Location": "/x"} if status != 302 else {})
    assert (await client.request("GET", f"{server.url}/fixed", params=query)).status == status


async def test_a_redirect_keeps_the_connection(client, server):
    first = (await client.request("GET", f"{server.url}/")).json()["peer"]
    second = (await client.request("GET", f"{server.url}/redirect", params={"to": "/landed"})).json()["peer"]
    assert first == second


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A certificate for `tls.example`, its own authority; returns the server's context and the file to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tls.example")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("tls.example"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return SimpleNamespace(context=context, trust=str(folder / "cert.pem"))


@pytest.fixture(scope="module")
async def tls(authority):
    running = await started(ssl_context=authority.context)
    yield running
    await running.close()


@pytest.fixture
def trusted(monkeypatch, authority):
    context = ssl.create_default_context(cafile=authority.trust)
    monkeypatch.setattr("area.kit.pool.tls_context", lambda: context)


@pytest.mark.usefixtures("trusted")
async def test_tls_is_verified_by_name_though_the_connection_goes_to_an_address(client, tls, names):
    names.table["tls.example"] = names.table["other.example"] = [["127.0.0.1"]]
    got = await client.request("GET", f"https://tls.example:{tls.port}/")
    assert got.json()["headers"]["host"] == f"tls.example:{tls.port}"
    assert (await client.request("GET", f"{tls.url}/")).status == 200
    with pytest.raises(
        RequestFailed, match=r"The TLS certificate of other\.example:\d+ is not valid: Hostname mismatch"
    ):
        await client.request("GET", f"https://other.example:{tls.port}/")


async def test_an_unknown_authority_is_not_trusted(client, tls):
    with pytest.raises(RequestFailed, match=r"certificate of 127\.0\.0\.1:\d+ is not valid: self.signed"):
        await client.request("GET", f"{tls.url}/")


async def test_tls_with_a_server_that_speaks_none(client, server):
    with pytest.raises(RequestFailed, match=r"The TLS handshake with") as caught:
        await client.request("GET", f"https://127.0.0.1:{server.port}/")
    assert not caught.value.permanent


@pytest.mark.usefixtures("trusted")
async def test_a_redirect_from_https_to_http_is_refused(client, tls, server):
    with pytest.raises(RequestFailed, match="from https to unencrypted http") as caught:
        await client.request("GET", f"{tls.url}/redirect", params={"to": f"{server.url}/"})
    assert caught.value.permanent
    up = await client.request("GET", f"{server.url}/redirect", params={"to": f"{tls.url}/"}, headers={"X-Key": "s"})
    assert up.url == f"{tls.url}/"
    assert "x-key" not in up.json()["headers"], "another scheme is another origin"


# Bounds


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_bomb_is_stopped_at_the_limit(client, server, encoding):
    query = {"size": str(200 << 20), "encoding": encoding}
    tracemalloc.start()
    with pytest.raises(RequestFailed, match=r"sent a response larger than 1 MB\.") as caught:
        await client.request("GET", f"{server.url}/compressed", params=query, max_bytes=1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.permanent
    assert peak < 20_000_000


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_body_within_the_limit_is_whole(client, server, encoding):
    query = {"size": str(3 << 20), "encoding": encoding}
    response = await client.request("GET", f"{server.url}/compressed", params=query)
    assert response.body == bytes(3 << 20)


@pytest.mark.parametrize("body", [{}, {"told": "1"}])
async def test_a_body_over_the_limit_is_refused(client, server, body):
    with pytest.raises(RequestFailed, match=r"sent a response larger than 0\.1 MB\.") as caught:
        await client.request("GET", f"{server.url}/long", params=body, max_bytes=100_000)
    assert caught.value.permanent


async def test_a_body_of_exactly_the_limit_passes(client, server):
    for params in ({}, {"told": "1"}):
        response = await client.request("GET", f"{server.url}/long", params=params, max_bytes=200_000)
        assert len(response.body) == 200_000


async def test_a_length_without_a_body_is_no_body(client, raw):
    """HEAD and 304 tell the length of what they do not send (RFC 9110 §8.6)."""
    huge = "Content-Length: 99999999999\r\nETag: x\r\n\r\n"
    url = await raw(f"HTTP/1.1 200 OK\r\n{huge}".encode())
    assert (await client.request("HEAD", url)).headers["etag"] == "x"
    url = await raw(f"HTTP/1.1 304 Not Modified\r\n{huge}".encode())
    response = await client.request("GET", url, headers={"If-None-Match": "x"})
    assert (response.status, response.body, response.headers.get("Etag")) == (304, b"", "x")


@pytest.mark.parametrize("path", ["/silent", "/drip", "/redirect?to=/silent", "/redirect?to=/drip"])
async def test_the_timeout_covers_everything(client, server, path):
    with pytest.raises(RequestFailed, match=r"^127\.0\.0\.1:\d+ did not respond within 0\.3 s\.$") as caught:
        await client.request("GET", server.url + path, timeout=0.3)
    assert not caught.value.permanent


async def test_the_timeout_covers_headers_that_drip_and_a_body_that_nobody_reads(client, raw):
    dripping = await raw(b"HTTP/1.1 200 OK\r\nX-A: ", then_wait=2)
    with pytest.raises(RequestFailed, match="did not respond within"):
        await client.request("GET", dripping, timeout=0.2)
    deaf = await raw(b"", then_wait=2, read=False)
    with pytest.raises(RequestFailed, match="did not respond within"):
        await client.request("POST", deaf, body=bytes(30_000_000), timeout=0.2)


async def test_the_timeout_covers_the_name_lookup(client, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: time.sleep(0.6) or [])
    with pytest.raises(RequestFailed, match=r"slow\.example did not respond within 0\.1 s"):
        await client.request("GET", "http://slow.example/", timeout=0.1)


async def lines(client, url, **options):
    async with client.stream(url, **options) as (head, content):
        return head, [line async for line in content]


async def test_lines_come_as_they_are_written(client, server):
    head, content = await lines(client, server.url + "/lines")
    assert (head.status, head.body) == (200, b"")
    assert content == [b"one", b"", b"two halves", b"last"]


async def test_a_line_comes_before_the_answer_has_ended(client, server):
    async with client.stream(server.url + "/endless-lines", params={"n": "1"}, headers={"X-One": "1"}) as (_, content):
        assert [await anext(content) for _ in range(3)] == [b"n=1 1 identity"] * 3


async def test_lines_are_bounded_in_length_and_silence(client, server):
    with pytest.raises(RequestFailed, match="sent a line longer than 1e-05 MB") as error:
        await lines(client, server.url + "/endless-lines", longest=10)
    assert error.value.permanent
    for path in ("/silent", "/drip"):
        with pytest.raises(RequestFailed, match=r"did not respond within|sent nothing for") as error:
            await lines(client, server.url + path, timeout=0.02, silence=0.02)
        assert not error.value.permanent


async def test_what_is_no_stream_is_told_and_not_followed(client, server):
    head, _ = await lines(client, server.url + "/redirect?to=/echo")
    assert (head.status, head.body) == (302, b"moved")


async def test_a_stream_that_breaks_off(client, raw):
    url = await raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\none\ntwo")
    async with client.stream(url) as (_, content):
        assert await anext(content) == b"one"
        with pytest.raises(RequestFailed, match="closed the connection before the response was complete"):
            await anext(content)


async def test_streams_pass_the_guard_and_take_no_connection_from_requests(server):
    client = Client(Guard(["127.0.0.1"]), limit=1)
    try:
        async with client.stream(server.url + "/endless-lines"), client.stream(server.url + "/endless-lines"):
            assert (await client.request("GET", server.url + "/echo")).status == 200
        with pytest.raises(Blocked):
            await lines(client, "http://127.0.0.2/")
    finally:
        await client.close()


async def test_cancelling_a_request_cancels_it(client, server):
    task = asyncio.create_task(client.request("GET", f"{server.url}/silent"))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_after_failures_the_client_goes_on(client, server):
    for path in ("/silent", "/drip", "/long"):
        with pytest.raises(RequestFailed):
            await client.request("GET", server.url + path, timeout=0.1, max_bytes=1000)
    assert (await client.request("GET", f"{server.url}/")).status == 200


# Failures


async def test_a_name_that_does_not_resolve(client, names):
    with pytest.raises(
        RequestFailed, match=r"^nowhere\.example could not be found: its name doesn't resolve\.$"
    ) as caught:
        await client.request("GET", "https://nowhere.example/secret/path?token=x")
    assert not caught.value.permanent


async def test_a_refused_connection(client, unused_tcp_port):
    with pytest.raises(RequestFailed, match=r"^127\.0\.0\.1:\d+ refused the connection\.$") as caught:
        await client.request("GET", f"http://127.0.0.1:{unused_tcp_port}/")
    assert not caught.value.permanent


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"", "closed the connection without responding"),
        (HEAD, "closed the connection without responding"),
        (HEAD + b"Content-Length: 10\r\n\r\nabc", "closed the connection before the response was complete"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", "closed the connection before the response was complete"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nab", "sent an invalid HTTP response"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "sent an invalid HTTP response"),
        (b"220 mail.example ESMTP\r\n", "sent an invalid HTTP response"),
        (HEAD + b"Content-Length: x\r\n\r\n", "sent an invalid HTTP response"),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "sent an invalid HTTP response"),
        (HEAD + b"X-Long: " + b"a" * 100_000 + b"\r\n\r\n", "sent an invalid HTTP response"),
        (
            HEAD + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!",
            "sent a body that can't be decompressed",
        ),
    ],
)  # fmt: skip
async def test_broken_answers(client, raw, sent, message):
    url = await raw(sent)
    with pytest.raises(RequestFailed, match=rf"^127\.0\.0\.1:\d+ {message}\.$") as caught:
        await client.request("POST", url, body=b"x")
    assert not caught.value.permanent


async def test_a_post_is_not_repeated_when_the_connection_breaks(client):
    """The server may have acted on it: only methods that may be repeated are (RFC 9110 §9.2.2)."""
    seen = []

    async def handle(reader, writer):
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(RequestFailed):
        await client.request("POST", url)
    assert len(seen) == 1
    server.close()


async def test_an_unasked_switch_of_protocols_is_an_answer_without_a_body(client, raw):
    url = await raw(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbytes", then_wait=0.2
    )
    response = await client.request("GET", url, timeout=30)
    assert response.status == 101


# Answers


async def test_response_headers_in_any_case(client, server):
    response = await client.request("GET", f"{server.url}/fixed", params={"h-ETag": '"1"', "h-X-A": "b"})
    assert {response.headers.get(name) for name in ("etag", "ETag", "ETAG")} == {'"1"'}
    assert response.headers.get("nothing") is None
    assert dict(response.headers)["X-A"] == "b"


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("é".encode(), "text/plain", "é"),
        ("é".encode("latin-1"), "text/plain; charset=ISO-8859-1", "é"),
        ("é".encode("latin-1"), 'text/plain; charset="latin1"; x=y', "é"),
        ("日本".encode("shift_jis"), "text/html;charset=Shift_JIS", "日本"),
        ("é".encode("utf-16"), "text/plain; charset=utf-16", "é"),
        (b"\xef\xbb\xbfhi", "text/plain", "hi"),
        (b"\xef\xbb\xbfhi", "text/plain; charset=UTF-8", "hi"),
        (b"a\xffb", "text/plain", "a\ufffdb"),
        ("é".encode(), "text/plain; charset=nonsense", "é"),
        ("é".encode(), "text/plain; charset=", "é"),
        (b"abc", "text/plain; charset=hex", "abc"),
        (b"abc", "text/plain; charset=zlib", "abc"),
        (b"abc", "text/plain; charset=rot13", "abc"),
        (b"\\u0041", "text/plain; charset=unicode_escape", "\\u0041"),
        (b"abc", "text/plain; charset=undefined", "abc"),
        (b"abc", "text/plain; charset=\x00", "abc"),
        (b"", "", ""),
    ],
)
def test_text(body, content_type, text):
    assert answer(body, content_type).text == text


@pytest.mark.parametrize("codec", sorted({*aliases.values(), "idna", "punycode", "undefined", "raw_unicode_escape"}))
def test_no_decoder_of_python_breaks_or_stalls(codec):
    began = time.thread_time()
    for body in (b"", b"a-\\u-\xff\x00" * 50_000):
        assert isinstance(answer(body, f"text/plain; charset={codec}").text, str)
    assert time.thread_time() - began < 1  # of a processor's time, however busy the machine is


def test_json():
    assert answer(b'{"a": [1, null]}').json() == {"a": [1, None]}
    assert answer(b"\xef\xbb\xbf[]").json() == []
    for body, message in (
        (b"<html>\n<b>Oops</b>", "returned 200 with invalid JSON: Oops"),
        (b"", "with an empty body instead of JSON."),
        (b"[" * 100_000, "with invalid JSON"),
        (b"\xff", "with invalid JSON"),
    ):
        with pytest.raises(RequestFailed) as caught:
            answer(body).json()
        assert message in str(caught.value)
        assert str(caught.value).startswith("example.com:8080 returned")
        assert caught.value.permanent
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("body", "limit", "excerpt"),
    [
        (b"  a\r\n\tb\x00\x1b[31mc  ", 200, "a b [31mc"),
        (b"", 200, ""),
        (b"abcdef", 6, "abcdef"),
        (b"abcdefg", 6, "abcde…"),
        ("é".encode() * 300, 200, "é" * 199 + "…"),
        (b"\xff\xfe\xfd", 200, ""),
        ("a\u202eb\u2028c".encode(), 200, "a b c"),
        (b" " * 5000 + b"late", 200, "…"),
    ],
)
def test_excerpt(body, limit, excerpt):
    got = answer(body).excerpt(limit)
    assert got == excerpt
    assert len(got) <= limit
    assert got.isprintable()


@given(strategies.binary(), strategies.sampled_from(["utf-8", "utf-16", "utf-7", "latin-1", "cp037", "gb18030", "hz"]))
def test_no_body_breaks_text_or_excerpt(body, charset):
    response = answer(body, f"text/plain; charset={charset}")
    assert isinstance(response.text, str)
    assert len(response.excerpt(40)) <= 40
    assert response.excerpt(40).isprintable()


def soon(**delta):
    return format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(**delta), usegmt=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("0", 0),
        ("0.35", 0.35),
        ("999999999", 999999999),
        ("-5", None),
        ("", None),
        ("soon", None),
        ("1e9", None),
        ("١٢", None),
        ("9" * 5000, None),
        ("inf", None),
        ("nan", None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", None),
        ("Fri, 31 Dec 99999999999999999999 23:59:59 GMT", None),
        ("Fri, 31 Dec 2100 23:59:59 +99999999999", None),
    ],
)
def test_retry_after(value, seconds):
    got = answer(Retry_After=value).retry_after()
    assert got == (None if seconds is None else dt.timedelta(seconds=seconds))


@pytest.mark.parametrize("form", ["{}", "{} ", "date without zone"])
def test_retry_after_as_a_date(form):
    stamp = soon(seconds=90)
    value = stamp.replace("GMT", "-0000") if form == "date without zone" else form.format(stamp)
    got = answer(Retry_After=value).retry_after()
    assert got is not None
    assert 85 < got.total_seconds() <= 90


def test_retry_after_that_is_not_there():
    assert answer().retry_after() is None


@given(strategies.text(max_size=60))
def test_retry_after_never_breaks(value):
    got = answer(Retry_After=value).retry_after()
    assert got is None or got >= dt.timedelta(0)


def test_a_response_does_not_print_its_body():
    assert "secret" not in repr(answer(b"secret"))


# Addresses that nobody thought of.

PIECES = [
    "::ffff:",
    "127.1",
    "0x7f",
    "[",
    "]",
    ":",
    "@",
    "%",
    "%25",
    "%2f",
    ".",
    "a",
    "1",
    "xn--",
    "\u2100",
    "\uff0e",
    "\u00ad",
    "#",
    "?",
    "\\",
]
ODD = strategies.lists(strategies.sampled_from(PIECES) | strategies.characters(), max_size=8).map("".join)
ADDRESSES = strategies.builds(
    "{}{}{}{}{}".format,
    strategies.sampled_from(["http://", "https://", "HTTP://", "http:", "//", ""]),
    strategies.sampled_from(["", "u:p@", "@", "u@v@"]),
    ODD | ODD.map("[{}]".format),
    strategies.sampled_from(["", ":80", ":0", ":99999", ":-1", ":x", ":"]),
    strategies.sampled_from(["", "/", "/a b?c=%zz", "?q"]),
)


@given(ADDRESSES, ADDRESSES)
@settings(max_examples=500, deadline=None)
def test_any_address_is_sent_to_or_refused_with_a_sentence(address, location):
    async def ask():
        client = Client(Guard())
        try:
            await client.request("GET", address, params={"a": "b"}, timeout=5)
        finally:
            await client.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(net, "_kind", lambda _address: "a test")  # nothing is connected to
        patch.setattr(socket, "getaddrinfo", lambda *_args, **_options: [(None, None, None, None, ("127.0.0.1", 0))])
        with pytest.raises((RequestFailed, Blocked)) as refused:
            asyncio.run(ask())
    assert str(refused.value).endswith(".")
    with contextlib.suppress(RequestFailed):
        origin(address)
    with contextlib.suppress(RequestFailed):
        _redirected(_parse("http://example.com/a"), location)
