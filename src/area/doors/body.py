"""Request bodies, bounded in time, size, and the memory that one sender can use."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Iterator, MutableMapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import orjson
from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect
from typing_extensions import override

from area.accounts import sessions
from area.doors.deps import token_of
from area.kit.deadline import Deadline
from area.kit.problems import Unsupported
from area.kit.sentences import Number, Sentence

MAX_BODY = 2_000_000  # bytes
MOST_READ = 16_000_000  # bytes to drain of a body that is too long; a client that is cut off can't read the response
OPEN = 16_384  # bytes that are read before authentication
MAX_DEPTH = 64  # nested containers
PATIENCE = 10.0  # seconds for the first bytes of a body
LEAST_RATE = 20_000  # bytes that earn one more second
LONGEST = 60.0  # seconds in total
REFUSED_PATIENCE = 0.5  # seconds between chunks while draining a rejected body
REFUSED_AT_ONCE = 8
CLOSE = {"Connection": "close"}  # don't wait for the rest of the body
LITTLE = 256_000  # bytes per sender
AROUND = 25_000  # bytes that a request takes besides its body, measured with 400 in flight

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class TooSlow(Exception):
    """The body didn't arrive in time."""


class TooLarge(Exception):
    """The body is larger than the limit, in bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"more than {limit} bytes")


class CutOff(Exception):
    """The client disconnected before the end of the body."""


class Crowded(HTTPException):
    """The process already holds as many bytes for this sender, or in total, as it can. `reading`: the body had been
    started.
    """

    def __init__(self, *, reading: bool) -> None:
        self.reading = reading
        super().__init__(429, "Too many large requests at the same time.", CLOSE | {"Retry-After": "2"})


class Allowance:
    """How many bytes of bodies the process can hold: `total`, and `each` per sender. Senders that hold at most `LITTLE`
    may exceed the total by half, so that a few large senders can't block everyone else.
    """

    def __init__(self, total: int, each: int) -> None:
        self.total, self.each = total, each
        self.held = 0
        self._of: Counter[Hashable] = Counter()

    @contextmanager
    def of(self, sender: Hashable) -> Iterator["Share"]:
        """One request's share, returned at the end."""
        share = Share(self, sender)
        try:
            share.take(AROUND, reading=False)
            yield share
        finally:
            self.held -= share.held
            self._of[sender] -= share.held
            if not self._of[sender]:
                del self._of[sender]

    def take(self, sender: Hashable, size: int, *, reading: bool) -> None:
        """Raises `Crowded`."""
        mine = self._of[sender] + size
        total = self.total if mine > LITTLE else self.total * 3 // 2
        if self.held + size > total or mine > self.each:
            raise Crowded(reading=reading)
        self.held += size
        self._of[sender] += size


class Share:
    """What one request holds."""

    def __init__(self, allowance: Allowance, sender: Hashable) -> None:
        self._allowance, self._sender = allowance, sender
        self.held = 0

    def take(self, size: int, *, reading: bool = True) -> None:
        """Hold this many more bytes. Raises `Crowded`."""
        self._allowance.take(self._sender, size, reading=reading)
        self.held += size


USERS = Allowance(64_000_000, 16_000_000)  # for signed-in users


class Patience:
    """When a body must be complete: every `LEAST_RATE` bytes earn another second, up to `LONGEST` in total."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._ends = self._begun + PATIENCE

    async def receive(self, receive: Receive) -> MutableMapping[str, Any]:
        """The next chunk of the body. Raises `TooSlow`."""
        try:
            async with Deadline(self._ends - self._loop.time()):
                return await receive()
        except TimeoutError:
            raise TooSlow from None

    def earned(self, size: int) -> None:
        """Wait longer for this many bytes."""
        self._ends = min(self._begun + LONGEST, self._begun + PATIENCE + size / LEAST_RATE)


def declared(headers: list[tuple[bytes, bytes]]) -> int:
    """The `Content-Length`; 0 if missing or malformed."""
    size = 0
    for name, value in headers:
        if name == b"content-length" and value.isdigit():  # Python refuses to parse numbers with thousands of digits
            size = int(value) if len(value) < 15 else 10**15
    return size


async def read(scope: MutableMapping[str, Any], receive: Receive, limit: int, share: Share) -> bytes:
    """A whole body. Raises `TooSlow`, `TooLarge`, `CutOff`, `Crowded`."""
    expected = declared(scope["headers"])
    if expected > limit:
        await refuse(receive, expected)
        raise TooLarge(limit)
    patience, size, more = Patience(), 0, True
    parts: list[bytes] = []
    while more:
        message = await patience.receive(receive)
        if message["type"] == "http.disconnect":
            raise CutOff
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            parts.clear()
            await refuse(receive, size)
            raise TooLarge(limit)
        share.take(len(part))
        patience.earned(size)
        parts.append(part)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


_refusing = asyncio.BoundedSemaphore(REFUSED_AT_ONCE)


async def refuse(receive: Receive, expected: int) -> None:
    """Drain the rest of a rejected body while it keeps coming, since a client that is cut off can't read the response.
    If many are rejected at once, some are cut off.
    """
    if _refusing.locked():
        return
    async with _refusing:
        await _drop(receive, expected)


async def _drop(receive: Receive, expected: int) -> None:
    size = 0
    while expected <= MOST_READ and size <= MOST_READ:
        try:
            async with asyncio.timeout(REFUSED_PATIENCE):
                message = await receive()
        except TimeoutError:
            return
        size += len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return


def in_time(receive: Receive) -> Receive:
    """`receive` with a deadline for the body, but none for what follows. Raises 408."""
    patience = Patience()
    size, more = 0, True

    async def timed() -> MutableMapping[str, Any]:
        nonlocal size, more
        if not more:
            return await receive()
        try:
            message = await patience.receive(receive)
        except TooSlow:
            raise HTTPException(408, "The request body didn't arrive in time.", CLOSE) from None
        size += len(message.get("body", b""))
        patience.earned(size)
        more = message["type"] == "http.request" and message.get("more_body", False)
        return message

    return timed


class BoundedRequest(Request):
    """A request with a bounded body, whose JSON contains nothing that can't be stored or returned.

    Anonymous clients can send `OPEN` bytes. A larger body is only read after authentication, and counts towards that
    user.
    """

    @override
    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The body in chunks. Raises 413, 401 or 429."""
        expected = declared(self.scope["headers"])
        if expected > MAX_BODY:
            await refuse(self.receive, expected)
            raise _too_long()
        size = 0
        with ExitStack() as stack:
            share = stack.enter_context(await self._share()) if expected > OPEN else None
            async for chunk in super().stream():
                size += len(chunk)
                if size > MAX_BODY:
                    await refuse(self.receive, size)
                    raise _too_long()
                if share is None and size > OPEN:
                    share = stack.enter_context(await self._share())
                if share is not None:
                    share.take(len(chunk))
                yield chunk

    async def _share(self) -> AbstractContextManager["Share"]:
        """The allowance for a large body. Raises 413 for an anonymous client, 401 for an invalid token."""
        token, _ = token_of(self)
        state = self.app.state.area
        identity = None
        if token:
            async with state.database.transaction() as session:
                identity = await sessions.authenticate(session, state.settings, token)
        if identity is None:
            await refuse(self.receive, OPEN)
            if token:
                raise HTTPException(401, "This session or token is no longer valid. Sign in again.", CLOSE)
            raise HTTPException(
                413,
                Sentence(
                    "Sign in first. Without signing in, a request can have at most %(most)s bytes.", most=Number(OPEN)
                ),
                CLOSE,
            )
        return USERS.of(identity.user.id)

    @override
    async def body(self) -> bytes:
        """The whole body. Raises 415 for one that isn't JSON, which no route with a model takes."""
        body = await super().body()
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if body and kind != "application/json" and not kind.endswith("+json"):
            raise HTTPException(415, Sentence(Unsupported.default))
        return body

    @override
    async def json(self) -> Any:
        """Parse strictly: no NaN, lone surrogates, NUL, or unbounded nesting."""
        if not hasattr(self, "_json"):
            body = await self.body()
            value = orjson.loads(body)
            if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
                raise json.JSONDecodeError(f"more than {MAX_DEPTH} levels deep", "", 0)
            if b"\\u0000" in body and _holds_nul(value):
                raise json.JSONDecodeError("a text holds a NUL character", "", 0)
            self._json = value
        return self._json


async def file(request: Request, user_id: int, most: int) -> bytes:
    """A body that is a file of a signed-in user, of up to `most` bytes. Raises 408, 413 or 429."""
    with USERS.of(user_id) as share:
        try:
            return await read(request.scope, request.receive, most, share)
        except TooLarge:
            raise _too_long(most) from None
        except TooSlow:
            raise HTTPException(408, "The request body didn't arrive in time.", CLOSE) from None
        except CutOff:
            raise ClientDisconnect from None


def _too_long(most: int = MAX_BODY) -> HTTPException:
    return HTTPException(
        413, Sentence("The request is too large. At most %(most)s bytes are allowed.", most=Number(most)), CLOSE
    )


def _depth(value: Any) -> int:
    """The nesting depth of containers, computed without recursion."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, dict | list):
            deepest = max(deepest, depth)
            waiting += [(inner, depth + 1) for inner in (item.values() if isinstance(item, dict) else item)]
    return deepest


def _holds_nul(value: Any) -> bool:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str) and "\0" in item:
            return True
        if isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item
    return False
