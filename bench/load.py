"""A webhook load generator in its own process: `python -m bench.load PORT PATH (-c N | -r N) --seconds N --out FILE`.

`-c` is a closed loop: N connections, each of which sends its next request after the response. `-r` is an open loop: N
requests per second, whether or not earlier ones have been answered, each on a free connection. Uses callbacks, because
the client shares the machine with the server it measures.
"""

import argparse
import asyncio
import json
import resource
import time
from dataclasses import asdict, dataclass

import uvloop

PATIENCE = 10.0  # seconds; the usual timeout of webhook senders
MOST_CONNECTIONS = 2000
TICK = 0.002  # seconds
TEXT = "some text that makes it about as large as an ordinary webhook, " * 12


@dataclass(slots=True)
class Sent:
    """One request: when it was sent and answered (unix seconds), and its status. 0 means no response in time, or
    disconnected.
    """

    id: str
    sent: float
    answered: float
    status: int
    retry_after: str = ""


class Connection(asyncio.Protocol):
    """A keep-alive connection with one request at a time."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._buffer = b""
        self.transport: asyncio.Transport | None = None
        self.busy: Sent | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, _: Exception | None) -> None:
        """The pending request won't be answered."""
        self.transport = None
        self._over(0, "")

    def send(self, sent: Sent, request: bytes) -> None:
        """Send the next request."""
        self.busy = sent
        if self.transport is None:
            self._over(0, "")
        else:
            self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Part of a response."""
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        head = head.lower()
        if len(body) < int(_value(head, b"content-length") or 0):
            return
        self._buffer = b""
        if _value(head, b"connection") == "close":
            self.cut()
        self._over(int(head[9:12]), _value(head, b"retry-after"))

    def _over(self, status: int, retry_after: str) -> None:
        sent, self.busy = self.busy, None
        if sent is not None:
            sent.answered, sent.status, sent.retry_after = time.time(), status, retry_after
            self._load.answered(self)

    def cut(self) -> None:
        """Close it."""
        if self.transport is not None:
            self.transport.abort()
            self.transport = None


def _value(head: bytes, name: bytes) -> str:
    at = head.find(b"\r\n" + name + b": ")
    return head[at + len(name) + 4 :].partition(b"\r\n")[0].decode() if at >= 0 else ""


class Load:
    """The requests of one run."""

    def __init__(self, port: int, path: str, tag: str):
        self._port = port
        self._body = [part.encode() for part in ('{"id":"', f'","title":"hello","text":"{TEXT}"}}')]
        self._tag = tag
        length = len(f"{tag}-00000000") + sum(map(len, self._body))
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )
        self._body[0] = head.encode() + self._body[0]
        self._free: list[Connection] = []
        self._all: set[Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._again = False  # a closed loop
        self._looked = 0.0
        self.sent: list[Sent] = []
        self.unsent = 0  # no free connection

    def _next(self) -> tuple[Sent, bytes]:
        identity = f"{self._tag}-{len(self.sent):08}"
        self.sent.append(sent := Sent(identity, time.time(), 0.0, 0))
        return sent, identity.encode().join(self._body)

    def answered(self, connection: Connection) -> None:
        """A connection's request is done, successful or not."""
        if connection.transport is None:
            self._all.discard(connection)
            if self._again:
                self._connect()
        elif self._again:
            connection.send(*self._next())
        else:
            self._free.append(connection)

    def _connect(self) -> None:
        sent, request = self._next()

        async def connect() -> None:
            connection = Connection(self)
            self._all.add(connection)
            try:
                await asyncio.get_running_loop().create_connection(lambda: connection, "127.0.0.1", self._port)
            except OSError:
                await asyncio.sleep(0.01)
            connection.send(sent, request)

        task = asyncio.create_task(connect())
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def closed(self, connections: int, seconds: float) -> None:
        """A closed loop."""
        self._again = True
        for _ in range(connections):
            self._connect()
        await asyncio.sleep(seconds)
        self._again = False
        await self._finish()

    async def opened(self, rate: float, seconds: float) -> None:
        """An open loop."""
        begun, due = time.monotonic(), 0
        while (passed := time.monotonic() - begun) < seconds:
            while due < passed * rate:
                due += 1
                while self._free and self._free[-1].transport is None:
                    self._all.discard(self._free.pop())
                if self._free:
                    self._free.pop().send(*self._next())
                elif len(self._all) < MOST_CONNECTIONS:
                    self._connect()
                else:
                    self.unsent += 1
            self._give_up()
            await asyncio.sleep(TICK)
        await self._finish()

    def _give_up(self) -> None:
        """Disconnect overdue requests, checked twice a second."""
        end = time.time() - PATIENCE
        if end < self._looked + 0.5:
            return
        self._looked = end
        for connection in [
            connection for connection in self._all if connection.busy is not None and connection.busy.sent < end
        ]:
            connection.cut()

    async def _finish(self) -> None:
        while self._connecting or any(connection.busy for connection in self._all):
            self._give_up()
            await asyncio.sleep(0.05)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("-c", type=int, help="connections of a closed loop")
    how.add_argument("-r", type=float, help="requests a second of an open loop")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--tag", default="x", help="what the ids begin with")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    load = Load(options.port, options.path, options.tag)
    uvloop.run(load.closed(options.c, options.seconds) if options.c else load.opened(options.r, options.seconds))
    used = resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "sent": [asdict(request) for request in load.sent],
        "unsent": load.unsent,
        "cpu": used.ru_utime + used.ru_stime,
    }
    with open(options.out, "w") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main()
