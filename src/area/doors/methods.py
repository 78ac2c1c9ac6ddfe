"""Methods of an address (RFC 9110): HEAD wherever GET is, and `Allow` names all of them."""

import asyncio
import functools
from collections.abc import Sequence
from typing import Any

from fastapi.routing import iter_route_contexts
from starlette.datastructures import MutableHeaders
from starlette.routing import BaseRoute, compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ACTS = ("/authorize", "/callback")  # where a GET begins or ends something, which nobody does with a HEAD


class Methods:
    """ASGI middleware around an application with these routes."""

    def __init__(self, app: ASGIApp, *, routes: Sequence[BaseRoute]) -> None:
        self.app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            await self._head(scope, receive, send)
            return

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 405:
                MutableHeaders(scope=message)["Allow"] = ", ".join(self._allowed(scope["path"]))
            await send(message)

        await self.app(scope, receive, named)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as to a GET, without the body. A stream ends at once."""
        over = asyncio.Event()

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] == 405:
                    MutableHeaders(scope=message)["Allow"] = ", ".join(self._allowed(scope["path"]))
                await send(message)
                await send({"type": "http.response.body", "body": b""})
                over.set()

        async def received() -> Message:
            """The request, and a disconnection as soon as the response is sent."""
            tasks = [asyncio.create_task(receive()), asyncio.create_task(over.wait())]  # type: ignore[arg-type]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                return {"type": "http.disconnect"} if over.is_set() else tasks[0].result()  # type: ignore[return-value]
            finally:
                for task in tasks:
                    task.cancel()

        method = "GET" if "HEAD" in self._allowed(scope["path"]) else "HEAD"
        await self.app({**scope, "method": method}, received, without_body)

    def _allowed(self, path: str) -> list[str]:
        methods = {method for pattern, methods in self._table if pattern.match(path) for method in methods}
        return sorted(methods | ({"HEAD"} if "GET" in methods and not path.endswith(ACTS) else set()))

    @functools.cached_property
    def _table(self) -> list[tuple[Any, set[str]]]:
        """Each route's pattern and methods."""
        contexts = iter_route_contexts(self._routes)
        return [(compile_path(context.path)[0], set(context.methods or ())) for context in contexts if context.path]
