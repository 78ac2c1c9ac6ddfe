"""Responses go compressed: 200 cards are 300 KB of HTML, and 16 KB on the wire; the catalog is 1.7 MB of JSON, and
110 KB on the wire.
"""

import asyncio
import sys
import zlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SMALL = 1000  # bytes; not worth it
LARGE = 200_000  # bytes; compressed in a thread
LEVEL = 3  # those cards take 1 ms; from 4 on, zlib looks harder: with 5 they are 13 KB, after 2.5 ms


class Compress:
    """zstd or gzip for responses of a media type, if the client takes it; streams and everything else pass."""

    def __init__(self, app: ASGIApp, *, media_type: str) -> None:
        self.app = app
        self._media_type = media_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        coding = accepted(Headers(scope=scope).get("accept-encoding", "")) if scope["type"] == "http" else ""
        if not coding:
            await self.app(scope, receive, send)
            return
        start: Message | None = None

        async def compressed(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and Headers(raw=message["headers"]).get(
                "content-type", ""
            ).startswith(self._media_type):
                start = message
                return
            if start is None or message["type"] != "http.response.body":
                await send(message)
                return
            body = message.get("body", b"")
            if len(body) >= SMALL and not message.get("more_body"):
                body = await asyncio.to_thread(pack, body, coding) if len(body) >= LARGE else pack(body, coding)
                headers = MutableHeaders(raw=start["headers"])
                headers["Content-Encoding"] = coding
                headers["Content-Length"] = str(len(body))
                headers.add_vary_header("Accept-Encoding")
                start["headers"] = headers.raw
            await send(start)
            start = None
            await send({**message, "body": body})

        await self.app(scope, receive, compressed)


def accepted(header: str) -> str:
    """The content coding to use for an `Accept-Encoding` (RFC 9110, 12.5.3); empty for none."""
    wanted = {}
    for item in header.lower().split(","):
        coding, _, parameters = item.partition(";")
        wanted[coding.strip()] = parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return next((coding for coding in ("zstd", "gzip") if wanted.get(coding)), "")


def pack(body: bytes, coding: str) -> bytes:
    """The body in a coding that `accepted` returned."""
    if coding == "zstd":
        return zstd.compress(body, LEVEL)
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()
