"""Request bodies: JSON that PostgreSQL can store, and not too much of it."""

import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import orjson
from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from typing_extensions import override

MAX_BODY = 2_000_000  # bytes
MOST_READ = 16_000_000  # bytes of a body that is too long; who is cut off while sending does not hear why
MAX_DEPTH = 64  # containers in one another


class BoundedRequest(Request):
    """A request whose body is bounded, and whose JSON holds nothing that could not be stored or sent back."""

    @override
    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The body in pieces. Raises 413 when it is too long, once the sender is ready to hear it."""
        declared = self.headers.get("content-length", "")
        size = int(declared) if declared.isascii() and declared.isdigit() and len(declared) < 20 else 0
        too_long = HTTPException(413, f"A request may have {MAX_BODY:,} bytes; this one has more.")
        if size > MOST_READ:
            raise too_long
        size = 0
        async for chunk in super().stream():
            size += len(chunk)
            if size > MOST_READ:
                raise too_long
            if size <= MAX_BODY:
                yield chunk
        if size > MAX_BODY:
            raise too_long

    @override
    async def json(self) -> Any:
        """Parse strictly: no NaN, no half characters, no NUL, no nesting without end."""
        if not hasattr(self, "_json"):
            body = await self.body()
            value = orjson.loads(body)
            if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
                raise json.JSONDecodeError(f"more than {MAX_DEPTH} levels deep", "", 0)
            if b"\\u0000" in body and _holds_nul(value):
                raise json.JSONDecodeError("a text holds a NUL character", "", 0)
            self._json = value
        return self._json


class Route(APIRoute):
    """A route that reads its request's body as `BoundedRequest` does."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own, given the other kind of request."""
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            return await handle(BoundedRequest(request.scope, request.receive))

        return bounded


def _depth(value: Any) -> int:
    """How deep containers stand in one another, found without recursion."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        if isinstance(one, dict | list):
            deepest = max(deepest, depth)
            waiting += [(inner, depth + 1) for inner in (one.values() if isinstance(one, dict) else one)]
    return deepest


def _holds_nul(value: Any) -> bool:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str) and "\0" in one:
            return True
        if isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            waiting += one
    return False
