"""Target of the benchmarks' reactions: `python -m bench.sink PORT`. GET /dump returns {id: [unix seconds, ...]} and
resets.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict
from typing import ClassVar

import uvloop


class Sink(asyncio.Protocol):
    """HTTP/1.1 on one connection, with only what AREA's client needs."""

    arrived: ClassVar[defaultdict[str, list[float]]] = defaultdict(list)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer each complete request."""
        self._buffer += data
        while True:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            length = int(lengths[0].partition(b":")[2]) if lengths else 0
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            self._transport.write(self._answer(head, rest[:length]))

    def _answer(self, head: bytes, body: bytes) -> bytes:
        text = b"{}"
        if head.startswith(b"GET /dump"):
            text = json.dumps(self.arrived).encode()
            self.arrived.clear()
        elif body:
            self.arrived[json.loads(body)["id"]].append(time.time())
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)


async def main(port: int) -> None:
    """Serve until the process is stopped."""
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
