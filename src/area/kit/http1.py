"""HTTP/1.1 (RFC 9112) as a client: a connection that carries one exchange at a time. httptools parses."""

import asyncio
from typing import Literal

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser
from multidict import CIMultiDict
from typing_extensions import override

Reason = Literal["malformed", "no_answer", "incomplete", "too_long"]
Loop = asyncio.AbstractEventLoop

MAX_FIELD = 32_768  # bytes of a header field
MAX_OVERHEAD = 262_144  # bytes in a row that belong to no body: heads, chunk extensions, trailers
PIECE = 65_536  # bytes of a request's body to write at once
HIGH_WATER = 262_144  # bytes of a stream that wait to be read before the server is slowed
LENIENT = {
    "lenient_headers": True,
    "lenient_chunked_length": True,  # a length beside chunks doesn't count: RFC 9112 §6.3
    "lenient_optional_cr_before_lf": True,
    "lenient_spaces_after_chunk_size": True,
}
_NO_BODY = (204, 304)


class Broken(Exception):
    """The exchange ended without a usable response. `stale`: a connection that had been kept closed before a byte of a
    response came.
    """

    def __init__(self, reason: Reason, *, stale: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.stale = stale


class Connection(asyncio.Protocol):
    """A connection. After `send`, either `whole` waits for the response, or `begun` for its head, and `read` reads on.

    `status` and `headers` are those of the response, `body` its parts. `reusable` says, once the response is whole,
    whether another request may follow. `used`: it has carried a response before.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._parser = self._new_parser()
        self._over, self.closed, self.used, self.reusable = True, False, False, False
        self._paused, self._pausing = False, False
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self.idle_since = 0.0
        self._reset(0, head_only=False, streams=False)
        self._over = True

    def _new_parser(self) -> HttpResponseParser:
        parser = HttpResponseParser(self)
        parser.set_dangerous_leniencies(**LENIENT)
        return parser

    def _reset(self, most: int, *, head_only: bool, streams: bool) -> None:
        self.status = 0
        self.headers: CIMultiDict[str] = CIMultiDict()
        self.body: list[bytes] = []
        self.reusable = False
        self._most, self._head_only, self._streams = most, head_only, streams
        self._has_begun = self._over = self._received = False
        self._overhead = self._size = 0
        self._error: Broken | None = None

    # What the client does

    async def send(
        self, head: bytes, body: bytes, most: int = 0, *, head_only: bool = False, streams: bool = False
    ) -> None:
        """Send a request. Its response may have a body of `most` bytes; `head_only`: it has none (HEAD)."""
        self._reset(most, head_only=head_only, streams=streams)
        if self.closed:  # while it was handed over
            self._fail("no_answer")
        elif len(body) <= PIECE:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            await self._send_pieces(memoryview(body))

    async def _send_pieces(self, body: memoryview) -> None:
        for start in range(0, len(body), PIECE):
            if self._paused:
                self._drained = self._loop.create_future()
                try:
                    await self._drained
                finally:
                    self._drained = None
            if self._over:  # answered before it had everything, or closed
                self.reusable = False
                return
            self._transport.write(body[start : start + PIECE])

    async def whole(self) -> None:
        """Wait until the response is complete. Raises `Broken`."""
        if not self._over:
            await self._wait()
        if self._error is not None:
            raise self._error

    async def begun(self) -> None:
        """Wait for the head of the response. Raises `Broken`."""
        while not self._has_begun and not self._over:
            await self._wait()
        if self._error is not None and not self._has_begun:
            raise self._error

    async def read(self) -> bytes:
        """The next bytes of the body; empty at its end. Raises `Broken`."""
        while not self.body and not self._over:
            await self._wait()
        if not self.body:
            if self._error is not None:
                raise self._error
            return b""
        part = b"".join(self.body)
        self.body.clear()
        self._size = 0
        if self._pausing:
            self._pausing = False
            self._transport.resume_reading()
        return part

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def close(self) -> None:
        """Close the connection immediately."""
        if not self.closed:
            self.closed = True
            self._transport.abort()

    # What the transport does

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # of TCP or TLS

    @override
    def data_received(self, data: bytes) -> None:
        if self._over:  # nothing was asked
            self.close()
            return
        self._received = True
        size = self._size
        try:
            self._parser.feed_data(data)
        except HttpParserCallbackError:
            raise
        except (HttpParserError, HttpParserUpgrade):  # after the response: what it had no right to send
            self.reusable = False
            if not self._over:
                self._fail("malformed")
            return
        if self._size != size:
            self._overhead = 0
        elif not self._over:
            self._overhead += len(data)
            if self._overhead > MAX_OVERHEAD:
                self._fail("malformed")

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.reusable = False
        if not self._over:
            if self._has_begun and self._until_close and exc is None:
                self._finish(reusable=False)
            else:
                self._fail("incomplete" if self._has_begun else "no_answer")
        self._wake()
        self._go_on()

    @override
    def pause_writing(self) -> None:
        self._paused = True

    @override
    def resume_writing(self) -> None:
        self._paused = False
        self._go_on()

    # What the parser does

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, or of the trailer, which is left out."""
        if self._over:
            self.reusable = False
        elif len(name) + len(value) > MAX_FIELD:
            self._fail("malformed")
        elif not self._has_begun:
            self.headers.add(
                name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape").rstrip(" \t")
            )

    def on_headers_complete(self) -> None:
        """The end of a head: of the response, or of an interim one (RFC 9110 §15.2)."""
        if self._over:
            self.reusable = False
            return
        self.status = self._parser.get_status_code()
        if 100 <= self.status < 200 and self.status != 101:
            self.headers.clear()
            return
        self._has_begun = True
        length = self.headers.get("content-length")
        chunked = self.headers.get("transfer-encoding", "").lower().endswith("chunked")
        self._ambiguous = chunked and length is not None
        self._until_close = length is None and not chunked
        if self._head_only or self.status in _NO_BODY or self.status == 101:
            # what the parser or the server takes for a body would be read as the next response
            stated = chunked or length not in (None, "0")
            reusable = self._parser.should_keep_alive() and self.status != 101
            self._finish(reusable=reusable and not (stated and self.status == 204))
            if self._head_only and stated:
                self._parser = self._new_parser()
        elif not self._streams and not chunked and length is not None and int(length) > self._most:
            self._fail("too_long")
        elif self._streams:
            self._wake()

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        if self._over:
            self.reusable = False
            return
        self.body.append(data)
        self._size += len(data)
        if self._streams:
            if self._size > HIGH_WATER and not self._pausing:
                self._pausing = True
                self._transport.pause_reading()
            self._wake()
        elif self._size > self._most:
            self._fail("too_long")

    def on_message_complete(self) -> None:
        """The end of a response."""
        if self._has_begun and not self._over:
            self._finish(reusable=self._parser.should_keep_alive() and not self._ambiguous)

    # How it ends

    def _finish(self, *, reusable: bool) -> None:
        self._over = True
        self.reusable = reusable
        self._wake()
        self._go_on()

    def _fail(self, reason: Reason) -> None:
        self._over = True
        self.reusable = False
        self._error = Broken(reason, stale=self.used and not self._received)
        self._wake()
        self._go_on()
        self.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _go_on(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
