"""The HTTP server, by bytes: what clients send, well or badly."""

import asyncio
import functools
import itertools
import re
import socket
from contextlib import asynccontextmanager

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from area.kit import http_server
from area.kit.http_server import MAX_FIELDS, MAX_HEAD, PIPELINED, Server

LARGE = 3_000_000


def on_uvloop(test):
    """Run a test on the event loop that AREA uses."""

    @functools.wraps(test)
    def run(*arguments, **named):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(asyncio.wait_for(test(*arguments, **named), 60))

    return run


async def until(check):
    while not check():
        await asyncio.sleep(0.005)


class App:
    """Answers with what it was sent; by path with something else."""

    def __init__(self):
        self.scopes, self.ends = [], []
        self.go = asyncio.Event()

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        await getattr(self, scope["path"].strip("/"), self.echo)(scope, receive, send)

    @staticmethod
    async def read(receive):
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return body + b" and no more"
            body, more = body + message["body"], message["more_body"]
        return body

    async def echo(self, scope, receive, send):
        await self.answer(
            send, b"%b %b %b" % (scope["method"].encode(), scope["path"].encode(), await self.read(receive))
        )

    @staticmethod
    async def answer(send, body, status=200, *headers):
        await send({"type": "http.response.start", "status": status, "headers": [*headers]})
        await send({"type": "http.response.body", "body": body})

    async def unread(self, scope, receive, send):
        await self.answer(send, b"no need", 401)

    async def close(self, scope, receive, send):
        await self.answer(send, b"bye", 200, (b"Connection", b"close"))

    async def empty(self, scope, receive, send):
        await self.answer(send, b"", 204)

    async def split(self, scope, receive, send):
        await self.answer(send, b"", 200, (b"location", b"/\r\nset-cookie: stolen"))

    async def bug(self, scope, receive, send):
        raise LookupError("a bug")

    async def silent(self, scope, receive, send):
        pass

    async def slow(self, scope, receive, send):
        await self.go.wait()
        await self.answer(send, b"at last")

    async def parts(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"one", b"", b"two"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def half(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise LookupError("a bug")

    async def large(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(30):
            await send({"type": "http.response.body", "body": b"x" * (LARGE // 30), "more_body": True})
            self.ends.append("part")
        await send({"type": "http.response.body", "body": b""})

    async def events(self, scope, receive, send):
        await self.read(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        self.ends.append((await receive())["type"])
        await send({"type": "http.response.body", "body": b"into the void", "more_body": True})


@asynccontextmanager
async def serving():
    app = App()
    server = Server(app)
    await server.start("127.0.0.1", 0)
    try:
        yield app, server
    finally:
        app.go.set()
        await server.stop(5)
        assert not server.connections
        assert server.heads == 0


GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /close HTTP/1.1\r\nHost: a\r\n\r\n"


async def exchange(server, *parts):
    """All that the server sends, and whether it had closed before another request could follow."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for part in (*parts, LAST):
        writer.write(part)
        await asyncio.sleep(0)
    data = await reader.read()
    writer.close()
    before, end, _ = data.partition(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
    if not end or not data.endswith(b"bye"):
        return data, True
    return before, False


def statuses(data):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", data)]


@on_uvloop
async def test_a_request_and_its_response():
    async with serving() as (app, server):
        data, closed = await exchange(
            server,
            b"POST /a%20b/%C3%A9?q=%20&r HTTP/1.1\r\nHost: a\r\nX-Twice: 1\r\nx-twice:\t2 \r\nContent-Length: 3\r\n\r\nabc",
        )
    head, _, body = data.partition(b"\r\n\r\n")
    assert body == "POST /a b/é abc".encode()
    assert not closed
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: %d" % len(body) in head
    assert b"\r\ndate: " in head
    scope, _ = app.scopes
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a b/é", b"/a%20b/%C3%A9", b"q=%20&r")
    assert scope["headers"] == [(b"host", b"a"), (b"x-twice", b"1"), (b"x-twice", b"2"), (b"content-length", b"3")]
    assert scope["client"][0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("request_", "expected", "closes"),
    [
        (GET, [200], False),
        (GET * 3, [200] * 3, False),
        (b"\r\n\r\n" + GET, [200], False),
        (b"GET / HTTP/1.0\r\n\r\n", [200], True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", [200], True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET, [200], True),
        (b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + GET, [200, 200], False),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", [200], False),
        (b"GET http://b:80/c HTTP/1.1\r\nHost: a\r\n\r\n", [200], False),
        (b"GET /empty HTTP/1.1\r\nHost: a\r\n\r\n" + GET, [204, 200], False),
        (b"GET /parts HTTP/1.1\r\nHost: a\r\n\r\n" + GET, [200, 200], False),
        (b"GET /parts HTTP/1.0\r\nHost: a\r\n\r\n", [200], True),
        ("GET /é?é HTTP/1.1\r\nHost: a\r\n\r\n".encode(), [200], False),
        # a protocol that isn't spoken: the request counts, as with any header that isn't understood
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + GET, [200, 200], False),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok"
            + GET,
            [200, 200],
            False,
        ),
        # bodies
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nTrailer: x\r\n\r\n"
            + GET,
            [200, 200],
            False,
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nab", [200], False),
        (b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", [401], True),
        (b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab" + GET, [401, 200], False),
        # what could be read in two ways is refused
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            [400],
            True,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
            [400],
            True,
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", [400], True),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", [400], True),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\nabc", [400], True),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", [400], True),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", [400], True),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", [400], True),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", [400], True),
        (b"GET / HTTP/1.1\nHost: a\n\n", [400], True),
        (b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", [400], True),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", [505], True),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400], True),
        (b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", [400], True),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", [501], True),
        (b"GET nowhere HTTP/1.1\r\nHost: a\r\n\r\n", [400], True),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [400], True),
        # what is too much
        (b"GET /" + b"a" * MAX_HEAD + b" HTTP/1.1\r\nHost: a\r\n\r\n", [414], True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * MAX_HEAD + b"\r\n\r\n", [431], True),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD * 2, [431], True),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * (MAX_FIELDS + 1) + b"\r\n", [431], True),
        # bugs of the application
        (b"GET /bug HTTP/1.1\r\nHost: a\r\n\r\n" + GET, [500, 200], False),
        (b"GET /silent HTTP/1.1\r\nHost: a\r\n\r\n" + GET, [500, 200], False),
        (b"GET /split HTTP/1.1\r\nHost: a\r\n\r\n" + GET, [500, 200], False),
        (b"GET /half HTTP/1.1\r\nHost: a\r\n\r\n" + GET, [200], True),
    ],
)
@on_uvloop
async def test_what_a_client_may_send(request_, expected, closes):
    async with serving() as (_, server):
        with capture_logs():
            data, closed = await exchange(server, request_)
    assert (statuses(data), closed) == (expected, closes)
    assert b"stolen" not in data


@on_uvloop
async def test_the_host_of_an_absolute_target_counts():
    async with serving() as (app, server):
        await exchange(server, b"GET http://b:81/c?d#e HTTP/1.1\r\nHost: a\r\n\r\n")
    scope, _ = app.scopes
    assert (scope["headers"], scope["path"], scope["query_string"]) == ([(b"host", b"b:81")], "/c", b"d")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
@on_uvloop
async def test_every_address_of_both_families():
    server = Server(App())
    await server.start("::", 0)
    for host in ("127.0.0.1", "::1"):
        reader, writer = await asyncio.open_connection(host, server.port)
        writer.write(LAST)
        assert (await reader.read()).endswith(b"bye")
        writer.close()
    await server.stop(1)


@on_uvloop
async def test_a_client_may_ask_before_it_sends_a_body():
    async with serving() as (_, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert (await reader.readuntil(b"POST / ok")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()


@on_uvloop
async def test_a_response_in_parts():
    async with serving() as (_, server):
        data, _ = await exchange(server, b"GET /parts HTTP/1.1\r\nHost: a\r\n\r\n")
        old, closed = await exchange(server, b"GET /parts HTTP/1.0\r\n\r\n")
        half, _ = await exchange(server, b"HEAD /parts HTTP/1.1\r\nHost: a\r\n\r\n")
    assert data.endswith(b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert old.endswith(b"\r\n\r\nonetwo")
    assert closed
    assert half.endswith(b"\r\n\r\n")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 300), max_size=12), st.booleans())
def test_bytes_may_come_in_any_pieces(cuts, chunked):
    body = b"5\r\nabcde\r\n0\r\n\r\n" if chunked else b"abcde"
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 5"
    whole = b"POST /x HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n%b" % (framing, body) + GET
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})

    async def run():
        async with serving() as (_, server):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            for start, end in itertools.pairwise(edges):
                writer.write(whole[start:end])
                await asyncio.sleep(0)
            data = b""
            while not data.endswith(b"GET / "):
                data += await reader.read(65536)
            writer.close()
        return data

    assert b"POST /x abcde" in asyncio.run(run())


@on_uvloop
async def test_a_body_larger_than_what_is_held_is_read_as_the_application_reads():
    async with serving() as (app, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (LARGE * 10))
        writer.write(b"x" * LARGE * 10)
        await until(lambda: any(not connection._reading for connection in server.connections))
        (connection,) = server.connections
        assert connection.current._size < LARGE
        app.go.set()  # it answers without reading
        assert (await reader.read(12)) == b"HTTP/1.1 200"
        writer.transport.abort()
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        data, _ = await exchange(
            server, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % LARGE, b"y" * LARGE
        )
        writer.close()
    assert data.endswith(b"y" * 1000)
    assert len(data) > LARGE


@on_uvloop
async def test_a_client_that_does_not_read_slows_its_response(monkeypatch):
    async with serving() as (app, server):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        for _ in range(6):
            writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: any(connection.drained for connection in server.connections))
        assert len(app.ends) < 180
        monkeypatch.setattr(http_server, "WRITE_WITHIN", 0.0)
        (connection,) = server.connections
        connection.check(server.loop.time() + 1)
        await until(lambda: not server.connections)
        writer.close()


@on_uvloop
async def test_a_client_that_goes_is_noticed():
    async with serving() as (app, server):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: app.scopes)
        assert app.ends == []
        writer.close()
        await until(lambda: app.ends)
    assert app.ends == ["http.disconnect"]


@on_uvloop
async def test_a_body_that_breaks_is_answered():
    async with serving() as (_, server):
        data, closed = await exchange(
            server, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"
        )
    assert data.endswith(b"POST / abc and no more")
    assert closed


@on_uvloop
async def test_what_comes_between_parts_of_a_body_is_bounded():
    async with serving() as (_, server):
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        extension, closed = await exchange(server, head, b"3;", b"x" * MAX_HEAD * 2)
        assert (b" and no more" in extension, closed) == (True, True)
        trailer, closed = await exchange(server, head, b"3\r\nabc\r\n0\r\n", b"X: y\r\n" * MAX_HEAD)
        assert (b"abc and no more" in trailer, closed) == (True, True)


@on_uvloop
async def test_pipelined_requests_are_bounded():
    async with serving() as (app, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + GET * 1000)
        await until(lambda: any(len(connection._queue) == PIPELINED for connection in server.connections))
        app.go.set()
        data = await reader.read()
        writer.close()
    assert statuses(data) == [200] * (PIPELINED + 1)


@pytest.mark.parametrize(
    ("sent", "limit", "answer"),
    [
        (b"", "IDLE", b""),
        (b"GET / HTTP/1.1\r\nX: sl", "HEAD_WITHIN", b"HTTP/1.1 408 "),
    ],
)
@on_uvloop
async def test_slow_clients(monkeypatch, sent, limit, answer):
    monkeypatch.setattr(http_server, limit, -1.0)
    monkeypatch.setattr(http_server, "SWEEP_EVERY", 0.02)
    async with serving() as (_, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(sent)
        assert (await asyncio.wait_for(reader.read(), 10)).startswith(answer)
        writer.close()


@on_uvloop
async def test_heads_that_never_end_hold_little_together(monkeypatch):
    monkeypatch.setattr(http_server, "MAX_HEADS", 100_000)
    async with serving() as (_, server):
        writers = []
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET / HTTP/1.1\r\nX: " + b"x" * 30_000)
            writers.append(writer)
        await until(lambda: sum(connection._lingering >= 0 for connection in server.connections) >= 16)
        assert server.heads < 150_000
        assert statuses((await exchange(server, GET))[0]) == [200], "others are served"
        for writer in writers:
            writer.close()


@on_uvloop
async def test_a_client_that_still_sends_can_read_its_response():
    async with serving() as (_, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 401")
        writer.write(b"x" * 500_000)
        await writer.drain()
        writer.close()


@on_uvloop
async def test_stopping_lets_requests_end():
    app = App()
    server = Server(app)
    await server.start("127.0.0.1", 0)
    idle, idle_writer = await asyncio.open_connection("127.0.0.1", server.port)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    await until(lambda: app.scopes)
    stopping = asyncio.create_task(server.stop(60))
    assert await idle.read() == b""
    assert not stopping.done()
    app.go.set()
    assert (await reader.read()).endswith(b"at last")
    await stopping
    for each in (idle_writer, writer):
        each.close()


@on_uvloop
async def test_stopping_ends_what_does_not_end():
    app = App()
    server = Server(app)
    await server.start("127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    await until(lambda: app.scopes)
    await server.stop(0.01)
    await until(lambda: not server.connections)
    writer.close()
