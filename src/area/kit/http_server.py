"""HTTP/1.1 (RFC 9112) as an ASGI server, on the caller's event loop. httptools parses.

What a client can make it hold is bounded: heads in bytes, number and time, bodies by back pressure, pipelined requests
by not reading on, responses that aren't read by a time limit. Bodies have no time limit here: the application has.

A connection, its parser and its exchanges are one state machine, so they are one module.

https://asgi.readthedocs.io/en/latest/specs/www.html
"""

import asyncio
import re
import resource
import socket
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

import structlog
from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserInvalidURLError,
    HttpParserUpgrade,
    HttpRequestParser,
    parse_url,
)
from typing_extensions import override

log = structlog.get_logger()

MAX_HEAD = 65_536  # bytes
MAX_FIELDS = 128
MAX_HEADS = 32_000_000  # bytes of all heads that are not complete; beyond, each of them may have `LITTLE`
LITTLE = 4096
MAX_DROPPED = 1_000_000  # bytes
HEAD_WITHIN = 15.0  # seconds
IDLE = 75.0  # seconds between requests
WRITE_WITHIN = 60.0  # seconds in which a client has to read something of a response
LINGER = 2.0  # seconds for what a client still sends after the response
SWEEP_EVERY = 1.0
HIGH_WATER = 65_536  # bytes of a body that the application has not read
PIPELINED = 32  # requests; they can all be in what is read at once
SPARE_FILES = 256  # file descriptors that connections leave to others

Message = MutableMapping[str, Any]
App = Callable[[Any, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
_NO_BODY = (204, 304)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_OTHER = re.compile(rb"[\x80-\xff]")
_DISCONNECT = {"type": "http.disconnect"}


class _RefusedError(Exception):
    """A request that gets this status, after which the connection is closed."""

    def __init__(self, status: int) -> None:
        self.status = status


class Server:
    """Serves one application on one address."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.loop = asyncio.get_running_loop()
        self.connections: set[Connection] = set()
        self.stopping = False
        self.heads = 0  # bytes of heads that are not complete
        self.date = b""
        self._most = max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_FILES, SPARE_FILES)
        self._listener: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()

    async def start(self, host: str, port: int, *, backlog: int = 2048) -> None:
        """Listen. `::` takes IPv4, too. Raises `OSError`."""
        if host == "::":
            sock = socket.create_server((host, port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True)
            self._listener = await self.loop.create_server(lambda: Connection(self), sock=sock, backlog=backlog)
        else:
            self._listener = await self.loop.create_server(lambda: Connection(self), host, port, backlog=backlog)
        self._sweep()

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._listener is not None  # noqa: S101 - it is started
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self, drain: float) -> None:
        """Accept no more, and close when all requests are answered, or after `drain` seconds."""
        self.stopping = True
        if self._listener is not None:
            self._listener.close()
        for connection in [*self.connections]:
            connection.close_if_idle()
        with suppress(TimeoutError):
            async with asyncio.timeout(drain):
                while self.connections:
                    self._empty.clear()
                    await self._empty.wait()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in [*self.connections]:
            connection.abort()

    def opened(self, connection: "Connection") -> bool:
        """Whether there is room for another connection."""
        if self.stopping or len(self.connections) >= self._most:
            return False
        self.connections.add(connection)
        return True

    def closed(self, connection: "Connection") -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    def _sweep(self) -> None:
        """End what takes too long. All at once, which is cheaper than a timer for each."""
        self.date = b"date: %b\r\n" % formatdate(usegmt=True).encode()
        moment = self.loop.time()
        for connection in [*self.connections]:
            connection.check(moment)
        self._sweeper = self.loop.call_later(SWEEP_EVERY, self._sweep)


class Connection(asyncio.Protocol):
    """A client's connection: parses requests, and has them answered one after the other."""

    __slots__ = (
        "_client", "_codings", "_expects", "_fields", "_head", "_held", "_in_head", "_lingering", "_parsed", "_parser",
        "_progress", "_queue", "_reading", "_since", "_stuck_since", "_transport", "_url", "current", "drained",
        "server",
    )  # fmt: skip

    def __init__(self, server: Server) -> None:
        self.server = server
        self.current: Exchange | None = None  # which is answered
        self.drained: asyncio.Future[None] | None = None  # while the client doesn't read
        self._queue: deque[Exchange] = deque()
        self._parsed: Exchange | None = None  # whose body comes
        self._parser = HttpRequestParser(self)
        self._since = server.loop.time()
        self._stuck_since = 0.0
        self._url, self._head, self._expects, self._codings = b"", 0, False, b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._in_head, self._reading = False, True
        self._progress = False  # whether a body has grown, or a request has ended
        self._held = 0  # bytes in a row of a head, or between parts of a body: chunk extensions, trailers
        self._lingering = -1  # bytes that were dropped, once no more are parsed

    # What the transport does

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment] # of TCP
        if not self.server.opened(self):
            self._transport.abort()
        self._client = self._transport.get_extra_info("peername")

    @override
    def data_received(self, data: bytes) -> None:
        if self._lingering >= 0:
            self._lingering += len(data)
            if self._lingering > MAX_DROPPED:
                self._transport.abort()
            return
        if not data.isascii() and self._parsed is None and not self._in_head:
            data = _with_ascii_target(data)
        self._progress = False
        self._feed(data)
        if not self._progress and (self._in_head or self._parsed is not None):
            self._hold(self._held + len(data))
            if self._held > MAX_HEAD or (self._held > LITTLE and self.server.heads > MAX_HEADS):
                self._refuse(431)
        elif self._held:
            self._hold(0)

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            method, url, fields = self._parser.get_method(), self._url, self._fields
            self._parser = HttpRequestParser(self)
            self._feed(_without_upgrade(method, url, fields) + rest)
        except HttpParserCallbackError as error:
            cause = error.__context__
            if not isinstance(cause, _RefusedError):
                raise
            self._refuse(cause.status)
        except HttpParserError:
            self._refuse(400)

    @override
    def pause_writing(self) -> None:
        self._stuck_since = self.server.loop.time()
        self.drained = self.server.loop.create_future()

    @override
    def resume_writing(self) -> None:
        if self.drained is not None and not self.drained.done():
            self.drained.set_result(None)
        self.drained = None

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.server.closed(self)
        self._hold(0)
        self.resume_writing()
        for exchange in (self.current, *self._queue):
            if exchange is not None:
                exchange.disconnected()
        self._queue.clear()

    # What the parser does

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        self._url, self._fields, self._head, self._expects, self._codings = b"", [], 0, False, b""
        if self.current is None:
            self._since = self.server.loop.time()
        else:
            self._pause()

    def on_url(self, part: bytes) -> None:
        """A part of the target."""
        self._url += part
        if len(self._url) > MAX_HEAD:
            raise _RefusedError(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field."""
        self._head += len(name) + len(value)
        name = name.lower()
        value = value.rstrip(b" \t")
        self._fields.append((name, value))
        if name == b"expect":
            self._expects = value.lower() == b"100-continue"
        elif name == b"transfer-encoding":
            self._codings = value
        if self._head > MAX_HEAD or len(self._fields) > MAX_FIELDS:
            raise _RefusedError(431)

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._in_head = False
        if self._parser.get_method() == b"CONNECT":
            raise _RefusedError(501)
        if self._parser.should_upgrade():  # it is parsed once more
            return
        if self.server.stopping or len(self._queue) >= PIPELINED:
            raise _RefusedError(503)
        version = self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise _RefusedError(505)
        # https://www.rfc-editor.org/rfc/rfc9112#section-6.1-16 and section 6.3, 4
        if self._codings and (version == "1.0" or self._codings.rpartition(b",")[2].strip().lower() != b"chunked"):
            raise _RefusedError(400)
        path, query = self._target()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "method": self._parser.get_method().decode(),
            "scheme": "http",
            "path": unquote_to_bytes(path).decode(errors="replace"),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": self._fields,
            "client": self._client[:2] if self._client else None,
            "server": None,
        }
        keeps_alive = version == "1.1" and self._parser.should_keep_alive()
        self._parsed = exchange = Exchange(self, scope, keeps_alive=keeps_alive, expects=self._expects)
        if self.current is None:
            self._start(exchange)
        else:
            self._queue.append(exchange)

    def _target(self) -> tuple[bytes, bytes]:
        """Path and query, both as sent."""
        target = self._url
        if not target.startswith(b"/") and target != b"*":  # https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
            try:
                url = parse_url(target)
            except HttpParserInvalidURLError:
                raise _RefusedError(400) from None
            if not url.host:
                raise _RefusedError(400)
            host = url.host if url.port is None else b"%b:%d" % (url.host, url.port)
            self._fields = [(b"host", host), *(field for field in self._fields if field[0] != b"host")]
            target = (url.path or b"/") + (b"?" + url.query if url.query else b"")
        path, _, query = target.partition(b"#")[0].partition(b"?")
        return path, query

    def on_body(self, part: bytes) -> None:
        """A part of the body."""
        self._progress = True
        if self._parsed is not None and self._parsed.arrived(part) > HIGH_WATER:
            self._pause()

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._progress = True
        if self._parsed is not None:
            self._parsed.complete()
            self._parsed = None

    # What an exchange does

    def _start(self, exchange: "Exchange") -> None:
        self.current = exchange
        exchange.task = self.server.loop.create_task(exchange.run())

    def write(self, data: bytes) -> None:
        """Send bytes, soon."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def ended(self, *, reusable: bool) -> None:
        """The response is over; another request may follow on this connection, if it is `reusable`."""
        self.current = None
        if self._transport.is_closing():
            return
        if not reusable:
            self._close()
        elif self._queue:
            self._start(self._queue.popleft())
        elif self.server.stopping:
            self._close()
        else:
            self._since = self.server.loop.time()
            self.resume()

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if not self._reading and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    def _hold(self, size: int) -> None:
        self.server.heads += size - self._held
        self._held = size

    def _refuse(self, status: int) -> None:
        """Answer what can't be parsed, unless other responses come first, and close."""
        self._hold(0)
        if self._parsed is not None:
            self._parsed.cut()
            self._parsed = None
        if self.current is None:
            phrase = HTTPStatus(status).phrase.encode()
            head = b"content-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n" % len(phrase)
            self.write(_LINES[status] + self.server.date + head + b"\r\n" + phrase)
            self._close()
        else:
            (self._queue[-1] if self._queue else self.current).last()
            self._lingering = 0

    def _close(self) -> None:
        """Close, after a moment in which what still comes is dropped: otherwise, the client could lose the response.

        https://www.rfc-editor.org/rfc/rfc9112#section-9.6-7
        """
        self._lingering, self._since = 0, self.server.loop.time()
        with suppress(OSError):  # it is gone
            self._transport.write_eof()
        self.resume()

    def close_if_idle(self) -> None:
        """Close if nothing is under way."""
        if self.current is None and self._lingering < 0:
            self._transport.close()

    def abort(self) -> None:
        """End it."""
        if self.current is not None and self.current.task is not None:
            self.current.task.cancel()
        self._transport.abort()

    def check(self, moment: float) -> None:
        """End it if it takes too long."""
        if self.drained is not None:
            if moment - self._stuck_since > WRITE_WITHIN:
                self._transport.abort()
        elif self.current is not None:
            return
        elif self._lingering >= 0:
            if moment - self._since > LINGER:
                self._transport.abort()
        elif self._in_head:
            if moment - self._since > HEAD_WITHIN:
                self._refuse(408)
        elif moment - self._since > IDLE:
            self._transport.close()


class Exchange:
    """A request and its response: what ASGI calls `receive` and `send`."""

    __slots__ = (
        "_chunked", "_connection", "_cut", "_disconnected", "_expects", "_head", "_keeps_alive", "_parts", "_read",
        "_responded", "_scope", "_size", "_started", "_waiter", "_whole", "task",
    )  # fmt: skip

    def __init__(self, connection: Connection, scope: dict[str, Any], *, keeps_alive: bool, expects: bool) -> None:
        self.task: asyncio.Task[None] | None = None
        self._connection, self._scope, self._keeps_alive = connection, scope, keeps_alive
        self._parts: list[bytes] = []
        self._size = 0
        self._whole = self._read = self._cut = self._disconnected = False
        self._started = self._responded = self._chunked = False
        self._head = b""
        self._waiter: asyncio.Future[None] | None = None
        self._expects = expects

    async def run(self) -> None:
        """Have the request answered."""
        try:
            await self._connection.server.app(self._scope, self.receive, self.send)
            if not self._responded and not self._disconnected:
                log.error("server.no_response", path=self._scope["path"])
        except Exception:
            log.exception("server.bug", path=self._scope["path"])
        if not self._started:
            await self.send({"type": "http.response.start", "status": 500, "headers": []})
            await self.send({"type": "http.response.body", "body": b"Internal Server Error"})
        self._connection.ended(reusable=self._responded and self._whole and self._keeps_alive)

    def last(self) -> None:
        """No request follows."""
        self._keeps_alive = False

    # The request

    def arrived(self, part: bytes) -> int:
        """A part of the body has arrived. Returns how many bytes wait to be read."""
        if not self._responded:
            self._parts.append(part)
            self._size += len(part)
            self._wake()
        return self._size

    def complete(self) -> None:
        """The body is complete."""
        self._whole = True
        self._wake()

    def cut(self) -> None:
        """The rest of the body can't be read."""
        self._cut = True
        self._wake()

    def disconnected(self) -> None:
        """The client is gone."""
        self._disconnected = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def receive(self) -> Message:
        """The next part of the body; after its end, or when the client is gone, `http.disconnect`."""
        if self._expects and not self._started and not self._parts and not self._whole:
            self._connection.write(_CONTINUE)
        self._expects = False
        while not (
            self._parts or self._disconnected or self._cut or self._responded or (self._whole and not self._read)
        ):
            if not self._whole:
                self._connection.resume()
            self._waiter = self._connection.server.loop.create_future()
            await self._waiter
        if self._disconnected or self._responded or self._read or (self._cut and not self._parts):
            return _DISCONNECT
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts, self._size = [], 0
        self._read = self._whole
        return {"type": "http.request", "body": body, "more_body": not self._whole}

    # The response

    async def send(self, message: Message) -> None:
        """Send the next part of the response. Without effect when the client is gone."""
        if self._disconnected or self._responded:
            return
        if message["type"] == "http.response.start":
            if self._started:
                raise RuntimeError("A response has one head.")
            self._started = True
            self._begin(message["status"], message.get("headers", ()))
            return
        if not self._started:
            raise RuntimeError("A response begins with its head.")
        body, more = message.get("body", b""), message.get("more_body", False)
        self._write(body, more=more)
        if not more:
            self._responded = True
            self._wake()
        elif (drained := self._connection.drained) is not None:
            await drained

    def _begin(self, status: int, headers: Any) -> None:
        fields = [b"%b: %b\r\n" % (name, value) for name, value in headers]
        names = {name.lower(): value for name, value in headers}
        if names.get(b"connection", b"").lower() == b"close":
            self._keeps_alive = False
        elif not self._keeps_alive:
            fields.append(b"connection: close\r\n")
        line = _LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
        self._head = b"".join((line, *fields))
        lines = len(fields) + 1
        if self._head.count(b"\n") != lines or self._head.count(b"\r") != lines or b"\0" in self._head:
            self._started, self._head = False, b""
            raise ValueError("A header field holds a line break.")
        if b"date" not in names:
            self._head += self._connection.server.date
        self._chunked = b"content-length" not in names and status not in _NO_BODY

    def _write(self, body: bytes, *, more: bool) -> None:
        head, self._head = self._head, b""
        if head:
            if self._chunked and not more:
                self._chunked = False
                head += b"content-length: %d\r\n" % len(body)
            elif self._chunked and self._scope["http_version"] == "1.1":
                head += b"transfer-encoding: chunked\r\n"
            elif self._chunked:  # its end is the connection's
                self._chunked = False
            head += b"\r\n"
        if self._scope["method"] == "HEAD":
            body, self._chunked = b"", False
        if self._chunked:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        if data := head + body:
            self._connection.write(data)


def _without_upgrade(method: bytes, url: bytes, fields: list[tuple[bytes, bytes]]) -> bytes:
    """The head of a request for a change of protocols, which isn't made: without that, its body can be parsed.

    Java's client sends such requests: https://www.rfc-editor.org/rfc/rfc9110#section-7.8
    """
    kept = [b"%b: %b\r\n" % field for field in fields if field[0] not in (b"connection", b"upgrade")]
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method, url, b"".join(kept))


def _with_ascii_target(data: bytes) -> bytes:
    """The start of a request whose target is percent-encoded where it has other bytes, as many programs send them."""
    line, end, rest = data.partition(b"\r\n")
    return _OTHER.sub(lambda byte: b"%%%02X" % ord(byte[0]), line) + end + rest
