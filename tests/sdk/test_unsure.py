"""What was sent and not answered may have been done, and what could not be sent was not: against sockets."""

import asyncio

import pytest

from area.kit.http import Client
from area.kit.net import Guard
from area.sdk import Http, Permanent, Retry


@pytest.fixture
async def client():
    client = Client(Guard(["127.0.0.1"]))
    yield client
    await client.close()


async def serving(answer: bytes | None):
    """A server that reads a request and answers so, or not at all: with None it closes the connection, with nothing it
    waits.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer == b"":
            await reader.read()
        elif answer is not None:
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def status(number: int) -> bytes:
    return f"HTTP/1.1 {number} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("answer", "method", "unsure"),
    [
        (None, "POST", True),
        (None, "PATCH", True),
        (None, "GET", False),
        (None, "PUT", False),
        (b"", "POST", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", "POST", True),
        (status(502), "POST", True),
        (status(504), "POST", True),
        (status(502), "DELETE", False),
        (status(500), "POST", False),
        (status(503), "POST", False),
        (status(429), "POST", False),
    ],
)
async def test_whether_it_may_have_been_done(client, answer, method, unsure):
    server, url = await serving(answer)
    async with server:
        with pytest.raises(Retry) as caught:
            await Http(client, url).call(method, "/", timeout=3 if answer == b"" else 30)
    assert caught.value.unsure is unsure


async def test_without_a_connection_nothing_was_done(client):
    server, url = await serving(None)
    server.close()
    await server.wait_closed()
    with pytest.raises(Retry, match="refused the connection") as caught:
        await Http(client, url).call("POST", "/")
    assert not caught.value.unsure
    with pytest.raises(Permanent):
        await Http(client, "http://10.0.0.1").call("POST", "/")
