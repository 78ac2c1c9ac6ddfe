"""Decoders of untrusted files (pictures, feeds, calendars, mails) run in processes with limits on CPU and memory.

The system kills a decoder that misbehaves, and nobody else waits for it: the event loop only moves bytes. Processes are
forked from a zygote (see `area.kit.zygote`), which exits when this process does.
"""

import asyncio
import atexit
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson
import structlog

from area.kit.fair import Fair
from area.kit.sentences import read
from area.kit.zygote import LENGTH, NO_MEMORY, STATUS, Order

log = structlog.get_logger(__name__)

READ = 1 << 16  # bytes per read
# None of AREA's secrets; a decoder doesn't need anything else from the environment.
ENVIRONMENT = ("LANG", "LC_ALL", "LC_CTYPE", "PATH", "PYTHONHOME", "PYTHONPATH", "PYTHONTZPATH", "TZ")

Reason = Literal["unreadable", "time", "memory", "broken", "busy"]


class DecodeError(Exception):
    """There is no result.

    `reason` is `unreadable` (the message is the decoder's, for the sender of the file), `time` or `memory` (it exceeded
    its limit), `broken` (the decoder has a bug), or `busy` (it got too little CPU, or AREA is stopping).
    """

    def __init__(self, reason: Reason, message: str = "") -> None:
        super().__init__(message or reason)
        self.reason = reason


@dataclass(frozen=True)
class Decoder:
    """A Python file with `decode(content: bytes, **options) -> bytes | JSON`, and its limits per call.

    `seconds` of CPU, `patience` in seconds by the clock (decoders have low priority), `memory` in bytes beyond its own
    code, `longest` in bytes of the result. `pool` is where it queues.
    """

    path: Path
    pool: Fair = field(repr=False)
    seconds: int = 5
    patience: int = 30
    memory: int = 300_000_000
    longest: int = 10_000_000

    async def decode(self, content: bytes, **options: Any) -> Any:
        """The decoder's result for `content`: bytes, or parsed JSON. Raises `DecodeError`, and the pool's `Full`."""
        async with self.pool.slot():
            try:
                return await self._decode(content, options)
            except DecodeError as error:
                log.info("decoder.failed", decoder=self.path.name, reason=error.reason, said=str(error))
                raise

    async def _decode(self, content: bytes, options: dict[str, Any]) -> Any:
        order = Order(path=str(self.path), seconds=self.seconds, patience=self.patience, memory=self.memory)
        head = orjson.dumps(options)
        try:
            async with _job(order) as (work, status):
                with contextlib.suppress(ConnectionError):  # it ended early; its response or exit code says why
                    loop = asyncio.get_running_loop()
                    await loop.sock_sendall(work, LENGTH.pack(len(head)) + head)
                    await loop.sock_sendall(work, content)
                    work.shutdown(socket.SHUT_WR)
                answer, code = await self._outcome(work, status)
        except (OSError, TimeoutError) as error:
            raise DecodeError("busy", f"{type(error).__name__}: {error}") from error
        kind, payload = answer[:1], bytes(answer[1:])
        if code == 0 and kind == b"B":
            return payload
        if code == 0 and kind == b"J":
            return orjson.loads(payload)
        if code == 0:
            raise DecodeError("unreadable", read(orjson.loads(payload)) or "")
        raise DecodeError(
            _reason(code), payload.decode("ascii", "replace")[:100] if kind == b"X" else f"exit code {code}"
        )

    async def _outcome(self, work: socket.socket, status: socket.socket) -> tuple[bytearray, int | None]:
        """The answer and the exit code, which is None at once if the zygote is gone."""
        async with asyncio.timeout(self.patience + 5):
            answering, exiting = asyncio.create_task(self._answer(work)), asyncio.create_task(_exit_code(status))
            try:
                await asyncio.wait((answering, exiting), return_when=asyncio.FIRST_COMPLETED)
                if exiting.done() and await exiting is None:
                    return bytearray(), None
                return await answering, await exiting
            finally:
                answering.cancel()
                exiting.cancel()
                await asyncio.wait((answering, exiting))

    async def _answer(self, work: socket.socket) -> bytearray:
        loop, answer = asyncio.get_running_loop(), bytearray()
        while part := await _received(loop, work):
            answer += part
            if len(answer) > self.longest:
                raise DecodeError("memory", f"the result is longer than {self.longest} bytes")
        return answer


async def _received(loop: asyncio.AbstractEventLoop, sock: socket.socket, most: int = READ) -> bytes:
    try:
        return await loop.sock_recv(sock, most)
    except ConnectionError:  # the decoder was killed before it had read everything
        return b""


async def _exit_code(status: socket.socket) -> int | None:
    """The exit code, or a negative signal; None if the zygote is gone."""
    loop, received = asyncio.get_running_loop(), b""
    while len(received) < STATUS.size:
        part = await _received(loop, status)
        if not part:
            return None
        received += part
    code: int = STATUS.unpack(received)[0]
    return code


def _reason(code: int | None) -> Reason:
    if code is None or code in (-signal.SIGALRM, -signal.SIGTERM):
        return "busy"
    if code == -signal.SIGXCPU:
        return "time"
    out_of_memory = (NO_MEMORY, -signal.SIGKILL, -signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)
    return "memory" if code in out_of_memory else "broken"


@dataclass
class _Zygote:
    """The process that decoders are forked from, as seen from this one."""

    loop: asyncio.AbstractEventLoop
    control: socket.socket
    process: int
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)

    def end(self) -> None:
        atexit.unregister(self.control.close)
        self.control.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.process, os.WNOHANG)


_kept: _Zygote | None = None


def _zygote() -> _Zygote:
    """The zygote of this event loop; started if there is none."""
    global _kept  # noqa: PLW0603 - there is one for each process
    loop = asyncio.get_running_loop()
    if _kept is None or _kept.loop is not loop:
        if _kept is not None:
            _kept.end()
        ours, its = socket.socketpair()
        with its:
            process = os.posix_spawn(
                sys.executable,
                [sys.executable, "-P", "-c", "from area.kit.zygote import main; main()"],
                {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, its.fileno(), 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                ],
                setpgroup=0,  # a terminal's Ctrl-C must not reach it
            )
        atexit.register(ours.close)
        _kept = _Zygote(loop, ours, process)
    return _kept


@asynccontextmanager
async def _job(order: Order) -> AsyncIterator[tuple[socket.socket, socket.socket]]:
    """Two sockets of a decoder that has started: for its work, and for its exit status. Closing them kills it."""
    work, status = await _begun(order)
    with work, status:
        yield work, status


async def _begun(order: Order) -> tuple[socket.socket, socket.socket]:
    global _kept  # noqa: PLW0603
    loop = asyncio.get_running_loop()
    for _ in range(2):  # retry once if the zygote exited meanwhile
        zygote = _zygote()
        (work, its_work), (status, its_status) = socket.socketpair(), socket.socketpair()
        try:
            work.setblocking(False)
            status.setblocking(False)
            async with zygote.sending:  # one at a time: on some systems two messages merge
                with its_work, its_status:
                    descriptors = [its_work.fileno(), its_status.fileno()]
                    socket.send_fds(zygote.control, [json.dumps(order).encode()], descriptors)
                if await _received(loop, status, 1):
                    return work, status
        except BrokenPipeError:
            pass
        except BaseException:
            work.close()
            status.close()
            raise
        work.close()
        status.close()
        if _kept is zygote:
            zygote.end()
            _kept = None
    raise ConnectionError("The process that decoders are forked from does not start.")
