"""Connections for HTTP: made where the guard allows, and kept for the next request."""

import asyncio
import socket
import ssl
from collections import deque
from dataclasses import dataclass, field
from functools import cache

from aiohappyeyeballs import start_connection

from area.kit.http1 import Connection
from area.kit.net import Guard

KEEP_IDLE = 15.0  # seconds
NEXT_ADDRESS_AFTER = 0.25  # seconds: https://www.rfc-editor.org/rfc/rfc8305#section-5


class NotConnected(Exception):
    """There is no connection, so nothing was sent. Its cause is the `OSError`."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to connect to: the host in canonical form, its port, and whether by TLS."""

    host: str
    port: int
    tls: bool


async def connect(guard: Guard, place: Place) -> Connection:
    """A new connection, to an address that `guard` allows. Raises `Blocked` or `NotConnected`."""
    loop = asyncio.get_running_loop()
    try:
        addresses = await guard.resolve(place.host, place.port)
        infos = [
            (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, place.port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, place.port))
            for address in addresses
        ]
        sock = await start_connection(infos, loop=loop, happy_eyeballs_delay=NEXT_ADDRESS_AFTER, interleave=1)
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(loop),
                sock=sock,
                ssl=tls_context() if place.tls else None,
                server_hostname=place.host if place.tls else None,
            )
        except BaseException:
            sock.close()
            raise
    except (OSError, ssl.CertificateError) as error:
        raise NotConnected from error
    return connection


@cache
def tls_context() -> ssl.SSLContext:
    """Verifies certificates by the system's authorities."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


@dataclass(eq=False, slots=True)
class _Host:
    """The connections to one place. `busy` counts those that are taken, or being made."""

    place: Place
    busy: int = 0
    free: list[Connection] = field(default_factory=list)
    waiting: "deque[asyncio.Future[None]]" = field(default_factory=deque)


class Pool:
    """Keeps connections, and hands out at most `limit` at a time, half of them per place.

    Who must wait is served in turn, and place after place.
    """

    def __init__(self, guard: Guard, limit: int) -> None:
        self._guard = guard
        self._limit = limit
        self._per_place = max(1, limit // 2)
        self._busy = 0
        self._hosts: dict[Place, _Host] = {}
        self._queue: dict[_Host, None] = {}  # where somebody waits
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def take(self, place: Place, *, new: bool = False) -> Connection:
        """A connection, which must be given back. Raises `Blocked` or `NotConnected`."""
        if self._closed:
            raise RuntimeError("The client is closed.")
        host = self._hosts.get(place)
        if host is None:
            host = self._hosts[place] = _Host(place)
        if self._busy < self._limit and host.busy < self._per_place:
            self._busy += 1
            host.busy += 1
        else:
            await self._turn(host)
        if not new:
            while host.free:
                connection = host.free.pop()
                if not connection.closed:
                    return connection
        try:
            return await connect(self._guard, place)
        except BaseException:
            self._release(host)
            raise

    def give(self, place: Place, connection: Connection) -> None:
        """Give a connection back: it is kept if it can be used again."""
        host = self._hosts[place]
        if connection.reusable and not connection.closed and not self._closed:
            loop = asyncio.get_running_loop()
            connection.used = True
            connection.idle_since = loop.time()
            host.free.append(connection)
            if self._sweeper is None:
                self._sweeper = loop.call_later(KEEP_IDLE, self._sweep)
        else:
            connection.close()
        self._release(host)

    def close(self) -> None:
        """Close idle connections. Those in use are closed when they are released."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for host in self._hosts.values():
            for connection in host.free:
                connection.close()
            host.free.clear()

    async def _turn(self, host: _Host) -> None:
        turn = asyncio.get_running_loop().create_future()
        host.waiting.append(turn)
        self._queue[host] = None
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._release(host)
            raise

    def _release(self, host: _Host) -> None:
        """Pass a slot on to who has waited longest at the next place that has room."""
        self._busy -= 1
        host.busy -= 1
        for other in [*self._queue]:
            if other.busy >= self._per_place:
                continue
            del self._queue[other]
            while other.waiting:
                turn = other.waiting.popleft()
                if turn.done():  # who waited was cancelled
                    continue
                if other.waiting:
                    self._queue[other] = None  # behind the other places
                self._busy += 1
                other.busy += 1
                turn.set_result(None)
                return

    def _sweep(self) -> None:
        """Close what has been idle for long."""
        loop = asyncio.get_running_loop()
        before = loop.time() - KEEP_IDLE
        pooled = False
        for place, host in [*self._hosts.items()]:
            for connection in host.free:
                if connection.idle_since <= before:
                    connection.close()
            host.free = [connection for connection in host.free if not connection.closed]
            pooled = pooled or bool(host.free)
            if not host.free and not host.busy and not host.waiting:
                del self._hosts[place]
        self._sweeper = loop.call_later(KEEP_IDLE / 3, self._sweep) if pooled else None
