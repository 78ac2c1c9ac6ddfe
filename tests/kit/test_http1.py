"""The protocol against servers that say odd things: what ends a response, what may follow it, and who gets a slot."""

import asyncio
import contextlib
import gzip
import zlib
from types import SimpleNamespace

import brotli
import pytest
from backports import zstd

from area.kit.compression import BrokenError, TooLargeError, decoder
from area.kit.http import Client, RequestFailed
from area.kit.http1 import MAX_OVERHEAD
from area.kit.net import Guard
from area.kit.pool import KEEP_IDLE, Place, Pool

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
async def client():
    client = Client(Guard(["127.0.0.1"]))
    yield client
    await client.close()


@pytest.fixture
async def serve():
    """Start a server that answers each request with the next of `answers` (the last one repeats).

    An answer may be bytes, or a list of parts sent one by one; None closes the connection instead. `requests` are those
    that came, `connections` counts.
    """
    servers = []

    async def start(*answers, then_close=False):
        seen = SimpleNamespace(requests=[], connections=0, url="", place=None)

        async def handle(reader, writer):
            seen.connections += 1
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                    body = await reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b""
                    seen.requests.append(head + body)
                    answer = answers[min(len(seen.requests), len(answers)) - 1]
                    if answer is None:
                        break
                    for part in [answer] if isinstance(answer, bytes) else answer:
                        writer.write(part)
                        await writer.drain()
                        await asyncio.sleep(0.005)
                    if then_close:
                        break
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        servers.append(server)
        port = server.sockets[0].getsockname()[1]
        seen.url, seen.place = f"http://127.0.0.1:{port}/", Place("127.0.0.1", port, tls=False)
        return seen

    yield start
    for server in servers:
        server.close()


# What ends a response, and what may follow it


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
@pytest.mark.parametrize("stray", [b"hello", b'{"ok": true}', OK])
async def test_a_response_without_a_body_ends_with_its_head(client, serve, status, stray, apart):
    """RFC 9112 §6.3: whatever follows belongs to no response, and the connection carries no other."""
    head = b"HTTP/1.1 " + status + b"\r\nContent-Length: " + str(len(stray)).encode() + b"\r\n\r\n"
    seen = await serve([head, stray] if apart else head + stray, OK)
    response = await client.request("POST", seen.url, body=b"{}")
    assert (response.status, response.body) == (int(status[:3]), b"")
    for connection in client._pool._hosts[seen.place].free:  # kept until the stray bytes come
        while not connection.closed:
            await asyncio.sleep(0.001)
    assert (await client.request("POST", seen.url, body=b"{}")).body == b"ok"
    assert (len(seen.requests), seen.connections) == (2, 2)


async def test_a_head_answered_with_a_body(client, serve):
    seen = await serve(OK, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2")
    response = await client.request("HEAD", seen.url)
    assert (response.status, response.body, response.headers["content-length"]) == (200, b"", "2")
    assert (await client.request("GET", seen.url)).body == b"2"
    assert seen.connections == 2


async def test_a_head_keeps_the_connection(client, serve):
    seen = await serve(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", OK)
    await client.request("HEAD", seen.url)
    assert (await client.request("GET", seen.url)).body == b"ok"
    assert seen.connections == 1


async def test_what_follows_a_response_is_not_the_next_one(client, serve):
    seen = await serve(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", OK)
    assert (await client.request("GET", seen.url)).body == b"ok"
    assert (await client.request("GET", seen.url)).body == b"ok"
    assert seen.connections == 2


async def test_interim_responses_are_passed_over(client, serve):
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    seen = await serve(b"HTTP/1.1 100 Continue\r\n\r\n" + early + OK, [early, early, OK])
    for _ in range(2):
        response = await client.request("POST", seen.url, body=b"x")
        assert (response.status, response.body, response.headers.get("link")) == (200, b"ok", None)
    assert seen.connections == 1


async def test_a_body_without_a_length_ends_with_the_connection(client, serve):
    seen = await serve(b"HTTP/1.1 200 OK\r\n\r\nto the end", then_close=True)
    assert (await client.request("GET", seen.url)).body == b"to the end"
    seen = await serve(b"HTTP/1.0 200 OK\n\nof old", then_close=True)
    assert (await client.request("GET", seen.url)).body == b"of old"


async def test_trailers_are_no_headers(client, serve):
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nX-Late: 1\r\n\r\n"
    seen = await serve(chunked, [chunked[n : n + 1] for n in range(len(chunked))], OK)
    for _ in range(2):
        response = await client.request("GET", seen.url)
        assert (response.body, response.headers.get("x-late")) == (b"ok", None)
    assert (await client.request("GET", seen.url)).body == b"ok"
    assert seen.connections == 1


@pytest.mark.parametrize("length", [b"1", b"2", b"99999999999"])
async def test_a_length_beside_chunks_does_not_count(client, serve, length):
    """RFC 9112 §6.3: and the connection carries no other request."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: " + length + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    seen = await serve(head + b"2\r\nok\r\n0\r\n\r\n", OK)
    assert (await client.request("POST", seen.url)).body == b"ok"
    assert (await client.request("POST", seen.url)).body == b"ok"
    assert (len(seen.requests), seen.connections) == (2, 2)


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\nX-A: ",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-A: ",
        b"HTTP/1.1 103 Early Hints\r\nX-A: ",
    ],
)
async def test_what_is_no_body_is_bounded(client, serve, start):
    seen = await serve([start, *[b"a" * 10_000] * (2 * MAX_OVERHEAD // 10_000)])
    with pytest.raises(RequestFailed, match=r"invalid HTTP response"):
        await client.request("GET", seen.url)


async def test_an_answer_before_the_request_was_sent(client):
    """A server that refuses a large body answers and closes, without reading it."""

    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    response = await client.request("POST", url, body=bytes(30_000_000))
    assert (response.status, response.body) == (413, b"big")
    server.close()


# Addresses


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("?sig=x%2By%2F%3D&q=é", "?sig=x%2By%2F%3D&q=%C3%A9"),
        ("a b?c d=e+f", "a%20b?c%20d=e+f"),
        ('"<>\\^`{|}', "%22%3C%3E%5C%5E%60%7B%7C%7D"),
        ("%zz%4", "%25zz%254"),
        ("a/../%2e%2E/é", "a/../%2e%2E/%C3%A9"),
        ("?", ""),
        ("?a=b?c/d:@!$'()*,;[]~", "?a=b?c/d:@!$'()*,;[]~"),
    ],
)
async def test_only_what_must_be_is_encoded_also_in_a_redirect(client, serve, written, sent):
    moved = f"HTTP/1.1 302 Found\r\nLocation: /{written}\r\nContent-Length: 0\r\n\r\n".encode()
    seen = await serve(OK, moved, OK)
    await client.request("GET", seen.url + written)
    assert seen.requests[0].split(b" ")[1].decode() == f"/{sent}"
    if ".." not in written:  # resolved, as RFC 3986 §5.2 has it
        await client.request("GET", seen.url)
        assert seen.requests[2].split(b" ")[1].decode() == f"/{sent}"


async def test_parameters_join_the_query(client, serve):
    seen = await serve(OK)
    for path in ("", "?", "?a=%2f", "?a=%2f&"):
        await client.request("GET", seen.url + path, params={"q": "a b&c=d/é", "r": ["1", "2"]})
    more = "q=a+b%26c%3Dd/%C3%A9&r=1&r=2"
    assert [request.split(b" ")[1].decode() for request in seen.requests] == [
        f"/?{more}", f"/?{more}", f"/?a=%2f&{more}", f"/?a=%2f&{more}"
    ]  # fmt: skip


# Repetition


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_a_kept_connection_that_the_server_closed_is_replaced(client, serve, method):
    seen = await serve(OK if method != "HEAD" else b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", None, OK)
    await client.request(method, seen.url)
    response = await client.request(method, seen.url)
    assert response.status == 200
    assert (len(seen.requests), seen.connections) == (3, 2)


async def test_a_post_may_have_been_taken(client, serve):
    seen = await serve(OK, None)
    await client.request("POST", seen.url)
    with pytest.raises(RequestFailed, match="without responding") as caught:
        await client.request("POST", seen.url)
    assert not caught.value.unsent
    assert len(seen.requests) == 2


async def test_a_new_connection_that_closes_is_no_stale_one(client, serve):
    seen = await serve(None)
    with pytest.raises(RequestFailed, match="without responding"):
        await client.request("GET", seen.url)
    assert len(seen.requests) == 1


async def test_without_a_connection_nothing_was_sent(client, unused_tcp_port):
    with pytest.raises(RequestFailed) as caught:
        await client.request("POST", f"http://127.0.0.1:{unused_tcp_port}/", body=b"x")
    assert caught.value.unsent


async def test_a_post_without_a_body_says_so(client, serve):
    seen = await serve(OK)
    await client.request("POST", seen.url)
    await client.request("GET", seen.url)
    assert b"\r\nContent-Length: 0\r\n" in seen.requests[0]
    assert b"content-type" not in seen.requests[0].lower()
    assert b"content-length" not in seen.requests[1].lower()


# The pool


async def test_slots_go_to_places_in_turn_and_never_to_who_left(serve):
    first, second = await serve(OK), await serve(OK)
    pool = Pool(Guard(["127.0.0.1"]), 2)
    held = [await pool.take(first.place), await pool.take(second.place)]
    order = []

    async def take(place, name):
        connection = await pool.take(place)
        order.append(name)
        return connection

    tasks = [asyncio.create_task(take(first.place, f"first {n}")) for n in range(3)]
    tasks.append(asyncio.create_task(take(second.place, "second")))
    await asyncio.sleep(0)
    tasks[0].cancel()
    pool.give(first.place, held[0])  # before the cancelled one has run
    await asyncio.wait([tasks[1]])
    assert order == ["first 1"], "a place has half of the slots"
    pool.give(second.place, held[1])
    await asyncio.wait([tasks[3]])
    tasks[2].cancel()
    await asyncio.wait([tasks[2]])
    for task, place in ((tasks[1], first.place), (tasks[3], second.place)):
        pool.give(place, task.result())
    assert order == ["first 1", "second"]
    for place in (first.place, second.place):  # all slots are free again
        pool.give(place, await asyncio.wait_for(pool.take(place), 5))
    pool.close()


async def test_a_slot_passed_to_who_is_cancelled_then_goes_on(serve):
    seen = await serve(OK)
    pool = Pool(Guard(["127.0.0.1"]), 1)
    held = await pool.take(seen.place)
    waiting = [asyncio.create_task(pool.take(seen.place)) for _ in range(2)]
    await asyncio.sleep(0)
    pool.give(seen.place, held)
    waiting[0].cancel()  # it has the slot, and has not run
    await asyncio.wait([waiting[0]])
    pool.give(seen.place, await asyncio.wait_for(waiting[1], 5))
    pool.close()


async def test_a_failed_connection_gives_its_slot_back(serve, unused_tcp_port):
    client = Client(Guard(["127.0.0.1"]), limit=1)
    for _ in range(3):
        with pytest.raises(RequestFailed, match="refused"):
            await client.request("GET", f"http://127.0.0.1:{unused_tcp_port}/")
    assert (await client.request("GET", (await serve(OK)).url)).body == b"ok"
    await client.close()


async def test_idle_connections_are_closed(serve):
    seen = await serve(OK)
    pool = Pool(Guard(["127.0.0.1"]), 2)
    connection = await pool.take(seen.place)
    await connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"", 10)
    await connection.whole()
    pool.give(seen.place, connection)
    pool._sweep()
    assert not connection.closed
    connection.idle_since -= KEEP_IDLE
    pool._sweep()
    assert connection.closed
    assert not pool._hosts
    pool.close()


# Content codings


PACK = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}


def bare(data):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("coding", PACK)
async def test_an_encoding_that_was_not_asked_for_is_decoded(client, serve, coding):
    body = b'{"a": "' + b"long " * 100_000 + b'"}'
    packed = PACK[coding](body)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    seen = await serve(head + packed)
    assert (await client.request("GET", seen.url)).body == body
    async with client.stream(seen.url) as (_, lines):
        assert [line async for line in lines] == [body]


@pytest.mark.parametrize("coding", PACK)
@pytest.mark.parametrize("size", [1, 1000, 10_000_000])
def test_decoding_makes_what_is_wanted_and_no_more(coding, size):
    packed = PACK[coding](bytes(size))
    assert decoder(coding).decode(packed, size) == bytes(size)
    pieces = decoder(coding)
    assert b"".join(pieces.decode(packed[n : n + 100], size) for n in range(0, len(packed), 100)) == bytes(size)
    with pytest.raises(TooLargeError):
        decoder(coding).decode(packed, size - 1)


@pytest.mark.parametrize("coding", PACK)
def test_what_is_not_in_the_coding(coding):
    with pytest.raises(BrokenError):
        decoder(coding).decode(b"not compressed at all", 1000)
    assert decoder(coding).decode(b"", 1000) == b""


def test_members_bare_deflate_and_several_codings():
    assert decoder("gzip").decode(gzip.compress(b"a") + gzip.compress(b"b") + bytes(10), 10) == b"ab"
    assert decoder("zstd").decode(zstd.compress(b"a") + zstd.compress(b"b"), 10) == b"ab"
    assert decoder("deflate").decode(bare(b"bare"), 10) == b"bare"
    assert decoder(" GZIP , br").decode(brotli.compress(gzip.compress(b"both")), 100) == b"both"
    assert decoder("identity, gzip").decode(gzip.compress(b"a"), 10) == b"a"


@pytest.mark.parametrize("value", ["", "identity", "aes128gcm", "gzip, unknown", "gzip," * 5])
def test_nothing_to_undo(value):
    assert decoder(value) is None


def test_a_window_larger_than_browsers_take_is_refused():
    """It would be memory of ours: RFC 9659."""
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    packer = zstd.ZstdCompressor(options=options)
    with pytest.raises(BrokenError):
        decoder("zstd").decode(packer.compress(bytes(20_000_000)) + packer.flush(), 10_000)
