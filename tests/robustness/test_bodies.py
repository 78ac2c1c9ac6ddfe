"""Bodies that are large, slow or never end, sent to a live installation by strangers."""

import asyncio
import contextlib
from urllib.parse import urlsplit

import pytest

MANY = 200
LARGE = b'{"login": "' + b"x" * 1_900_000


async def begin(site, path, body, *, chunked=False, more=1000):
    """Send the head and a part of a body; returns the connection, which stays open."""
    url = urlsplit(site.area.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body) + more}"
    head = f"POST {path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
    writer.write(head.encode() + (b"%x\r\n%b\r\n" % (len(body), body) if chunked else body))
    return reader, writer


async def status(reader):
    line = await asyncio.wait_for(reader.readline(), 60)
    return int(line.split(b" ")[1]) if line else None


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "undeclared"])
@pytest.mark.parametrize("path", ["/api/auth/login", "/api/areas", "/sign-in", "/webhooks/slack"])
async def test_strangers_fill_no_memory(site, path, chunked):
    """As many as there are, each with megabytes that it never finishes.

    Kept, they would take all of the 380 MB; what a full machine leaves in buffers, and the allocator with the process,
    is a tenth. The process is that of all tests here, so nothing finer can be measured.
    """
    lines = []
    for start in range(0, MANY, 20):
        lines += await asyncio.gather(*(begin(site, path, LARGE, chunked=chunked) for _ in range(20)))
        if start == 0:  # it has loaded what it needs
            await site.lives()
            before = site.area.web.memory_info().rss
    await site.lives()
    grown = (site.area.web.memory_info().rss - before) >> 20
    assert grown < MANY * len(LARGE) // 4 >> 20, f"{grown} MB"
    for _, writer in lines:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    await site.lives()


@pytest.mark.parametrize("path", ["/api/auth/login", "/api/areas"])
async def test_who_is_refused_hears_why(site, path):
    reader, writer = await begin(site, path, b"x" * 20_000, more=0)
    assert await status(reader) == 413
    writer.close()
    reader, writer = await begin(site, path, b"", more=50_000_000)  # nothing of it is sent
    assert await status(reader) == 413
    writer.close()


async def test_a_body_that_stalls_is_answered_and_cut_off(site):
    """Ten seconds of patience, as many requests at the same time."""
    paths = ["/api/auth/login", "/webhooks/slack", urlsplit(site.canary).path]
    lines = await asyncio.gather(*(begin(site, path, b"{") for path in paths))
    for path, (reader, writer) in zip(paths, lines, strict=True):
        assert await status(reader) == 408, path
        rest = await asyncio.wait_for(reader.read(), 30)  # till the end: the connection is closed
        assert b"didn't arrive in time" in rest
        writer.close()
    await site.lives()
